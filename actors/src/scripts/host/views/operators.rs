//! The customers that sellers are to themselves.

use super::super::{Sight, list::Search};
use crate::scripts::{
    beans::{ALL, Beans, operator_id, seller_of_operator},
    occasion::{Tree, within},
};
use sutler_lua::Bean;
use sutler_model::{BillingEntity, Scope};
use sutler_store::{Error, Filter, Snapshot};
use uuid::Uuid;

/// Those of all sellers in reach, as far as the conditions leave any.
pub(in crate::scripts::host) fn operators(search: &Search<'_>) -> Result<Vec<Bean>, Error> {
    let excluded = |field: &str, value: &str| {
        search.values(field).is_some_and(|values| !values.iter().any(|known| known.trim().eq_ignore_ascii_case(value)))
    };
    if matches!(search.sight.reach, Scope::Customer(_)) || excluded("status", "ADMIN") {
        return Ok(Vec::new());
    }
    let beans = Beans::new(search.snapshot, search.sight.viewer, ALL);
    let mut found = Vec::new();
    for seller in search.snapshot.records(Filter::<BillingEntity>::new()) {
        let seller = seller?;
        let id = operator_id(seller.id).to_string();
        if !excluded("resourceuuid", &id)
            && !excluded("customeruuid", &id)
            && !excluded("billingentityuuid", &seller.id.to_string())
            && within(search.snapshot, search.tree, search.sight.reach, seller.id, None)?
        {
            found.push(beans.operator(&seller, None)?);
        }
    }
    Ok(found)
}

/// The one with this id.
pub(super) fn find(snapshot: &Snapshot, tree: &Tree, sight: Sight, id: Uuid) -> Result<Option<Bean>, Error> {
    let Some(seller) = seller_of_operator(snapshot, id)? else { return Ok(None) };
    if matches!(sight.reach, Scope::Customer(_)) || !within(snapshot, tree, sight.reach, seller.id, None)? {
        return Ok(None);
    }
    Beans::new(snapshot, sight.viewer, ALL).operator(&seller, None).map(Some)
}
