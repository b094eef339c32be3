//! What was answered to a request with an idempotency key.

use crate::{ReceiptId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// Remembers a request that was made under a caller's key, so that repeating it changes nothing. Jobs remember their
/// own keys; this is for requests that are done at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Derived from the user and the key, so that a repeat finds it.
    pub id: ReceiptId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Who asked.
    pub user_id: UserId,
    /// SHA-256 of the request, hex: another request under the same key is refused.
    pub request_hash: String,
    /// The last request's id that was worked on; the feed tells by it whether an unfinished one had its effect.
    pub request_id: String,
    /// The feed's end when it began.
    pub began_at_seq: u64,
    /// The answer; none while it is being worked on.
    pub reply: Option<Reply>,
    /// When the first request came.
    pub created_at: Timestamp,
}

/// A remembered answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Where the record is.
    pub location: Option<String>,
    /// The record's entity tag.
    pub etag: Option<String>,
    /// The body; none when it held a secret, which is shown once only.
    pub body: Option<String>,
}
