//! The contract on a libvirt daemon started here, and what happens when it goes away.
//!
//! The daemon lives in a mount namespace of its own, with its folders bound over the system's: nothing of the machine's
//! libvirt is touched, and no network is started.

use crate::{contract, support};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use sutler_drivers::{
    Drivers, Error,
    compute::{GuestState, NodeEvent, Stop},
    open_node,
};

/// The folders a daemon uses.
const FOLDERS: [&str; 5] = ["etc/libvirt", "run/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt"];

struct Daemon {
    dir: tempfile::TempDir,
    /// Keeps the namespace.
    namespace: Child,
}

impl Daemon {
    /// Prepares a namespace; none where that is not possible.
    async fn prepare() -> Option<Self> {
        let here = |path: &str| Path::new(path).exists();
        if !here("/usr/sbin/libvirtd") || !here("/usr/sbin/virtlogd") {
            eprintln!("skipped: libvirtd and virtlogd are not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut script = String::from("set -e\n");
        for folder in FOLDERS {
            let mine = dir.path().join(folder);
            std::fs::create_dir_all(&mine).unwrap();
            script += &format!("mkdir -p /{folder}; mount --bind {} /{folder}\n", mine.display());
        }
        script += "echo ready\nexec sleep infinity\n";
        let qemu = "user=\"root\"\ngroup=\"root\"\ndynamic_ownership=0\nsecurity_driver=\"none\"\nnamespaces=[]\n";
        std::fs::write(dir.path().join("etc/libvirt/qemu.conf"), qemu).unwrap();
        std::fs::write(dir.path().join("libvirtd.conf"), "auth_unix_rw=\"none\"\n").unwrap();
        let mut namespace =
            Command::new("unshare").args(["--mount", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut said = std::io::BufReader::new(namespace.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        if line != "ready\n" {
            let _ = namespace.wait();
            eprintln!("skipped: a libvirt daemon needs root, to bind its folders");
            return None;
        }
        Some(Self { dir, namespace })
    }

    /// Prepares a namespace with a running daemon.
    async fn running() -> Option<Self> {
        let daemon = Self::prepare().await?;
        daemon.inside("virtlogd", &["-d", "-p"], "virtlogd.pid");
        daemon.start().await;
        Some(daemon)
    }

    fn inside(&self, program: &str, args: &[&str], last: &str) {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.namespace.id());
        let status =
            Command::new("nsenter").args([&namespace, program]).args(args).arg(self.dir.path().join(last)).status();
        assert!(status.unwrap().success());
    }

    async fn start(&self) {
        let conf = self.dir.path().join("libvirtd.conf");
        self.inside("libvirtd", &["-d", "-f", conf.to_str().unwrap(), "-p"], "libvirtd.pid");
        support::eventually("the daemon answers", || async { self.virsh(&["list"]) }).await;
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/libvirt/libvirt-sock")
    }

    fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket().display())
    }

    fn virsh(&self, args: &[&str]) -> bool {
        Command::new("virsh").args(["-q", "-c", &self.uri()]).args(args).output().unwrap().status.success()
    }

    /// Sends a signal to the process of a pid file.
    fn signal(&self, signal: &str, pid_file: &str) {
        if let Ok(pid) = std::fs::read_to_string(self.dir.path().join(pid_file)) {
            let _ = Command::new("kill").args([signal, pid.trim()]).stderr(Stdio::null()).status();
        }
    }

    fn kill(&self) {
        self.signal("-KILL", "libvirtd.pid");
    }

    async fn open(&self) -> Drivers {
        open_node(&self.uri(), &self.dir.path().join("data")).await.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        self.signal("-KILL", "virtlogd.pid");
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
    }
}

#[tokio::test]
async fn a_daemon_keeps_the_contract() {
    let Some(daemon) = Daemon::running().await else { return };
    let (drivers, dir) = (daemon.open().await, daemon.dir.path());
    let spec = support::echoing(&drivers, dir).await;
    contract::a_guest_lives_and_every_call_may_be_repeated(&drivers, spec).await;
    contract::an_unknown_guest_is_absent_and_no_accident(&drivers).await;
    contract::a_node_says_what_it_has(&drivers).await;
    contract::storage_calls_may_be_repeated(&drivers, dir).await;
    contract::an_interface_keeps_its_address(&drivers).await;
    contract::a_console_goes_both_ways(&drivers, dir).await;
    contract::a_killed_guest_reads_crashed(&drivers).await;
}

#[tokio::test]
async fn a_frozen_guest_reads_frozen_and_holds_up_nobody() {
    let Some(daemon) = Daemon::running().await else { return };
    contract::a_frozen_guest_reads_frozen_and_holds_up_nobody(&daemon.open().await).await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_and_comes_back_is_found_again_with_its_guests() {
    let Some(daemon) = Daemon::running().await else { return };
    let drivers = daemon.open().await;
    let (compute, ids) = (&*drivers.compute, [support::server_id(), support::server_id()]);
    let _reap = ids.map(support::Reap);
    for id in ids {
        compute.define(&support::bare(id)).await.unwrap();
        compute.start(id).await.unwrap();
    }
    let mut events = compute.events();
    daemon.kill();
    support::event(&mut events, "disconnected", |e| matches!(e, NodeEvent::Disconnected(_))).await;
    assert!(matches!(compute.see(ids[0]).await, Err(Error::Disconnected { .. })));
    support::signal(ids[1], "-KILL");
    daemon.start().await;
    support::event(&mut events, "connected", |e| *e == NodeEvent::Connected).await;
    support::eventually_seen(compute, ids[0], GuestState::Running).await;
    support::eventually_seen(compute, ids[1], GuestState::Crashed).await;

    // Events come on the new connection too: somebody starts a guest by hand.
    assert!(daemon.virsh(&["start", &format!("sutler-{}", ids[1])]));
    support::state_event(&mut events, ids[1], GuestState::Running).await;
    for id in ids {
        compute.stop(id, Stop::Force).await.unwrap();
        compute.undefine(id).await.unwrap();
    }
}

#[tokio::test]
async fn a_daemon_that_comes_late_is_waited_for() {
    let Some(daemon) = Daemon::prepare().await else { return };
    let drivers = daemon.open().await;
    let mut events = drivers.compute.events();
    assert!(matches!(drivers.compute.capacity().await, Err(Error::Disconnected { .. })));
    daemon.start().await;
    support::event(&mut events, "connected", |e| *e == NodeEvent::Connected).await;
    contract::a_node_says_what_it_has(&drivers).await;
}

#[tokio::test]
async fn a_daemon_that_hangs_is_unresponsive_until_it_answers() {
    let Some(daemon) = Daemon::running().await else { return };
    let drivers = daemon.open().await;
    let mut events = drivers.compute.events();
    drivers.compute.capacity().await.unwrap();
    daemon.signal("-STOP", "libvirtd.pid");
    let answer = drivers.compute.capacity().await;
    assert!(matches!(answer, Err(Error::Deadline { .. } | Error::Disconnected { .. })), "{answer:?}");
    support::event(&mut events, "disconnected", |e| matches!(e, NodeEvent::Disconnected(_))).await;
    daemon.signal("-CONT", "libvirtd.pid");
    support::event(&mut events, "connected", |e| *e == NodeEvent::Connected).await;
    contract::a_node_says_what_it_has(&drivers).await;
}
