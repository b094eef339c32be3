//! Changes of records that others change at the same time.

use crate::{Error, System};
use std::future::Future;
use sutler_store::{ChangeSet, Error as StoreError};

/// Tries of a change whose records others change at the same time.
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
