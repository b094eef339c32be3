//! The keeper: periodic work that restores what is wanted without a request.
//!
//! - Deletes the data of disks whose deletion was asked for, once their grace period is over.
//! - Deletes images that are to go, and retired ones that customers made, once nothing is made from them any more.
//! - Takes away what remains of resources that nobody invoiced.
//! - Tells servers' actors of unfinished jobs they have not heard of.

use crate::{
    Core,
    family::Family,
    jobs::chain,
    registry::Registry,
    remains,
    server::{JobAccepted, ServerActor},
};
use std::time::Duration;
use sutler_model::{Cause, Disk, DiskState, Evidence, Image, ImageState, Job, JobId, Noun};
use sutler_store::{ChangeSet, Field};

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(15);
/// An unfinished job this old is told of again, milliseconds. Telling twice changes nothing.
const TELL_AGAIN_MS: i64 = 15_000;

/// Goes its rounds until the process stops.
pub(crate) async fn keep(core: Core, servers: Registry<ServerActor>) {
    tell_of_jobs(&core, &servers, 0).await;
    loop {
        delete_disks(&core).await;
        delete_images(&core).await;
        if let Err(error) = remains::sweep(&core).await {
            tracing::warn!("what remains of resources that nobody invoiced is not swept yet: {}", chain(&error));
        }
        tokio::time::sleep(ROUND).await;
        tell_of_jobs(&core, &servers, TELL_AGAIN_MS).await;
    }
}

async fn tell_of_jobs(core: &Core, servers: &Registry<ServerActor>, older_than_ms: i64) {
    let now = core.now();
    for id in core.store.index().ids(Noun::Job, Field::Pending, b"1") {
        let job = match core.store.get::<Job>(id).await {
            Ok(Some(job)) if now.since_ms(job.created_at) >= older_than_ms => job,
            Ok(_) => continue,
            Err(error) => return tracing::warn!("unfinished jobs could not be read: {error}"),
        };
        let Some(server) = job.input.server_id() else { continue };
        if let Err(error) = servers.ask(server.into(), JobAccepted(JobId(id))).await {
            tracing::warn!(job = %id, "the server's actor was not told of its job yet: {error}");
        }
    }
}

async fn delete_disks(core: &Core) {
    for id in core.store.index().ids(Noun::Disk, Field::Pending, b"1") {
        if let Err(error) = delete_disk(core, id).await {
            tracing::warn!(disk = %id, "the disk's data is not deleted yet: {}", chain(&error));
        }
    }
}

/// Deletes a disk's data, then its record: the record is the proof that deletion was asked for.
async fn delete_disk(core: &Core, id: uuid::Uuid) -> Result<(), crate::Error> {
    let Some(disk) = core.store.get::<Disk>(id).await? else { return Ok(()) };
    let Some(asked) = disk.delete_requested_at else { return Ok(()) };
    if disk.state != DiskState::Deleting || core.now().since_ms(asked) < core.settings.disk_grace_ms {
        return Ok(());
    }
    if let Some(node) = disk.node_id {
        // A node that is not configured here still holds the data; the disk waits for it.
        let Some(drivers) = core.nodes.get(node) else { return Ok(()) };
        drivers.storage.delete_disk(disk.id).await?;
    }
    let server = disk.server_id;
    let family = core.store.read(move |s| Family::load(s, server)).await?;
    let mut rest = family.clone();
    rest.disks.retain(|d| d.id != disk.id);
    let cause = Cause::system("keeper");
    let mut set = ChangeSet::new(cause.clone());
    let now = core.now();
    family.turn_into(&mut rest, now, Evidence::Seen, &cause, &mut set);
    remains::keep_family(core, &family, &rest, now, &mut set).await?;
    match core.store.commit(set).await {
        Ok(_) | Err(sutler_store::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn delete_images(core: &Core) {
    for id in core.store.index().ids(Noun::Image, Field::Pending, b"1") {
        if let Err(error) = delete_image(core, id).await {
            tracing::warn!(image = %id, "the image is not deleted yet: {}", chain(&error));
        }
    }
}

/// Deletes an image: first it is marked, so that it is offered to nobody again, then its files go, then its record.
async fn delete_image(core: &Core, id: uuid::Uuid) -> Result<(), crate::Error> {
    let Some(mut image) = core.store.get::<Image>(id).await? else { return Ok(()) };
    let cause = Cause::system("keeper");
    if image.state == ImageState::Retired {
        let since = image.retired_at.unwrap_or(image.created_at);
        let used = core.store.index().count(Noun::Disk, Field::Image, id.as_bytes()) > 0;
        if used || core.now().since_ms(since) < core.settings.disk_grace_ms {
            return Ok(());
        }
        let mut marked = image.clone();
        marked.state = ImageState::Deleting;
        let mut set = ChangeSet::new(cause.clone());
        set.update(&image, &mut marked);
        match core.store.commit(set).await {
            Ok(_) => image = marked,
            Err(sutler_store::Error::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    for storage in core.nodes.storages() {
        storage.delete_image(&image.storage_key).await?;
    }
    let mut set = ChangeSet::new(cause);
    set.delete(&image);
    match core.store.commit(set).await {
        Ok(_) | Err(sutler_store::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
