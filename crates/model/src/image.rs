//! Guest images.

use crate::{BillingEntityId, CustomerId, ImageId, ResourceMetadata, Timestamp};
use serde::{Deserialize, Serialize};

/// How a guest made from the image boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Boot {
    /// From the disk's own boot loader.
    Disk,
    /// From a kernel beside the image (files in the image folder), for tiny test guests without a boot loader.
    Kernel {
        /// File name of the kernel in the image folder.
        kernel: String,
        /// File name of the initial RAM disk.
        initrd: String,
        /// Kernel command line.
        command_line: String,
    },
}

/// Whether an image can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    /// Can be cloned.
    Ready,
    /// Kept for the servers made from it; not offered.
    Retired,
}

/// A disk that servers are cloned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name, unique within the publisher.
    pub name: String,
    /// Who publishes it; offered to this entity, those below and their customers.
    pub billing_entity_id: BillingEntityId,
    /// The customer it belongs to; none: offered to all of the publisher's.
    pub customer_id: Option<CustomerId>,
    /// Where the storage driver keeps it: a file name in the image folder.
    pub storage_key: String,
    /// Smallest disk it fits on, GiB.
    pub size_gib: u64,
    /// SHA-256 of the stored file, hex.
    pub sha256: String,
    /// How it boots.
    pub boot: Boot,
    /// Smallest memory it runs in, MiB.
    pub memory_mib_min: u64,
    /// Whether it can be used.
    pub state: ImageState,
    /// What its owner keeps on it for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub metadata: Option<Box<ResourceMetadata>>,
    /// When it came to be.
    pub created_at: Timestamp,
}
