//! Why an ask was not answered, and why a load failed.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an ask was not answered.
#[derive(Clone, Debug, Error)]
pub enum AskError {
    /// The store has no such record. Nothing was begun.
    #[error("there is no such record")]
    NotFound,
    /// The entity crashed too often and waits for an operator. Nothing was begun.
    #[error("in quarantine: {reason}")]
    Quarantined {
        /// What the last crash said.
        reason: String,
    },
    /// No answer in time. A message that was begun runs on; one still queued is dropped unbegun.
    #[error("no answer in time")]
    Timeout,
    /// The mailbox is full. Nothing was begun.
    #[error("too many messages wait for this entity")]
    Full,
    /// The entity crashed and its restart is further away than the ask may wait. Nothing was begun.
    #[error("restarting in {} ms after a crash", retry.as_millis())]
    BackingOff {
        /// When to ask again.
        retry: Duration,
    },
    /// The state could not be loaded. Nothing was begun.
    #[error("loading the state")]
    Load(#[source] Arc<LoadError>),
    /// The turn that this message began panicked and was not completed.
    #[error("the actor crashed: {0}")]
    Crashed(String),
    /// The registry is shut down. Nothing was begun.
    #[error("the actors are shut down")]
    Stopped,
}

/// Why an entity could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The store does not answer now, which says nothing about the record: the next ask tries again.
    #[error("the store does not answer")]
    Unavailable(#[source] Cause),
    /// The record makes no sense. Counts as a crash of the entity.
    #[error("the record makes no sense")]
    Broken(#[source] Cause),
}

impl LoadError {
    /// The store does not answer now.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// The record makes no sense.
    pub fn broken(cause: impl Into<Cause>) -> Self {
        Self::Broken(cause.into())
    }
}
