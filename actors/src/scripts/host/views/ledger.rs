//! What was charged, paid and bought. A unit is one of the seller's currency, as in `POST_UNIT_TRANSACTION`.

use super::super::list::Search;
use crate::scripts::beans::{Beans, Posting};
use std::collections::BTreeMap;
use sutler_lua::Bean;
use sutler_model::{Customer, CustomerId, Invoice, Nanos, Transaction};
use sutler_store::Error as StoreError;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

fn number(bean: &Bean, name: &str) -> f64 {
    bean.properties.get(name).and_then(|value| value.as_f64()).unwrap_or(0.0)
}

fn at(bean: &Bean) -> i64 {
    bean.properties.get("transactionDate").and_then(|value| value.as_i64()).unwrap_or(0)
}

/// Every invoice and every payment, in the order in which they came, each with its customer's balance before and after.
pub(super) fn postings(search: &Search<'_>) -> Result<Vec<Bean>, StoreError> {
    let beans = Beans::new(search.snapshot, search.sight.viewer, 0);
    let mut found: Vec<(CustomerId, Posting)> = Vec::new();
    search.each(|invoice: Invoice| {
        found.push((invoice.customer_id, Posting::charged(&invoice)));
        Ok(found.len())
    })?;
    search.each(|transaction: Transaction| {
        found.extend(transaction.customer_id.zip(Posting::moved(&transaction)));
        Ok(found.len())
    })?;
    found.sort_by_key(|(_, posting)| posting.place);
    let mut balances: BTreeMap<CustomerId, Nanos> = BTreeMap::new();
    let told = found.into_iter().map(|(customer, posting)| {
        let balance = balances.entry(customer).or_insert(Nanos(0));
        let opening = *balance;
        balance.0 = balance.0.saturating_add(posting.sum.0);
        Ok(posting.onto(opening).with("customerName", beans.customer_name(customer.0)?))
    });
    told.collect()
}

/// The same by customer, UTC day and what it was about.
pub(super) fn days(search: &Search<'_>) -> Result<Vec<Bean>, StoreError> {
    let mut days: BTreeMap<(i64, String, String), Bean> = BTreeMap::new();
    for posting in postings(search)? {
        let day = at(&posting).div_euclid(DAY_MS) * DAY_MS;
        let text = |name: &str| posting.text(name).unwrap_or_default();
        let sums = days.entry((day, text("customerUUID"), text("linkedResourceType"))).or_insert_with(|| {
            Bean::new("UnitTransactionSummary")
                .with("billingEntityUUID", text("billingEntityUUID"))
                .with("customerUUID", text("customerUUID"))
                .with("customerName", text("customerName"))
                .with("resourceType", text("linkedResourceType"))
                .with("transactionDate", day)
                .with("freeUnits", 0)
                .with("unitCredits", 0)
                .with("unitDebits", 0)
        });
        let amount = number(&posting, "transactionAmount");
        let name = if amount < 0.0 { "unitDebits" } else { "unitCredits" };
        let sum = number(sums, name) + amount.abs();
        sums.properties.insert(name, sum);
    }
    Ok(days.into_values().collect())
}

/// Each customer's plan.
pub(super) fn purchases(search: &Search<'_>) -> Result<Vec<Bean>, StoreError> {
    let beans = Beans::new(search.snapshot, search.sight.viewer, 0);
    let mut found = Vec::new();
    search.each(|customer: Customer| {
        found.push(beans.purchase(&customer, customer.created_at)?);
        Ok(found.len())
    })?;
    Ok(found)
}
