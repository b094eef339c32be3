//! Running guests.

use crate::Result;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use sutler_model::{Kvm, Nic, ServerId};
use tokio::sync::{broadcast, mpsc};

/// A guest to define. Its domain's UUID is the server's id and its name `sutler-<id>`, so it can be found again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestSpec {
    /// The server.
    pub id: ServerId,
    /// vCPUs.
    pub cpu: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Disks in bus order (the storage driver's attachments), boot disk first.
    pub disks: Vec<DiskSource>,
    /// The cloud-init seed, when there is one.
    pub seed: Option<PathBuf>,
    /// Interfaces.
    pub nics: Vec<NicAttachment>,
    /// Direct kernel boot, for images without a boot loader.
    pub kernel: Option<KernelBoot>,
}

/// Where a disk's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskSource {
    /// A qcow2 file.
    Qcow2(PathBuf),
    /// A raw file.
    Raw(PathBuf),
    /// Nowhere: the simulated twin.
    Simulated(String),
}

/// How an interface is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicAttachment {
    /// The interface.
    pub nic: Nic,
    /// To what.
    pub link: Link,
}

/// What an interface is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// QEMU's user-mode network: outbound only, address 10.0.2.15.
    User,
    /// A bridge on the node.
    Bridge(String),
}

/// Kernel, initial RAM disk and command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelBoot {
    /// Kernel file.
    pub kernel: PathBuf,
    /// Initial RAM disk file.
    pub initrd: PathBuf,
    /// Command line.
    pub command_line: String,
}

/// What a guest is seen to do. Trust only what the QEMU process or its monitor confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestState {
    /// Runs, confirmed.
    Running,
    /// Paused.
    Paused,
    /// Its process lives and its monitor does not answer.
    Frozen,
    /// Shut off, cleanly or on request.
    Stopped,
    /// Shut off by a crash or a kill.
    Crashed,
}

/// A guest as seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenGuest {
    /// The server.
    pub id: ServerId,
    /// What it does.
    pub state: GuestState,
}

/// A guest's counters. A missing one was not to be had without waiting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GuestStats {
    /// The server; none only in `Default`.
    pub id: Option<ServerId>,
    /// CPU time used, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory held by the process, KiB.
    pub memory_rss_kib: Option<u64>,
    /// Bytes read and written over all disks.
    pub disk_read_bytes: Option<u64>,
    /// See `disk_read_bytes`.
    pub disk_write_bytes: Option<u64>,
    /// Bytes received and sent over all interfaces.
    pub net_rx_bytes: Option<u64>,
    /// See `net_rx_bytes`.
    pub net_tx_bytes: Option<u64>,
}

/// What a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// CPUs.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Words for people: `QEMU 7.2, libvirt 9.0`.
    pub version: String,
}

/// Something that happened on a node by itself or by our doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// A guest changed state.
    Guest(SeenGuest),
    /// The connection was lost.
    Disconnected(String),
    /// The connection is there (again); every state must be read anew.
    Connected,
}

/// How to stop a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// Press the power button; returns at once.
    Ask,
    /// Pull the plug.
    Force,
}

/// A serial console: bytes out of the guest, bytes into it. Dropping it closes it.
pub struct Console {
    /// From the guest, beginning with what its log still holds (at most 64 KiB).
    pub output: mpsc::Receiver<Vec<u8>>,
    /// To the guest.
    pub input: mpsc::Sender<Vec<u8>>,
}

/// Runs guests on one node. Every call is idempotent, has a deadline of its own and never blocks the caller's thread.
#[async_trait]
pub trait Compute: Send + Sync {
    /// Defines the guest, or redefines it when it is there and not running.
    async fn define(&self, spec: &GuestSpec) -> Result<()>;
    /// Starts it; no error when it runs already.
    async fn start(&self, id: ServerId) -> Result<()>;
    /// Stops it; no error when it is stopped or absent.
    async fn stop(&self, id: ServerId, how: Stop) -> Result<()>;
    /// Resets a running guest.
    async fn reset(&self, id: ServerId) -> Result<()>;
    /// Forgets it; no error when it is absent. Refuses (`Permanent`) while it runs.
    async fn undefine(&self, id: ServerId) -> Result<()>;
    /// What it is seen to do; none when absent.
    async fn see(&self, id: ServerId) -> Result<Option<SeenGuest>>;
    /// All guests of ours, confirmed.
    async fn see_all(&self) -> Result<Vec<SeenGuest>>;
    /// Counters of all running guests, without waiting for a frozen one.
    async fn stats(&self) -> Result<Vec<GuestStats>>;
    /// Its serial console.
    async fn console(&self, id: ServerId) -> Result<Console>;
    /// What the node has.
    async fn capacity(&self) -> Result<Capacity>;
    /// The host that [`Compute::test_kvm`] answers for, in words that change when its answer may: with each boot, with another
    /// QEMU, and when its device comes or goes. Costs next to nothing.
    async fn kvm_host(&self) -> Result<String>;
    /// Whether KVM really works: starts a tiny guest with a deadline of seconds. The answer is remembered by the caller for as
    /// long as the host is the same.
    async fn test_kvm(&self) -> Result<Kvm>;
    /// Uses KVM from now on for guests defined later when `usable`, emulation otherwise.
    fn use_kvm(&self, usable: bool);
    /// What happens on the node.
    fn events(&self) -> broadcast::Receiver<NodeEvent>;
}
