//! The keeper: periodic work that restores what is wanted without a request.
//!
//! - Deletes the data of disks whose deletion was asked for, once their grace period is over.
//! - Tells servers' actors of unfinished jobs they have not heard of.

use crate::{
    Core,
    family::Family,
    jobs::chain,
    registry::Registry,
    server::{JobAccepted, ServerActor},
};
use std::time::Duration;
use sutler_model::{Cause, Disk, DiskState, Evidence, Job, JobId, Noun};
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
    family.turn_into(&mut rest, core.now(), Evidence::Seen, &cause, &mut set);
    match core.store.commit(set).await {
        Ok(_) | Err(sutler_store::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
