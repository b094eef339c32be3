//! Operations of scripts for a later time: jobs whose one step is the operation itself, carried out with the rights that who
//! asked has by then.
//!
//! The job holds the call. When its time has come the same call is made again, under the same run and call number: what it
//! makes has the id it would have had, so a call cut off by a crash and made again makes nothing twice. Changes are put down to
//! the run, and so count against what triggers may set off.

use super::jobs::take_key;
use crate::{Caller, Error, Idempotency, System, caller::job_cause, server::job_on};
use sutler_model::{
    BillingEntityId, CustomerId, Deferred, Job, JobError, JobId, JobInput, JobState, Noun, StepState, Timestamp,
    deferred::WAITING_MAX,
};
use sutler_store::{ChangeSet, Error as StoreError, Field, waiting_of};
use uuid::Uuid;

/// The one step.
pub(crate) const STEP: &str = "carry_out";

/// What a deferred operation is about.
pub(crate) struct DeferredItem {
    /// Its kind.
    pub noun: Noun,
    /// Which: of a creation the id that it will have.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub customer: Option<CustomerId>,
    /// Their seller.
    pub seller: BillingEntityId,
}

impl System {
    /// Accepts an operation for a later time. Triggers on jobs are asked at once, those on what it does when it is done.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a time too far away, [`Error::Refused`], [`Error::KeyReused`], [`Error::Busy`].
    pub(crate) async fn defer(
        &self,
        caller: &Caller,
        item: DeferredItem,
        request: Deferred,
        start_at: Timestamp,
        key: Idempotency,
    ) -> Result<Job, Error> {
        let start_at = self.later(Some(start_at))?;
        if let Some(job) = self.earlier_job_of(item.customer, caller.user_id, Some(&key)).await? {
            return Ok(job);
        }
        self.room_for_a_job()?;
        if self.store().index().count(Noun::Job, Field::Pending, &waiting_of(request.owner)) >= WAITING_MAX {
            let detail = format!("{WAITING_MAX} operations of this owner's scripts wait for their time already");
            return Err(Error::Busy { detail, retry_after_s: 60 });
        }
        let input = JobInput::Operation { name: request.operation.clone(), job_type: request.job_type.clone() };
        let about = (item.noun, item.id, item.name.as_str());
        let whose = (item.customer, item.seller);
        let mut job = job_on(&self.inner.core, about, whose, input, caller.cause.clone(), caller.user_id);
        job.request = Some(Box::new(request));
        take_key(&mut job, Some(&key));
        // A time that has come meanwhile is one that has come.
        self.put_off(&mut job, Some(start_at.unwrap_or(self.inner.core.now())));
        let _accepted = self.inner.scripts.before_acceptance(&caller.into(), &job).await?;
        let mut set = ChangeSet::new(caller.cause.clone());
        set.create(&mut job);
        match self.store().commit(set).await {
            Ok(_) => {
                self.inner.core.later.note(job.start_at.unwrap_or(job.created_at), job.id);
                Ok(job)
            }
            Err(error) => self.job_of_the_same_key(item.customer, caller.user_id, Some(&key), error).await,
        }
    }

    /// Takes up the operations that a restart interrupted.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn resume_operations(&self) -> Result<(), Error> {
        for id in self.store().index().ids(Noun::Job, Field::Pending, b"1") {
            let job = self.store().get::<Job>(id).await?;
            if let Some(job) = job.filter(|job| matches!(job.input, JobInput::Operation { .. })) {
                self.carry_out(job.id);
            }
        }
        Ok(())
    }

    /// Has an operation carried out whose time has come.
    pub(crate) fn carry_out(&self, id: JobId) {
        self.see_through(id, move |system| async move { system.operate(id).await });
    }

    async fn operate(&self, id: JobId) -> Result<(), Error> {
        let Some(job) = self.store().get::<Job>(id).await?.filter(|job| !job.state.is_final()) else { return Ok(()) };
        let failed =
            |code: &str, message: String| Some(JobError { code: code.to_owned(), message, operator_message: None });
        if job.state == JobState::NotStarted {
            if job.cancel_requested {
                return self.end_operation(id, failed("cancelled", "cancelled on request".to_owned())).await;
            }
            match self.inner.scripts.before_turn(&job, JobState::InProgress).await {
                Err(error @ Error::Refused { .. }) => {
                    return self.end_operation(id, failed("refused", error.to_string())).await;
                }
                asked => asked?,
            }
            self.turn_operation(id, |job, at| {
                job.scheduled = false;
                job.state = JobState::InProgress;
                job.started_at.get_or_insert(at);
                job.current = Some(StepState { step: STEP.to_owned(), attempts: 0, since: at });
            })
            .await?;
        }
        let Some(request) = &job.request else { return Ok(()) };
        let outcome = self.inner.scripts.carry_out(request).await;
        let error = outcome.err().and_then(|(code, message)| failed(&code.to_lowercase(), message));
        self.end_operation(id, error).await
    }

    async fn end_operation(&self, id: JobId, error: Option<JobError>) -> Result<(), Error> {
        let Some(job) = self.store().get::<Job>(id).await? else { return Ok(()) };
        let state = self.told_end(&job, error.as_ref()).await?;
        self.turn_operation(id, |job, at| {
            job.scheduled = false;
            job.state = state;
            job.current = None;
            job.finished_at = Some(at);
            job.error.clone_from(&error);
            if error.is_none() {
                job.done = vec![STEP.to_owned()];
                job.progress_percent = 100;
            }
            job.request = None;
        })
        .await
    }

    async fn turn_operation(&self, id: JobId, change: impl Fn(&mut Job, Timestamp) + Send) -> Result<(), Error> {
        loop {
            let Some(old) = self.store().get::<Job>(id).await?.filter(|job| !job.state.is_final()) else {
                return Ok(());
            };
            let mut new = old.clone();
            change(&mut new, self.inner.core.now());
            let mut set = ChangeSet::new(job_cause(id));
            set.update(&old, &mut new);
            match self.store().commit(set).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
