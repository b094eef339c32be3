//! Resources of the language that are no records of their own here: read from the records that they follow from.

mod ledger;
mod operators;
mod places;
mod points;

pub(super) use operators::operators;

use super::{
    Sight, blocks,
    list::{Search, sees},
    payments,
};
use crate::scripts::{beans::origin_of, occasion::Tree};
use sutler_lua::Bean;
use sutler_model::{BillingEntity, Customer};
use sutler_store::{Error as StoreError, Snapshot};
use uuid::Uuid;

/// The beans of a type; none for a type that is not one of these.
pub(super) fn list(search: &Search<'_>, resource_type: &str) -> Result<Option<Vec<Bean>>, StoreError> {
    let (snapshot, tree, reach) = (search.snapshot, search.tree, search.sight.reach);
    Ok(Some(match resource_type {
        "FDL" => blocks::list(search, false)?,
        "TRIGGER_METHOD" => blocks::list(search, true)?,
        "PAYMENT_PROVIDER" => payments::providers(snapshot, tree, reach)?,
        "VDC" => places::vdcs(search)?,
        "CLUSTER" => places::cluster(snapshot)?.into_iter().collect(),
        "NIC" => places::nics(search)?,
        "UNIT_TRANSACTION" => ledger::postings(search)?,
        "UNIT_TRANSACTION_SUMMARY" => ledger::days(search)?,
        "PRODUCT_PURCHASE" => ledger::purchases(search)?,
        other => match points::list(search, other)? {
            Some(beans) => beans,
            None => return Ok(None),
        },
    }))
}

/// The bean of one that has an id, within sight.
pub(super) fn find(snapshot: &Snapshot, tree: &Tree, sight: Sight, id: Uuid) -> Result<Option<Bean>, StoreError> {
    if let Some(block) = blocks::find(snapshot, tree, sight.reach, id)? {
        return Ok(Some(block));
    }
    if let Some(operator) = operators::find(snapshot, tree, sight, id)? {
        return Ok(Some(operator));
    }
    let Some(origin) = origin_of(id) else { return points::find(snapshot, tree, sight.reach, id) };
    if let Some(customer) = snapshot.get::<Customer>(origin)? {
        let seen = sees(snapshot, tree, sight.reach, &customer)?;
        return seen.then(|| places::vdc(snapshot, sight, &customer)).transpose();
    }
    match snapshot.get::<BillingEntity>(origin)? {
        Some(seller) if seller.parent_id.is_none() => places::cluster(snapshot),
        _ => Ok(None),
    }
}
