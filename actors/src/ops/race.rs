//! Changes of records that others change at the same time.

use super::reach::missing;
use crate::{
    Error, System,
    scripts::{Decided, Keyed},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeSet, future::Future};
use sutler_model::ResourceKey;
use sutler_store::ChangeSet;

/// Tries of what goes by records that others change at the same time.
const LOST_RACES_MAX: u32 = 20;

impl System {
    /// Commits what `decide` answers, and then tells what else it answered; tried again as [`again`] says.
    ///
    /// # Errors
    /// Those of `decide`; [`Error::Stale`] when others keep being faster.
    pub(crate) async fn decided<T, F: Future<Output = Result<(ChangeSet, T), Error>>>(
        &self,
        if_match: Option<u64>,
        decide: impl Fn() -> F,
    ) -> Result<T, Error> {
        again(if_match, async || {
            let (set, told) = decide().await?;
            self.store().commit(set).await?;
            Ok(told)
        })
        .await
    }
}

/// Tries again what failed because records that it went by had changed or gone meanwhile; each time it reads them anew. Not so with
/// `if_match`, for then the caller meant one version.
///
/// # Errors
/// Those of `attempt`; [`Error::Stale`] when others keep being faster.
pub(super) async fn again<T, F: Future<Output = Result<T, Error>>>(
    if_match: Option<u64>,
    attempt: impl Fn() -> F,
) -> Result<T, Error> {
    let mut lost = 0;
    loop {
        match attempt().await {
            Err(Error::Stale { .. } | Error::Gone { .. }) if if_match.is_none() && lost < LOST_RACES_MAX => lost += 1,
            Err(Error::Gone { noun, id }) => return Err(missing(noun, id)),
            answer => return answer,
        }
    }
}

/// Goes on from what the runs that decided about a request have themselves made of the record that it is about: `old` is then what
/// they left, and `new` has what they changed and the request does not. Whatever others changed meanwhile is left for the commit to
/// find.
///
/// # Errors
/// Those of the store.
pub(super) async fn go_on<R: Keyed>(decided: &[&Decided], old: &mut R, new: &mut R) -> Result<(), Error> {
    let left = Decided::left(decided, old.clone()).await?;
    if left.version() == old.version() {
        return Ok(());
    }
    if let Some(merged) = redone(new, old, &left) {
        let mut keys = new.keys().to_vec();
        rekey(&mut keys, old.keys(), left.keys());
        (*new, *old) = (merged, left);
        *new.keys_mut() = keys;
    }
    Ok(())
}

/// `record` with what made `after` of `before` done to it, but where it differs from `before` itself.
pub(super) fn redone<R: Serialize + DeserializeOwned>(record: &R, before: &R, after: &R) -> Option<R> {
    let value = |record| serde_json::to_value(record).ok();
    let (mut merged, before, after) = (value(record)?, value(before)?, value(after)?);
    merge(&mut merged, &before, &after);
    serde_json::from_value(merged).ok()
}

/// Does to `value` what made `after` of `before`, but where it differs from `before` itself.
fn merge(value: &mut Value, before: &Value, after: &Value) {
    let (Value::Object(fields), Value::Object(before), Value::Object(after)) = (value, before, after) else { return };
    let changed: BTreeSet<_> =
        before.keys().chain(after.keys()).filter(|&key| before.get(key) != after.get(key)).collect();
    for key in changed {
        match (fields.get_mut(key), before.get(key), after.get(key)) {
            (field, was, Some(is)) if field.as_deref() == was => _ = fields.insert(key.clone(), is.clone()),
            (field, was, None) if field.as_deref() == was => _ = fields.remove(key),
            // What is empty is left out.
            (Some(field), was, Some(is)) => merge(field, was.unwrap_or(&json!({})), is),
            _ => {}
        }
    }
}

/// Does to `keys` what made `after` of `before`.
fn rekey(keys: &mut Vec<ResourceKey>, before: &[ResourceKey], after: &[ResourceKey]) {
    let same = |a: &ResourceKey, b: &ResourceKey| (&a.name, a.kind) == (&b.name, b.kind);
    let among = |key: &ResourceKey, all: &[ResourceKey]| all.iter().any(|other| same(key, other));
    keys.retain(|key| among(key, after) || !among(key, before));
    for key in after.iter().filter(|key| !before.contains(key)) {
        match keys.iter_mut().find(|known| same(known, key)) {
            Some(known) => known.clone_from(key),
            None => keys.push(key.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(all: &[(&str, &str)]) -> Vec<ResourceKey> {
        let key = |&(name, value): &(&str, &str)| ResourceKey {
            name: name.into(),
            value: value.into(),
            ..ResourceKey::default()
        };
        all.iter().map(key).collect()
    }

    #[test]
    fn what_changed_meanwhile_is_taken_over_where_it_was_not_to_change_anyway() {
        let before = json!({ "name": "old", "email": "a", "A": { "one": "1", "two": "2" }, "gone": 1 });
        let after = json!({ "name": "new", "email": "b", "A": { "one": "3", "two": "4" }, "B": { "theirs": 1 } });
        let mut value =
            json!({ "name": "own", "email": "a", "A": { "one": "9", "two": "2" }, "B": { "own": 1 }, "gone": 1 });
        merge(&mut value, &before, &after);
        let merged =
            json!({ "name": "own", "email": "b", "A": { "one": "9", "two": "4" }, "B": { "own": 1, "theirs": 1 } });
        assert_eq!(value, merged);
    }

    #[test]
    fn what_was_done_to_some_keys_is_done_to_others() {
        let before = keys(&[("stays", "1"), ("changes", "1"), ("goes", "1")]);
        let after = keys(&[("stays", "1"), ("changes", "2"), ("comes", "1")]);
        for (given, left) in [
            (before.clone(), after.clone()),
            (keys(&[("own", "1"), ("goes", "2")]), keys(&[("own", "1"), ("changes", "2"), ("comes", "1")])),
            (Vec::new(), keys(&[("changes", "2"), ("comes", "1")])),
        ] {
            let mut given = given;
            rekey(&mut given, &before, &after);
            assert_eq!(given, left);
        }
        let mut untouched = keys(&[("own", "1")]);
        rekey(&mut untouched, &before, &before);
        assert_eq!(untouched, keys(&[("own", "1")]));
    }
}
