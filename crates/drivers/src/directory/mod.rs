//! Disks, images and seeds as files in one folder, by `qemu-img`.
//!
//! ```text
//! images/<storage key>     read-only once there; kernels for direct boot lie beside them
//! disks/<disk id>.qcow2    an overlay of its image, or an empty disk
//! seeds/<server id>.iso    NoCloud seed
//! ```
//!
//! Everything is made under a temporary name, synced, and only then given its own, so a kill at any moment leaves either
//! nothing or the whole; what temporary files it leaves are swept when the folder is opened next.

mod iso;
mod qemu_img;
mod seed;

use crate::{
    Error, Result, Storage,
    compute::DiskSource,
    image,
    storage::{DiskSpec, SeedSpec, StoredImage},
};
use async_trait::async_trait;
use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use sutler_model::{DiskId, ServerId};

/// Begins the names of files that are not finished.
const UNFINISHED: &str = ".unfinished-";

/// A folder of disks, images and seeds.
#[derive(Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Opens the folder, making what is missing of it, and sweeps what a kill left unfinished. Only one process may have
    /// it open at a time; the controller's store sees to that.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(root: &Path) -> Result<Self> {
        let io = |e| Error::from_io(format!("opening storage folder `{}`", root.display()), e);
        fs::create_dir_all(root).map_err(io)?;
        let root = root.canonicalize().map_err(io)?;
        for name in ["images", "disks", "seeds"] {
            let folder = root.join(name);
            fs::create_dir_all(&folder).map_err(io)?;
            for entry in fs::read_dir(&folder).map_err(io)? {
                let entry = entry.map_err(io)?;
                if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                    fs::remove_file(entry.path()).map_err(io)?;
                }
            }
        }
        // Seeds hold what customers consider secret.
        fs::set_permissions(root.join("seeds"), fs::Permissions::from_mode(0o700)).map_err(io)?;
        Ok(Self { root })
    }

    fn image(&self, storage_key: &str) -> Result<PathBuf> {
        image::check_storage_key(storage_key)?;
        Ok(self.root.join("images").join(storage_key))
    }

    fn disk(&self, id: DiskId) -> PathBuf {
        self.root.join("disks").join(format!("{id}.qcow2"))
    }

    fn seed(&self, id: ServerId) -> PathBuf {
        self.root.join("seeds").join(format!("{id}.iso"))
    }

    /// Grows a disk that is there. Never shrinks one.
    async fn grow(&self, disk: &Path, bytes: u64, attempted: &str) -> Result<()> {
        let io = |e| Error::from_io(attempted.to_owned(), e);
        let header = File::open(disk).and_then(|f| image::qcow2_header(&f)).map_err(io)?;
        let header = header.ok_or_else(|| Error::permanent(attempted, "the file is not qcow2"))?;
        if header.virtual_bytes >= bytes {
            return Ok(());
        }
        qemu_img::run(
            attempted,
            &[
                "resize".as_ref(),
                "-q".as_ref(),
                "-f".as_ref(),
                "qcow2".as_ref(),
                disk.as_ref(),
                bytes.to_string().as_ref(),
            ],
        )
        .await?;
        sync(disk).map_err(io)
    }
}

/// A file being made: removed again when dropped before it got its name.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(folder: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(folder.join(format!("{UNFINISHED}{}-{n}", std::process::id())))
    }

    /// Gives the file its name, unless one of that name is there already: that one may be in use.
    fn finish(self, path: &Path) -> std::io::Result<()> {
        sync(&self.0)?;
        match fs::hard_link(&self.0, path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }?;
        self.0.parent().map_or(Ok(()), sync)
    }

    /// Gives the file its name, in place of an earlier one.
    fn replace(self, path: &Path) -> std::io::Result<()> {
        sync(&self.0)?;
        fs::rename(&self.0, path)?;
        self.0.parent().map_or(Ok(()), sync)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After `replace` it is gone, and what stays is swept at the next opening.
        let _ = fs::remove_file(&self.0);
    }
}

fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file; absent is removed.
fn remove(path: &Path, attempted: String) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::from_io(attempted, e)),
        _ => Ok(()),
    }
}

#[async_trait]
impl Storage for Directory {
    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<DiskSource> {
        let attempted = format!("creating disk `{}`", spec.id);
        let io = |e| Error::from_io(attempted.clone(), e);
        let path = self.disk(spec.id);
        let bytes = spec.size_gib.checked_mul(1 << 30).filter(|&b| b > 0);
        let bytes = bytes.ok_or_else(|| Error::permanent(&attempted, "impossible size"))?;
        if path.try_exists().map_err(io)? {
            self.grow(&path, bytes, &attempted).await?;
            return Ok(DiskSource::Qcow2(path));
        }
        let made = Unfinished::new(&self.root.join("disks"));
        let size = bytes.to_string();
        let mut args: Vec<&std::ffi::OsStr> = ["create", "-q", "-f", "qcow2"].map(AsRef::as_ref).into();
        let backing = match &spec.image {
            None => None,
            Some(key) => {
                let found =
                    self.image(key).and_then(|p| image::probe(&p)).map_err(|e| Error::permanent(&attempted, e))?;
                if found.virtual_bytes > bytes {
                    return Err(Error::permanent(&attempted, "it is smaller than its image"));
                }
                // Relative, so that the folder can be moved as a whole.
                Some((format!("../images/{key}"), found.format))
            }
        };
        if let Some((name, format)) = &backing {
            args.extend(["-b", name, "-F", format.name()].map(AsRef::<std::ffi::OsStr>::as_ref));
        }
        args.extend([made.0.as_os_str(), size.as_ref()]);
        qemu_img::run(&attempted, &args).await?;
        made.finish(&path).map_err(io)?;
        Ok(DiskSource::Qcow2(path))
    }

    async fn delete_disk(&self, id: DiskId) -> Result<()> {
        remove(&self.disk(id), format!("deleting disk `{id}`"))
    }

    async fn list_disks(&self) -> Result<Vec<DiskId>> {
        let io = |e| Error::from_io("listing disks".into(), e);
        let mut disks = vec![];
        for entry in fs::read_dir(self.root.join("disks")).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            disks.extend(name.to_str().and_then(|n| n.strip_suffix(".qcow2")?.parse::<DiskId>().ok()));
        }
        Ok(disks)
    }

    async fn ensure_seed(&self, spec: &SeedSpec) -> Result<Option<PathBuf>> {
        let io = |e| Error::from_io(format!("writing the seed of server `{}`", spec.id), e);
        let path = self.seed(spec.id);
        let bytes = seed::image(spec);
        // The same seed gives the same bytes; a running guest's is not touched without need.
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(Some(path));
        }
        let made = Unfinished::new(&self.root.join("seeds"));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&made.0).map_err(io)?;
        file.write_all(&bytes).map_err(io)?;
        drop(file);
        made.replace(&path).map_err(io)?;
        Ok(Some(path))
    }

    async fn delete_seed(&self, id: ServerId) -> Result<()> {
        remove(&self.seed(id), format!("deleting the seed of server `{id}`"))
    }

    async fn import_image(&self, storage_key: &str, file: &Path) -> Result<StoredImage> {
        let attempted = format!("importing image `{storage_key}`");
        let path = self.image(storage_key)?;
        let images = self.root.join("images");
        let work = {
            let (attempted, path, file) = (attempted.clone(), path.clone(), file.to_owned());
            move || -> Result<_> {
                image::probe(&file)?;
                if path.exists() {
                    return Ok(None);
                }
                // Copied before it is judged: the original may change under our eyes.
                let copy = Unfinished::new(&images);
                fs::copy(&file, &copy.0).map_err(|e| Error::from_io(attempted, e))?;
                let found = image::probe(&copy.0)?;
                Ok(Some((copy, found)))
            }
        };
        let copied = blocking(&attempted, work).await?;
        if let Some((copy, found)) = copied {
            qemu_img::check(&attempted, &copy.0, &found).await?;
            fs::set_permissions(&copy.0, fs::Permissions::from_mode(0o444))
                .and_then(|()| copy.finish(&path))
                .map_err(|e| Error::from_io(attempted.clone(), e))?;
        }
        let storage_key = storage_key.to_owned();
        blocking(&attempted, move || {
            let found = image::probe(&path)?;
            Ok(StoredImage { storage_key, virtual_bytes: found.virtual_bytes, sha256: image::sha256(&path)? })
        })
        .await
    }

    async fn delete_image(&self, storage_key: &str) -> Result<()> {
        let attempted = format!("deleting image `{storage_key}`");
        let path = self.image(storage_key)?;
        let backing = format!("../images/{storage_key}");
        for id in self.list_disks().await? {
            // A disk whose header cannot be read may need the image: refuse.
            match File::open(self.disk(id)).and_then(|f| image::qcow2_header(&f)) {
                Ok(Some(header)) if header.backing_file.as_deref() != Some(&backing) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Ok(Some(_)) => return Err(Error::permanent(attempted, format!("disk `{id}` is cloned from it"))),
                Ok(None) => return Err(Error::permanent(attempted, format!("disk `{id}` is not qcow2"))),
                Err(e) => return Err(Error::from_io(format!("{attempted}: reading disk `{id}`"), e)),
            }
        }
        remove(&path, attempted)
    }

    fn image_file(&self, name: &str) -> PathBuf {
        self.root.join("images").join(name)
    }

    async fn space(&self) -> Result<(u64, u64)> {
        let found = rustix::fs::statvfs(&self.root);
        let found = found.map_err(|e| Error::from_io("reading free space".into(), e.into()))?;
        Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
    }
}

/// Runs what takes long off the caller's thread.
async fn blocking<T: Send + 'static>(attempted: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::transient(attempted, e))?
}

#[cfg(test)]
mod tests;
