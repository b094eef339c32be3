//! Deleting a customer with all it has: a job that is carried out by others below it.
//!
//! Its servers are deleted by jobs of their own, which are asked for again under the same keys after a restart; then the
//! customer is closed. It is kept, for its invoices are. Where a server cannot be deleted the job fails, and what is gone is
//! gone: asking again deletes the rest. Cancelled, it begins no more deletions.

use super::{
    errands::{called_off, end, failure},
    jobs::{or_earlier, take_key},
    race::again,
    reach::unchanged,
};
use crate::{
    ActionAsked, Caller, Error, Idempotency, ServerAction, System, caller::job_cause, scripts::Decided, server::job_on,
};
use sutler_model::{
    Customer, CustomerId, CustomerStatus, Job, JobError, JobId, JobInput, JobState, Noun, Permission, Role, Scope,
    ServerId, Timestamp, TriggerType,
};
use sutler_store::{ChangeSet, Field};

/// The first step.
pub(crate) const DELETE_SERVERS: &str = "delete_servers";
/// Times that servers made meanwhile are deleted too, before the customer is told to stop.
const ROUNDS: usize = 10;

impl System {
    /// Accepts a job that deletes a customer, at once or at a later time: with `cascade` its servers too, without only if it has
    /// none.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::State`] when it has servers or is closed, [`Error::Stale`],
    /// [`Error::Refused`], [`Error::KeyReused`], [`Error::Busy`].
    pub async fn delete_customer(
        &self,
        caller: &Caller,
        id: CustomerId,
        cascade: bool,
        if_match: Option<u64>,
        start_at: Option<Timestamp>,
        key: Option<Idempotency>,
    ) -> Result<Job, Error> {
        let start_at = self.later(start_at)?;
        caller.must(Permission::CustomersWrite)?;
        caller.must(Permission::ServersWrite)?;
        let customer = self.customer(caller, id).await?;
        if caller.role.is_customer() {
            return Err(Error::Forbidden(Permission::BillingWrite));
        }
        let accepted = again(if_match, async || {
            let customer = self.customer(caller, id).await?;
            if let Some(job) = self.earlier_job(&customer, caller.user_id, key.as_ref()).await? {
                return Ok(job);
            }
            unchanged(&customer, if_match)?;
            self.accept_deletion(caller, &customer, cascade, start_at, key.as_ref()).await
        });
        or_earlier(accepted.await, self.earlier_job(&customer, caller.user_id, key.as_ref())).await
    }

    async fn accept_deletion(
        &self,
        caller: &Caller,
        customer: &Customer,
        cascade: bool,
        start_at: Option<Timestamp>,
        key: Option<&Idempotency>,
    ) -> Result<Job, Error> {
        let id = customer.id;
        let refuse = |detail: String| Error::State { noun: Noun::Customer, id: id.into(), detail };
        if customer.status == CustomerStatus::Closed {
            return Err(refuse("the customer is closed already".to_owned()));
        }
        if start_at.is_none()
            && let Some(job) = self.deletion_of(id).await?
        {
            return self.answer_by(caller, job, key).await;
        }
        let servers = self.servers_of(id).len();
        if servers > 0 && !cascade && start_at.is_none() {
            return Err(refuse(format!(
                "the customer still has {servers} servers; delete them first, or with `cascade`"
            )));
        }
        self.room_for_a_job()?;
        let scripts = &self.inner.scripts;
        let asked = scripts.before(caller, TriggerType::PreDelete, &mut customer.clone()).await?;
        let item = (Noun::Customer, id.into(), customer.name.as_str());
        let whose = (Some(id), customer.billing_entity_id);
        let input = JobInput::DeleteCustomer { customer_id: id, cascade };
        let mut job = job_on(&self.inner.core, item, whose, input, caller.cause.clone(), caller.user_id);
        take_key(&mut job, key);
        self.put_off(&mut job, start_at);
        let accepted = scripts.before_acceptance(&caller.into(), &job).await?;
        let customer = Decided::left(&[&asked, &accepted], customer.clone()).await?;
        let mut set = ChangeSet::new(caller.cause.clone());
        set.require(&customer).create(&mut job);
        self.store().commit(set).await?;
        match job.start_at {
            Some(at) if job.scheduled => self.inner.core.later.note(at, job.id),
            _ => self.carry_on(job.id),
        }
        Ok(job)
    }

    /// Takes up the deletions that a restart interrupted.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn resume_deletions(&self) -> Result<(), Error> {
        for id in self.interrupted(|input| matches!(input, JobInput::DeleteCustomer { .. })).await? {
            self.carry_on(id);
        }
        Ok(())
    }

    fn servers_of(&self, id: CustomerId) -> Vec<ServerId> {
        let found = self.store().index().ids(Noun::Server, Field::Customer, id.0.as_bytes());
        found.into_iter().map(ServerId).collect()
    }

    /// The deletion of a customer that is under way.
    async fn deletion_of(&self, id: CustomerId) -> Result<Option<Job>, Error> {
        for job in self.store().index().ids(Noun::Job, Field::Subject, id.0.as_bytes()) {
            let job = self.store().get::<Job>(job).await?;
            let job = job.filter(|job| {
                !job.state.is_final() && !job.scheduled && matches!(job.input, JobInput::DeleteCustomer { .. })
            });
            if job.is_some() {
                return Ok(job);
            }
        }
        Ok(None)
    }

    pub(crate) fn carry_on(&self, id: JobId) {
        self.see_through(id, move |system| async move { system.work_on(id).await });
    }

    /// Carries out a deletion, from wherever it stands to its end.
    async fn work_on(&self, id: JobId) -> Result<(), Error> {
        let Some(job) = self.unended(id).await? else { return Ok(()) };
        if job.state == JobState::NotStarted
            && !job.cancel_requested
            && let Some(refused) = self.begin_errand(&job, DELETE_SERVERS).await?
        {
            return self.end_deletion(id, Some(refused)).await;
        }
        let mut failed = None;
        if let JobInput::DeleteCustomer { cascade: false, .. } = job.input
            && !self.servers_of(customer_of(&job)).is_empty()
        {
            failed = Some(servers_left("the customer has servers; delete them first, or with `cascade`"));
        }
        for _ in 0..ROUNDS {
            if failed.is_some() || self.servers_of(customer_of(&job)).is_empty() {
                break;
            }
            failed = self.delete_servers(&job).await?;
        }
        if failed.is_none() && !self.servers_of(customer_of(&job)).is_empty() {
            failed = Some(servers_left("the customer makes servers as fast as they are deleted; suspend it first"));
        }
        self.end_deletion(id, failed).await
    }

    /// Deletes what servers there are now, and waits for it; answers why that failed or was called off.
    async fn delete_servers(&self, job: &Job) -> Result<Option<JobError>, Error> {
        // Before the first job is looked at, so that no end falls between.
        let mut feed = self.store().watch();
        let caller = Caller {
            user_id: job.user_id,
            scope: Scope::Customer(customer_of(job)),
            role: Role::CustomerAdmin,
            permissions: vec![Permission::ServersWrite],
            billing_entity_id: job.billing_entity_id,
            customer_id: job.customer_id,
            cause: job_cause(job.id),
            request: None,
        };
        let (mut children, mut failed) = (Vec::new(), None);
        for server in self.servers_of(customer_of(job)) {
            if self.is_called_off(job.id).await? {
                return Ok(Some(called_off()));
            }
            let key = Idempotency { key: format!("{}:{server}", job.id), request_hash: String::new() };
            let asked = ActionAsked { key: Some(key), ..ActionAsked::default() };
            match self.act_on_server(&caller, server, ServerAction::Delete, asked).await {
                Ok(child) => children.push(child.id),
                Err(Error::NotFound { .. }) => {}
                Err(error @ (Error::Refused { .. } | Error::State { .. })) => {
                    failed = Some(failure("refused", error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        while let Some(child) = children.last() {
            match self.store().get::<Job>(*child).await? {
                Some(ended) if !ended.state.is_final() => {
                    if self.is_called_off(job.id).await? {
                        return Ok(Some(called_off()));
                    }
                    if feed.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                ended => {
                    if let Some(ended) = ended.filter(|ended| ended.state != JobState::Successful) {
                        failed.get_or_insert_with(|| left(&ended));
                    }
                    children.pop();
                }
            }
        }
        Ok(failed)
    }

    async fn is_called_off(&self, id: JobId) -> Result<bool, Error> {
        Ok(self.store().get::<Job>(id).await?.is_some_and(|job| job.cancel_requested))
    }

    /// Ends a deletion; one that did not fail closes its customer in the same commit.
    async fn end_deletion(&self, id: JobId, failed: Option<JobError>) -> Result<(), Error> {
        let Some(job) = self.unended(id).await? else { return Ok(()) };
        let state = self.told_end(&job, failed.as_ref()).await?;
        let customer_id = customer_of(&job);
        self.decided(None, async || {
            let read = self.store().read(move |s| Ok((s.get::<Job>(id)?, s.get::<Customer>(customer_id)?)));
            let mut set = ChangeSet::new(job_cause(id));
            if let (Some(old), Some(customer)) = read.await? {
                let mut new = old.clone();
                let at = self.inner.core.now();
                end(&mut new, state, failed.as_ref(), &[DELETE_SERVERS, "close_customer"], at);
                if failed.is_none() {
                    let mut closed = customer.clone();
                    closed.set_status(CustomerStatus::Closed, at);
                    set.update(&customer, &mut closed);
                }
                set.update(&old, &mut new);
            }
            Ok((set, ()))
        })
        .await
    }
}

/// The customer that a deletion is of.
fn customer_of(job: &Job) -> CustomerId {
    CustomerId(job.item_id)
}

/// A server that is still there, for its deletion ended badly.
fn left(child: &Job) -> JobError {
    let why = child.error.as_ref().map_or("it was cancelled", |error| error.message.as_str());
    servers_left(&format!("the server `{}` could not be deleted: {why}", child.item_name))
}

fn servers_left(why: &str) -> JobError {
    failure("servers_left", why.to_owned())
}
