//! Measurement functions: run for each resource of their type at set times, and kept as [`Measurement`]s.
//!
//! The times form a grid, so every resource is measured by a function at one time once, also when the program restarts in
//! between: what is there is passed over. A time that passed while the program was down is not made up for, since what was
//! then cannot be measured now.

use super::{
    Env, counters,
    events::derived,
    host,
    invoke::{Invocation, Subject, invoke},
    table::Pointed,
};
use crate::Error;
use futures_util::{StreamExt, stream};
use std::{collections::BTreeMap, time::Duration};
use sutler_lua::{Bean, Exit, Measured, Member};
use sutler_model::{
    Cause, CustomerId, MeasuredValue, Measurement, Nanos, PointKind, RunId, RunState, ScriptRun, Timestamp,
    point::MeasurePoint,
};
use sutler_store::{ChangeSet, Error as StoreError, Snapshot, measurement_prefix};
use tokio::sync::watch;
use uuid::Uuid;

/// Functions that run at the same time: most wait for an answer from outside.
const RUNS_AT_ONCE: usize = 16;
/// Longest sleep: a changed system clock, and a function that is new, are noticed within it.
const LOOK: Duration = Duration::from_secs(1);
/// Most measurements that one question looks at.
const MEASUREMENTS_MAX: usize = 100_000;
/// What measuring is put down to.
const MEASURE: &str = "measure";
/// What such a run is for, as its record shows it.
const OPTION: &str = "MEASURE";

/// Measures until told to stop.
pub(super) async fn keep_measuring(env: Env, mut stop: watch::Receiver<bool>) {
    let every = i64::try_from(env.core.settings.measure_every_ms.max(1)).unwrap_or(i64::MAX);
    let mut last = None;
    while !*stop.borrow() {
        let due = Timestamp(env.core.now().0.div_euclid(every).saturating_mul(every));
        // A function that is new measures at once what it has not.
        let now = Some((due, functions(&env).len()));
        if last != now && !env.points().is_empty() {
            tokio::select! {
                () = all(&env, due) => last = now,
                _ = stop.changed() => break,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.changed() => {}
        }
    }
}

/// What the platform measures itself, and what scripts do.
async fn all(env: &Env, due: Timestamp) {
    if let Err(error) = counters::round(env, due).await {
        tracing::error!(%error, "measuring what guests read and write");
    }
    round(env, due).await;
}

fn functions(env: &Env) -> Vec<(Pointed, MeasurePoint)> {
    let measures = |pointed: Pointed| match &pointed.point().kind {
        PointKind::Measure(measure) if !pointed.script.paused => {
            let measure = measure.clone();
            Some((pointed, measure))
        }
        _ => None,
    };
    env.points().into_iter().filter_map(measures).collect()
}

/// Measures all that is due at a time and not measured yet.
pub(super) async fn round(env: &Env, due: Timestamp) {
    for (pointed, measure) in functions(env) {
        let found = match resources(env, &pointed, &measure, due).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, script = %pointed.script.name, "looking for what is to be measured");
                continue;
            }
        };
        stream::iter(found)
            .for_each_concurrent(RUNS_AT_ONCE, |bean| {
                let (pointed, measure) = (&pointed, &measure);
                async move {
                    if let Err(error) = one(env, pointed, measure, bean, due).await {
                        tracing::warn!(%error, script = %pointed.script.name, "measuring");
                    }
                }
            })
            .await;
    }
}

/// The beans of the resources that a function measures and has not at this time.
async fn resources(env: &Env, pointed: &Pointed, measure: &MeasurePoint, due: Timestamp) -> Result<Vec<Bean>, Error> {
    let all = host::list::all(&env.core.store, &env.tree, pointed.script.owner, &measure.associated_type).await;
    let mut all = all.map_err(|error| Error::State {
        noun: sutler_model::Noun::Script,
        id: pointed.script.id.0,
        detail: error.to_string(),
    })?;
    // What came to be after that time is measured the next time: within the time that it is charged for.
    let there =
        |bean: &Bean| bean.properties.get("resourceCreateDate").and_then(|at| at.as_i64()).is_none_or(|at| at <= due.0);
    all.retain(there);
    // A provider's function measures what uses the provider.
    if let Some(provider) = &measure.provider_type {
        all.retain(|bean| bean.properties.get("providers").is_some_and(|providers| providers.get(provider).is_some()));
    }
    let (script, function) = (pointed.script.id, pointed.point().function.clone());
    let read = env.core.store.read(move |snapshot| {
        let mut left = Vec::new();
        for bean in all {
            let Some(id) = id(&bean) else { continue };
            let mut measured = false;
            each(snapshot, id, due, due.plus_ms(1), |found| {
                measured |= found.script_id == script && found.function == function;
                true
            })?;
            if !measured {
                left.push(bean);
            }
        }
        Ok(left)
    });
    Ok(read.await?)
}

/// Whether a run failed to measure. It is never tried again, for its time is over.
pub(super) fn has_failed(run: &ScriptRun) -> bool {
    run.state == RunState::Dead && run.option == OPTION && run.cause == Cause::system(MEASURE)
}

fn id(bean: &Bean) -> Option<Uuid> {
    bean.text("resourceUUID")?.parse().ok()
}

/// Measures one resource.
async fn one(env: &Env, pointed: &Pointed, measure: &MeasurePoint, bean: Bean, due: Timestamp) -> Result<(), Error> {
    let Some(resource) = id(&bean) else { return Ok(()) };
    let customer: Option<CustomerId> = bean.text("customerUUID").and_then(|id| id.parse().ok());
    let Some(seller) = bean.text("billingEntityUUID").and_then(|id| id.parse().ok()) else { return Ok(()) };
    let (script, function) = (pointed.script.clone(), pointed.point().function.clone());
    let run_id = derived(script.id, due, &format!("measure:{function}:{resource}"));
    let ask = Invocation {
        script: script.clone(),
        function: function.clone(),
        id: run_id,
        option: OPTION,
        subject: Some(Subject { id: resource, customer, seller, bean: Some(bean) }),
        more: Vec::<(&'static str, Member)>::new(),
        user: None,
        cause: Cause::system(MEASURE),
        depth: 0,
        deadline_ms: env.core.settings.post_deadline_ms,
        rehearsal: false,
    };
    env.budgets.turn(script.owner).await;
    let outcome = invoke(env, ask).await?;
    if !matches!(outcome.exit, Exit::Success | Exit::Continue) {
        // The run's record says why; there is nothing to keep.
        return Ok(());
    }
    let values = match values(measure, &outcome.returned) {
        Ok(values) => values,
        Err(what) => {
            tracing::warn!(script = %script.name, run = %run_id, "the measurement function {what}");
            return Ok(());
        }
    };
    let mut measurement = Measurement {
        resource_id: resource,
        at: due,
        script_id: script.id,
        function,
        version: 0,
        customer_id: customer,
        billing_entity_id: seller,
        run_id,
        values,
    };
    let mut set = ChangeSet::new(Cause::run(run_id, 0));
    set.create(&mut measurement);
    match env.core.store.commit(set).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What a function returned, by key and with its unit.
fn values(measure: &MeasurePoint, returned: &serde_json::Value) -> Result<BTreeMap<String, MeasuredValue>, String> {
    let mut values = BTreeMap::new();
    for Measured { key, value } in Measured::read(returned)? {
        let unit = measure.values.iter().find(|known| known.key == key).and_then(|known| known.measure_type.clone());
        // Nine places are more than any gauge has.
        let exact: Nanos =
            format!("{value:.9}").parse().map_err(|_| format!("returned {value} for `{key}`, which is too large"))?;
        let name = match &measure.provider_type {
            Some(provider) => format!("providers.{provider}.{key}"),
            None => key,
        };
        values.insert(name, MeasuredValue { value: exact, unit: unit.unwrap_or_default() });
    }
    Ok(values)
}

/// Looks at a resource's measurements from one time up to another, in order, as long as `take` says.
pub(super) fn each(
    snapshot: &Snapshot,
    resource: Uuid,
    from: Timestamp,
    to: Timestamp,
    take: impl FnMut(Measurement) -> bool,
) -> Result<(), StoreError> {
    snapshot.scan::<Measurement>(&measurement_prefix(resource, from), &measurement_prefix(resource, to), take)
}

/// How the measurements of a time become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    Max,
    Min,
    Average,
    Sum,
    Count,
    Last,
}

impl Pick {
    /// By the language's word.
    pub(super) fn read(word: &str) -> Option<Self> {
        Some(match word {
            "MAX" => Self::Max,
            "MIN" => Self::Min,
            "AVERAGE" => Self::Average,
            "SUM" => Self::Sum,
            "COUNT" => Self::Count,
            "LAST" => Self::Last,
            _ => return None,
        })
    }
}

/// What was measured of a resource from `from` to `to`, both included, by key: the value, its unit, and the time and run it
/// is from.
///
/// # Errors
/// Those of the store.
pub(super) fn measured(
    snapshot: &Snapshot,
    resource: Uuid,
    pick: Pick,
    (from, to): (Timestamp, Timestamp),
    keys: &[String],
) -> Result<BTreeMap<String, (MeasuredValue, Timestamp, RunId)>, StoreError> {
    let mut found: BTreeMap<String, (MeasuredValue, Timestamp, RunId)> = BTreeMap::new();
    let mut counts: BTreeMap<String, i128> = BTreeMap::new();
    let mut looked = 0;
    each(snapshot, resource, from, to.plus_ms(1), |measurement| {
        looked += 1;
        for (key, new) in measurement.values {
            if !keys.contains(&key) {
                continue;
            }
            *counts.entry(key.clone()).or_default() += 1;
            let known = found.entry(key).or_insert_with(|| (new.clone(), measurement.at, measurement.run_id));
            let takes = match pick {
                Pick::Max => new.value > known.0.value,
                Pick::Min => new.value < known.0.value,
                Pick::Last => true,
                Pick::Sum | Pick::Average => {
                    // The first put itself in.
                    if (known.1, known.2) != (measurement.at, measurement.run_id) {
                        known.0.value = known.0.value.add(new.value).unwrap_or(known.0.value);
                        (known.1, known.2) = (measurement.at, measurement.run_id);
                    }
                    false
                }
                Pick::Count => false,
            };
            if takes {
                *known = (new, measurement.at, measurement.run_id);
            }
        }
        looked < MEASUREMENTS_MAX
    })?;
    for (key, (value, ..)) in &mut found {
        let count = counts.get(key).copied().unwrap_or(1);
        match pick {
            Pick::Average => value.value = value.value.mul_div_round(1, count, 9).unwrap_or(value.value),
            Pick::Count => value.value = Nanos(count.saturating_mul(sutler_model::money::ONE)),
            _ => {}
        }
    }
    Ok(found)
}
