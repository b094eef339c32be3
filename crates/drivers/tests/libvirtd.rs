//! A libvirt daemon of a test's own.
//!
//! It lives in a mount namespace, with its folders bound over the system's: nothing of the machine's libvirt is touched,
//! and no network is started. The tests of the whole program use this file too.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The folders a daemon uses.
const FOLDERS: [&str; 5] = ["etc/libvirt", "run/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt"];

/// A daemon of one test.
pub struct Daemon {
    /// Its folders, and room for the test's own.
    pub dir: tempfile::TempDir,
    /// Keeps the namespace.
    namespace: Child,
}

impl Daemon {
    /// Prepares a namespace; none where that is not possible.
    pub fn prepare() -> Option<Self> {
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
    pub fn running() -> Option<Self> {
        let daemon = Self::prepare()?;
        daemon.inside("virtlogd", &["-d", "-p"], "virtlogd.pid");
        daemon.start();
        Some(daemon)
    }

    fn inside(&self, program: &str, args: &[&str], last: &str) {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.namespace.id());
        let status =
            Command::new("nsenter").args([&namespace, program]).args(args).arg(self.dir.path().join(last)).status();
        assert!(status.unwrap().success());
    }

    /// Starts the daemon, again after a kill, and waits until it answers.
    pub fn start(&self) {
        let conf = self.dir.path().join("libvirtd.conf");
        self.inside("libvirtd", &["-d", "-f", conf.to_str().unwrap(), "-p"], "libvirtd.pid");
        let begun = Instant::now();
        while !self.virsh(&["list"]) {
            assert!(begun.elapsed() < Duration::from_secs(120), "the daemon never answered");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/libvirt/libvirt-sock")
    }

    /// Where it is reached.
    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket().display())
    }

    /// Whether a command of virsh succeeds.
    pub fn virsh(&self, args: &[&str]) -> bool {
        Command::new("virsh").args(["-q", "-c", &self.uri()]).args(args).output().unwrap().status.success()
    }

    /// Sends a signal to the process of a pid file.
    pub fn signal(&self, signal: &str, pid_file: &str) {
        if let Ok(pid) = std::fs::read_to_string(self.dir.path().join(pid_file)) {
            let _ = Command::new("kill").args([signal, pid.trim()]).stderr(Stdio::null()).status();
        }
    }

    /// Kills it; its guests live on.
    pub fn kill(&self) {
        self.signal("-KILL", "libvirtd.pid");
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
