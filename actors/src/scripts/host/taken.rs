//! What a script has changed on the bean of a record that is there.

use super::{ask::Ask, refusal, skeleton::Skeleton};
use crate::{
    Error,
    scripts::{
        Draft,
        beans::{Described, same},
    },
};
use serde_json::Value;
use std::borrow::Cow;
use sutler_lua::{Bean, HostError};
use sutler_model::FieldError;

/// The record as the bean has it. What the bean does not say stays, and so does what is not the script's doing: a bean that
/// was got some time ago may say what has changed since.
///
/// # Errors
/// Names the properties that cannot be what they were set to, and those that were set and cannot be changed.
pub(super) async fn taken<R: Described + Draft>(
    ask: &Ask<'_>,
    skeleton: &Skeleton<'_>,
    old: &R,
) -> Result<R, HostError> {
    let before = ask.bean(old.clone()).await?;
    let mut after = before.clone();
    for (name, value) in skeleton.0.iter().filter(|(name, _)| !name.starts_with('@')) {
        after.properties.insert(name.clone(), plain(value));
    }
    let mut new = old.clone();
    let ignored = new.take(&before, &after, ask.caller.scope).map_err(|wrong| refusal(Error::Invalid(wrong)))?;
    let set: Vec<String> = ignored.into_iter().filter(|name| is_set(skeleton, name)).collect();
    if set.is_empty() {
        return Ok(new);
    }
    // What follows from a change may have been set beside it.
    let becomes = ask.bean(new.clone()).await?;
    let lost = set.into_iter().filter(|name| !same(&value(&becomes, name), &value(&after, name)));
    refuse(ask, lost)?;
    Ok(new)
}

/// The same for a record of which an operation changes no more than some properties, whoever asks.
///
/// # Errors
/// Names the other properties that were set to what they are not.
pub(super) fn no_more_than(
    ask: &Ask<'_>,
    skeleton: &Skeleton<'_>,
    before: &Bean,
    changed: &[&str],
) -> Result<(), HostError> {
    let set = skeleton
        .0
        .iter()
        .filter(|(name, _)| !name.starts_with('@') && !changed.contains(&name.as_str()) && is_set(skeleton, name));
    let lost = set.filter(|(name, wanted)| !same(&value(before, name), &plain(wanted)));
    refuse(ask, lost.map(|(name, _)| name.clone()))
}

fn value(bean: &Bean, name: &str) -> Value {
    bean.properties.get(name).map(Cow::into_owned).unwrap_or_default()
}

/// Refuses when a change would be lost.
fn refuse(ask: &Ask<'_>, lost: impl Iterator<Item = String>) -> Result<(), HostError> {
    let by = format!("cannot be changed by {}", ask.args.operation);
    let problems: Vec<FieldError> = lost.map(|name| FieldError::new(name, by.clone())).collect();
    if problems.is_empty() { Ok(()) } else { Err(refusal(Error::Invalid(problems))) }
}

/// Whether the script has set a property, or something within it.
fn is_set(skeleton: &Skeleton<'_>, name: &str) -> bool {
    let set = skeleton.0.get("@set").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    set.iter().any(|set| set.as_str() == Some(name)) || skeleton.0.get(name).is_some_and(holds_what_was_set)
}

fn holds_what_was_set(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key("@set") || fields.values().any(holds_what_was_set),
        Value::Array(items) => items.iter().any(holds_what_was_set),
        _ => false,
    }
}

/// A value as the platform's own beans have it.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let own = fields.iter().filter(|(name, _)| !name.starts_with('@'));
            own.map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}
