//! Jobs that are about to go into a new state.
//!
//! A refusal counts while nothing has happened: when a job is to be accepted, and when it is to begin. What comes after
//! that is told beforehand and happens whatever the answer, for the work outside is done or undone by then.

use super::{Decided, Scripts, beans::Beans, drafts::Draft, occasion::chain, pre::Asking, words::job_status};
use crate::{Error, caller::job_cause};
use sutler_lua::Input;
use sutler_model::{BillingEntityId, CustomerId, Job, JobState, TriggerType};
use sutler_store::Error as StoreError;
use uuid::Uuid;

/// A job in the state it is to go into.
#[derive(Clone)]
struct Turn(Job);

impl Draft for Turn {
    const OPTION: &'static str = "ANY";

    fn id(&self) -> Uuid {
        self.0.item_id
    }

    fn customer(&self) -> Option<CustomerId> {
        self.0.customer_id
    }

    fn seller(&self) -> BillingEntityId {
        self.0.billing_entity_id
    }

    fn input(&self, beans: &Beans<'_>) -> Result<Input, StoreError> {
        beans.bean(self.0.clone()).map(Input::Bean)
    }
}

impl Scripts {
    /// Lets PRE triggers refuse that a job is accepted. Whoever asks holds the answer until it is stored.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Store`].
    pub(crate) async fn before_acceptance(&self, asking: &Asking, job: &Job) -> Result<Decided, Error> {
        self.before_as(asking, TriggerType::PreJobStateChange, job_status(job.state), &mut Turn(job.clone())).await
    }

    /// Asks PRE triggers about a job that is to go into another state.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Store`].
    pub(crate) async fn before_turn(&self, job: &Job, state: JobState) -> Result<(), Error> {
        if !self.awaits(TriggerType::PreJobStateChange, job_status(state)) {
            return Ok(());
        }
        let cause = job.cause.clone();
        let (depth, _) = self.core().store.read(move |snapshot| chain(snapshot, &cause)).await?;
        // Why it fails stands on the job, which others see.
        let asking = Asking { user_id: job.user_id, cause: job_cause(job.id), depth, sees_runs_of: None };
        self.before_turn_by(&asking, job, state).await
    }

    /// The same, where somebody asks for it.
    ///
    /// # Errors
    /// As [`Scripts::before_turn`].
    pub(crate) async fn before_turn_by(&self, asking: &Asking, job: &Job, state: JobState) -> Result<(), Error> {
        let option = job_status(state);
        // A change between states that are one in the language is none.
        if option == job_status(job.state) {
            return Ok(());
        }
        let mut turn = Turn(Job { state, ..job.clone() });
        self.before_as(asking, TriggerType::PreJobStateChange, option, &mut turn).await.map(drop)
    }
}
