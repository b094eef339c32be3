//! Scheduled entries: when they are due, and who sets them off.
//!
//! Due times form a grid ([`Schedule`]) that follows from the schedule and the moment the script was armed, so nothing is kept but the
//! runs, whose ids derive from their due time. What becomes of **missed times** (the process was down, the script paused, the
//! clock jumped) is the schedule's own choice, see [`Missed`]. A scheduled run that fails is not retried by itself, for the
//! next time comes anyway; it stands in the dead-letter list and can be retried from there. A due time that comes while the
//! run before still works is passed over, unless each is to run.

use super::{
    Env,
    attempt::{Item, draft},
    events::derived,
    occasion::Occasion,
    table::{Armed, Hook},
    trigger::{Deliver, SCHEDULE, TriggerActor},
};
use crate::registry::Registry;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};
use sutler_lua::{Input, Params};
use sutler_model::{BillingEntity, Cause, Customer, Missed, RunId, Schedule, Scope, ScriptId, ScriptRun, Timestamp};
use sutler_store::{Error as StoreError, Filter, Order, Snapshot};
use tokio::sync::watch;
use uuid::Uuid;

/// A due time this long past is missed.
const LATE_MS: i64 = 60_000;
/// Most missed times that are run.
const EACH_MAX: usize = 1_000;
/// Longest sleep with anything scheduled: a changed system clock is noticed within it.
const LOOK: Duration = Duration::from_secs(1);

/// The id of the run that is due at a time.
fn run_id(script: ScriptId, function: &str, due: Timestamp) -> RunId {
    derived(script, due, &format!("{function}@"))
}

/// Sets off what is due until told to stop.
pub(super) async fn keep_time(env: Env, registry: Registry<TriggerActor>, mut stop: watch::Receiver<bool>) {
    // The due time last handed on, by entry: the store is asked only about new ones.
    let mut handed: HashMap<(ScriptId, String), Timestamp> = HashMap::new();
    while !*stop.borrow() {
        let hooks = env.table.read().unwrap_or_else(PoisonError::into_inner).scheduled();
        handed.retain(|(script, _), _| hooks.iter().any(|hook| hook.script.id == *script));
        let now = env.core.now();
        // A paused script misses its times.
        for hook in hooks.iter().filter(|hook| !hook.script.paused) {
            let Some(schedule) = hook.entry().schedule else { continue };
            let Some(due) = schedule.latest_due(hook.script.since, now) else { continue };
            let key = (hook.script.id, hook.entry().function.clone());
            let last = handed.get(&key).copied();
            if last.is_some_and(|last| last >= due) {
                continue;
            }
            let times = match schedule.missed {
                Missed::Once => vec![due],
                Missed::Skip if now.since_ms(due) <= LATE_MS => vec![due],
                Missed::Skip => Vec::new(),
                Missed::Each => match unrecorded(&env, hook, schedule, last, due).await {
                    Ok(times) => times,
                    Err(error) => {
                        tracing::error!(%error, script = %hook.script.id, "looking for missed times; trying again");
                        continue;
                    }
                },
            };
            let items = times.into_iter().map(|due| item(hook, due, schedule.missed == Missed::Each)).collect();
            match registry.ask(hook.script.id.0, Deliver(items)).await {
                Ok(()) => {
                    handed.insert(key, due);
                }
                Err(error) => {
                    tracing::error!(%error, script = %hook.script.id, "a scheduled run was not taken; trying again")
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK), if !hooks.is_empty() => {}
            () = env.table_changed.notified() => {}
            _ = stop.changed() => {}
        }
    }
}

/// The times up to `due` that have no run yet, oldest first: those after `last`, or after the latest one with a run.
async fn unrecorded(
    env: &Env,
    hook: &Hook,
    schedule: Schedule,
    last: Option<Timestamp>,
    due: Timestamp,
) -> Result<Vec<Timestamp>, StoreError> {
    let (script, function, since) = (hook.script.id, hook.entry().function.clone(), hook.script.since);
    let read = env.core.store.read(move |snapshot| {
        let mut times = Vec::new();
        let mut next = Some(due);
        while let Some(time) = next.filter(|time| times.len() < EACH_MAX && *time > last.unwrap_or(since)) {
            if last.is_none() && snapshot.get::<ScriptRun>(run_id(script, &function, time))?.is_some() {
                break;
            }
            times.push(time);
            next = schedule.due_before(since, time);
        }
        times.reverse();
        Ok(times)
    });
    read.await
}

/// Whether a run is the newest of an entry's schedule: without it, the times up to it would count as missed.
///
/// # Errors
/// Those of the store.
pub(super) fn is_newest(
    snapshot: &Snapshot,
    script: &Armed,
    run: &ScriptRun,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let entry = script.entries.iter().find(|entry| entry.function == run.function);
    let Some(schedule) = entry.and_then(|entry| entry.schedule) else { return Ok(false) };
    if run.id != run_id(script.id, &run.function, run.created_at) {
        return Ok(false);
    }
    let mut time = schedule.latest_due(script.since, now);
    // Beyond that many no run is looked for.
    for _ in 0..=EACH_MAX {
        let Some(due) = time.filter(|due| *due > run.created_at) else { return Ok(run.created_at > script.since) };
        if snapshot.get::<ScriptRun>(run_id(script.id, &run.function, due))?.is_some() {
            return Ok(false);
        }
        time = schedule.due_before(script.since, due);
    }
    Ok(false)
}

fn item(hook: &Hook, due: Timestamp, queues: bool) -> Item {
    let (script, entry) = (&hook.script, hook.entry());
    let id = run_id(script.id, &entry.function, due);
    let run = draft(script, entry, id, "ANY", Cause::system(SCHEDULE), due);
    // A run of this time may have been recorded before a restart; who a customer's entry acts for is read when it runs.
    Item { run, stored: false, check: true, queues, occasion: None, awaited: false, receipt: None }
}

/// What a scheduled run is told, now or when it is retried later: its own due time, and the present; of a run that somebody
/// asked for at a given time, that time is also the present.
pub(super) async fn recall(env: &Env, script: &Arc<Armed>, run: &ScriptRun) -> Result<Occasion, String> {
    let entry = script.entries.iter().find(|entry| entry.function == run.function);
    let Some(schedule) = entry.and_then(|entry| entry.schedule) else {
        return Err(format!("the script has no scheduled entry `{}` any more", run.function));
    };
    let (seller, owner) = (seller(env, script.owner), script.owner);
    let be_uuid = seller.await.map_err(|error| format!("reading its owner: {error}"))?;
    let now = if run.cause == Cause::system(SCHEDULE) { env.core.now() } else { run.created_at };
    let customer = env.core.store.read(move |snapshot| match owner {
        Scope::Customer(id) => match snapshot.get::<Customer>(id)? {
            Some(customer) => Ok(Some(super::beans::Beans::new(snapshot, owner, super::beans::FEW).bean(customer)?)),
            None => Ok(None),
        },
        _ => Ok(None),
    });
    #[allow(clippy::cast_precision_loss)] // milliseconds are exact in a double for 285,000 years
    let numbers =
        vec![run.created_at.0 as f64, schedule.interval_ms(script.since, run.created_at) as f64, now.0 as f64];
    let params = Params {
        input: Input::Numbers(numbers),
        option: run.option.clone(),
        be_uuid,
        customer: customer.await.map_err(|error| format!("reading its owner: {error}"))?,
        user: None,
        timestamp_ms: now.0,
        ..Params::default()
    };
    Ok(Occasion { params, resource: Uuid::nil(), depth: 0 })
}

/// The billing entity of a script's owner.
async fn seller(env: &Env, owner: Scope) -> Result<String, StoreError> {
    let found = env.core.store.read(move |snapshot| {
        Ok(match owner {
            Scope::Entity(id) => Some(id),
            Scope::Customer(id) => snapshot.get::<Customer>(id)?.map(|customer| customer.billing_entity_id),
            Scope::Provider => root(snapshot)?,
        })
    });
    Ok(found.await?.map(|id| id.to_string()).unwrap_or_default())
}

/// The provider: the one billing entity with nobody above it, and the oldest.
pub(super) fn root(snapshot: &sutler_store::Snapshot) -> Result<Option<sutler_model::BillingEntityId>, StoreError> {
    let filter = Filter::<BillingEntity>::new().when(|entity| entity.parent_id.is_none());
    Ok(snapshot.first(filter, Order::Ascending)?.map(|entity| entity.id))
}
