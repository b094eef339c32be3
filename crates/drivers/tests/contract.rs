//! What every driver promises.

use crate::support::{self, bare, eventually_seen, hear, qemu, server_id, signal, state_event};
use std::path::Path;
use sutler_drivers::{
    Drivers, Error,
    compute::{GuestSpec, GuestState, Stop},
    storage::{DiskSpec, SeedSpec},
};
use sutler_model::{DiskId, Nic};

/// A guest's whole life, every call twice.
pub async fn a_guest_lives_and_every_call_may_be_repeated(drivers: &Drivers, spec: GuestSpec) {
    let (compute, id) = (&*drivers.compute, spec.id);
    let _reap = support::Reap(id);
    let mut events = compute.events();
    for _ in 0..2 {
        compute.define(&spec).await.unwrap();
    }
    assert_eq!(compute.see(id).await.unwrap().unwrap().state, GuestState::Stopped);
    for _ in 0..2 {
        compute.start(id).await.unwrap();
    }
    state_event(&mut events, id, GuestState::Running).await;
    assert_eq!(compute.see(id).await.unwrap().unwrap().state, GuestState::Running);
    compute.define(&spec).await.unwrap();
    assert_eq!(compute.see(id).await.unwrap().unwrap().state, GuestState::Running, "what runs goes on running");
    assert!(compute.see_all().await.unwrap().iter().any(|g| g.id == id && g.state == GuestState::Running));
    assert!(compute.stats().await.unwrap().iter().any(|s| s.id == Some(id)));
    compute.reset(id).await.unwrap();
    assert!(matches!(compute.undefine(id).await, Err(Error::Permanent { .. })), "a running guest is not forgotten");
    compute.stop(id, Stop::Ask).await.unwrap();
    for _ in 0..2 {
        compute.stop(id, Stop::Force).await.unwrap();
    }
    state_event(&mut events, id, GuestState::Stopped).await;
    assert_eq!(compute.see(id).await.unwrap().unwrap().state, GuestState::Stopped);
    compute.start(id).await.unwrap();
    eventually_seen(compute, id, GuestState::Running).await;
    compute.stop(id, Stop::Force).await.unwrap();
    for _ in 0..2 {
        compute.undefine(id).await.unwrap();
    }
    assert_eq!(compute.see(id).await.unwrap(), None);
    assert!(!compute.see_all().await.unwrap().iter().any(|g| g.id == id));
}

pub async fn an_unknown_guest_is_absent_and_no_accident(drivers: &Drivers) {
    let (compute, id) = (&*drivers.compute, server_id());
    assert_eq!(compute.see(id).await.unwrap(), None);
    compute.stop(id, Stop::Ask).await.unwrap();
    compute.stop(id, Stop::Force).await.unwrap();
    compute.undefine(id).await.unwrap();
    assert!(matches!(compute.start(id).await, Err(Error::Permanent { .. })));
    assert!(matches!(compute.reset(id).await, Err(Error::Permanent { .. })));
    assert!(matches!(compute.console(id).await, Err(Error::Permanent { .. })));
}

pub async fn a_node_says_what_it_has(drivers: &Drivers) {
    let capacity = drivers.compute.capacity().await.unwrap();
    assert!(capacity.cpus > 0 && capacity.memory_mib > 0 && !capacity.version.is_empty());
    let (free, total) = drivers.storage.space().await.unwrap();
    assert!(free > 0 && free <= total);
}

pub async fn storage_calls_may_be_repeated(drivers: &Drivers, dir: &Path) {
    let storage = &*drivers.storage;
    let (disk, server) = (DiskId(uuid::Uuid::new_v4()), server_id());
    let spec = |size_gib| DiskSpec { id: disk, size_gib, image: None };
    let first = storage.ensure_disk(&spec(1)).await.unwrap();
    for size in [1, 2, 1] {
        assert_eq!(storage.ensure_disk(&spec(size)).await.unwrap(), first);
    }
    assert!(storage.list_disks().await.unwrap().contains(&disk));
    let seed = SeedSpec {
        id: server,
        host_name: "a".into(),
        ssh_keys: vec![],
        user_data: None,
        additions: vec![],
        metadata: None,
    };
    assert_eq!(storage.ensure_seed(&seed).await.unwrap(), storage.ensure_seed(&seed).await.unwrap());
    for _ in 0..2 {
        storage.delete_disk(disk).await.unwrap();
        storage.delete_seed(server).await.unwrap();
    }
    assert!(!storage.list_disks().await.unwrap().contains(&disk));

    let source = dir.join("contract.img");
    crate::guest::write_image(&source);
    let image = storage.import_image("contract", &source).await.unwrap();
    assert_eq!(storage.import_image("contract", &source).await.unwrap(), image);
    let clone = DiskSpec { image: Some("contract".into()), ..spec(1) };
    storage.ensure_disk(&clone).await.unwrap();
    assert!(matches!(storage.delete_image("contract").await, Err(Error::Permanent { .. })), "a disk needs it");
    let captured = storage.capture_image("captured", disk).await.unwrap();
    assert_eq!(storage.capture_image("captured", disk).await.unwrap(), captured);
    assert_eq!(captured.virtual_bytes, 1 << 30, "an image made of a disk is as large as the disk");
    storage.delete_disk(disk).await.unwrap();
    for _ in 0..2 {
        storage.share_image(&captured, &storage.image_file("captured")).await.unwrap();
    }
    storage.ensure_disk(&DiskSpec { image: Some("captured".into()), ..spec(1) }).await.unwrap();
    assert!(matches!(storage.delete_image("captured").await, Err(Error::Permanent { .. })), "a disk needs it");
    storage.delete_disk(disk).await.unwrap();
    storage.delete_image("captured").await.unwrap();
    assert!(matches!(storage.capture_image("captured", disk).await, Err(Error::Permanent { .. })), "the disk is gone");
    for _ in 0..2 {
        storage.delete_image("contract").await.unwrap();
    }
    assert!(matches!(storage.ensure_disk(&clone).await, Err(Error::Permanent { .. })), "the image is gone");
    let text = dir.join("text");
    std::fs::write(&text, "not an image").unwrap();
    assert!(matches!(storage.import_image("text", &text).await, Err(Error::NotAnImage(_))));
}

pub async fn an_interface_keeps_its_address(drivers: &Drivers) {
    let (network, server) = (&*drivers.network, server_id());
    let nic = |index| Nic { index, mac: String::new(), addresses: vec![] };
    let first = network.ensure_nic(server, &nic(0)).await.unwrap();
    assert_eq!(network.ensure_nic(server, &nic(0)).await.unwrap(), first);
    assert_ne!(network.ensure_nic(server, &nic(1)).await.unwrap().nic.mac, first.nic.mac);
    assert_eq!(network.addresses(server, &first.nic).await.unwrap(), Vec::<String>::new(), "it does not run");
    for _ in 0..2 {
        network.remove_nics(server).await.unwrap();
    }
}

// -- only where guests are real

pub async fn a_console_goes_both_ways(drivers: &Drivers, dir: &Path) {
    let spec = support::echoing(drivers, dir).await;
    let (compute, id) = (&*drivers.compute, spec.id);
    let _reap = support::Reap(id);
    compute.define(&spec).await.unwrap();
    compute.start(id).await.unwrap();
    assert_eq!(drivers.network.addresses(id, &spec.nics[0].nic).await.unwrap(), ["10.0.2.15"]);
    let mut console = compute.console(id).await.unwrap();
    hear(&mut console, crate::guest::READY).await;
    console.input.send(b"hello, ".to_vec()).await.unwrap();
    console.input.send(b"guest".to_vec()).await.unwrap();
    hear(&mut console, b"hello, guest").await;
    let mut second = compute.console(id).await.unwrap();
    hear(&mut second, b"hello, guest").await;
    second.input.send(b"taken over".to_vec()).await.unwrap();
    hear(&mut second, b"taken over").await;
    hear(&mut console, b"taken over").await;

    // It switches itself off, which is no crash.
    let mut events = compute.events();
    second.input.send(b"Q".to_vec()).await.unwrap();
    state_event(&mut events, id, GuestState::Stopped).await;
    eventually_seen(compute, id, GuestState::Stopped).await;
    compute.undefine(id).await.unwrap();
}

pub async fn a_killed_guest_reads_crashed(drivers: &Drivers) {
    let (compute, id) = (&*drivers.compute, server_id());
    let _reap = support::Reap(id);
    let mut events = compute.events();
    compute.define(&bare(id)).await.unwrap();
    compute.start(id).await.unwrap();
    signal(id, "-KILL");
    state_event(&mut events, id, GuestState::Crashed).await;
    eventually_seen(compute, id, GuestState::Crashed).await;
    compute.start(id).await.unwrap();
    eventually_seen(compute, id, GuestState::Running).await;
    compute.stop(id, Stop::Force).await.unwrap();
    compute.undefine(id).await.unwrap();
}

pub async fn a_frozen_guest_reads_frozen_and_holds_up_nobody(drivers: &Drivers) {
    let (compute, frozen, other) = (&*drivers.compute, server_id(), server_id());
    let _reap = (support::Reap(frozen), support::Reap(other));
    for id in [frozen, other] {
        compute.define(&bare(id)).await.unwrap();
        compute.start(id).await.unwrap();
    }
    signal(frozen, "-STOP");
    eventually_seen(compute, frozen, GuestState::Frozen).await;
    let stats = compute.stats().await.unwrap();
    assert!(stats.iter().any(|s| s.id == Some(other)));
    assert!(!stats.iter().any(|s| s.id == Some(frozen)));
    assert_eq!(compute.see(other).await.unwrap().unwrap().state, GuestState::Running);
    // Resetting it asks its monitor, which does not answer; that is its own fault, not the node's.
    assert!(compute.reset(frozen).await.is_err());
    assert_eq!(compute.see(other).await.unwrap().unwrap().state, GuestState::Running);
    // It still waits for the monitor inside the daemon; a look at all does not wait with it.
    let all = compute.see_all().await;
    assert!(all.unwrap().iter().any(|g| g.id == frozen && g.state == GuestState::Frozen));

    signal(frozen, "-CONT");
    eventually_seen(compute, frozen, GuestState::Running).await;
    signal(frozen, "-STOP");
    eventually_seen(compute, frozen, GuestState::Frozen).await;
    compute.stop(frozen, Stop::Force).await.unwrap();
    assert_eq!(compute.see(frozen).await.unwrap().unwrap().state, GuestState::Stopped);
    assert_eq!(qemu(frozen), None);
    compute.stop(other, Stop::Force).await.unwrap();
    for id in [frozen, other] {
        compute.undefine(id).await.unwrap();
    }
}

/// A QEMU that hangs without being stopped, as on storage that went away: only its silence tells.
pub async fn a_hung_guest_is_found_out_and_holds_up_nobody(drivers: &Drivers) {
    let (compute, hung, other) = (&*drivers.compute, server_id(), server_id());
    let _reap = (support::Reap(hung), support::Reap(other));
    for id in [hung, other] {
        compute.define(&bare(id)).await.unwrap();
        compute.start(id).await.unwrap();
    }
    let Some(freezer) = support::Freezer::freeze(hung) else { return };
    // Nobody knows yet: the first reading runs into it, the second need not. What the kernel counts may be there.
    for _ in 0..2 {
        assert!(compute.stats().await.unwrap().iter().any(|s| s.id == Some(other)));
    }
    eventually_seen(compute, hung, GuestState::Frozen).await;
    assert_eq!(compute.see(other).await.unwrap().unwrap().state, GuestState::Running);
    drop(freezer);
    eventually_seen(compute, hung, GuestState::Running).await;
    let stats = compute.stats().await.unwrap();
    assert!(stats.iter().any(|s| s.id == Some(hung)));
    for id in [hung, other] {
        compute.stop(id, Stop::Force).await.unwrap();
        compute.undefine(id).await.unwrap();
    }
}
