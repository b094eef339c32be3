//! What is kept of resources that are gone until their last use is invoiced: billing methods charge by it.
//!
//! It comes with the change set that ends a resource, and goes with the one that closes the invoice which covers that end; so a crash
//! leaves neither a charge without it nor it without a charge to come. Of a customer that is not invoiced it goes when it is old.

use crate::{
    Core, Error,
    family::Family,
    scripts::{
        Table,
        beans::{Beans, FEW},
    },
};
use std::{collections::BTreeMap, sync::PoisonError};
use sutler_lua::Bean;
use sutler_model::{
    BillingEntity, Cause, CustomerId, Disk, DiskState, PluggableResource, Remains, RemainsId, Remnant, Scope, ServerId,
    Timestamp, time::DAY_MS,
};
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter, Order, Snapshot};
use uuid::Uuid;

/// How long they are kept of a customer that is not invoiced: longer than a year, so that one who is invoiced yearly is in time.
const KEEP_MS: i64 = 400 * DAY_MS;
/// Most that go in one round of the keeper: some milliseconds of the writer.
const SWEPT_AT_ONCE: usize = 256;

/// Adds to `set` what remains of the server and disks of `old` that are not in `new`.
///
/// # Errors
/// Those of the store.
pub(crate) async fn keep_family(
    core: &Core,
    old: &Family,
    new: &Family,
    at: Timestamp,
    set: &mut ChangeSet,
) -> Result<(), StoreError> {
    if let (Some(server), None) = (&old.server, &new.server) {
        let seller = core.store.get::<BillingEntity>(server.billing_entity_id).await?;
        let (path, customer) = (seller.map(|seller| seller.path).unwrap_or_default(), Some(server.customer_id));
        let disks = old.disks.iter().filter(|disk| disk.state == DiskState::Ready).cloned().collect();
        let was = Remnant::Server(Box::new(server.clone()), disks);
        keep(core, was, at, set, |enabled, provider_type, filled| {
            enabled.hide_settings((&path, customer), provider_type, filled);
        });
    }
    // One that was not made in the end was never there.
    let made = old.disks.iter().filter(|disk| disk.state != DiskState::Creating);
    for gone in made.filter(|old| !new.disks.iter().any(|disk| disk.id == old.id)) {
        keep(core, Remnant::Disk(Box::new(gone.clone())), at, set, |_, _, _| {});
    }
    Ok(())
}

/// Adds to `set` what remains of a pluggable resource that ends.
pub(crate) fn keep_pluggable(core: &Core, old: &PluggableResource, at: Timestamp, set: &mut ChangeSet) {
    let script = old.script_id;
    keep(core, Remnant::PluggableResource(Box::new(old.clone())), at, set, |enabled, provider_type, filled| {
        enabled.hide_values(script, provider_type, filled);
    });
}

fn keep(
    core: &Core,
    was: Remnant,
    at: Timestamp,
    set: &mut ChangeSet,
    hide: impl Fn(&Table, &str, &mut BTreeMap<String, String>),
) {
    let enabled = core.enabled.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(mut remains) = Remains::new(was, at, |provider_type, filled| hide(&enabled, provider_type, filled)) {
        set.create(&mut remains);
    }
}

/// What remains of a resource; none: it is there, was invoiced, or went before any was kept.
pub(crate) fn find(snapshot: &Snapshot, resource: Uuid) -> Result<Option<Remains>, StoreError> {
    let of_it = Filter::<Remains>::new().is(Field::Subject, resource.as_bytes());
    snapshot.first(of_it, Order::Descending)
}

/// What a server was called that is gone, as long as anything remains of it.
pub(crate) fn server_name(snapshot: &Snapshot, server: ServerId) -> Result<Option<String>, StoreError> {
    Ok(match find(snapshot, server.into())?.map(|remains| remains.was) {
        Some(Remnant::Server(server, _)) => Some(server.name),
        _ => None,
    })
}

/// A resource that is gone as scripts of `viewer` knew it.
pub(crate) fn bean(snapshot: &Snapshot, viewer: Scope, remains: Remains) -> Result<Bean, StoreError> {
    let beans = Beans::new(snapshot, viewer, FEW);
    let gone = |bean: Bean| bean.with("resourceState", "DELETED");
    let disk = |disk: Disk| beans.bean(disk).map(gone);
    match remains.was {
        Remnant::Server(server, disks) => {
            let disks: Vec<Bean> = disks.into_iter().map(disk).collect::<Result<_, _>>()?;
            let disks: Vec<_> = disks.iter().map(|disk| disk.properties.to_map().into()).collect();
            let disks = serde_json::Value::Array(disks);
            Ok(gone(beans.bean(*server)?).with("disks", disks))
        }
        Remnant::Disk(own) => disk(*own),
        Remnant::PluggableResource(resource) => Ok(gone(beans.bean(*resource)?)),
    }
}

/// What is not needed any more of a customer that is invoiced up to a time.
pub(crate) fn invoiced(snapshot: &Snapshot, id: CustomerId, to: Timestamp) -> Result<Vec<Remains>, StoreError> {
    let of_customer = Filter::<Remains>::new().is(Field::Customer, id.0.as_bytes());
    snapshot.all(of_customer.when(move |remains| remains.ended_at <= to))
}

/// Takes away some of those that no invoice has covered for too long.
///
/// # Errors
/// Those of the store.
pub(crate) async fn sweep(core: &Core) -> Result<(), Error> {
    let before = core.now().plus_ms(-KEEP_MS).0.max(0).unsigned_abs();
    let read = core.store.read(move |snapshot| {
        let mut old = Vec::new();
        snapshot.scan::<Remains>(&[], RemainsId::new(before, [0; 10]).0.as_bytes(), |remains| {
            old.push(remains);
            old.len() < SWEPT_AT_ONCE
        })?;
        Ok(old)
    });
    let old = read.await?;
    if old.is_empty() {
        return Ok(());
    }
    let mut set = ChangeSet::new(Cause::system("keeper"));
    old.iter().for_each(|remains| _ = set.sweep(remains));
    match core.store.commit_soon(set).await {
        // An invoice was faster with one of them; the others are for the next round.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
