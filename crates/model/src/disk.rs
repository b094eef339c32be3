//! Disks.

use crate::{BillingEntityId, CustomerId, DiskId, ImageId, NodeId, ResourceKey, ServerId, Timestamp};
use serde::{Deserialize, Serialize};

/// A disk's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DiskState {
    /// Being made.
    Creating,
    /// There.
    Ready,
    /// Deletion was asked for; the data goes after the grace period.
    Deleting,
}

/// A disk of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disk {
    /// Its id; the file or RBD image is named after it.
    pub id: DiskId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name.
    pub name: String,
    /// Owner.
    pub customer_id: CustomerId,
    /// Owner's seller.
    pub billing_entity_id: BillingEntityId,
    /// Whose disk it is.
    pub server_id: ServerId,
    /// Position on the bus, from 0 (boot disk).
    pub index: u32,
    /// Size, GiB.
    pub size_gib: u64,
    /// What it was cloned from.
    pub image_id: Option<ImageId>,
    /// Where it lies, with local storage.
    pub node_id: Option<NodeId>,
    /// Its life.
    pub state: DiskState,
    /// When deletion was asked for.
    pub delete_requested_at: Option<Timestamp>,
    /// Keys that scripts set on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<ResourceKey>,
    /// When it came to be.
    pub created_at: Timestamp,
}
