//! Changes of records that others change at the same time.

use crate::{
    Error, System,
    scripts::{Decided, Keyed},
};
use std::future::Future;
use sutler_model::ResourceKey;
use sutler_store::{ChangeSet, Error as StoreError};

/// Tries of what goes by records that others change at the same time.
pub(super) const LOST_RACES_MAX: u32 = 20;

impl System {
    /// Commits what `decide` answers, and then tells what else it answered. When others were faster, it is decided anew on
    /// fresh records; not so with `if_match`, for then the caller meant one version.
    ///
    /// # Errors
    /// Those of `decide`; [`Error::Stale`] when others keep being faster.
    pub(crate) async fn decided<T, F: Future<Output = Result<(ChangeSet, T), Error>>>(
        &self,
        if_match: Option<u64>,
        decide: impl Fn() -> F,
    ) -> Result<T, Error> {
        let mut lost = 0;
        loop {
            let (set, told) = decide().await?;
            match self.store().commit(set).await {
                Ok(_) => return Ok(told),
                Err(StoreError::Conflict { .. }) if if_match.is_none() && lost < LOST_RACES_MAX => lost += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Tries again what failed because records that it went by had changed meanwhile; each time it reads them anew. Not so with
/// `if_match`, as in [`System::decided`].
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
            Err(Error::Stale { .. }) if if_match.is_none() && lost < LOST_RACES_MAX => lost += 1,
            answer => return answer,
        }
    }
}

/// Goes on from what the runs that decided about a request have themselves done to the keys of the record that it is about: `old`
/// is then what they left, and `new` what becomes of that. Whatever others changed meanwhile is left for the commit to find.
///
/// # Errors
/// Those of the store.
pub(super) async fn go_on<R: Keyed>(decided: &[&Decided], old: &mut R, new: &mut R) -> Result<(), Error> {
    let left = Decided::left(decided, old.clone()).await?;
    rekey(new.keys_mut(), old.keys(), left.keys());
    *old = left;
    Ok(())
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
