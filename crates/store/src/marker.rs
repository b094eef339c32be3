//! The file beside the store that says which store is here, and that is locked while it is open.

use crate::{Error, error::Attempt};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// `<store>.id`: a store that is missing although its marker is there was lost, and is not silently begun anew.
pub(crate) struct Marker {
    path: PathBuf,
    file: File,
}

impl Marker {
    /// Opens and locks the marker of the store at `store`; makes it when there is none.
    pub(crate) fn lock(store: &Path) -> Result<Self, Error> {
        let path = path(store);
        let shown = path.display();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.attempt(&format!("opening `{shown}`"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: store.to_owned() }),
            Err(TryLockError::Error(e)) => Err(Error::io(format!("locking `{shown}`"), e)),
        }
    }

    /// The store that was here; none before the first.
    pub(crate) fn store_id(&mut self) -> Result<Option<String>, Error> {
        let mut text = String::new();
        self.file.rewind().and_then(|()| self.file.read_to_string(&mut text)).attempt(&self.attempted("reading"))?;
        Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty()))
    }

    /// Notes which store is here, durably.
    pub(crate) fn set_store_id(&mut self, id: Uuid) -> Result<(), Error> {
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{id}")?;
            file.sync_all()
        };
        write(&mut self.file).attempt(&self.attempted("writing"))?;
        sync_dir(&self.path)
    }

    fn attempted(&self, what: &str) -> String {
        format!("{what} `{}`", self.path.display())
    }
}

impl Drop for Marker {
    /// Given back rather than left to the closing of the file: a process that is just being started from this one has the file open
    /// until it becomes another program, and would hold the lock for that long.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the lock of `{}` goes when it is closed", self.path.display());
        }
    }
}

/// The marker of the store at `store`.
pub(crate) fn path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".id");
    name.into()
}

/// Makes the existence of `path` durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|d| d.sync_all()).attempt(&format!("syncing the folder `{}`", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_once_it_is_given_back_whoever_else_was_handed_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store.redb");
        let marker = Marker::lock(&store).unwrap();
        // As a process has it that is being started.
        let handed_on = marker.file.try_clone().unwrap();
        assert!(matches!(Marker::lock(&store), Err(Error::InUse { .. })));
        drop(marker);
        assert!(Marker::lock(&store).is_ok());
        drop(handed_on);
    }
}
