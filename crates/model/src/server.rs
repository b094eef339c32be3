//! Virtual servers.

use crate::{
    BillingEntityId, CustomerId, FieldError, ImageId, JobId, NodeId, ResourceKey, ResourceMetadata, ServerId,
    Timestamp, validate,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a server is doing, as last confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Its first job works on it.
    Building,
    /// About to run.
    Starting,
    /// Runs.
    Running,
    /// Paused by an operator or an I/O error; holds its memory, so it is metered.
    Paused,
    /// Its process is there and does not answer; metered.
    Frozen,
    /// About to stop.
    Stopping,
    /// Does not run.
    Stopped,
    /// About to be gone.
    Deleting,
    /// Its building failed and was undone, or an operator is needed.
    Error,
}

impl ServerState {
    /// Every state.
    pub const ALL: [ServerState; 9] = [
        ServerState::Building,
        ServerState::Starting,
        ServerState::Running,
        ServerState::Paused,
        ServerState::Frozen,
        ServerState::Stopping,
        ServerState::Stopped,
        ServerState::Deleting,
        ServerState::Error,
    ];

    /// Whether CPU and memory are in use, and so metered.
    pub const fn is_metered(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Frozen | Self::Stopping)
    }

    /// The word used in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Frozen => "frozen",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Deleting => "deleting",
            Self::Error => "error",
        }
    }
}

/// What its owner wants a server to be; the reconciler holds the seen state against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// To run.
    Running,
    /// To be there and not run.
    Stopped,
    /// To be gone.
    Deleted,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nic {
    /// Position, from 0.
    pub index: u32,
    /// `52:54:00:…`, derived from the server's id and the position.
    pub mac: String,
    /// Addresses, once known.
    pub addresses: Vec<String>,
}

/// What all hardware addresses begin with: QEMU's prefix.
pub const MAC_PREFIX: &str = "52:54:00";

impl Nic {
    /// The interface at `index` of a server, with its derived hardware address: [`MAC_PREFIX`] and three bytes of
    /// the server's id, which are random.
    pub fn derived(server: ServerId, index: u32) -> Self {
        let [.., a, b, c] = *server.0.as_bytes();
        // XOR keeps the addresses of one server apart.
        let c = c ^ index.to_be_bytes()[3];
        Self { index, mac: format!("{MAC_PREFIX}:{a:02x}:{b:02x}:{c:02x}"), addresses: Vec::new() }
    }
}

/// A virtual server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Server {
    /// Its id; also the UUID of its libvirt domain.
    pub id: ServerId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Host name, unique within the customer.
    pub name: String,
    /// Owner.
    pub customer_id: CustomerId,
    /// Owner's seller.
    pub billing_entity_id: BillingEntityId,
    /// vCPUs.
    pub cpu: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// What its boot disk was cloned from.
    pub image_id: ImageId,
    /// Where it runs; none until placed.
    pub node_id: Option<NodeId>,
    /// Interfaces.
    pub nics: Vec<Nic>,
    /// As last confirmed.
    pub state: ServerState,
    /// Since when.
    pub state_since: Timestamp,
    /// Why, when it is not as wanted. Fit for the customer.
    pub state_reason: Option<String>,
    /// What its owner wants.
    pub wanted: Wanted,
    /// The unfinished job that works on it.
    pub job_id: Option<JobId>,
    /// cloud-init user data.
    pub user_data: Option<String>,
    /// Public keys for the first user.
    pub ssh_keys: Vec<String>,
    /// Keys set by people and scripts.
    pub keys: Vec<ResourceKey>,
    /// Settings of configuration providers, by provider type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provider_values: BTreeMap<String, BTreeMap<String, String>>,
    /// What its owner keeps on it for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub metadata: Option<Box<ResourceMetadata>>,
    /// What whoever started it keeps on it for this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub runtime_metadata: Option<Box<ResourceMetadata>>,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// vCPUs a server may have.
pub const CPU: std::ops::RangeInclusive<u64> = 1..=128;
/// Memory a server may have, MiB.
pub const MEMORY_MIB: std::ops::RangeInclusive<u64> = 32..=4 * 1024 * 1024;
/// Size a disk may have, GiB.
pub const DISK_GIB: std::ops::RangeInclusive<u64> = 1..=64 * 1024;
/// Longest user data, bytes: what cloud providers take (EC2's limit), and it must fit a seed.
pub const USER_DATA_BYTES: usize = 16 * 1024;

/// What a caller asks for when creating a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewServer {
    /// Host name.
    pub name: String,
    /// vCPUs.
    pub cpu: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Boot disk, GiB.
    pub disk_gib: u64,
    /// What to clone.
    pub image_id: ImageId,
    /// Start it once it is built.
    pub start: bool,
    /// cloud-init user data.
    pub user_data: Option<String>,
    /// Public keys for the first user.
    pub ssh_keys: Vec<String>,
    /// Keys to set.
    pub keys: Vec<ResourceKey>,
    /// Settings of configuration providers, by provider type.
    pub provider_values: BTreeMap<String, BTreeMap<String, String>>,
}

impl NewServer {
    /// Everything that is wrong with the request by itself, without looking at anything else.
    pub fn problems(&self) -> Vec<FieldError> {
        let mut problems: Vec<FieldError> = [
            validate::host_name("name", &self.name),
            validate::within("cpu", self.cpu.into(), CPU, "vCPUs"),
            validate::within("memory_mib", self.memory_mib, MEMORY_MIB, "MiB"),
            validate::within("disk_gib", self.disk_gib, DISK_GIB, "GiB"),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect();
        if self.user_data.as_ref().is_some_and(|d| d.len() > USER_DATA_BYTES) {
            problems.push(FieldError::new(
                "user_data",
                format!("is longer than {USER_DATA_BYTES} bytes; fetch the rest at boot"),
            ));
        }
        for (i, key) in self.ssh_keys.iter().enumerate() {
            let known = ["ssh-ed25519 ", "ssh-rsa ", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
            if !known.iter().any(|k| key.starts_with(k)) || key.contains(['\n', '\r']) || key.len() > 8192 {
                problems.push(FieldError::new(
                    format!("ssh_keys.{i}"),
                    "must be one line of an OpenSSH public key, such as `ssh-ed25519 AAAA… name`",
                ));
            }
        }
        problems.extend(crate::key::problems("keys", &self.keys));
        problems
    }
}
