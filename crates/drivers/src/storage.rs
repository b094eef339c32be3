//! Keeping disks, images and seeds.

use crate::{Result, compute::DiskSource};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use sutler_model::{DiskId, ServerId};

/// A disk to make. Its file is named after its id, so it can be found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// The disk.
    pub id: DiskId,
    /// Size, GiB.
    pub size_gib: u64,
    /// Image to clone copy-on-write, by storage key; empty when none.
    pub image: Option<String>,
}

/// The cloud-init NoCloud seed of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSpec {
    /// The server; also the instance id.
    pub id: ServerId,
    /// Host name.
    pub host_name: String,
    /// Public keys for the first user.
    pub ssh_keys: Vec<String>,
    /// The customer's user data, as is; the driver writes a minimal `#cloud-config` when none.
    pub user_data: Option<String>,
    /// What the provider's scripts add to the user data: each a text of its own, `#cloud-config` or `#!/bin/sh`.
    #[serde(default)]
    pub additions: Vec<String>,
    /// An XML document about the server for programs in its guest; none where no script asked for it.
    #[serde(default)]
    pub metadata: Option<String>,
}

/// An image as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Name in the image folder.
    pub storage_key: String,
    /// Virtual size, bytes.
    pub virtual_bytes: u64,
    /// SHA-256 of the stored file, hex.
    pub sha256: String,
}

/// Keeps disks, images and seeds of one node. Every call is idempotent.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Makes the disk, or finds it made; grows it when it is smaller. Never shrinks.
    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<DiskSource>;
    /// Deletes the disk; no error when it is absent. Only ever called for a recorded request.
    async fn delete_disk(&self, id: DiskId) -> Result<()>;
    /// All disks there are, for audit; never a reason to delete.
    async fn list_disks(&self) -> Result<Vec<DiskId>>;
    /// Writes the seed, or finds it written. None where guests take no seed.
    async fn ensure_seed(&self, spec: &SeedSpec) -> Result<Option<PathBuf>>;
    /// Deletes the seed; no error when it is absent.
    async fn delete_seed(&self, id: ServerId) -> Result<()>;
    /// Takes a raw or qcow2 file in under `storage_key`: checks that it is an image and has no backing file, copies it.
    async fn import_image(&self, storage_key: &str, file: &Path) -> Result<StoredImage>;
    /// Copies a disk, whole and independent of what it was cloned from, into an image, or finds it copied. Only for a disk
    /// that nothing writes to.
    async fn capture_image(&self, storage_key: &str, disk: DiskId) -> Result<StoredImage>;
    /// Takes over an image that another storage of ours holds in `file`, or finds it taken over.
    async fn share_image(&self, image: &StoredImage, file: &Path) -> Result<()>;
    /// Deletes an image; refuses while disks are cloned from it. No error when it is absent.
    async fn delete_image(&self, storage_key: &str) -> Result<()>;
    /// Path of a file beside the images (kernels for direct boot).
    fn image_file(&self, name: &str) -> PathBuf;
    /// Free and total space, bytes.
    async fn space(&self) -> Result<(u64, u64)>;
}
