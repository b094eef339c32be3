//! What the platform itself measures of servers, under the keys that the language's billing methods ask for: the bytes that a
//! guest has read from and written to its disks since its server came to be.
//!
//! A guest counts from its start, so each look adds what was counted since the one before; a count that is lower than before
//! begins anew. What a guest did between the last look and its end is not counted. Only servers that a script charges for are
//! looked at: others have nobody to ask for it.

use super::{Env, measure::each};
use crate::Error;
use std::collections::{BTreeMap, HashMap, HashSet};
use sutler_drivers::compute::GuestStats;
use sutler_model::{
    Cause, Customer, CustomerId, MeasuredValue, Measurement, Nanos, NodeId, Plan, PlanId, RunId, ScriptId, Server,
    Timestamp, money::ONE, time::DAY_MS,
};
use sutler_store::{ChangeSet, Error as StoreError, Filter, Snapshot};
use uuid::Uuid;

/// What is measured, and the unit of it.
const READ: &str = "disk_read";
const WRITTEN: &str = "disk_write";
const UNIT: &str = "B";
/// Ends the key under which a guest's own count is kept.
const OF_GUEST: &str = ".guest";
/// Who measures, in place of a block and its function.
const BY: ScriptId = ScriptId(Uuid::nil());
const FUNCTION: &str = "platform";
/// What it is put down to.
const MEASURE: &str = "measure";
/// How far back the look before is first searched.
const RECENT_MS: i64 = 2 * DAY_MS;
/// Servers whose measurements are committed together.
const BATCH: usize = 500;

type Counts = BTreeMap<String, MeasuredValue>;

/// Looks at all servers that scripts charge for, once for each time that is due.
///
/// # Errors
/// Those of the store.
pub(super) async fn round(env: &Env, due: Timestamp) -> Result<(), Error> {
    let read = env.core.store.read(move |snapshot| {
        let mut found = Vec::new();
        for server in charged_for(snapshot)?.into_iter().filter(|server| server.created_at <= due) {
            let (before, measured) = last(snapshot, server.id.into(), due)?;
            if !measured {
                found.push((server, before));
            }
        }
        Ok(found)
    });
    let found = read.await?;
    let mut nodes: HashMap<NodeId, Option<_>> = HashMap::new();
    let mut measurements = Vec::new();
    for (server, before) in found {
        let guests = match server.node_id {
            Some(node) => match nodes.get(&node) {
                Some(known) => known.clone(),
                None => {
                    // A node that does not answer is looked at the next time; its guests' counts go on.
                    let guests = env.core.statistics.of_node(&env.core, node).await.unwrap_or_else(|error| {
                        tracing::warn!(%error, %node, "measuring what guests read and write");
                        None
                    });
                    nodes.insert(node, guests.clone());
                    guests
                }
            },
            None => None,
        };
        let guest = guests.as_ref().and_then(|guests| guests.get(&server.id));
        if let Some(values) = added(before.as_ref(), guest) {
            measurements.push(Measurement {
                resource_id: server.id.into(),
                at: due,
                script_id: BY,
                function: FUNCTION.to_owned(),
                version: 0,
                customer_id: Some(server.customer_id),
                billing_entity_id: server.billing_entity_id,
                run_id: RunId(Uuid::nil()),
                values,
            });
        }
    }
    for batch in measurements.chunks_mut(BATCH) {
        let mut set = ChangeSet::new(Cause::system(MEASURE));
        for measurement in batch {
            set.create(measurement);
        }
        match env.core.store.commit(set).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The servers of customers whose plan charges for servers by a script.
fn charged_for(snapshot: &Snapshot) -> Result<Vec<Server>, StoreError> {
    let charges =
        |plan: &Plan| plan.charges.iter().any(|charge| charge.script_id.is_some() && charge.resource_type == "SERVER");
    let plans: HashSet<PlanId> =
        snapshot.all(Filter::<Plan>::new().when(charges))?.into_iter().map(|plan| plan.id).collect();
    if plans.is_empty() {
        return Ok(Vec::new());
    }
    let pays = move |customer: &Customer| plans.contains(&customer.plan_id);
    let customers: HashSet<CustomerId> =
        snapshot.all(Filter::<Customer>::new().when(pays))?.into_iter().map(|customer| customer.id).collect();
    snapshot.all(Filter::<Server>::new().when(move |server| customers.contains(&server.customer_id)))
}

/// What the last look before a time found, and whether there was one at that time.
fn last(snapshot: &Snapshot, server: Uuid, due: Timestamp) -> Result<(Option<Counts>, bool), StoreError> {
    let (mut before, mut measured) = (None, false);
    for from in [due.plus_ms(-RECENT_MS), Timestamp(i64::MIN)] {
        each(snapshot, server, from, due.plus_ms(1), |found| {
            if found.script_id == BY {
                measured |= found.at == due;
                before = Some(found.values);
            }
            true
        })?;
        if before.is_some() {
            break;
        }
    }
    Ok((before, measured))
}

/// What there is now in all; nothing of a server that has never run while it was looked at.
fn added(before: Option<&Counts>, guest: Option<&GuestStats>) -> Option<Counts> {
    let counts = [
        (READ, guest.and_then(|guest| guest.disk_read_bytes)),
        (WRITTEN, guest.and_then(|guest| guest.disk_write_bytes)),
    ];
    if before.is_none() && counts.iter().all(|(_, now)| now.is_none()) {
        return None;
    }
    let known = |key: &str| before.and_then(|before| before.get(key)).map_or(0, |known| known.value.0 / ONE);
    let bytes = |count: i128| MeasuredValue { value: Nanos(count.saturating_mul(ONE)), unit: UNIT.to_owned() };
    let mut values = Counts::new();
    for (key, now) in counts {
        let of_guest = format!("{key}{OF_GUEST}");
        let (then, now) = (known(&of_guest), now.map_or(0, i128::from));
        let since = if now < then { now } else { now - then };
        values.insert(key.to_owned(), bytes(known(key) + since));
        values.insert(of_guest, bytes(now));
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(before: Option<&Counts>, read: Option<u64>) -> Option<Counts> {
        let guest = GuestStats { disk_read_bytes: read, disk_write_bytes: read, ..GuestStats::default() };
        added(before, read.map(|_| &guest))
    }

    #[test]
    fn counts_go_on_over_the_ends_of_guests_and_never_go_back() {
        assert_eq!(look(None, None), None);
        let mut before = None;
        let mut all = Vec::new();
        // It runs, is stopped, runs anew from nothing, is found the same, and was started again between two looks.
        for read in [Some(100), Some(250), None, None, Some(30), Some(30), Some(20)] {
            before = look(before.as_ref(), read);
            all.push(before.as_ref().unwrap()[READ].value.0 / ONE);
        }
        assert_eq!(all, [100, 250, 250, 250, 280, 280, 300]);
        assert_eq!(before.unwrap()[WRITTEN].unit, "B");
    }
}
