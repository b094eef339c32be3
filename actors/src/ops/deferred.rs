//! Operations of scripts for a later time: jobs whose one step is the operation itself, carried out with the rights that who
//! asked has by then.
//!
//! The job holds the call. When its time has come the same call is made again, under the same run and call number, and its
//! changes are put down to both and to the job. So a call that a crash cut off is known by what it did
//! ([`sutler_store::CallMade`]): it is made again only if it did nothing, and what it makes has the id it would have had.
//! Changes of a run count against what triggers may set off.

use super::errands::{called_off, end, failure};
use crate::{Caller, Error, System, server::job_on};
use sutler_model::{
    BillingEntityId, CustomerId, Deferred, Job, JobError, JobId, JobInput, JobState, Noun, PluggableResourceId,
    Timestamp, deferred::WAITING_MAX,
};
use sutler_store::{ChangeSet, Field, Op, waiting_of};
use uuid::Uuid;

/// The one step.
pub(crate) const CARRY_OUT: &str = "carry_out";

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
    /// [`Error::Invalid`] for a time too far away, [`Error::Refused`], [`Error::Busy`].
    pub(crate) async fn defer(
        &self,
        caller: &Caller,
        item: DeferredItem,
        request: Deferred,
        start_at: Timestamp,
    ) -> Result<Job, Error> {
        let start_at = self.later(Some(start_at))?;
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
        // A time that has come meanwhile is one that has come.
        self.put_off(&mut job, Some(start_at.unwrap_or(self.inner.core.now())));
        let _accepted = self.inner.scripts.before_acceptance(&caller.into(), &job).await?;
        let mut set = ChangeSet::new(caller.cause.clone());
        set.create(&mut job);
        self.store().commit(set).await?;
        #[cfg(test)]
        crate::jobs::committed();
        self.inner.core.later.note(job.start_at.unwrap_or(job.created_at), job.id);
        Ok(job)
    }

    /// Takes up the operations that a restart interrupted.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn resume_operations(&self) -> Result<(), Error> {
        for id in self.interrupted(|input| matches!(input, JobInput::Operation { .. })).await? {
            self.carry_out(id);
        }
        Ok(())
    }

    /// Has an operation carried out whose time has come.
    pub(crate) fn carry_out(&self, id: JobId) {
        self.see_through(id, move |system| async move { system.operate(id).await });
    }

    async fn operate(&self, id: JobId) -> Result<(), Error> {
        let Some(job) = self.unended(id).await? else { return Ok(()) };
        let Some(request) = &job.request else { return Ok(()) };
        let outcome = if job.state == JobState::NotStarted {
            if job.cancel_requested {
                return self.end_operation(job, Some(called_off())).await;
            }
            if let Some(refused) = self.begin_errand(&job, CARRY_OUT).await? {
                return self.end_operation(job, Some(refused)).await;
            }
            None
        } else {
            self.outcome(&job, request).await?
        };
        let error = match outcome {
            Some(outcome) => outcome.err(),
            None => {
                let made = self.inner.scripts.carry_out(job.id, request).await;
                #[cfg(test)]
                crate::jobs::committed();
                made.err().map(|(code, message)| failure(&code.to_lowercase(), message))
            }
        };
        self.end_operation(job, error).await
    }

    /// How a call ended that was made before and cut off; none: it did nothing, or nothing that making it again could do
    /// twice.
    async fn outcome(&self, job: &Job, request: &Deferred) -> Result<Option<Result<(), JobError>>, Error> {
        let (maker, number) = (job.id.0, request.call_no);
        let made = self.store().read(move |snapshot| snapshot.call(maker, number)).await?;
        match made.and_then(|made| made.op(job.item_noun, job.item_id)) {
            None => Ok(None),
            Some(op) if job.item_noun == Noun::PluggableResource => {
                self.provider_outcome(job.item_id.into(), op, &request.operation).await.map(Some)
            }
            Some(_) => Ok(Some(Ok(()))),
        }
    }

    /// How a pluggable resource's provider took what had been asked of it: its own turn is taken up at the start as well.
    pub(crate) async fn provider_outcome(
        &self,
        id: PluggableResourceId,
        op: Op,
        operation: &str,
    ) -> Result<Result<(), JobError>, Error> {
        let refused = |why: &str| Err(failure("function_failed", why.to_owned()));
        Ok(match self.rested(id).await? {
            None if op == Op::Created => refused("its provider refused it"),
            None => Ok(()),
            Some(_) if op == Op::Created => Ok(()),
            Some(left) => match left.state_reason {
                Some(why) => refused(&why),
                None if operation.starts_with("delete") => refused("its provider kept it"),
                None => Ok(()),
            },
        })
    }

    async fn end_operation(&self, job: Job, error: Option<JobError>) -> Result<(), Error> {
        let state = self.told_end(&job, error.as_ref()).await?;
        self.turn_errand(job.id, |job, at| {
            end(job, state, error.as_ref(), &[CARRY_OUT], at);
            job.request = None;
        })
        .await
    }
}
