//! Why an operation was refused or failed.

use sutler_model::{FieldError, Noun, Permission};
use uuid::Uuid;

/// An operation's error. A variant exists when a caller behaves differently for it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such record, or none that the caller may see.
    #[error("there is no {noun} `{id}`")]
    NotFound {
        /// Kind of record.
        noun: Noun,
        /// What was asked for.
        id: String,
    },
    /// The caller lacks a permission.
    #[error("this needs the permission {0:?}")]
    Forbidden(Permission),
    /// Fields of the request are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldError>),
    /// The record has changed since the caller read it.
    #[error("{noun} {id} has changed meanwhile and is at version {found}; read it again")]
    Stale {
        /// Kind of record.
        noun: Noun,
        /// Which.
        id: Uuid,
        /// Its version now.
        found: u64,
    },
    /// The record has gone since it was read.
    #[error("{noun} {id} has gone meanwhile")]
    Gone {
        /// Kind of record.
        noun: Noun,
        /// Which.
        id: Uuid,
    },
    /// Another record holds a value that must be unique.
    #[error("another {noun} already has this {}", .field.replace('_', " "))]
    Taken {
        /// Kind of record.
        noun: Noun,
        /// The field.
        field: &'static str,
    },
    /// The idempotency key was used with another request.
    #[error("this Idempotency-Key was already used with another request")]
    KeyReused,
    /// Not possible in the record's present state.
    #[error("{detail}")]
    State {
        /// Kind of record.
        noun: Noun,
        /// Which.
        id: Uuid,
        /// Why, and the way out.
        detail: String,
    },
    /// The customer's quota does not allow it.
    #[error("the quota allows {limit} {what}; {used} are in use and {asked} more were asked for")]
    Quota {
        /// Of what, with its unit: `servers`, `MiB of memory`.
        what: &'static str,
        /// The quota.
        limit: u64,
        /// In use.
        used: u64,
        /// Asked for.
        asked: u64,
    },
    /// The customer is suspended or closed.
    #[error("this customer is suspended; settle what is owed or ask your provider")]
    Suspended,
    /// The image that a server is made from does not let its users do that.
    #[error("the image `{image}` does not let you {what}; ask whoever offers it")]
    ImagePermission {
        /// Its name.
        image: String,
        /// What: `start servers made from it`.
        what: &'static str,
    },
    /// A PRE trigger refused.
    #[error("refused by trigger `{script}`: {reason}")]
    Refused {
        /// The script's name.
        script: String,
        /// Its reason.
        reason: String,
    },
    /// Too much is waiting already.
    #[error("{detail}")]
    Busy {
        /// What is full.
        detail: String,
        /// When to try again, seconds.
        retry_after_s: u32,
    },
    /// The entity keeps failing and waits for an operator.
    #[error("{kind} {id} needs an operator: {reason}")]
    Quarantined {
        /// Kind of actor.
        kind: &'static str,
        /// Which.
        id: Uuid,
        /// Why.
        reason: String,
    },
    /// The text is not a script that can be used.
    #[error("{}{message}", .line.map(|l| format!("line {l}: ")).unwrap_or_default())]
    Script {
        /// Where.
        line: Option<u32>,
        /// What is wrong.
        message: String,
    },
    /// The store refused or failed.
    #[error(transparent)]
    Store(sutler_store::Error),
    /// A driver failed.
    #[error(transparent)]
    Driver(#[from] sutler_drivers::Error),
}

impl From<sutler_store::Error> for Error {
    fn from(error: sutler_store::Error) -> Self {
        use sutler_store::Error as S;
        match error {
            S::Conflict { noun, id, found: Some(found), .. } => Self::Stale { noun, id, found },
            S::Conflict { noun, id, found: None, .. } => Self::Gone { noun, id },
            S::Taken { noun, field, .. } => Self::Taken { noun, field },
            other => Self::Store(other),
        }
    }
}

impl From<sutler_model::money::Error> for Error {
    fn from(error: sutler_model::money::Error) -> Self {
        Self::Invalid(vec![FieldError::new("amount", error.to_string())])
    }
}
