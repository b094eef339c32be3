//! What all jobs have in common before they begin: keys, times, waking and cancelling.

use super::{errands::called_off, race::again};
use crate::{Caller, Error, Idempotency, System, server::JobAccepted};
use sutler_model::{
    Answered, Customer, CustomerId, Disk, FieldError, Interval, Job, JobId, JobInput, JobState, Noun, Permission,
    Scope, Server, ServerId, Timestamp, UserId,
};
use sutler_store::{ChangeSet, Field, Filter, Order};
use uuid::Uuid;

/// How far ahead a job may be accepted for, milliseconds.
const START_AHEAD_MS: i64 = 366 * sutler_model::time::DAY_MS;

impl System {
    /// Asks a job to stop and undo what it did. Takes hold between two steps.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`] once it has ended or is being undone.
    pub async fn cancel_job(&self, caller: &Caller, id: JobId) -> Result<Job, Error> {
        caller.must(Permission::ServersWrite)?;
        again(None, async || {
            let old: Job = self.find(id).await?;
            self.reach(caller, old.billing_entity_id, old.customer_id, (Noun::Job, id.into())).await?;
            if let JobInput::Operation { .. } = old.input {
                caller.must(match old.item_noun {
                    Noun::Customer | Noun::User | Noun::BillingEntity => Permission::CustomersWrite,
                    Noun::Script | Noun::Blob => Permission::ScriptsWrite,
                    Noun::Image => Permission::ImagesWrite,
                    Noun::Server | Noun::PluggableResource => Permission::ServersWrite,
                    _ => Permission::PaymentsWrite,
                })?;
            }
            if old.state.is_final() || old.state == JobState::Undoing {
                return Err(Error::State {
                    noun: Noun::Job,
                    id: id.into(),
                    detail: format!("the job is {} and can no longer be cancelled", old.state.name().replace('_', " ")),
                });
            }
            if old.cancel_requested {
                return Ok(old);
            }
            let mut new = old.clone();
            new.cancel_requested = true;
            if old.scheduled {
                take_back(&mut new, self.inner.core.now());
                // They are told of it, and cannot refuse.
                match self.inner.scripts.before_turn_by(&caller.into(), &old, new.state).await {
                    Ok(()) | Err(Error::Refused { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            if let Some(server) = new.input.server_id()
                && old.scheduled
                && !new.state.is_final()
            {
                self.wake(server, new.id);
            }
            Ok(new)
        })
        .await
    }

    /// The job of an earlier request under the same key.
    pub(super) async fn earlier_job(
        &self,
        customer: &Customer,
        user: Option<UserId>,
        key: Option<&Idempotency>,
    ) -> Result<Option<Job>, Error> {
        self.earlier_job_of(Some(customer.id), user, key).await
    }

    /// The same for a customer, or a seller's own.
    pub(crate) async fn earlier_job_of(
        &self,
        customer: Option<CustomerId>,
        user: Option<UserId>,
        key: Option<&Idempotency>,
    ) -> Result<Option<Job>, Error> {
        let Some(key) = key else { return Ok(None) };
        key.check()?;
        let parts = (customer.map_or([0; 16], |c| c.0.into_bytes()), user.map_or([0; 16], |u| u.0.into_bytes()));
        let text = key.key.clone();
        let holder = self
            .store()
            .read(move |s| s.holder::<Job>("idempotency_key", &[&parts.0, &parts.1, text.as_bytes()]))
            .await?;
        match holder {
            Some(job) if job.answers().any(|asked| asked == (user, &key.key, &key.request_hash)) => Ok(Some(job)),
            Some(_) => Err(Error::KeyReused),
            None => Ok(None),
        }
    }

    /// The job of an earlier request under the same key about a server or disk, whatever has become of it.
    pub(super) async fn earlier_job_about(
        &self,
        caller: &Caller,
        about: (Noun, Uuid),
        key: Option<&Idempotency>,
    ) -> Result<Option<Job>, Error> {
        if key.is_none() {
            return Ok(None);
        }
        let (noun, id) = about;
        let whose = match noun {
            Noun::Server => {
                let there = self.store().get::<Server>(id).await?;
                there.map(|server| (server.billing_entity_id, server.customer_id))
            }
            _ => self.store().get::<Disk>(id).await?.map(|disk| (disk.billing_entity_id, disk.customer_id)),
        };
        let Some((seller, customer)) = whose else {
            return self.earlier_job_on_what_is_gone(caller, about, key).await;
        };
        self.reach(caller, seller, Some(customer), about).await?;
        self.earlier_job_of(Some(customer), caller.user_id, key).await
    }

    /// The job of an earlier request under the same key about a server or disk that is gone by now: who lost the answer asks for it
    /// again. Whose it was is the customer who asks, or else who is named by the server's jobs or the disk's use.
    pub(super) async fn earlier_job_on_what_is_gone(
        &self,
        caller: &Caller,
        (noun, id): (Noun, Uuid),
        key: Option<&Idempotency>,
    ) -> Result<Option<Job>, Error> {
        if key.is_none() {
            return Ok(None);
        }
        if let Scope::Customer(own) = caller.scope {
            return self.earlier_job_of(Some(own), caller.user_id, key).await;
        }
        let read = self.store().read(move |s| {
            if noun == Noun::Server {
                let of_it = Filter::<Job>::new().is(Field::Subject, id.as_bytes());
                return Ok(s.first(of_it, Order::Descending)?.map(|job| (job.billing_entity_id, job.customer_id)));
            }
            // Jobs are not found by their disks; and none was ever accepted on a disk that had not been there.
            let of_it = Filter::<Interval>::new().is(Field::Subject, id.as_bytes());
            let used = s.first(of_it, Order::Descending)?;
            Ok(used.map(|interval| (interval.billing_entity_id, Some(interval.key.customer_id))))
        });
        let Some((seller, customer)) = read.await? else { return Ok(None) };
        self.reach(caller, seller, customer, (noun, id)).await?;
        self.earlier_job_of(customer, caller.user_id, key).await
    }

    /// Has a job answer a request for what it does already: its key stands for the job from now on.
    pub(super) async fn answer_by(&self, caller: &Caller, job: Job, key: Option<&Idempotency>) -> Result<Job, Error> {
        let Some(asked) = key else { return Ok(job) };
        // It goes on meanwhile.
        self.decided(None, async || {
            let old: Job = self.find(job.id).await?;
            let mut new = old.clone();
            let mut set = ChangeSet::new(caller.cause.clone());
            if old.also_answers.len() < Job::ANSWERED_MAX {
                new.also_answers.push(Answered {
                    user_id: caller.user_id,
                    key: asked.key.clone(),
                    request_hash: asked.request_hash.clone(),
                });
                set.update(&old, &mut new);
            }
            Ok((set, new))
        })
        .await
    }

    pub(super) fn room_for_a_job(&self) -> Result<(), Error> {
        let jobs = |pending: &[u8]| self.store().index().count(Noun::Job, Field::Pending, pending);
        let waiting = jobs(b"1") + jobs(b"later");
        if waiting < self.inner.core.settings.jobs_waiting_max {
            return Ok(());
        }
        Err(Error::Busy { detail: format!("{waiting} jobs are waiting already"), retry_after_s: 10 })
    }

    /// A time that lies ahead; none: now.
    pub(super) fn later(&self, start_at: Option<Timestamp>) -> Result<Option<Timestamp>, Error> {
        let now = self.inner.core.now();
        match start_at.filter(|at| *at > now) {
            Some(at) if at.since_ms(now) > START_AHEAD_MS => {
                Err(Error::Invalid(vec![FieldError::new("start_at", "lies more than a year ahead")]))
            }
            start_at => Ok(start_at),
        }
    }

    /// Makes a job wait for its time.
    pub(super) fn put_off(&self, job: &mut Job, start_at: Option<Timestamp>) {
        if let Some(at) = start_at {
            job.start_at = start_at;
            job.scheduled = true;
            job.deadline_at = at.plus_ms(self.inner.core.settings.job_deadline_ms);
        }
    }

    /// An accepted job begins, at once or in its time.
    pub(super) fn begin(&self, server: ServerId, job: &Job) {
        match job.start_at {
            Some(at) if job.scheduled => self.inner.core.later.note(at, job.id),
            _ => self.wake(server, job.id),
        }
    }

    /// Tells the server's actor of a job. The job is durable already: if the actor does not hear, the keeper tells again.
    pub(crate) fn wake(&self, server: ServerId, job: JobId) {
        #[cfg(test)]
        crate::jobs::committed();
        let servers = self.inner.servers.clone();
        self.inner.core.runtime.spawn(async move {
            if let Err(error) = servers.ask(server.into(), JobAccepted(job)).await {
                tracing::warn!(%job, "the server's actor was not told of its job yet: {error}");
            }
        });
    }
}

/// What was not accepted because another request under the same key came first, at the same time, gets that one's job: it may
/// have taken the last place of a quota, the name, or the state that the second was judged by.
///
/// # Errors
/// Why it was not accepted; [`Error::KeyReused`].
pub(super) async fn or_earlier(
    accepted: Result<Job, Error>,
    earlier: impl Future<Output = Result<Option<Job>, Error>>,
) -> Result<Job, Error> {
    match accepted {
        Err(error) => earlier.await?.ok_or(error),
        accepted => accepted,
    }
}

pub(super) fn take_key(job: &mut Job, key: Option<&Idempotency>) {
    job.idempotency_key = key.map(|k| k.key.clone());
    job.request_hash = key.map(|k| k.request_hash.clone());
}

/// Ends a job that has not begun. The record of what was to be made is there already; the engine undoes it.
fn take_back(job: &mut Job, at: Timestamp) {
    job.scheduled = false;
    if matches!(job.input, JobInput::CreateServer { .. } | JobInput::CreateImage { .. }) {
        return;
    }
    job.state = JobState::Cancelled;
    job.current = None;
    job.finished_at = Some(at);
    job.error = Some(called_off());
}
