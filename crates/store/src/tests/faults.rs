//! A disk that fails: power cuts that lose unsynced writes, I/O errors, no space.

use super::*;
use crate::{open as opening, space::Probe};
use redb::{Builder, StorageBackend};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// What happens at one call of the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing works any more, and of what was not synced only parts arrived.
    PowerCut,
    /// This call and all later ones fail.
    Broken,
    /// This one call fails.
    Once,
    /// No write fits any more.
    Full,
}

#[derive(Debug, Default)]
struct Disk {
    /// What reads see.
    now: Vec<u8>,
    /// What survives a power cut for sure.
    synced: Vec<u8>,
    /// Since the last sync.
    unsynced: Vec<Write>,
    calls: usize,
    fault: Option<(usize, Fault)>,
}

#[derive(Debug)]
enum Write {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

fn perform(image: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Length(len) => image.resize(*len as usize, 0),
        Write::Bytes(offset, data) => {
            let (from, to) = (*offset as usize, *offset as usize + data.len());
            if image.len() < to {
                image.resize(to, 0);
            }
            image[from..to].copy_from_slice(data);
        }
    }
}

#[derive(Clone, Debug)]
struct Backend(Arc<Mutex<Disk>>);

impl Disk {
    fn call(&mut self, writes: bool) -> io::Result<()> {
        self.calls += 1;
        let Some((at, fault)) = self.fault else { return Ok(()) };
        let fails = match fault {
            Fault::PowerCut | Fault::Broken => self.calls >= at,
            Fault::Once => self.calls == at,
            Fault::Full => self.calls >= at && writes,
        };
        match (fails, fault) {
            (false, _) => Ok(()),
            (true, Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            (true, _) => Err(io::Error::other("the disk does not answer")),
        }
    }

    fn write(&mut self, write: Write) {
        perform(&mut self.now, &write);
        self.unsynced.push(write);
    }

    /// What is found after the power is back: any part of what was not synced, in any order, torn at sectors.
    fn after_power_cut(&self, seed: u64) -> Vec<u8> {
        let mut image = self.synced.clone();
        let mut random = seed | 1;
        let mut coin = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.is_multiple_of(2)
        };
        for write in &self.unsynced {
            match write {
                Write::Length(_) => perform(&mut image, write),
                Write::Bytes(offset, data) => {
                    for (i, sector) in data.chunks(512).enumerate() {
                        if coin() {
                            perform(&mut image, &Write::Bytes(offset + i as u64 * 512, sector.to_vec()));
                        }
                    }
                }
            }
        }
        image
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        let mut disk = self.0.lock().unwrap();
        disk.call(false)?;
        Ok(disk.now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let mut disk = self.0.lock().unwrap();
        disk.call(false)?;
        let from = offset as usize;
        let found = disk.now.get(from..from + out.len()).ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut disk = self.0.lock().unwrap();
        disk.call(true)?;
        disk.write(Write::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut disk = self.0.lock().unwrap();
        disk.call(true)?;
        disk.synced = disk.now.clone();
        disk.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut disk = self.0.lock().unwrap();
        disk.call(true)?;
        disk.write(Write::Bytes(offset, data.to_vec()));
        Ok(())
    }
}

fn store_on(disk: &Arc<Mutex<Disk>>) -> Result<Store, Error> {
    let path = PathBuf::from("/nowhere/store.redb");
    let fresh = disk.lock().unwrap().now.is_empty();
    let db = Builder::new().set_cache_size(1 << 20).create_with_backend(Backend(disk.clone()));
    let db = db.map_err(|e| Error::io("opening the disk", e))?;
    if fresh {
        opening::init(&db, crate::migrations::MIGRATIONS, Timestamp(0))?;
    }
    let probe: Probe = Arc::new(|_| Ok(u64::MAX));
    opening::start(&path, db, options(), probe, None)
}

fn disk(image: Vec<u8>) -> Arc<Mutex<Disk>> {
    Arc::new(Mutex::new(Disk { synced: image.clone(), now: image, ..Disk::default() }))
}

/// Works until the store stops. Answers what was acknowledged: by server, the version (none: deleted), and the feed's place.
fn work(store: &Store) -> (BTreeMap<Uuid, Option<u64>>, u64) {
    let (mut acknowledged, mut last) = (BTreeMap::new(), 0);
    run(async {
        let mut known: Vec<Server> = Vec::new();
        for round in 0..12_usize {
            let mut waiting = Vec::new();
            for i in 0..5 {
                let mut changes = set();
                let mut touched = Vec::new();
                if i < 3 || known.len() < 4 {
                    let mut new = server(store, &format!("s{round}-{i}"), 1);
                    new.user_data = Some("x".repeat(700 * i));
                    changes.create(&mut new);
                    touched.push((new.id.0, Some(new)));
                } else {
                    // An update and a deletion that must come together or not at all.
                    let (gone, old) = (known.remove(0), known.remove(0));
                    let mut new = old.clone();
                    new.cpu += 1;
                    changes.delete(&gone).update(&old, &mut new);
                    touched.extend([(gone.id.0, None), (new.id.0, Some(new))]);
                }
                waiting.push((store.submit(changes), touched));
            }
            for (answer, touched) in waiting {
                match answer.await {
                    Ok(committed) => {
                        last = committed.seq;
                        for (id, record) in touched {
                            acknowledged.insert(id, record.as_ref().map(|r| r.version));
                            known.extend(record);
                        }
                    }
                    Err(Error::Stopped(_)) => return,
                    Err(other) => panic!("{other}"),
                }
            }
        }
    });
    (acknowledged, last)
}

/// Everything acknowledged is there, the feed has no gap, and records are what the feed says.
fn check(image: Vec<u8>, acknowledged: &BTreeMap<Uuid, Option<u64>>, last: u64, what: &str) {
    let disk = disk(image);
    let store = store_on(&disk).unwrap_or_else(|e| panic!("{what}: {}", crate::writer::chain(&e)));
    let feed = store.feed(1, usize::MAX).unwrap();
    assert!(feed.iter().map(|e| e.seq).eq(1..=feed.len() as u64), "{what}: a gap in the feed");
    assert!(feed.len() as u64 >= last, "{what}: the feed lost what was acknowledged");
    let mut versions: BTreeMap<Uuid, Option<u64>> = BTreeMap::new();
    for change in feed.iter().flat_map(|e| &e.changes) {
        versions.insert(change.id, (change.op != Op::Deleted).then_some(change.version));
    }
    for (id, version) in acknowledged {
        let found = versions.get(id).copied().flatten();
        // Later changes may have become durable without their answer.
        assert!(version.is_none() && found.is_none() || found >= *version || versions[id].is_none(), "{what}: {id}");
    }
    for (id, version) in versions {
        let found = run(store.get::<Server>(id)).unwrap().map(|s| s.version);
        assert_eq!(found, version, "{what}: {id}");
    }
    // And it works.
    run(async {
        let mut more = server(&store, "afterwards", 9);
        let mut changes = set();
        changes.create(&mut more);
        assert_eq!(store.commit(changes).await.unwrap().seq, feed.len() as u64 + 1, "{what}");
    });
}

fn calls_without_fault() -> (usize, usize) {
    let disk = disk(Vec::new());
    let store = store_on(&disk).unwrap();
    let opened = disk.lock().unwrap().calls;
    let (acknowledged, last) = work(&store);
    let worked = disk.lock().unwrap().calls;
    drop(store);
    let image = disk.lock().unwrap().now.clone();
    check(image, &acknowledged, last, "without a fault");
    (opened, worked)
}

fn with_fault(at: usize, fault: Fault) {
    let disk = disk(Vec::new());
    let store = store_on(&disk).unwrap();
    disk.lock().unwrap().fault = Some((at, fault));
    let (acknowledged, last) = work(&store);
    let stopped = matches!(store.health(), Health::Stopped(_));
    if stopped {
        let refused = run(async {
            let mut more = server(&store, "more", 9);
            let mut changes = set();
            changes.create(&mut more);
            store.commit(changes).await
        });
        assert!(matches!(refused, Err(Error::Stopped(_))), "{fault:?} at {at}: a stopped store took a change set");
    }
    drop(store);
    let image = {
        let disk = disk.lock().unwrap();
        if fault == Fault::PowerCut { disk.after_power_cut(at as u64 * 7919) } else { disk.now.clone() }
    };
    check(image, &acknowledged, last, &format!("{fault:?} at call {at}"));
}

fn at_many_points(fault: Fault) {
    let (opened, worked) = calls_without_fault();
    assert!(worked > opened + 40);
    let step = ((worked - opened) / 60).max(1);
    for at in (opened + 1..worked).step_by(step) {
        with_fault(at, fault);
    }
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    at_many_points(Fault::PowerCut);
}

#[test]
fn a_broken_disk_stops_the_store_and_loses_nothing_acknowledged() {
    at_many_points(Fault::Broken);
}

#[test]
fn a_single_io_error_loses_nothing_acknowledged() {
    at_many_points(Fault::Once);
}

#[test]
fn a_full_disk_loses_nothing_acknowledged() {
    at_many_points(Fault::Full);
}
