//! Whether KVM works, found out by a guest: `/dev/kvm` that opens proves nothing, and neither does a guest that stays in
//! real mode. There are hypervisors without hardware underneath that run a few instructions and crawl or hang in a kernel.
#![allow(unsafe_code)]

use crate::{Error, Result};
use std::{
    ffi::OsStr,
    io::{self, Write},
    path::Path,
    process::Stdio,
    time::{Duration, SystemTime},
};
use sutler_model::Kvm;
use tokio::{io::AsyncReadExt, process::Command};

/// The guest takes some three tenths of a second under KVM, and half a second under emulation.
const DEADLINE: Duration = Duration::from_secs(5);
/// Differs from boot to boot, and so whenever the kernel does or KVM was turned on or off in the firmware.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// KVM's device.
const DEVICE: &str = "/dev/kvm";
/// What runs guests.
const QEMU: &str = "qemu-system-x86_64";
/// What the guest says when it lives.
const ALIVE: &[u8] = b"SUTLER-KVM-OK";
/// QEMU's exit status when the guest writes 16 to the exit device: `16 << 1 | 1`.
const EXIT: i32 = 33;

// The guest's code, assembled with the program: bytes that are only ever copied.
std::arch::global_asm!(include_str!("kvm_boot.s"), options(att_syntax, raw));

unsafe extern "C" {
    /// A boot sector that says [`ALIVE`] on the serial port and ends QEMU through its exit device at port 0xf4.
    #[link_name = "sutler_kvm_boot"]
    safe static BOOT_SECTOR: [u8; 512];
}

/// The host that the test's answer holds for.
pub(super) async fn host() -> Result<String> {
    let attempted = "telling which host KVM is tested on";
    let look = || host_of(Path::new(BOOT_ID), Path::new(DEVICE), &std::env::var_os("PATH").unwrap_or_default());
    let looked = tokio::task::spawn_blocking(look).await.map_err(|e| Error::transient(attempted, e))?;
    looked.map_err(|e| Error::from_io(attempted.to_owned(), e))
}

/// Told by its boot, by whether the device opens (a module may be loaded and a right be given without a boot), and by QEMU's
/// file.
fn host_of(boot_id: &Path, device: &Path, path: &OsStr) -> io::Result<String> {
    let boot = std::fs::read_to_string(boot_id)?;
    let opens = match open(device) {
        Ok(_) => "opens".to_owned(),
        Err(e) => format!("does not open ({})", e.kind()),
    };
    let qemu = std::env::split_paths(path).find_map(|folder| std::fs::metadata(folder.join(QEMU)).ok());
    let qemu = match qemu {
        Some(file) => {
            let since = file.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            format!("{} bytes of {} s", file.len(), since.as_secs())
        }
        None => "not installed".to_owned(),
    };
    Ok(format!("boot {}; {DEVICE} {opens}; {QEMU} {qemu}", boot.trim()))
}

fn open(device: &Path) -> io::Result<std::fs::File> {
    std::fs::File::options().read(true).write(true).open(device)
}

/// Starts a guest under KVM.
pub(super) async fn test() -> Result<Kvm> {
    if let Err(e) = open(Path::new(DEVICE)) {
        return Ok(Kvm::Unusable(format!("{DEVICE} cannot be opened: {e}")));
    }
    Ok(match start("kvm", DEADLINE).await? {
        Ok(()) => Kvm::Usable,
        Err(why) => Kvm::Unusable(why),
    })
}

/// Starts a guest with this accelerator; says why it did not do as it should.
async fn start(accelerator: &str, deadline: Duration) -> Result<std::result::Result<(), String>> {
    let attempted = || format!("testing the accelerator `{accelerator}`");
    let io = |e| Error::from_io(attempted(), e);
    let mut disk = tempfile::NamedTempFile::new().map_err(io)?;
    disk.write_all(&BOOT_SECTOR).map_err(io)?;
    // The firmware passes over a disk of a single sector.
    disk.as_file().set_len(1 << 20).map_err(io)?;
    let drive = format!("file={},format=raw,if=none,id=d,readonly=on", disk.path().display());
    let mut command = Command::new(QEMU);
    command
        .args(["-accel", accelerator, "-machine", "q35", "-cpu", if accelerator == "kvm" { "host" } else { "max" }])
        .args(["-m", "64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"])
        .args(["-drive", &drive, "-device", "virtio-blk-pci,drive=d,bootindex=1"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Err(format!("{QEMU} is not installed; install the package qemu-system-x86")));
        }
        other => other.map_err(io)?,
    };
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut complained) = (vec![], vec![]);
    let run = async {
        let out = async { if let Some(s) = &mut stdout { s.read_to_end(&mut said).await.map(drop) } else { Ok(()) } };
        let err =
            async { if let Some(s) = &mut stderr { s.read_to_end(&mut complained).await.map(drop) } else { Ok(()) } };
        tokio::try_join!(out, err)?;
        child.wait().await
    };
    let ended = tokio::time::timeout(deadline, run).await;
    if ended.is_err() {
        // Waiting is for the kernel; what cannot even be killed is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), child.kill()).await;
    }
    let alive = said.windows(ALIVE.len()).any(|w| w == ALIVE);
    let complaint = String::from_utf8_lossy(&complained).trim().to_owned();
    Ok(match ended {
        Ok(Ok(status)) if alive && status.code() == Some(EXIT) => Ok(()),
        Ok(Ok(status)) if complaint.is_empty() => Err(format!("a test guest ended early ({status})")),
        Ok(Ok(_)) => Err(format!("a test guest did not start: {complaint}")),
        Ok(Err(e)) => return Err(io(e)),
        Err(_) => Err(format!("a test guest hung for {} seconds", deadline.as_secs_f32())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_test_guest_itself_works() {
        assert_eq!(start("tcg", Duration::from_secs(60)).await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn an_accelerator_that_does_not_exist_is_said_to() {
        let why = start("none-such", Duration::from_secs(60)).await.unwrap().unwrap_err();
        assert!(why.contains("none-such"), "{why}");
    }

    #[tokio::test]
    async fn a_guest_that_hangs_is_killed_at_its_deadline() {
        let why = start("tcg", Duration::ZERO).await.unwrap().unwrap_err();
        assert!(why.contains("hung"), "{why}");
    }

    #[test]
    fn a_host_is_another_after_a_boot_with_another_qemu_and_when_the_device_comes_or_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (boot_id, device) = (folder.path().join("boot_id"), folder.path().join("kvm"));
        let host = || host_of(&boot_id, &device, folder.path().as_os_str());
        assert!(host().is_err(), "without a boot there is no telling");
        let mut seen = std::collections::BTreeSet::new();
        let mut is_another = |what: &str| {
            assert_eq!(host().unwrap(), host().unwrap());
            assert!(seen.insert(host().unwrap()), "{what}");
        };
        std::fs::write(&boot_id, "0199-a\n").unwrap();
        is_another("the first");
        std::fs::write(&boot_id, "0199-b\n").unwrap();
        is_another("a boot");
        std::fs::write(&device, "").unwrap();
        is_another("the device came");
        std::fs::write(folder.path().join(QEMU), "5").unwrap();
        is_another("QEMU came");
        std::fs::write(folder.path().join(QEMU), "50").unwrap();
        is_another("QEMU was replaced");
        std::fs::remove_file(&device).unwrap();
        is_another("the device went");
    }

    #[tokio::test]
    async fn this_host_stays_the_same() {
        let first = host().await.unwrap();
        assert!(first.starts_with("boot ") && first.len() > 40, "{first}");
        assert_eq!(host().await.unwrap(), first);
    }

    #[tokio::test]
    async fn the_verdict_is_one_or_the_other() {
        match test().await.unwrap() {
            Kvm::Usable => {}
            Kvm::Unusable(why) => assert!(!why.is_empty()),
            Kvm::Unknown => panic!("the test found nothing out"),
        }
    }
}
