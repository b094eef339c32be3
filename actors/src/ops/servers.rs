//! Servers: create, act, change, console.

use crate::{Caller, Error, Idempotency, ServerAction, ServerPatch, System};
use sutler_drivers::compute::Console;
use sutler_model::{CustomerId, Job, JobId, NewServer, Server, ServerId};

impl System {
    /// Accepts a server and the job that builds it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_server(&self, caller: &Caller, customer: CustomerId, new: NewServer, key: Option<Idempotency>) -> Result<Job, Error> {
        let _ = (caller, customer, new, key);
        todo!()
    }

    /// Accepts a job that acts on a server.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn act_on_server(&self, caller: &Caller, id: ServerId, action: ServerAction, if_match: Option<u64>, key: Option<Idempotency>) -> Result<Job, Error> {
        let _ = (caller, id, action, if_match, key);
        todo!()
    }

    /// Changes a server's record.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_server(&self, caller: &Caller, id: ServerId, if_match: Option<u64>, patch: ServerPatch) -> Result<Server, Error> {
        let _ = (caller, id, if_match, patch);
        todo!()
    }

    /// Asks a job to stop and undo what it did.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_job(&self, caller: &Caller, id: JobId) -> Result<Job, Error> {
        let _ = (caller, id);
        todo!()
    }

    /// A running server's serial console.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn server_console(&self, caller: &Caller, id: ServerId) -> Result<Console, Error> {
        let _ = (caller, id);
        todo!()
    }
}
