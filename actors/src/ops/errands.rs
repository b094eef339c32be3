//! Jobs that no server's actor works on: each is seen through from wherever it stands to its end by a task of its own.

use crate::{Error, System, caller::job_cause};
use std::time::Duration;
use sutler_model::{Job, JobError, JobId, JobInput, JobState, Noun, StepState, Timestamp};
use sutler_store::{ChangeSet, Error as StoreError, Field};

/// Pause before a job that could not go on is taken up again.
const TROUBLE: Duration = Duration::from_millis(500);

impl System {
    /// Works on a job until its end. What the end of the program cuts off goes on at the next start.
    pub(super) fn see_through<F>(&self, id: JobId, work: impl Fn(Self) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), Error>> + Send,
    {
        let system = self.clone();
        self.spawn(async move {
            loop {
                match work(system.clone()).await {
                    Ok(()) => return,
                    Err(Error::Store(error @ StoreError::Stopped(_))) => {
                        return tracing::warn!(job = %id, %error, "a job is left for the next start");
                    }
                    Err(error) => tracing::warn!(job = %id, %error, "a job waits"),
                }
                tokio::time::sleep(TROUBLE).await;
            }
        });
    }

    /// The jobs of a kind that a restart interrupted.
    pub(super) async fn interrupted(&self, kind: impl Fn(&JobInput) -> bool) -> Result<Vec<JobId>, Error> {
        let mut found = Vec::new();
        for id in self.store().index().ids(Noun::Job, Field::Pending, b"1") {
            let job = self.store().get::<Job>(id).await?;
            found.extend(job.filter(|job| kind(&job.input)).map(|job| job.id));
        }
        Ok(found)
    }

    /// A job that has not ended.
    pub(super) async fn unended(&self, id: JobId) -> Result<Option<Job>, Error> {
        Ok(self.store().get::<Job>(id).await?.filter(|job| !job.state.is_final()))
    }

    /// Begins a job with its step, unless a PRE trigger refuses it: then this is why.
    pub(super) async fn begin_errand(&self, job: &Job, step: &str) -> Result<Option<JobError>, Error> {
        match self.inner.scripts.before_turn(job, JobState::InProgress).await {
            Err(error @ Error::Refused { .. }) => return Ok(Some(failure("refused", error.to_string()))),
            asked => asked?,
        }
        let begun = self.turn_errand(job.id, |job, at| {
            job.scheduled = false;
            job.state = JobState::InProgress;
            job.started_at.get_or_insert(at);
            job.current = Some(StepState { step: step.to_owned(), attempts: 0, since: at });
        });
        begun.await.map(|()| None)
    }

    /// The state that a job ends in. PRE triggers are told; they cannot refuse, for the work is done or not by now.
    pub(super) async fn told_end(&self, job: &Job, error: Option<&JobError>) -> Result<JobState, Error> {
        let state = match error {
            None => JobState::Successful,
            Some(error) if error.code == "cancelled" => JobState::Cancelled,
            Some(_) => JobState::Failed,
        };
        match self.inner.scripts.before_turn(job, state).await {
            Ok(()) | Err(Error::Refused { .. }) => Ok(state),
            Err(error) => Err(error),
        }
    }

    /// Changes the record of a job, unless it has ended meanwhile.
    pub(super) async fn turn_errand(
        &self,
        id: JobId,
        change: impl Fn(&mut Job, Timestamp) + Sync,
    ) -> Result<(), Error> {
        let turned = self.decided(None, async || {
            let mut set = ChangeSet::new(job_cause(id));
            if let Some(old) = self.unended(id).await? {
                let mut new = old.clone();
                change(&mut new, self.inner.core.now());
                set.update(&old, &mut new).forget_calls();
            }
            Ok((set, ()))
        });
        turned.await?;
        #[cfg(test)]
        crate::jobs::committed();
        Ok(())
    }
}

/// A job as it is once it has ended, with the steps it has done if nothing failed.
pub(super) fn end(job: &mut Job, state: JobState, error: Option<&JobError>, done: &[&str], at: Timestamp) {
    job.scheduled = false;
    job.state = state;
    job.current = None;
    job.finished_at = Some(at);
    job.error = error.cloned();
    if error.is_none() {
        job.done = done.iter().map(|step| (*step).to_owned()).collect();
        job.progress_percent = 100;
    }
}

/// Why a job ends without having done its work.
pub(super) fn failure(code: &str, message: String) -> JobError {
    JobError { code: code.to_owned(), message, operator_message: None }
}

/// The end of a job that was asked to stop.
pub(super) fn called_off() -> JobError {
    failure("cancelled", "cancelled on request".to_owned())
}
