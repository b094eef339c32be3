//! People who sign in.

use crate::{BillingEntityId, Contact, CustomerId, ResourceKey, Role, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// A person. Belongs to a customer, or to the staff of a billing entity when `customer_id` is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Sign-in name, unique over the whole installation, small letters.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The billing entity they work for or buy from.
    pub billing_entity_id: BillingEntityId,
    /// The customer they belong to; none for staff.
    pub customer_id: Option<CustomerId>,
    /// What they may do.
    pub role: Role,
    /// argon2id, PHC text form. Never leaves the store.
    pub password_hash: String,
    /// True: cannot sign in.
    pub locked: bool,
    /// Where they are and how they are reached.
    #[serde(default, skip_serializing_if = "Contact::is_empty")]
    pub contact: Contact,
    /// Keys that scripts set on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<ResourceKey>,
    /// When they came to be.
    pub created_at: Timestamp,
}
