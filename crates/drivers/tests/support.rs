//! What the tests share.

use crate::guest;
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use sutler_drivers::{
    Compute, Drivers,
    compute::{Console, GuestSpec, GuestState, NodeEvent},
    storage::DiskSpec,
};
use sutler_model::{DiskId, Nic, ServerId};
use tokio::sync::broadcast;

/// Far beyond what anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An id of its own for each call.
pub fn server_id() -> ServerId {
    ServerId(uuid::Uuid::new_v4())
}

/// A guest without disks or interfaces.
pub fn bare(id: ServerId) -> GuestSpec {
    GuestSpec { id, cpu: 1, memory_mib: 64, disks: vec![], seed: None, nics: vec![], kernel: None }
}

/// A guest that boots the echo sector from a clone of its image, with an interface.
pub async fn echoing(drivers: &Drivers, dir: &Path) -> GuestSpec {
    let source = dir.join("echo.img");
    guest::write_image(&source);
    drivers.storage.import_image("echo", &source).await.unwrap();
    let id = server_id();
    let disk = DiskSpec { id: DiskId(uuid::Uuid::new_v4()), size_gib: 1, image: Some("echo".into()) };
    let disks = vec![drivers.storage.ensure_disk(&disk).await.unwrap()];
    let nic = Nic { index: 0, mac: String::new(), addresses: vec![] };
    let nics = vec![drivers.network.ensure_nic(id, &nic).await.unwrap()];
    GuestSpec { disks, nics, ..bare(id) }
}

/// Asks again until the answer is yes.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !ask().await {
        assert!(begun.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn eventually_seen(compute: &dyn Compute, id: ServerId, state: GuestState) {
    eventually(&format!("{id} is {state:?}"), async || {
        compute.see(id).await.is_ok_and(|seen| seen.is_some_and(|g| g.state == state))
    })
    .await;
}

/// Waits for an event that `is`.
pub async fn event(events: &mut broadcast::Receiver<NodeEvent>, what: &str, is: impl Fn(&NodeEvent) -> bool) {
    let wait = async {
        loop {
            match events.recv().await {
                Ok(event) if is(&event) => return,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(e) => panic!("no more events: {e}"),
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "no event: {what}");
}

pub async fn state_event(events: &mut broadcast::Receiver<NodeEvent>, id: ServerId, state: GuestState) {
    event(
        events,
        &format!("{id} is {state:?}"),
        |e| matches!(e, NodeEvent::Guest(g) if g.id == id && g.state == state),
    )
    .await;
}

/// Reads the console until `text` has come.
pub async fn hear(console: &mut Console, text: &[u8]) {
    let mut heard: Vec<u8> = vec![];
    let listen = async {
        while !heard.windows(text.len()).any(|w| w == text) {
            heard.extend(console.output.recv().await.expect("the console closed"));
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, listen).await.is_ok();
    assert!(in_time, "not heard: {:?}, but {:?}", String::from_utf8_lossy(text), String::from_utf8_lossy(&heard));
}

/// The QEMU process of a guest.
pub fn qemu(id: ServerId) -> Option<u32> {
    let name = format!("guest=sutler-{id},");
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|e| {
        let pid = e.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(e.path().join("cmdline")).ok()?;
        (line.starts_with(b"/usr/bin/qemu") && line.windows(name.len()).any(|w| w == name.as_bytes())).then_some(pid)
    })
}

/// Sends a signal to a guest's QEMU.
pub fn signal(id: ServerId, signal: &str) {
    let pid = qemu(id).expect("the guest has a process").to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// Kills a guest's QEMU when a test ends, however it ends.
pub struct Reap(pub ServerId);

impl Drop for Reap {
    fn drop(&mut self) {
        if let Some(pid) = qemu(self.0) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// A guest's QEMU held by the kernel's freezer, until dropped.
pub struct Freezer(std::path::PathBuf);

impl Freezer {
    /// Freezes it; none where there is no freezer.
    pub fn freeze(id: ServerId) -> Option<Self> {
        let group = Path::new("/sys/fs/cgroup/freezer").join(format!("sutler-test-{id}"));
        if std::fs::create_dir(&group).is_err() {
            eprintln!("skipped: this machine has no freezer");
            return None;
        }
        let freezer = Self(group);
        let pid = qemu(id).expect("the guest has a process");
        std::fs::write(freezer.0.join("cgroup.procs"), pid.to_string()).unwrap();
        std::fs::write(freezer.0.join("freezer.state"), "FROZEN").unwrap();
        Some(freezer)
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("freezer.state"), "THAWED");
        for pid in std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = std::fs::write("/sys/fs/cgroup/freezer/cgroup.procs", pid);
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}
