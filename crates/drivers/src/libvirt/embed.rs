//! The QEMU driver inside our own process: its folder, its lock, its settings.

use crate::{Error, Result};
use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// libvirt puts Unix sockets below the root, whose paths the kernel limits to 107 bytes; this is what it adds.
const SOCKET_PATH_BYTES: usize = 107 - "/lib/qemu/domain-2147483647-sutler-0199a0b1-0000/monitor.sock".len();

/// Written when there is none, so that an operator's own stays. Guests run as whoever runs us: nobody but root may be anybody else.
const QEMU_CONF: &str = r#"# Written once by Sutler; yours to change.
# When QEMU runs as a user that cannot open /dev/kvm, every start probes its capabilities anew, for seconds.
user = "+UID"
group = "+GID"
dynamic_ownership = 0
security_driver = "none"
namespaces = []
# No virtlogd: QEMU writes console logs itself.
stdio_handler = "file"
"#;

/// The root of this process and whether it is open. libvirt's embedded driver keeps its first root until the process ends.
static OPEN: Mutex<Option<(PathBuf, bool)>> = Mutex::new(None);

/// The right to use a root, until dropped.
pub(super) struct Root {
    path: PathBuf,
    /// Released with the file, also by a kill.
    _lock: File,
}

impl Root {
    /// Prepares the root and takes it.
    pub(super) fn take(root: &Path) -> Result<Self> {
        let attempted = || format!("opening the embedded libvirt at `{}`", root.display());
        let io = |e| Error::from_io(attempted(), e);
        fs::create_dir_all(root.join("etc")).map_err(io)?;
        let path = root.canonicalize().map_err(io)?;
        if path.as_os_str().len() > SOCKET_PATH_BYTES {
            let why = format!(
                "the path is longer than {SOCKET_PATH_BYTES} bytes, too long for its sockets; use a shorter one"
            );
            return Err(Error::permanent(attempted(), why));
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((other, is_open)) = &*open
            && (*is_open || *other != path)
        {
            let why = format!("this process has used `{}`, and there can be one only in a process", other.display());
            return Err(Error::permanent(attempted(), why));
        }
        let lock = File::create(path.join("sutler.lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "another process uses it; stop that one first, or give another root";
                return Err(Error::permanent(attempted(), why));
            }
            Err(TryLockError::Error(e)) => return Err(io(e)),
        }
        let conf = path.join("etc/qemu.conf");
        if !conf.try_exists().map_err(io)? {
            let us = fs::metadata("/proc/self").map_err(io)?;
            let text = QEMU_CONF.replace("UID", &us.uid().to_string()).replace("GID", &us.gid().to_string());
            fs::write(&conf, text).map_err(io)?;
        }
        *open = Some((path.clone(), true));
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn uri(&self) -> String {
        // The root may hold characters that mean something in a URI.
        let escaped: String = self
            .path
            .to_string_lossy()
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect();
        format!("qemu:///embed?root={escaped}")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some((_, is_open)) = &mut *OPEN.lock().unwrap_or_else(PoisonError::into_inner) {
            *is_open = false;
        }
    }
}
