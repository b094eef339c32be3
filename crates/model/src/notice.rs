//! What happened without changing a record.

use crate::{BillingEntityId, CustomerId, NoticeId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something that happened without changing a record, for triggers to be told of. It passes through the store: it stands
/// there while what it tells of goes on, and the change set in which it goes is the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Its id.
    pub id: NoticeId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Whose event it is; none for a seller's own.
    pub customer_id: Option<CustomerId>,
    /// Their seller.
    pub billing_entity_id: BillingEntityId,
    /// Whom it is about.
    pub user_id: Option<UserId>,
    /// What happened.
    pub what: Happening,
    /// When it began.
    pub created_at: Timestamp,
}

/// What happened. Stored: append variants and defaulted fields, never change a meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A known user's password was wrong, or the user is locked or was refused.
    SignInFailed {
        /// Who was said to sign in: `email/customer`.
        login: String,
    },
    /// A person or a program called the API.
    ApiCall {
        /// By a seller's staff rather than by a customer.
        staff: bool,
        /// The language's word for it: `createServer`.
        operation: String,
        /// `GET`, `POST` and so on.
        method: String,
        /// The address, without its query.
        path: String,
        /// The answer's status; none: it was cut off.
        status: Option<u16>,
    },
    /// Something went wrong inside the platform.
    Exception {
        /// Where: `API`, `ACTOR`.
        source: String,
        /// Stable word: `internal`, `quarantine`.
        code: String,
        /// What, for the provider.
        message: String,
        /// The request that suffered from it.
        request_id: Option<String>,
        /// The kind of entity that it stopped.
        item_kind: Option<String>,
        /// Which.
        item_id: Option<Uuid>,
        /// How many before it were not told, for there were too many.
        untold: u64,
    },
}
