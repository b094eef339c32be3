//! The one way to what a script keeps: numbered, and in a rehearsal kept to itself.

use super::{acting, api::raise, reaching_out};
use crate::{
    HostError,
    data::{Data, DataAction, KEY_BYTES, LIST_MAX, VALUE_BYTES},
    meter::Meter,
    shard::Shard,
};
use mlua::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use sutler_model::DataSpace;

/// What a rehearsal wrote, by store and key; none: it deleted that.
pub(crate) type Overlay = BTreeMap<(DataSpace, String), Option<Value>>;

/// Asks the host, or a rehearsal's own writes before it. `name` is the function's, for errors and the record.
///
/// # Errors
/// `CODE: message`.
pub(super) async fn request(shard: &Shard, name: &str, space: DataSpace, action: DataAction) -> Result<Value> {
    check(name, &action)?;
    let (meter, who) = if action.writes() { reaching_out(shard).await? } else { acting()? };
    let call_no = meter.next_call_no();
    let ask = |action: DataAction| {
        let data = Data { script: meter.script, space, action, call_no };
        async { shard.host.data(&who, data).await.map_err(raise) }
    };
    if !who.rehearsal {
        return ask(action).await;
    }
    if let DataAction::List { prefix, .. } = &action {
        let (prefix, found) = (prefix.clone(), ask(action.clone()).await?);
        return Ok(overlaid(&meter, space, &prefix, found));
    }
    let place = (space, action.key().to_owned());
    let own = meter.kept.borrow().get(&place).cloned();
    let now = match own {
        Some(own) => own,
        None => Some(ask(DataAction::Get { key: place.1.clone() }).await?).filter(|value| !value.is_null()),
    };
    let step = action.decide(now).map_err(raise)?;
    if step.write {
        // Without the value, which may be a secret.
        meter.would(name, vec![place.1.as_str().into()]);
        meter.kept.borrow_mut().insert(place, step.value);
    }
    Ok(step.answer)
}

/// A list with a rehearsal's own writes in it.
fn overlaid(meter: &Meter, space: DataSpace, prefix: &str, found: Value) -> Value {
    let Value::Array(mut items) = found else { return found };
    let more = items.pop_if(|last| last.is_boolean());
    let mut all: BTreeMap<String, Value> = items
        .into_iter()
        .filter_map(|mut pair| Some((pair.get(0)?.as_str()?.to_owned(), pair.get_mut(1)?.take())))
        .collect();
    for ((_, key), value) in meter.kept.borrow().iter().filter(|((s, key), _)| *s == space && key.starts_with(prefix)) {
        match value {
            Some(value) => drop(all.insert(key.clone(), value.clone())),
            None => drop(all.remove(key)),
        }
    }
    all.into_iter().map(|(key, value)| json!([key, value])).chain(more).collect()
}

/// Refuses what is longer than it may be.
fn check(name: &str, action: &DataAction) -> Result<()> {
    let wrong = |reason: String| Err(Error::runtime(HostError::refused("INVALID_INPUT", format!("{name}: {reason}"))));
    let list = matches!(action, DataAction::List { .. });
    if action.key().len() > KEY_BYTES || (action.key().is_empty() && !list && name.starts_with("kv")) {
        return wrong(format!("a key has 1 to {KEY_BYTES} bytes"));
    }
    match action {
        DataAction::Set { value: Some(value), .. } | DataAction::Swap { value: Some(value), .. } => {
            let bytes = value.to_string().len();
            if bytes > VALUE_BYTES {
                return wrong(format!("the value takes {bytes} bytes as JSON, and may take {VALUE_BYTES}"));
            }
        }
        DataAction::List { limit, .. } if !(1..=LIST_MAX).contains(limit) => {
            return wrong(format!("`limit` is 1 to {LIST_MAX}"));
        }
        _ => {}
    }
    Ok(())
}
