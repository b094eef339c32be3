//! Images.

use super::{
    ImagePatch, NewImage,
    reach::{unchanged, valid},
};
use crate::{Caller, Error, System};
use std::path::Path;
use sutler_model::{Boot, FieldError, Image, ImageId, ImageState, Noun, Permission, TriggerType, server, validate};
use sutler_store::ChangeSet;

impl System {
    /// Takes an image file of the controller's host in: checks it, copies it to each storage, and offers it.
    ///
    /// # Errors
    /// [`Error::Invalid`] also for a file that is no image, [`Error::NotFound`], [`Error::Forbidden`],
    /// [`Error::Taken`], [`Error::Driver`].
    pub async fn import_image(&self, caller: &Caller, new: NewImage) -> Result<Image, Error> {
        caller.must(Permission::ImagesWrite)?;
        // It names a file of the controller's host, so only those who run the host may.
        caller.must(Permission::OperatorWrite)?;
        let entity = self.entity(caller, new.billing_entity_id).await?;
        if let Some(customer) = new.customer_id {
            self.customer(caller, customer).await?;
        }
        let checks = [
            validate::name("name", &new.name),
            validate::within("size_gib", new.size_gib, server::DISK_GIB, "GiB"),
            validate::within("memory_mib_min", new.memory_mib_min, server::MEMORY_MIB, "MiB"),
        ];
        valid(checks.into_iter().filter_map(Result::err))?;
        let customer = new.customer_id.map_or([0; 16], |c| c.0.into_bytes());
        let name = new.name.to_lowercase();
        let parts: [&[u8]; 3] = [entity.id.0.as_bytes(), &customer, name.as_bytes()];
        let taken = self.store().index().holder(Noun::Image, "name", &parts);
        if taken.is_some() {
            return Err(Error::Taken { noun: Noun::Image, field: "name" });
        }

        let id: ImageId = self.inner.core.new_id();
        let storage_key = format!("{id}.qcow2");
        let boot = self.boot_files(id, &new.boot).await?;
        let mut stored = None;
        for storage in self.inner.core.nodes.storages() {
            stored = Some(storage.import_image(&storage_key, &new.file).await.map_err(|error| match error {
                sutler_drivers::Error::NotAnImage(detail) => Error::Invalid(vec![FieldError::new("file", detail)]),
                other => Error::Driver(other),
            })?);
        }
        let Some(stored) = stored else {
            return Err(Error::Busy { detail: "no node is configured yet".to_owned(), retry_after_s: 10 });
        };
        let needed = stored.virtual_bytes.div_ceil(1 << 30);
        if new.size_gib < needed {
            self.forget(&storage_key).await;
            let detail = format!("is {}; the image's own size is {needed} GiB", new.size_gib);
            return Err(Error::Invalid(vec![FieldError::new("size_gib", detail)]));
        }
        let mut image = Image {
            id,
            version: 0,
            name: new.name,
            billing_entity_id: entity.id,
            customer_id: new.customer_id,
            storage_key: storage_key.clone(),
            size_gib: new.size_gib,
            sha256: stored.sha256,
            boot,
            memory_mib_min: new.memory_mib_min,
            state: ImageState::Ready,
            metadata: None,
            created_at: self.inner.core.now(),
        };
        let _decided = match self.inner.scripts.before(caller, TriggerType::PreCreate, &mut image).await {
            Ok(decided) => decided,
            Err(error) => {
                self.forget(&storage_key).await;
                return Err(error);
            }
        };
        let mut set = ChangeSet::new(caller.cause.clone());
        set.create(&mut image);
        if let Err(error) = self.store().commit(set).await {
            self.forget(&storage_key).await;
            return Err(error.into());
        }
        Ok(image)
    }

    /// An image that the caller may change.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that is only offered to the caller.
    pub(crate) async fn image(&self, caller: &Caller, id: ImageId) -> Result<Image, Error> {
        let image: Image = self.find(id).await?;
        self.reach(caller, image.billing_entity_id, image.customer_id, (Noun::Image, id.into())).await?;
        Ok(image)
    }

    /// Renames, offers or takes back an image. Servers made from it stay.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Stale`].
    pub async fn update_image(
        &self,
        caller: &Caller,
        id: ImageId,
        if_match: Option<u64>,
        patch: ImagePatch,
    ) -> Result<Image, Error> {
        caller.must(Permission::ImagesWrite)?;
        let old = self.image(caller, id).await?;
        unchanged(&old, if_match)?;
        let mut new = old.clone();
        if let Some(name) = patch.name {
            valid(validate::name("name", &name).err())?;
            new.name = name;
        }
        new.state = patch.state.unwrap_or(old.state);
        if patch.published == Some(true) {
            if caller.role.is_customer() && old.customer_id.is_some() {
                // Others' servers would run what nobody at the seller has looked at.
                return Err(Error::Forbidden(Permission::OperatorWrite));
            }
            new.customer_id = None;
        }
        if new == old {
            return Ok(old);
        }
        let mut set = ChangeSet::new(caller.cause.clone());
        set.update(&old, &mut new);
        self.store().commit(set).await?;
        Ok(new)
    }

    /// Copies kernel and initial RAM disk beside the images.
    async fn boot_files(&self, id: ImageId, boot: &Boot) -> Result<Boot, Error> {
        let Boot::Kernel { kernel, initrd, command_line } = boot else { return Ok(Boot::Disk) };
        let names = (format!("{id}.kernel"), format!("{id}.initrd"));
        for storage in self.inner.core.nodes.storages() {
            for (field, from, name) in [("boot.kernel", kernel, &names.0), ("boot.initrd", initrd, &names.1)] {
                copy(Path::new(from), &storage.image_file(name)).await.map_err(|error| {
                    Error::Invalid(vec![FieldError::new(field, format!("`{from}` cannot be copied: {error}"))])
                })?;
            }
        }
        Ok(Boot::Kernel { kernel: names.0, initrd: names.1, command_line: command_line.clone() })
    }

    /// Takes back an import that was not recorded. What stays behind is named in the log.
    async fn forget(&self, storage_key: &str) {
        for storage in self.inner.core.nodes.storages() {
            if let Err(error) = storage.delete_image(storage_key).await {
                tracing::warn!("the image file `{storage_key}` belongs to no record and could not be deleted: {error}");
            }
        }
    }
}

/// Copies by way of a temporary name, so that a half-written file is never taken for a whole one.
async fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let part = to.with_extension("part");
    if let Some(folder) = to.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    tokio::fs::copy(from, &part).await?;
    tokio::fs::rename(&part, to).await
}
