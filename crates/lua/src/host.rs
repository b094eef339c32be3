//! What scripts reach outside their sandbox: the trait the program implements.

use crate::{Bean, Data, Who};
use async_trait::async_trait;
use serde_json::Value;

/// Through which door a script calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// `adminAPI`: with the rights of the block's owner.
    Admin,
    /// `userAPI`: for the user given to `setSessionUser` (`email/customerUUID`), if any.
    User(Option<String>),
}

/// Why the host did not do what a script asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No such operation here.
    #[error("{0} is not offered here")]
    Unsupported(String),
    /// The operation is about resources that the platform does not have.
    #[error("{nouns} are not offered here: {operation}")]
    Absent {
        /// In plural: `snapshots`.
        nouns: String,
        /// The operation.
        operation: String,
    },
    /// The operation refused; `code` is one of the language's error codes (`fdl.md` 6.7).
    #[error("{code}: {message}")]
    Refused {
        /// `NO_RESOURCE_FOUND`, for example.
        code: String,
        /// In words.
        message: String,
    },
    /// Something broke on our side.
    #[error("FUNCTION_FAILED: {0}")]
    Failed(String),
}

impl HostError {
    /// A refusal with one of the language's error codes.
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::Refused { code: code.to_owned(), message: message.into() }
    }
}

/// The platform as scripts see it.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Beans of a resource type (`SERVER`) within the reach of the door: the owner's, or what its session user sees. `equal`
    /// are equality conditions (field in lower case, the values of which one must match) that the host may use to look at
    /// less; every condition is checked again here.
    ///
    /// # Errors
    /// `Absent` for a type of resource that the platform does not have, of which a script finds none; `Refused` with
    /// `INVALID_RESOURCE_TYPE` for no type of the language, and for a session user who is not there.
    async fn list(
        &self,
        who: &Who,
        api: &Api,
        resource_type: &str,
        equal: &[(String, Vec<String>)],
    ) -> Result<Vec<Bean>, HostError>;

    /// One bean by its UUID; `None` where there is none within the reach of the door, as for `list`.
    ///
    /// # Errors
    /// `Refused` for a session user who is not there.
    async fn get(&self, who: &Who, api: &Api, uuid: &str, children: bool) -> Result<Option<Bean>, HostError>;

    /// A run that is in no record yet ([`Who::unrecorded`]) is about to reach outside for the first time: to send a request,
    /// or to call an operation that may write.
    ///
    /// # Errors
    /// `Failed` when it must not.
    async fn reaches_out(&self, _who: &Who) -> Result<(), HostError> {
        Ok(())
    }

    /// What the run's script keeps ([`Data`]): its own, and nobody else's.
    ///
    /// # Errors
    /// `Refused` with `EXCEEDED_QUOTA` or `INVALID_INPUT`; `Failed`.
    async fn data(&self, _who: &Who, _request: Data) -> Result<Value, HostError> {
        Err(HostError::Unsupported("keeping data".to_owned()))
    }

    /// Any other operation by its name in the language, arguments in their order there. Beans, both ways, are objects with
    /// their kind under `@bean`; those that come name under `@set` what the script has set on them, if anything. `call_no` counts the calls of this run from 1: with the run's id it makes an
    /// idempotency key, because a repeated run makes the same calls in the same order.
    ///
    /// # Errors
    /// `Unsupported` for an operation that does not exist here; `Refused` with the language's error code.
    async fn call(
        &self,
        who: &Who,
        api: Api,
        operation: &str,
        args: Vec<Value>,
        call_no: u32,
    ) -> Result<Value, HostError>;
}
