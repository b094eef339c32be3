//! Guest images.

use crate::{BillingEntityId, CustomerId, ImageId, Noun, ResourceKey, ResourceMetadata, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    /// Being copied from a disk.
    Creating,
    /// About to be gone.
    Deleting,
}

/// What an image was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageBase {
    /// A server or a disk.
    pub noun: Noun,
    /// Which.
    pub id: Uuid,
    /// Its name at that time.
    pub name: String,
}

/// What an image lets people do with it and with the servers made from it. It binds customers' own people, not sellers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ImagePermission {
    /// Make servers from it.
    pub can_create_server: bool,
    /// Start and restart them.
    pub can_start: bool,
    /// Open their consoles.
    pub can_console: bool,
    /// Make images of them.
    pub can_image: bool,
    /// Clone them.
    pub can_clone: bool,
    /// Take snapshots of them.
    pub can_snapshot: bool,
    /// Take its disk off its server.
    pub can_be_detached_from_server: bool,
    /// Use it for a disk that a server does not boot from.
    pub can_be_secondary_disk: bool,
    /// Give its servers more disks.
    pub can_have_additional_disks: bool,
}

impl ImagePermission {
    /// Everything.
    pub const ALL: Self = Self {
        can_create_server: true,
        can_start: true,
        can_console: true,
        can_image: true,
        can_clone: true,
        can_snapshot: true,
        can_be_detached_from_server: true,
        can_be_secondary_disk: true,
        can_have_additional_disks: true,
    };

    /// What both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            can_create_server: self.can_create_server && other.can_create_server,
            can_start: self.can_start && other.can_start,
            can_console: self.can_console && other.can_console,
            can_image: self.can_image && other.can_image,
            can_clone: self.can_clone && other.can_clone,
            can_snapshot: self.can_snapshot && other.can_snapshot,
            can_be_detached_from_server: self.can_be_detached_from_server && other.can_be_detached_from_server,
            can_be_secondary_disk: self.can_be_secondary_disk && other.can_be_secondary_disk,
            can_have_additional_disks: self.can_have_additional_disks && other.can_have_additional_disks,
        }
    }

    /// Each by its name in the language, to read and to set.
    pub fn each(&mut self) -> [(&'static str, &mut bool); 9] {
        [
            ("canCreateServer", &mut self.can_create_server),
            ("canStart", &mut self.can_start),
            ("canConsole", &mut self.can_console),
            ("canImage", &mut self.can_image),
            ("canClone", &mut self.can_clone),
            ("canSnapshot", &mut self.can_snapshot),
            ("canBeDetachedFromServer", &mut self.can_be_detached_from_server),
            ("canBeSecondaryDisk", &mut self.can_be_secondary_disk),
            ("canHaveAdditionalDisks", &mut self.can_have_additional_disks),
        ]
    }
}

impl Default for ImagePermission {
    fn default() -> Self {
        Self::ALL
    }
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
    /// What it was made of; none for one taken in from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<ImageBase>,
    /// What the customer it belongs to may do.
    #[serde(default)]
    pub owner_permission: ImagePermission,
    /// What all others may do to whom it is offered.
    #[serde(default)]
    pub user_permission: ImagePermission,
    /// Since when it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
    /// Keys that scripts set on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<ResourceKey>,
    /// What its owner keeps on it for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub metadata: Option<Box<ResourceMetadata>>,
    /// When it came to be.
    pub created_at: Timestamp,
}

impl Image {
    /// What a customer may do with it.
    pub fn permission_of(&self, customer: CustomerId) -> ImagePermission {
        if self.customer_id == Some(customer) { self.owner_permission } else { self.user_permission }
    }
}
