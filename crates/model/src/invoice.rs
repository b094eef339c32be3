//! What is owed.

use crate::{BillingEntityId, Currency, CustomerId, InvoiceId, Meter, Nanos, RunId, Timestamp, money};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An immutable invoice, or a preview of one when `number` is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Always 1: invoices are never edited.
    pub version: u64,
    /// The seller's gap-free number; none on a preview.
    pub number: Option<u64>,
    /// Who sells.
    pub billing_entity_id: BillingEntityId,
    /// Who owes.
    pub customer_id: CustomerId,
    /// First moment covered.
    pub from: Timestamp,
    /// First moment no longer covered.
    pub to: Timestamp,
    /// What the amounts are in.
    pub currency: Currency,
    /// One line for each resource and meter, ordered by resource, then meter.
    pub lines: Vec<InvoiceLine>,
    /// What billing methods of scripts charged, by component and resource.
    #[serde(default)]
    pub charges: Vec<InvoiceCharge>,
    /// Sum of the lines and charges.
    pub total: Nanos,
    /// What comes on top; none: no tax was computed.
    #[serde(default)]
    pub tax: Option<Tax>,
    /// When it was closed or previewed.
    pub issued_at: Timestamp,
}

/// What a billing method charged for a component of the plan and a resource. Opens to its run, to what was measured, and to
/// the intervals of the resource in the period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvoiceCharge {
    /// For which resource.
    pub resource_id: Uuid,
    /// Its name then.
    pub resource_name: String,
    /// The plan's component.
    pub component: String,
    /// The method's words.
    pub description: String,
    /// Units taken, where it charged in units.
    pub units: Option<Nanos>,
    /// What one unit cost.
    pub unit_price: Nanos,
    /// Units × price, or what it charged in currency, rounded once to the currency's places. Negative: given back.
    pub amount: Nanos,
    /// The run that charged.
    pub run_id: RunId,
    /// What tells by its intervals when the resource was there, or was used; none for a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<Meter>,
}

/// Tax on an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tax {
    /// Per cent of the total; none when an amount alone was set.
    pub rate: Option<Nanos>,
    /// Rounded once to the currency's places.
    pub amount: Nanos,
}

impl Tax {
    /// `rate` per cent of `net`, rounded once.
    ///
    /// # Errors
    /// [`money::Error::Overflow`].
    pub fn of(net: Nanos, rate: Nanos, currency: Currency) -> Result<Self, money::Error> {
        let amount = net.mul_div_round(rate.0, 100 * money::ONE, currency.places())?;
        Ok(Self { rate: Some(rate), amount })
    }
}

impl Invoice {
    /// What is to be paid: the total and its tax.
    ///
    /// # Errors
    /// [`money::Error::Overflow`].
    pub fn due(&self) -> Result<Nanos, money::Error> {
        self.total.add(self.tax.map_or(Nanos::ZERO, |tax| tax.amount))
    }
}

/// What one resource used of one thing. Opens to its intervals: those of the same resource and meter in the period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvoiceLine {
    /// The server or disk.
    pub resource_id: Uuid,
    /// Its name at the start of its last interval in the period.
    pub resource_name: String,
    /// What was counted.
    pub meter: Meter,
    /// How many intervals stand behind the line.
    pub intervals: u64,
    /// Milliseconds in use in the period.
    pub used_ms: i64,
    /// Sum over the intervals of counted units × milliseconds.
    pub unit_ms: i128,
    /// Price of one priced unit for an hour.
    pub unit_price: Nanos,
    /// `unit_ms ÷ units_per_priced ÷ 3,600,000 × unit_price`, rounded once to the currency's places.
    pub amount: Nanos,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tax_is_a_percentage_rounded_once_half_to_even() {
        let tax = |net: &str, rate: &str, currency: &str| {
            let [net, rate] = [net, rate].map(|text| text.parse().unwrap());
            Tax::of(net, rate, currency.parse().unwrap()).unwrap().amount.to_string()
        };
        assert_eq!(tax("10.00", "19", "EUR"), "1.9");
        assert_eq!(tax("0.50", "7", "EUR"), "0.04");
        assert_eq!(tax("0.10", "25", "EUR"), "0.02");
        assert_eq!(tax("12345", "7.7", "JPY"), "951");
        assert_eq!(tax("10", "0", "EUR"), "0");
    }
}
