//! Resources of kinds that scripts add.

use crate::{BillingEntityId, CustomerId, PluggableResourceId, ResourceKey, ScriptId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is being done with a pluggable resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PluggableState {
    /// Its provider's create function runs, or is about to.
    Creating,
    /// It is there.
    Active,
    /// Its provider's modify function runs over what is to be.
    Modifying,
    /// Its provider's delete function runs.
    Deleting,
}

/// A resource whose kind and life a script's provider defines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluggableResource {
    /// Its id.
    pub id: PluggableResourceId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name.
    pub name: String,
    /// Its kind: the provider's type.
    pub provider_type: String,
    /// The block its provider is in.
    pub script_id: ScriptId,
    /// Whose it is; none for a seller's own.
    pub customer_id: Option<CustomerId>,
    /// Its owner's seller, or the owner.
    pub billing_entity_id: BillingEntityId,
    /// What is filled in.
    pub values: BTreeMap<String, String>,
    /// Name and values to be, while it is being modified.
    pub pending: Option<Pending>,
    /// What is being done with it.
    pub state: PluggableState,
    /// How often its provider was asked to do something with it; names the run.
    pub turns: u32,
    /// Why the provider refused what was last asked.
    pub state_reason: Option<String>,
    /// Keys set by people and scripts.
    pub keys: Vec<ResourceKey>,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// What a resource is to become.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: BTreeMap<String, String>,
}
