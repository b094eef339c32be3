//! The free-space reserve: writes stop before the disk is full, so that a commit never meets a full disk.

use crate::Error;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Asks for the free bytes at a path.
pub(crate) type Probe = Arc<dyn Fn(&Path) -> std::io::Result<u64> + Send + Sync>;

/// How long an answer is trusted, in time and in commits.
const TRUSTED: Duration = Duration::from_secs(1);
const TRUSTED_COMMITS: u32 = 100;

/// Watches the free space of one file system.
pub(crate) struct Space {
    path: PathBuf,
    reserve: u64,
    probe: Probe,
    last: Mutex<Option<(Instant, u32, Option<Refusal>)>>,
}

/// Why writes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    free: u64,
    reserve: u64,
}

impl Refusal {
    pub(crate) fn error(self) -> Error {
        Error::DiskFull { free_mib: self.free >> 20, reserve_mib: self.reserve >> 20 }
    }
}

impl Space {
    pub(crate) fn new(path: PathBuf, reserve: u64, probe: Probe) -> Self {
        Self { path, reserve, probe, last: Mutex::new(None) }
    }

    /// Whether writes are refused now.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, commits, answer)) = last.as_mut()
            && at.elapsed() < TRUSTED
            && *commits < TRUSTED_COMMITS
            // Space may be freed at any moment: a refusal is never remembered.
            && answer.is_none()
        {
            *commits += 1;
            return *answer;
        }
        // A file system that cannot say how much it has left is left to fail by itself.
        let free = (self.probe)(&self.path).unwrap_or(u64::MAX);
        let answer = (free < self.reserve).then_some(Refusal { free, reserve: self.reserve });
        *last = Some((Instant::now(), 0, answer));
        answer
    }
}

impl Space {
    /// Refuses when writing `bytes` into `folder` would leave less than the reserve.
    pub(crate) fn fits(&self, folder: &Path, bytes: u64) -> Result<(), Error> {
        let free = (self.probe)(folder).unwrap_or(u64::MAX);
        if free >= bytes.saturating_add(self.reserve) {
            return Ok(());
        }
        let (need, free, reserve) = (bytes.div_ceil(1 << 20), free >> 20, self.reserve >> 20);
        let why = format!("it takes {need} MiB of {free} MiB free, of which {reserve} MiB are kept in reserve");
        Err(Error::io(format!("writing into `{}`", folder.display()), why))
    }
}

/// Bytes a process without privileges may still write on the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let c_path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    statvfs(&c_path)
}

// The standard library does not offer statvfs.
#[allow(unsafe_code)]
fn statvfs(path: &std::ffi::CStr) -> std::io::Result<u64> {
    // SAFETY: all-zero bytes are a valid `statvfs`; it holds only integers.
    let mut out: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with a zero byte and `out` outlives the call.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut out) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(out.f_bavail.saturating_mul(out.f_frsize))
}
