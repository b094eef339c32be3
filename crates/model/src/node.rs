//! Hypervisors.

use crate::{NodeId, Timestamp};
use serde::{Deserialize, Serialize};

/// What the KVM self-test found. The presence of `/dev/kvm` proves nothing, so a guest is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "verdict", content = "reason")]
pub enum Kvm {
    /// Not tested yet.
    Unknown,
    /// A guest ran under KVM.
    Usable,
    /// It did not, and why; emulation is used.
    Unusable(String),
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Answers.
    Up,
    /// A call ran into its deadline or the connection is lost; nothing new is placed here.
    Unresponsive,
    /// Keeps its servers, takes no new ones.
    Draining,
}

/// A hypervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name, unique.
    pub name: String,
    /// Where its compute driver connects: `qemu:///embed?root=…`, `qemu:///system`, `test:///default`, `simulated:///`.
    pub uri: String,
    /// How it is doing.
    pub state: NodeState,
    /// Why, when it is not up. For operators.
    pub state_reason: Option<String>,
    /// vCPUs that may be given to guests.
    pub cpus: u32,
    /// Memory that may be given to guests, MiB.
    pub memory_mib: u64,
    /// What the self-test found.
    pub kvm: Kvm,
    /// The host that it was found on, in words that change when the answer may: with each boot, with another QEMU, and when
    /// `/dev/kvm` comes or goes. Another one is tested anew at the next start.
    #[serde(default)]
    pub kvm_host: String,
    /// Last time all of its guests' states were confirmed. An end nobody saw is billed to this.
    pub seen_at: Timestamp,
    /// When it joined.
    pub created_at: Timestamp,
}
