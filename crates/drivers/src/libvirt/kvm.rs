//! Whether KVM works, found out by a guest: `/dev/kvm` that opens proves nothing, and neither does a guest that stays in
//! real mode. There are hypervisors without hardware underneath that run a few instructions and crawl or hang in a kernel.
#![allow(unsafe_code)]

use crate::{Error, Result};
use std::{io::Write, process::Stdio, time::Duration};
use sutler_model::Kvm;
use tokio::{io::AsyncReadExt, process::Command};

/// The guest takes some three tenths of a second under KVM, and half a second under emulation.
const DEADLINE: Duration = Duration::from_secs(5);
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

/// Starts a guest under KVM.
pub(super) async fn test() -> Result<Kvm> {
    if let Err(e) = std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        return Ok(Kvm::Unusable(format!("/dev/kvm cannot be opened: {e}")));
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
    let mut command = Command::new("qemu-system-x86_64");
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
            return Ok(Err("qemu-system-x86_64 is not installed; install the package qemu-system-x86".into()));
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

    #[tokio::test]
    async fn the_verdict_is_one_or_the_other() {
        match test().await.unwrap() {
            Kvm::Usable => {}
            Kvm::Unusable(why) => assert!(!why.is_empty()),
            Kvm::Unknown => panic!("the test found nothing out"),
        }
    }
}
