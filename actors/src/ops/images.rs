//! Images.

use super::{
    ImagePatch, ImageSource, NewImage, NewImageOf,
    jobs::{or_earlier, take_key},
    race::{again, go_on},
    reach::{merged_keys, missing, unchanged, valid},
};
use crate::{Caller, Error, Idempotency, System, customer::Admit, family::Family, server::job_on};
use std::path::Path;
use sutler_model::{
    Boot, Customer, Disk, DiskState, Evidence, FieldError, Image, ImageBase, ImageId, ImagePermission, ImageState, Job,
    JobInput, Noun, Permission, Server, ServerState, Timestamp, TriggerType, Wanted, key, server, validate,
};
use sutler_store::ChangeSet;
use uuid::Uuid;

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
            base: None,
            owner_permission: ImagePermission::ALL,
            user_permission: ImagePermission::ALL,
            retired_at: None,
            keys: Vec::new(),
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

    /// Accepts an image and the job that copies it from a disk or from a server's boot disk. It belongs to the disk's
    /// customer, takes its place in the quota, and boots as its server does. The server must not run.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::ImagePermission`], [`Error::State`],
    /// [`Error::Quota`], [`Error::Suspended`], [`Error::Refused`], [`Error::Taken`], [`Error::KeyReused`], [`Error::Busy`].
    /// A repeat under the key of a job gets that job, also when the server or disk is going or gone by then.
    pub async fn create_image(
        &self,
        caller: &Caller,
        new: NewImageOf,
        start_at: Option<Timestamp>,
        key: Option<Idempotency>,
    ) -> Result<Job, Error> {
        let start_at = self.later(start_at)?;
        caller.must(Permission::ImagesWrite)?;
        valid(validate::name("name", &new.name).err())?;
        let about = match new.source {
            ImageSource::Server(id) => (Noun::Server, id.into()),
            ImageSource::Disk(id) => (Noun::Disk, id.into()),
        };
        let accepted = self.accept_image(caller, &new, about, start_at, key.as_ref()).await;
        or_earlier(accepted, self.earlier_job_about(caller, about, key.as_ref())).await
    }

    async fn accept_image(
        &self,
        caller: &Caller,
        new: &NewImageOf,
        about: (Noun, Uuid),
        start_at: Option<Timestamp>,
        key: Option<&Idempotency>,
    ) -> Result<Job, Error> {
        again(None, async || {
            if let Some(job) = self.earlier_job_about(caller, about, key).await? {
                return Ok(job);
            }
            let (family, disk, base) = self.source(caller, new.source).await?;
            let server = family.server.clone().ok_or_else(|| missing(Noun::Server, disk.server_id.into()))?;
            let customer: Customer = self.find(disk.customer_id).await?;
            let what = "make images of servers made from it";
            self.image_allows(caller, &server, what, |may| may.can_image).await?;
            if start_at.is_none() {
                copyable(&server)?;
            }
            self.room_for_a_job()?;
            let mut image = self.draft_image(new, &server, &disk, base).await?;
            let _decided = self.inner.scripts.before(caller, TriggerType::PreCreate, &mut image).await?;

            let core = &self.inner.core;
            let input = JobInput::CreateImage { image_id: image.id, disk_id: disk.id, server_id: server.id };
            let item = (Noun::Image, image.id.into(), image.name.as_str());
            let whose = (Some(disk.customer_id), disk.billing_entity_id);
            let mut job = job_on(core, item, whose, input, caller.cause.clone(), caller.user_id);
            take_key(&mut job, key);
            self.put_off(&mut job, start_at);
            let _accepted = self.inner.scripts.before_acceptance(&caller.into(), &job).await?;

            let mut set = ChangeSet::new(caller.cause.clone());
            let mut held = Family { image: Some(image.clone()), ..family.clone() };
            match &mut held.server {
                Some(server) if !job.scheduled => server.job_id = Some(job.id),
                _ => _ = set.require(&server),
            }
            family.turn_into(&mut held, core.now(), Evidence::Seen, &caller.cause, &mut set);
            set.create(&mut job);
            self.admit(customer.id, Admit::image(&image, set)).await??;
            self.begin(server.id, &job);
            Ok(job)
        })
        .await
    }

    /// The disk that is to be copied, with its server, within the caller's reach.
    async fn source(&self, caller: &Caller, source: ImageSource) -> Result<(Family, Disk, ImageBase), Error> {
        let server_id = match source {
            ImageSource::Server(id) => id,
            ImageSource::Disk(id) => {
                let disk: Disk = self.find(id).await?;
                self.reach(caller, disk.billing_entity_id, Some(disk.customer_id), (Noun::Disk, id.into())).await?;
                disk.server_id
            }
        };
        let family = self.store().read(move |s| Family::load(s, server_id)).await?;
        let (disk, base) = match source {
            ImageSource::Server(id) => {
                let server = family.server.as_ref().ok_or_else(|| missing(Noun::Server, id.into()))?;
                let place = (Noun::Server, id.into());
                self.reach(caller, server.billing_entity_id, Some(server.customer_id), place).await?;
                let base = ImageBase { noun: Noun::Server, id: id.into(), name: server.name.clone() };
                (family.disks.iter().find(|disk| disk.index == 0), base)
            }
            ImageSource::Disk(id) => {
                let disk = family.disks.iter().find(|disk| disk.id == id);
                let name = disk.map(|disk| disk.name.clone()).unwrap_or_default();
                (disk, ImageBase { noun: Noun::Disk, id: id.into(), name })
            }
        };
        let disk = disk.cloned().ok_or_else(|| missing(base.noun, base.id))?;
        if disk.state != DiskState::Ready {
            let detail = match disk.state {
                DiskState::Deleting => "the disk is being deleted; there is nothing to make an image of",
                _ => "the disk is still being made; try again when its server is there",
            };
            return Err(Error::State { noun: Noun::Disk, id: disk.id.into(), detail: detail.to_owned() });
        }
        Ok((family, disk, base))
    }

    async fn draft_image(
        &self,
        new: &NewImageOf,
        server: &Server,
        disk: &Disk,
        base: ImageBase,
    ) -> Result<Image, Error> {
        // What its server was made from says how it boots and what it may be used for.
        let origin: Image = self.find(server.image_id).await?;
        let may = origin.permission_of(disk.customer_id);
        let id: ImageId = new.id.unwrap_or_else(|| self.inner.core.new_id());
        Ok(Image {
            id,
            version: 0,
            name: new.name.clone(),
            billing_entity_id: disk.billing_entity_id,
            customer_id: Some(disk.customer_id),
            storage_key: format!("{id}.qcow2"),
            size_gib: disk.size_gib,
            sha256: String::new(),
            boot: origin.boot,
            memory_mib_min: origin.memory_mib_min,
            state: ImageState::Creating,
            base: Some(base),
            owner_permission: new.owner_permission.unwrap_or_default().and(may),
            user_permission: new.user_permission.unwrap_or_default().and(may),
            retired_at: None,
            keys: Vec::new(),
            metadata: None,
            created_at: self.inner.core.now(),
        })
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
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Forbidden`], [`Error::Taken`], [`Error::Stale`], [`Error::Refused`].
    pub async fn update_image(
        &self,
        caller: &Caller,
        id: ImageId,
        if_match: Option<u64>,
        patch: ImagePatch,
    ) -> Result<Image, Error> {
        caller.must(Permission::ImagesWrite)?;
        again(if_match, async || {
            let patch = patch.clone();
            let mut old = self.image(caller, id).await?;
            unchanged(&old, if_match)?;
            let mut new = old.clone();
            if let Some(name) = patch.name {
                valid(validate::name("name", &name).err())?;
                new.name = name;
            }
            if let Some(state) = patch.state.filter(|state| *state != old.state) {
                let (from, to) = (old.state, state);
                match (from, to) {
                    (ImageState::Ready, ImageState::Retired) => new.retired_at = Some(self.inner.core.now()),
                    (ImageState::Retired, ImageState::Ready) => new.retired_at = None,
                    (_, ImageState::Creating | ImageState::Deleting) => {
                        return Err(Error::Invalid(vec![FieldError::new("state", "must be `ready` or `retired`")]));
                    }
                    _ => {
                        let detail = match from {
                            ImageState::Creating => "the image is still being made; cancel its job instead",
                            _ => "the image is being deleted",
                        };
                        return Err(Error::State { noun: Noun::Image, id: id.into(), detail: detail.to_owned() });
                    }
                }
                new.state = state;
            }
            // A customer may take away from what was granted to it, and give nothing.
            let granted = |asked: Option<ImagePermission>, old: ImagePermission| match asked {
                Some(asked) if caller.role.is_customer() => asked.and(old),
                asked => asked.unwrap_or(old),
            };
            new.owner_permission = granted(patch.owner_permission, old.owner_permission);
            new.user_permission = granted(patch.user_permission, old.user_permission);
            if patch.published == Some(true) {
                if caller.role.is_customer() && old.customer_id.is_some() {
                    // Others' servers would run what nobody at the seller has looked at.
                    return Err(Error::Forbidden(Permission::OperatorWrite));
                }
                new.customer_id = None;
            }
            if let Some(keys) = &patch.keys {
                valid(key::problems("keys", keys))?;
                new.keys = merged_keys(caller, &old.keys, keys);
            }
            valid(patch.metadata.onto(&mut new.metadata))?;
            if new == old {
                return Ok(old);
            }
            // Retiring is deleting: it goes for good once nothing is made from it any more.
            let retires = new.state == ImageState::Retired && old.state != ImageState::Retired;
            let asked = if retires { TriggerType::PreDelete } else { TriggerType::PreModify };
            let decided = self.inner.scripts.before(caller, asked, &mut new).await?;
            go_on(&[&decided], &mut old, &mut new).await?;
            let mut set = ChangeSet::new(caller.cause.clone());
            set.update(&old, &mut new);
            self.store().commit(set).await?;
            Ok(new)
        })
        .await
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

/// Refuses a server whose disk may be written to. One that is about to stop has stopped when the job's turn comes.
fn copyable(server: &Server) -> Result<(), Error> {
    let stops = matches!(server.state, ServerState::Stopped | ServerState::Stopping);
    if stops && server.wanted == Wanted::Stopped {
        return Ok(());
    }
    let detail = match server.wanted {
        Wanted::Deleted => "the server is being deleted".to_owned(),
        _ => format!("the server is {}; stop it before an image is made of it", server.state.name()),
    };
    Err(Error::State { noun: Noun::Server, id: server.id.into(), detail })
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
