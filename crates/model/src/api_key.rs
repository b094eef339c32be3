//! Credentials: keys for programs, sessions for people.

use crate::{ApiKeyId, BillingEntityId, CustomerId, Permission, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// A key with which a program acts for a user, within `scopes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id; the first part of the key's text.
    pub id: ApiKeyId,
    /// Counts changes, from 1.
    pub version: u64,
    /// What it is for, in its owner's words.
    pub name: String,
    /// For whom it acts.
    pub user_id: UserId,
    /// The user's billing entity.
    pub billing_entity_id: BillingEntityId,
    /// The user's customer.
    pub customer_id: Option<CustomerId>,
    /// SHA-256 of the secret part (32 random bytes, so a slow hash adds nothing), hex.
    pub secret_hash: String,
    /// What it may do at most; empty: all that its user may.
    pub scopes: Vec<Permission>,
    /// When it stops working; none: never.
    pub expires_at: Option<Timestamp>,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// One sign-in of a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id; the first part of the token's text.
    pub id: SessionId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Who signed in.
    pub user_id: UserId,
    /// SHA-256 of the secret part, hex; empty once it was ended.
    pub secret_hash: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
}

impl Session {
    /// It as ended. No token is right any more, not even when the clock is set back.
    #[must_use]
    pub fn ended(&self, at: Timestamp) -> Self {
        Self { expires_at: at, secret_hash: String::new(), ..self.clone() }
    }
}
