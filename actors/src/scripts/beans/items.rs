//! The items of an invoice: what was used, then what was charged, each with its share of the tax.

use super::amount;
use serde_json::{Value, json};
use sutler_model::{Invoice, InvoiceCharge, InvoiceLine, Nanos, money};

/// How many nanos of an hour 36 milliseconds are.
const HOUR_NANOS: i128 = 10_000;

/// All of them, in order.
pub(super) fn items(invoice: &Invoice) -> Value {
    let used = invoice.lines.iter().map(used);
    let mut items: Vec<Item> = used.chain(invoice.charges.iter().map(charged)).collect();
    share(invoice, &mut items);
    items.into_iter().map(|item| item.bean(invoice)).collect()
}

struct Item {
    description: String,
    quantity: Nanos,
    unit_price: Nanos,
    net: Nanos,
    tax: Nanos,
}

fn used(line: &InvoiceLine) -> Item {
    let hours = line.unit_ms.saturating_mul(HOUR_NANOS) / 36;
    Item {
        description: format!("{}, {}", line.resource_name, line.meter.priced_unit()),
        quantity: Nanos(hours / i128::from(line.meter.units_per_priced())),
        unit_price: line.unit_price,
        net: line.amount,
        tax: Nanos::ZERO,
    }
}

fn charged(charge: &InvoiceCharge) -> Item {
    Item {
        description: format!("{}, {}", charge.resource_name, charge.description),
        quantity: Nanos(money::ONE),
        unit_price: charge.amount,
        net: charge.amount,
        tax: Nanos::ZERO,
    }
}

/// Tax is computed on the total; scripts that book items need each one's part. What all items up to one bear together is
/// rounded, so that the parts add up to the tax.
fn share(invoice: &Invoice, items: &mut [Item]) {
    let Some(tax) = invoice.tax else { return };
    let (mut net, mut borne, last) = (Nanos::ZERO, Nanos::ZERO, items.len().saturating_sub(1));
    for (place, item) in items.iter_mut().enumerate() {
        net.0 = net.0.saturating_add(item.net.0);
        let so_far = tax.amount.mul_div_round(net.0, invoice.total.0, invoice.currency.places());
        // Where there is no proportion, the last bears all of it.
        let so_far = if place == last { tax.amount } else { so_far.unwrap_or(borne) };
        item.tax = Nanos(so_far.0.saturating_sub(borne.0));
        borne = so_far;
    }
}

impl Item {
    fn bean(self, invoice: &Invoice) -> Value {
        json!({
            "invoiceUUID": invoice.id.to_string(),
            "description": self.description,
            "quantity": amount(self.quantity),
            "unitPrice": amount(self.unit_price),
            "invoiceItemTotalExc": amount(self.net),
            "invoiceItemTotalInc": amount(Nanos(self.net.0.saturating_add(self.tax.0))),
            "invoiceItemTaxAmt": amount(self.tax),
            "taxRate": invoice.tax.and_then(|tax| tax.rate).map_or(Value::from(0), amount),
            "exactUnitPrice": self.unit_price.to_string(),
            "exactAmount": self.net.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::{BillingEntityId, CustomerId, InvoiceId, Meter, RunId, Tax, Timestamp};
    use uuid::Uuid;

    fn nanos(text: &str) -> Nanos {
        text.parse().expect("an amount")
    }

    /// Two hours and a half of a vCPU, as long of half a GiB, and what a method charged.
    fn invoice(charges: &[&str], tax: &str) -> Invoice {
        let line = |meter, unit_ms, unit_price, amount| InvoiceLine {
            resource_id: Uuid::nil(),
            resource_name: "web".into(),
            meter,
            intervals: 1,
            used_ms: 9_000_000,
            unit_ms,
            unit_price: nanos(unit_price),
            amount: nanos(amount),
        };
        let charge = |amount: &&str| InvoiceCharge {
            resource_id: Uuid::nil(),
            resource_name: "web".into(),
            component: "SERVER".into(),
            description: "care".into(),
            units: None,
            unit_price: nanos("1"),
            amount: nanos(amount),
            run_id: RunId(Uuid::nil()),
            meter: None,
        };
        let lines =
            vec![line(Meter::Cpu, 9_000_000, "0.04", "0.10"), line(Meter::Memory, 9_000_000 * 512, "0.04", "0.05")];
        let charges: Vec<_> = charges.iter().map(charge).collect();
        let nets = lines.iter().map(|line| line.amount).chain(charges.iter().map(|charge| charge.amount));
        Invoice {
            id: InvoiceId(Uuid::nil()),
            version: 1,
            number: Some(1),
            billing_entity_id: BillingEntityId(Uuid::nil()),
            customer_id: CustomerId(Uuid::nil()),
            from: Timestamp(0),
            to: Timestamp(9_000_000),
            currency: "EUR".parse().expect("a currency"),
            total: Nanos(nets.map(|net| net.0).sum()),
            lines,
            charges,
            tax: Some(Tax { rate: Some(nanos("20")), amount: nanos(tax) }),
            issued_at: Timestamp(9_000_000),
        }
    }

    fn all(invoice: &Invoice, name: &str) -> Vec<f64> {
        let items = items(invoice);
        items.as_array().expect("a list").iter().filter_map(|item| item[name].as_f64()).collect()
    }

    #[test]
    fn an_items_quantity_times_its_price_is_its_amount() {
        let invoice = invoice(&["0.25"], "0.08");
        assert_eq!(all(&invoice, "quantity"), [2.5, 1.25, 1.0]);
        assert_eq!(all(&invoice, "unitPrice"), [0.04, 0.04, 0.25]);
        assert_eq!(all(&invoice, "invoiceItemTotalExc"), [0.1, 0.05, 0.25]);
    }

    #[test]
    fn the_tax_of_the_items_adds_up_to_that_of_the_invoice() {
        let even = invoice(&["0.25"], "0.08");
        assert_eq!(all(&even, "invoiceItemTaxAmt"), [0.02, 0.01, 0.05]);
        assert_eq!(all(&even, "invoiceItemTotalInc"), [0.12, 0.06, 0.3]);
        assert_eq!(all(&even, "taxRate"), [20.0, 20.0, 20.0]);
        // No coin is lost between items, a refund takes tax back, and where nothing is left the last bears all.
        assert_eq!(all(&invoice(&["0.02"], "0.01"), "invoiceItemTaxAmt"), [0.01, 0.0, 0.0]);
        assert_eq!(all(&invoice(&["0.25", "-0.20"], "0.04"), "invoiceItemTaxAmt"), [0.02, 0.01, 0.05, -0.04]);
        assert_eq!(all(&invoice(&["-0.15"], "0.04"), "invoiceItemTaxAmt"), [0.0, 0.0, 0.04]);
    }
}
