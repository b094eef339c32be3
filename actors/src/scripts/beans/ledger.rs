//! What stands on a customer's account: each closed invoice and each payment is a posting, a unit one of the seller's currency.

use super::{Beans, amount, derived};
use serde_json::Value;
use sutler_lua::Bean;
use sutler_model::{
    BillingEntityId, Customer, CustomerId, Invoice, Nanos, PaymentFunction, Timestamp, Transaction, TransactionState,
};
use sutler_store::{Error, Field, Filter};
use uuid::Uuid;

/// Invoices and transactions that the balance of a customer who comes with an event is summed up from, at most: those of decades, and
/// few enough that no customer makes its events expensive by what it has tried to pay.
const SUMMED_MAX: usize = 500;

/// One line of an account, as a unit transaction.
pub(crate) struct Posting {
    bean: Bean,
    /// Where it stands among the others.
    pub place: Place,
    /// What it adds.
    pub sum: Nanos,
}

/// Postings of one moment are in order of their kinds (invoices first) and ids.
pub(crate) type Place = (Timestamp, u8, Uuid);

impl Posting {
    /// What a closed invoice charged.
    pub fn charged(invoice: &Invoice) -> Self {
        let (place, sum) = charge(invoice);
        let bean = posting(invoice.billing_entity_id, invoice.customer_id, place, sum)
            .with("description", format!("Invoice {}", invoice.number.unwrap_or_default()))
            .with("chargedFromDate", invoice.from.0)
            .with("chargedToDate", invoice.to.0)
            .with("linkedResourceUUID", invoice.id.to_string())
            .with("linkedResourceType", "INVOICE")
            .with("linkedResourceName", invoice.number.map(|number| number.to_string()))
            .with("resourceType", "INVOICE");
        Self { bean, place, sum }
    }

    /// What a payment or refund moved; none for what moved nothing.
    pub fn moved(transaction: &Transaction) -> Option<Self> {
        let (customer, (place, sum)) = (transaction.customer_id?, movement(transaction)?);
        let bean = posting(transaction.billing_entity_id, customer, place, sum)
            .with("description", if is_payment(transaction) { "Payment" } else { "Refund" })
            .with("linkedResourceUUID", transaction.id.to_string())
            .with("linkedResourceType", "TRANSACTION")
            .with("linkedResourceName", transaction.function.word())
            .with("resourceType", "TRANSACTION");
        Some(Self { bean, place, sum })
    }

    /// The bean, on an account that held this before it.
    pub fn onto(self, opening: Nanos) -> Bean {
        let closing = Nanos(opening.0.saturating_add(self.sum.0));
        self.bean.with("openingBalance", amount(opening)).with("closingBalance", amount(closing))
    }
}

/// Where a closed invoice stands on its customer's account, and what it adds.
fn charge(invoice: &Invoice) -> (Place, Nanos) {
    ((invoice.issued_at, 0, invoice.id.0), Nanos(-invoice.due().unwrap_or(invoice.total).0))
}

/// The same of a payment or refund; none for what moved nothing.
fn movement(transaction: &Transaction) -> Option<(Place, Nanos)> {
    let place = (transaction.ended_at.unwrap_or(transaction.created_at), 1, transaction.id.0);
    let sum = if is_payment(transaction) { transaction.amount.0 } else { -transaction.amount.0 };
    (transaction.outcome == Some(TransactionState::Success)).then_some((place, Nanos(sum)))
}

fn is_payment(transaction: &Transaction) -> bool {
    transaction.function == PaymentFunction::MakePayment
}

fn posting(seller: BillingEntityId, customer: CustomerId, (at, _, id): Place, sum: Nanos) -> Bean {
    Bean::new("UnitTransaction")
        .with("unitTransactionId", number(id))
        .with("billingEntityUUID", seller.to_string())
        .with("customerUUID", customer.to_string())
        .with("transactionDate", at.0)
        .with("transactionAmount", amount(sum))
        .with("unitsType", "NONCARRYOVER")
        .with("vdcUUID", derived(customer.0).to_string())
}

/// The number of a posting by its record's id: that rises with time, so a script can go on behind the last one that it has seen.
/// Of an id, the time and ten of the twelve bits that tell those of one millisecond apart: what a script's numbers hold.
fn number(id: Uuid) -> u64 {
    let (high, _) = id.as_u64_pair();
    ((high >> 16) << 10) | (high & 0x3ff)
}

impl Beans<'_> {
    /// A posting of a customer as it is told at its event.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn posted(&self, customer: CustomerId, posting: Posting) -> Result<Bean, Error> {
        let opening = self.account(customer, usize::MAX, |place| place < posting.place)?;
        Ok(posting.onto(opening.unwrap_or_default()).with("customerName", self.customer_name(customer.0)?))
    }

    /// What a customer has paid beyond what it was charged; unknown of one who comes with an event and has too many postings.
    pub(super) fn balance_of(&self, customer: &Customer) -> Result<Value, Error> {
        let most = if self.children < super::ALL { SUMMED_MAX } else { usize::MAX };
        Ok(self.account(customer.id, most, |_| true)?.map_or(Value::Null, amount))
    }

    /// The sum of a customer's postings in some places; none where more than so many records would have to be read.
    fn account(
        &self,
        customer: CustomerId,
        most: usize,
        counts: impl Fn(Place) -> bool,
    ) -> Result<Option<Nanos>, Error> {
        let own = customer.0.as_bytes();
        let invoices = self.snapshot.records(Filter::<Invoice>::new().is(Field::Customer, own));
        let transactions = self.snapshot.records(Filter::<Transaction>::new().is(Field::Customer, own));
        let postings = invoices.map(|invoice| invoice.map(|invoice| Some(charge(&invoice))));
        let postings = postings.chain(transactions.map(|one| one.map(|transaction| movement(&transaction))));
        let mut sum = Nanos(0);
        for (n, posting) in postings.enumerate() {
            if n >= most {
                return Ok(None);
            }
            if let Some((_, added)) = posting?.filter(|(place, _)| counts(*place)) {
                sum.0 = sum.0.saturating_add(added.0);
            }
        }
        Ok(Some(sum))
    }
}
