//! Who asks, and what that allows.

use crate::{Core, Error, scripts::derived};
use sutler_model::{
    BillingEntityId, Cause, CustomerId, FieldError, JobId, Permission, Role, RunId, Scope, ScriptId, Timestamp, UserId,
};
use uuid::Uuid;

/// A signed-in user, a key acting for one, a script, or the process itself.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who; none for the process itself.
    pub user_id: Option<UserId>,
    /// Over whom their rights reach.
    pub scope: Scope,
    /// Their role.
    pub role: Role,
    /// What they may do, after the scopes of a key.
    pub permissions: Vec<Permission>,
    /// The billing entity they belong to.
    pub billing_entity_id: BillingEntityId,
    /// The customer they belong to.
    pub customer_id: Option<CustomerId>,
    /// What their changes are put down to.
    pub cause: Cause,
    /// The request that this may be a repeat of; none: there is nothing to know it by.
    pub request: Option<KeyedRequest>,
}

/// A request under a caller's key, however often it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Follows from the user and the key.
    pub id: Uuid,
    /// When the first one came.
    pub since: Timestamp,
}

impl Caller {
    /// Refuses unless the caller may do `permission`.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn must(&self, permission: Permission) -> Result<(), Error> {
        if self.permissions.contains(&permission) { Ok(()) } else { Err(Error::Forbidden(permission)) }
    }

    /// The run of a function of `script` that they ask for: for a call of a script that is made again, and for a request that is
    /// repeated under its key, the same one.
    pub(crate) fn run_of(&self, core: &Core, script: ScriptId) -> RunId {
        match &self.cause {
            Cause::Run { run_id, by_call: Some(call), .. } => {
                derived(script, run_id.event_at(), &format!("call:{run_id}:{}", call.number))
            }
            _ => match self.request {
                Some(KeyedRequest { id, since }) => derived(script, since, &format!("request:{id}")),
                None => core.new_id(),
            },
        }
    }

    /// Whose runs they may be told about in the answer; none: nobody's, as what fills in a job, which others see.
    pub(crate) fn sees_runs_of(&self) -> Option<Scope> {
        let by_job = match &self.cause {
            Cause::Job { .. } => true,
            cause => cause.call().is_some_and(|(_, call)| call.job_id.is_some()),
        };
        (!by_job && self.must(Permission::ScriptsRead).is_ok()).then_some(self.scope)
    }

    /// How many trigger runs stand behind this call.
    pub fn depth(&self) -> u8 {
        match self.cause {
            Cause::Run { depth, .. } => depth,
            _ => 0,
        }
    }
}

/// A caller's key for a request: the same caller, key and request get the same job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, 1–255 visible ASCII characters.
    pub key: String,
    /// SHA-256 of method, path, body and query, hex.
    pub request_hash: String,
}

impl Idempotency {
    /// Longest key, bytes: what a UUID or a ULID with a prefix needs, several times over.
    pub const KEY_BYTES: usize = 255;

    /// Checks the key.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the header.
    pub fn check(&self) -> Result<(), Error> {
        let visible = self.key.bytes().all(|b| b.is_ascii_graphic());
        if visible && (1..=Self::KEY_BYTES).contains(&self.key.len()) {
            return Ok(());
        }
        Err(Error::Invalid(vec![FieldError::new(
            "Idempotency-Key",
            format!("must be 1 to {} visible ASCII characters", Self::KEY_BYTES),
        )]))
    }
}

/// A step's changes are put down to its job.
pub(crate) fn job_cause(job_id: JobId) -> Cause {
    Cause::Job { job_id }
}
