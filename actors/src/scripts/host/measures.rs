//! What was measured, for billing methods (`p.measureComp`) and for `getMeasuredValues`.

use super::{Args, Platform, failed};
use crate::scripts::{
    measure::{Pick, measured},
    occasion::{Tree, within},
};
use serde_json::{Map, Value, json};
use sutler_lua::{HostError, Who};
use sutler_model::{MeasuredValue, Measurement, RunId, Scope, Timestamp};
use sutler_store::{Error as StoreError, Snapshot, measurement_prefix};
use uuid::Uuid;

/// Most resources that one question names.
const RESOURCES_MAX: usize = 1_000;

/// `getMeasures(resource, pick, from, to, keys)`: an object from key to MeasuredValue; empty for what lies out of reach.
pub(super) async fn measures(platform: &Platform, who: &Who, args: &Args<'_>) -> Result<Value, HostError> {
    let resource = args.id(0)?;
    let pick = Pick::read(args.text(1)?).ok_or_else(|| args.wrong(1, "MAX, MIN, AVERAGE, SUM, COUNT or LAST"))?;
    let time = |index: usize| args.get(index).as_i64().map(Timestamp).ok_or_else(|| args.wrong(index, "a time"));
    let (from, to, keys) = (time(2)?, time(3)?, texts(args, 4)?);
    let (owner, tree) = (who.owner, platform.tree.clone());
    let read = platform.store.read(move |snapshot| {
        if !reaches(snapshot, &tree, owner, resource)? {
            return Ok(Value::Object(Map::new()));
        }
        let found = measured(snapshot, resource, pick, (from, to), &keys)?;
        let bean =
            |(key, found): (String, (MeasuredValue, Timestamp, RunId))| (key.clone(), bean(resource, &key, &found));
        Ok(Value::Object(found.into_iter().map(bean).collect()))
    });
    read.await.map_err(failed)
}

/// `getMeasuredValues(keys, resource UUIDs, timestamp in seconds)`: a list of the latest MeasuredValues at or before a time.
pub(super) async fn measured_values(platform: &Platform, who: &Who, args: &Args<'_>) -> Result<Value, HostError> {
    let (keys, resources) = (texts(args, 0)?, texts(args, 1)?);
    if resources.len() > RESOURCES_MAX {
        return Err(args.wrong(1, &format!("a list of at most {RESOURCES_MAX} resources")));
    }
    let to = match args.get(2).as_f64() {
        #[allow(clippy::cast_possible_truncation)] // saturates, and no measure is that far off
        Some(seconds) => Timestamp((seconds * 1000.0) as i64),
        None => platform.store.now(),
    };
    let (owner, tree) = (who.owner, platform.tree.clone());
    let read = platform.store.read(move |snapshot| {
        let mut values = Vec::new();
        for resource in resources.iter().filter_map(|id| id.parse::<Uuid>().ok()) {
            if reaches(snapshot, &tree, owner, resource)? {
                let found = measured(snapshot, resource, Pick::Last, (Timestamp(i64::MIN), to), &keys)?;
                values.extend(found.iter().map(|(key, found)| bean(resource, key, found)));
            }
        }
        Ok(Value::Array(values))
    });
    read.await.map_err(failed)
}

fn texts(args: &Args<'_>, index: usize) -> Result<Vec<String>, HostError> {
    match args.get(index) {
        Value::String(word) => Ok(word.split(',').map(|word| word.trim().to_owned()).collect()),
        Value::Array(words) => {
            let words: Option<Vec<String>> = words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
            words.ok_or_else(|| args.wrong(index, "a list of texts"))
        }
        _ => Err(args.wrong(index, "a list of texts")),
    }
}

/// Whether an owner reaches what was measured of a resource, which may be gone: its last measurement says whose it was.
fn reaches(snapshot: &Snapshot, tree: &Tree, owner: Scope, resource: Uuid) -> Result<bool, StoreError> {
    let mut first = None;
    let (from, to) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let range = (measurement_prefix(resource, from), measurement_prefix(resource, to));
    snapshot.scan::<Measurement>(&range.0, &range.1, |found| {
        first = Some(found);
        false
    })?;
    match first {
        Some(found) => within(snapshot, tree, owner, found.billing_entity_id, found.customer_id),
        None => Ok(false),
    }
}

fn bean(resource: Uuid, key: &str, (value, at, _): &(MeasuredValue, Timestamp, RunId)) -> Value {
    #[allow(clippy::cast_precision_loss)] // the language has one type of number; what is charged is read back exactly
    let number = value.value.0 as f64 / 1e9;
    json!({
        "@bean": "MeasuredValue",
        "resourceUUID": resource,
        "measureKey": key,
        "measurement": number,
        "measurementType": value.unit,
        "timestamp": at.0.div_euclid(1000),
    })
}
