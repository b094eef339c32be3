//! What was measured of a resource.

use crate::{Caller, Error, System};
use std::collections::BTreeSet;
use sutler_model::{Measurement, RunId, ScriptRun, Timestamp};
use sutler_store::measurement_prefix;
use uuid::Uuid;

/// A page of measurements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurements {
    /// Oldest first.
    pub items: Vec<Measurement>,
    /// The runs of them that are gone, being older than runs are kept.
    pub swept: BTreeSet<RunId>,
    /// The time of the first one left out.
    pub next: Option<Timestamp>,
}

impl System {
    /// Whether a caller sees a record of a kind that scripts know.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sees_resource(&self, caller: &Caller, id: Uuid) -> Result<bool, Error> {
        Ok(self.inner.scripts.sees(caller.scope, id).await?)
    }

    /// What was measured of a resource from one time up to another, whoever asks; all of one time stands together, so a
    /// page may be a little longer than `limit`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn measurements(
        &self,
        resource: Uuid,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Measurements, Error> {
        let read = self.store().read(move |s| {
            let mut page = Measurements::default();
            let range = (measurement_prefix(resource, from), measurement_prefix(resource, to));
            s.scan::<Measurement>(&range.0, &range.1, |found| {
                if page.items.len() >= limit && page.items.last().is_some_and(|last| last.at != found.at) {
                    page.next = Some(found.at);
                    return false;
                }
                page.items.push(found);
                true
            })?;
            // What the platform measures itself has no run.
            for run in page.items.iter().map(|one| one.run_id).filter(|run| !run.0.is_nil()) {
                if s.get::<ScriptRun>(run)?.is_none() {
                    page.swept.insert(run);
                }
            }
            Ok(page)
        });
        Ok(read.await?)
    }
}
