//! Running `qemu-img`, always with a deadline, and with limits on foreign files.

use crate::{
    Error, Result,
    image::{Format, Found},
};
use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};
use tokio::process::Command;

/// An overlay or a resize takes tens of milliseconds; a minute is a dead disk.
const DEADLINE: Duration = Duration::from_secs(60);
/// Judging a foreign file reads all of its tables.
const CHECK_DEADLINE: Duration = Duration::from_secs(120);
/// A disk of hundreds of GiB at a slow disk's pace; a job has an hour.
const COPY_DEADLINE: Duration = Duration::from_secs(50 * 60);
/// Limits for judging a foreign file: memory that suffices for the tables of the largest image, CPU seconds, and no
/// writing at all.
const LIMITS: [&str; 3] = ["--as=2147483648", "--cpu=60", "--fsize=0"];

/// Runs `qemu-img` with these arguments.
pub(super) async fn run(attempted: &str, args: &[&OsStr]) -> Result<()> {
    let mut command = Command::new("qemu-img");
    // Overlays name their image relative to their own folder, wherever we run.
    command.args(args);
    finish(attempted, command, DEADLINE).await?.map_err(|said| failure(attempted, said))
}

/// Runs a `qemu-img` that reads and writes a whole disk.
pub(super) async fn copy(attempted: &str, args: &[&OsStr]) -> Result<()> {
    let mut command = Command::new("qemu-img");
    command.args(args);
    finish(attempted, command, COPY_DEADLINE).await?.map_err(|said| failure(attempted, said))
}

fn failure(attempted: &str, said: String) -> Error {
    if said.contains("No space left") || said.contains("Disk quota exceeded") {
        return Error::NoSpace { attempted: attempted.into() };
    }
    // Somebody has the file open: a running guest, most likely.
    if said.contains("lock") { Error::transient(attempted, said) } else { Error::permanent(attempted, said) }
}

/// Has `qemu-img` confirm what a first look at a foreign file said.
pub(super) async fn check(attempted: &str, file: &Path, found: &Found) -> Result<()> {
    if found.format == Format::Raw {
        // Nothing in a raw disk is for us to read.
        return Ok(());
    }
    let limited = |args: &[&OsStr]| {
        let mut command = Command::new("prlimit");
        command.args(LIMITS).arg("qemu-img").args(args);
        command
    };
    let info = limited(&["info".as_ref(), "--output=json".as_ref(), "-f".as_ref(), "qcow2".as_ref(), file.as_ref()]);
    let said = answer(attempted, info).await?;
    let info: serde_json::Value = serde_json::from_str(&said)
        .map_err(|e| Error::permanent(attempted, format!("`qemu-img info` said what is not JSON: {e}")))?;
    let reaches_out = info.get("backing-filename").is_some()
        || info.pointer("/format-specific/data/data-file").is_some()
        || info.get("encrypted").and_then(serde_json::Value::as_bool) == Some(true);
    if reaches_out || info.get("virtual-size").and_then(serde_json::Value::as_u64) != Some(found.virtual_bytes) {
        return Err(Error::NotAnImage("it is not a plain image; convert it with `qemu-img convert -O qcow2`".into()));
    }
    let check = limited(&["check".as_ref(), "-q".as_ref(), "-f".as_ref(), "qcow2".as_ref(), file.as_ref()]);
    match run_to_end(attempted, check, CHECK_DEADLINE).await? {
        // 3: leaked clusters, which waste room and do no harm.
        (Some(0 | 3), _) => Ok(()),
        (Some(1..=2), _) => Err(Error::NotAnImage("the file is damaged or cut short; upload it again".into())),
        (_, said) => Err(Error::permanent(attempted, said)),
    }
}

async fn answer(attempted: &str, command: Command) -> Result<String> {
    let mut command = command;
    command.stdout(Stdio::piped());
    let output = output(attempted, command, CHECK_DEADLINE).await?;
    if !output.status.success() {
        return Err(Error::NotAnImage("the file is damaged; upload it again".into()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn finish(attempted: &str, command: Command, deadline: Duration) -> Result<std::result::Result<(), String>> {
    Ok(match run_to_end(attempted, command, deadline).await? {
        (Some(0), _) => Ok(()),
        (_, said) => Err(said),
    })
}

async fn run_to_end(attempted: &str, command: Command, deadline: Duration) -> Result<(Option<i32>, String)> {
    let output = output(attempted, command, deadline).await?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { format!("qemu-img ended with {}", output.status) } else { said };
    Ok((output.status.code(), said))
}

async fn output(attempted: &str, mut command: Command, deadline: Duration) -> Result<std::process::Output> {
    // A foreign locale would translate the messages we look into.
    command.env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    match tokio::time::timeout(deadline, command.output()).await {
        Err(_) => Err(Error::Deadline { attempted: attempted.into(), deadline_ms: deadline.as_millis() as u64 }),
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::permanent(attempted, "`qemu-img` is not installed; install the package qemu-utils"))
        }
        Ok(output) => output.map_err(|e| Error::from_io(attempted.into(), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_locked_file_are_told_apart() {
        let full = "qemu-img: x: Could not write qcow2 header: No space left on device";
        assert!(matches!(failure("creating", full.into()), Error::NoSpace { .. }));
        let locked = "qemu-img: Could not open 'x': Failed to get \"write\" lock";
        assert!(failure("growing", locked.into()).is_transient());
        assert!(matches!(failure("creating", "Invalid image size".into()), Error::Permanent { .. }));
    }
}
