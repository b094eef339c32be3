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
mod mime;
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
    ffi::OsStr,
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
        let (said, path) = (attempted.to_owned(), disk.to_owned());
        let header = self.blocking(attempted, move |_| {
            let header = File::open(path).and_then(|f| image::qcow2_header(&f));
            header.map_err(|e| Error::from_io(said, e))
        });
        let header = header.await?.ok_or_else(|| Error::permanent(attempted, "the file is not qcow2"))?;
        if header.virtual_bytes >= bytes {
            return Ok(());
        }
        let size = bytes.to_string();
        let mut args: Vec<&OsStr> = ["resize", "-q", "-f", "qcow2"].map(AsRef::as_ref).into();
        args.extend([disk.as_os_str(), size.as_ref()]);
        qemu_img::run(attempted, &args).await?;
        let (said, path) = (attempted.to_owned(), disk.to_owned());
        self.blocking(attempted, move |_| sync(&path).map_err(|e| Error::from_io(said, e))).await
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

impl Directory {
    /// The image a disk is to be cloned from, checked against the disk.
    fn backing(&self, key: &str, bytes: u64, attempted: &str) -> Result<image::Format> {
        let found = self.image(key).and_then(|path| image::probe(&path));
        let found = found.map_err(|e| Error::permanent(attempted, e))?;
        if found.virtual_bytes > bytes {
            return Err(Error::permanent(attempted, "it is smaller than its image"));
        }
        Ok(found.format)
    }

    fn disks(&self) -> Result<Vec<DiskId>> {
        let io = |e| Error::from_io("listing disks".into(), e);
        let mut disks = vec![];
        for entry in fs::read_dir(self.root.join("disks")).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            disks.extend(name.to_str().and_then(|n| n.strip_suffix(".qcow2")?.parse::<DiskId>().ok()));
        }
        Ok(disks)
    }

    fn write_seed(&self, spec: &SeedSpec) -> std::io::Result<PathBuf> {
        let path = self.seed(spec.id);
        let bytes = seed::image(spec);
        // The same seed gives the same bytes; a running guest's is not touched without need.
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(path);
        }
        let made = Unfinished::new(&self.root.join("seeds"));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&made.0)?;
        file.write_all(&bytes)?;
        drop(file);
        made.replace(&path)?;
        Ok(path)
    }

    fn remove_image(&self, storage_key: &str, attempted: String) -> Result<()> {
        let path = self.image(storage_key)?;
        let backing = format!("../images/{storage_key}");
        for id in self.disks()? {
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

    /// Runs what touches the disk off the caller's thread.
    async fn blocking<T: Send + 'static>(
        &self,
        attempted: &str,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this)).await;
        done.map_err(|e| Error::transient(attempted, e))?
    }
}

#[async_trait]
impl Storage for Directory {
    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<DiskSource> {
        let attempted = format!("creating disk `{}`", spec.id);
        let path = self.disk(spec.id);
        let bytes = spec.size_gib.checked_mul(1 << 30).filter(|&b| b > 0);
        let bytes = bytes.ok_or_else(|| Error::permanent(&attempted, "impossible size"))?;

        let (said, image, disk) = (attempted.clone(), spec.image.clone(), path.clone());
        let found = self.blocking(&attempted, move |this| {
            if disk.try_exists().map_err(|e| Error::from_io(said.clone(), e))? {
                return Ok(None);
            }
            let format = image.map(|key| this.backing(&key, bytes, &said)).transpose()?;
            Ok(Some((Unfinished::new(&this.root.join("disks")), format)))
        });
        let Some((made, format)) = found.await? else {
            self.grow(&path, bytes, &attempted).await?;
            return Ok(DiskSource::Qcow2(path));
        };

        let size = bytes.to_string();
        // Relative, so that the folder can be moved as a whole.
        let backing = spec.image.as_ref().map(|key| format!("../images/{key}"));
        let mut args: Vec<&OsStr> = ["create", "-q", "-f", "qcow2"].map(AsRef::as_ref).into();
        if let (Some(name), Some(format)) = (&backing, format) {
            args.extend(["-b", name, "-F", format.name()].map(AsRef::<OsStr>::as_ref));
        }
        args.extend([made.0.as_os_str(), size.as_ref()]);
        qemu_img::run(&attempted, &args).await?;
        let (said, disk) = (attempted.clone(), path.clone());
        self.blocking(&attempted, move |_| made.finish(&disk).map_err(|e| Error::from_io(said, e))).await?;
        Ok(DiskSource::Qcow2(path))
    }

    async fn delete_disk(&self, id: DiskId) -> Result<()> {
        let attempted = format!("deleting disk `{id}`");
        // Freeing a large file takes a while.
        self.blocking(&attempted.clone(), move |this| remove(&this.disk(id), attempted)).await
    }

    async fn list_disks(&self) -> Result<Vec<DiskId>> {
        self.blocking("listing disks", Self::disks).await
    }

    async fn ensure_seed(&self, spec: &SeedSpec) -> Result<Option<PathBuf>> {
        let attempted = format!("writing the seed of server `{}`", spec.id);
        let spec = spec.clone();
        self.blocking(&attempted.clone(), move |this| {
            this.write_seed(&spec).map(Some).map_err(|e| Error::from_io(attempted, e))
        })
        .await
    }

    async fn delete_seed(&self, id: ServerId) -> Result<()> {
        let attempted = format!("deleting the seed of server `{id}`");
        self.blocking(&attempted.clone(), move |this| remove(&this.seed(id), attempted)).await
    }

    async fn import_image(&self, storage_key: &str, file: &Path) -> Result<StoredImage> {
        let attempted = format!("importing image `{storage_key}`");
        let path = self.image(storage_key)?;
        let (said, to, file) = (attempted.clone(), path.clone(), file.to_owned());
        let copied = self.blocking(&attempted, move |this| {
            image::probe(&file)?;
            if to.exists() {
                return Ok(None);
            }
            // Copied before it is judged: the original may change under our eyes.
            let copy = Unfinished::new(&this.root.join("images"));
            fs::copy(&file, &copy.0).map_err(|e| Error::from_io(said, e))?;
            let found = image::probe(&copy.0)?;
            Ok(Some((copy, found)))
        });
        let copied = copied.await?;
        if let Some((copy, found)) = &copied {
            qemu_img::check(&attempted, &copy.0, found).await?;
        }
        let (said, storage_key) = (attempted.clone(), storage_key.to_owned());
        self.blocking(&attempted, move |_| {
            if let Some((copy, _)) = copied {
                fs::set_permissions(&copy.0, fs::Permissions::from_mode(0o444))
                    .and_then(|()| copy.finish(&path))
                    .map_err(|e| Error::from_io(said, e))?;
            }
            let found = image::probe(&path)?;
            Ok(StoredImage { storage_key, virtual_bytes: found.virtual_bytes, sha256: image::sha256(&path)? })
        })
        .await
    }

    async fn capture_image(&self, storage_key: &str, disk: DiskId) -> Result<StoredImage> {
        let attempted = format!("copying disk `{disk}` into image `{storage_key}`");
        let (path, from) = (self.image(storage_key)?, self.disk(disk));
        let (said, to) = (attempted.clone(), path.clone());
        let made = self.blocking(&attempted, move |this| {
            let there = to.try_exists().map_err(|e| Error::from_io(said, e))?;
            Ok((!there).then(|| Unfinished::new(&this.root.join("images"))))
        });
        let made = made.await?;
        if let Some(made) = &made {
            // The disk's header and its chain are of our own making; a guest reaches only what is in them.
            let mut args: Vec<&OsStr> = ["convert", "-q", "-f", "qcow2", "-O", "qcow2"].map(AsRef::as_ref).into();
            args.extend([from.as_os_str(), made.0.as_os_str()]);
            qemu_img::copy(&attempted, &args).await?;
        }
        let (said, storage_key) = (attempted.clone(), storage_key.to_owned());
        self.blocking(&attempted, move |_| {
            if let Some(made) = made {
                fs::set_permissions(&made.0, fs::Permissions::from_mode(0o444))
                    .and_then(|()| made.finish(&path))
                    .map_err(|e| Error::from_io(said, e))?;
            }
            let found = image::probe(&path)?;
            Ok(StoredImage { storage_key, virtual_bytes: found.virtual_bytes, sha256: image::sha256(&path)? })
        })
        .await
    }

    async fn share_image(&self, image: &StoredImage, file: &Path) -> Result<()> {
        let attempted = format!("copying image `{}` from another storage", image.storage_key);
        let taken = self.import_image(&image.storage_key, file).await?;
        if taken.sha256 == image.sha256 {
            return Ok(());
        }
        Err(Error::permanent(attempted, "what is there under its name is something else"))
    }

    async fn delete_image(&self, storage_key: &str) -> Result<()> {
        let attempted = format!("deleting image `{storage_key}`");
        let key = storage_key.to_owned();
        self.blocking(&attempted.clone(), move |this| this.remove_image(&key, attempted)).await
    }

    fn image_file(&self, name: &str) -> PathBuf {
        self.root.join("images").join(name)
    }

    async fn space(&self) -> Result<(u64, u64)> {
        let attempted = "reading free space";
        self.blocking(attempted, move |this| {
            let found = rustix::fs::statvfs(&this.root).map_err(|e| Error::from_io(attempted.into(), e.into()))?;
            Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
        })
        .await
    }
}

#[cfg(test)]
mod tests;
