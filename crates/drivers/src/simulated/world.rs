//! What there is in a simulated world, and what may happen to it.

use super::journal::Journal;
use crate::{
    Error, Result,
    compute::{GuestState, NodeEvent, SeenGuest},
    storage::StoredImage,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Instant,
};
use sutler_model::{DiskId, ServerId};
use tokio::sync::broadcast;

/// One change of the world, as kept in its file. Append variants, never rename.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    Guest { id: ServerId, node: Arc<str>, state: GuestState, cpu: u32, memory_mib: u64 },
    NoGuest { id: ServerId },
    Disk { id: DiskId, node: Arc<str>, size_gib: u64, image: Option<Arc<str>> },
    NoDisk { id: DiskId },
    Seed { id: ServerId, node: Arc<str> },
    NoSeed { id: ServerId },
    Image { node: Arc<str>, image: StoredImage },
    NoImage { node: Arc<str>, storage_key: String },
}

/// A guest.
pub(super) struct Guest {
    pub(super) node: Arc<str>,
    pub(super) state: GuestState,
    pub(super) cpu: u32,
    pub(super) memory_mib: u64,
    /// Since when it runs; counters grow from here.
    pub(super) since: Option<Instant>,
}

/// A disk.
pub(super) struct Disk {
    node: Arc<str>,
    size_gib: u64,
    image: Option<Arc<str>>,
}

struct Node {
    connected: bool,
    guests: HashSet<ServerId>,
    /// Made when somebody first listens: of 25,000 nodes few may ever be watched.
    events: Option<broadcast::Sender<NodeEvent>>,
}

/// Everything there is.
pub(super) struct World {
    nodes: HashMap<Arc<str>, Node>,
    guests: HashMap<ServerId, Guest>,
    disks: HashMap<DiskId, Disk>,
    seeds: HashMap<ServerId, Arc<str>>,
    images: BTreeMap<(Arc<str>, String), StoredImage>,
    journal: Option<Journal>,
}

/// Events kept for slow readers: few busy nodes get long backlogs, many quiet ones short ones (64 bytes an event).
const BACKLOG: usize = 16 * 1024;
const BACKLOG_MIN: usize = 16;
const BACKLOG_MAX: usize = 4096;

/// Changes in the file for each thing there is, from which on the file is written anew at opening.
const COMPACT_FACTOR: usize = 4;

impl World {
    pub(super) fn open(file: Option<&Path>) -> Result<Self> {
        let mut world = Self {
            nodes: HashMap::new(),
            guests: HashMap::new(),
            disks: HashMap::new(),
            seeds: HashMap::new(),
            images: BTreeMap::new(),
            journal: None,
        };
        let Some(path) = file else { return Ok(world) };
        let mut changes = 0;
        let mut journal = Journal::open(path, |change| {
            changes += 1;
            world.apply(&change);
        })?;
        let things = world.guests.len() + world.disks.len() + world.seeds.len() + world.images.len();
        if changes > 1000 + COMPACT_FACTOR * things {
            journal.rewrite(path, world.all())?;
        }
        world.journal = Some(journal);
        Ok(world)
    }

    /// The changes that make this world out of nothing.
    fn all(&self) -> impl Iterator<Item = Change> {
        let guests = self.guests.iter().map(|(&id, g)| Change::Guest {
            id,
            node: g.node.clone(),
            state: g.state,
            cpu: g.cpu,
            memory_mib: g.memory_mib,
        });
        let disks = self.disks.iter().map(|(&id, d)| Change::Disk {
            id,
            node: d.node.clone(),
            size_gib: d.size_gib,
            image: d.image.clone(),
        });
        let seeds = self.seeds.iter().map(|(&id, node)| Change::Seed { id, node: node.clone() });
        let images =
            self.images.iter().map(|((node, _), image)| Change::Image { node: node.clone(), image: image.clone() });
        guests.chain(disks).chain(seeds).chain(images)
    }

    /// One `Arc` for each node's name, however many things lie on it.
    fn intern(&mut self, node: &Arc<str>) -> Arc<str> {
        if let Some((name, _)) = self.nodes.get_key_value(node) {
            return name.clone();
        }
        self.nodes.insert(node.clone(), Node { connected: true, guests: HashSet::new(), events: None });
        node.clone()
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Guest { id, node, state, cpu, memory_mib } => {
                let node = self.intern(node);
                let runs = !matches!(state, GuestState::Stopped | GuestState::Crashed);
                let since = self.guests.get(id).and_then(|g| g.since).filter(|_| runs);
                let since = since.or_else(|| runs.then(Instant::now));
                if let Some(n) = self.nodes.get_mut(&node) {
                    n.guests.insert(*id);
                }
                self.guests.insert(*id, Guest { node, state: *state, cpu: *cpu, memory_mib: *memory_mib, since });
            }
            Change::NoGuest { id } => {
                if let Some(guest) = self.guests.remove(id)
                    && let Some(node) = self.nodes.get_mut(&guest.node)
                {
                    node.guests.remove(id);
                }
            }
            Change::Disk { id, node, size_gib, image } => {
                let node = self.intern(node);
                self.disks.insert(*id, Disk { node, size_gib: *size_gib, image: image.clone() });
            }
            Change::NoDisk { id } => {
                self.disks.remove(id);
            }
            Change::Seed { id, node } => {
                let node = self.intern(node);
                self.seeds.insert(*id, node);
            }
            Change::NoSeed { id } => {
                self.seeds.remove(id);
            }
            Change::Image { node, image } => {
                let node = self.intern(node);
                self.images.insert((node, image.storage_key.clone()), image.clone());
            }
            Change::NoImage { node, storage_key } => {
                self.images.remove(&(node.clone(), storage_key.clone()));
            }
        }
    }

    /// Keeps the change, then makes it.
    fn commit(&mut self, change: Change) -> Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.append(&change)?;
        }
        self.apply(&change);
        Ok(())
    }

    fn tell(&self, node: &Arc<str>, event: NodeEvent) {
        if let Some(events) = self.nodes.get(node).and_then(|n| n.events.as_ref()) {
            // No listener is no fault.
            let _ = events.send(event);
        }
    }

    // -- nodes

    pub(super) fn events(&mut self, node: &Arc<str>) -> broadcast::Receiver<NodeEvent> {
        self.intern(node);
        let backlog = (BACKLOG / self.nodes.len()).clamp(BACKLOG_MIN, BACKLOG_MAX);
        match self.nodes.get_mut(node) {
            Some(n) => n.events.get_or_insert_with(|| broadcast::channel(backlog).0).subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    pub(super) fn is_connected(&self, node: &Arc<str>) -> bool {
        self.nodes.get(node).is_none_or(|n| n.connected)
    }

    pub(super) fn set_connected(&mut self, node: &Arc<str>, connected: bool) {
        self.intern(node);
        let Some(n) = self.nodes.get_mut(node) else { return };
        if std::mem::replace(&mut n.connected, connected) != connected {
            let lost = || NodeEvent::Disconnected("the simulated connection was cut".into());
            self.tell(node, if connected { NodeEvent::Connected } else { lost() });
        }
    }

    // -- guests

    pub(super) fn guest(&self, id: ServerId) -> Option<&Guest> {
        self.guests.get(&id)
    }

    /// The guests of one node, or all.
    pub(super) fn guests(&self, node: Option<&Arc<str>>) -> Vec<SeenGuest> {
        self.of_node(node).map(|(id, g)| SeenGuest { id, state: g.state }).collect()
    }

    /// The guests of one node, or all, with what is known of them.
    pub(super) fn of_node<'a>(
        &'a self,
        node: Option<&Arc<str>>,
    ) -> Box<dyn Iterator<Item = (ServerId, &'a Guest)> + 'a> {
        match node {
            None => Box::new(self.guests.iter().map(|(&id, g)| (id, g))),
            Some(node) => Box::new(
                self.nodes
                    .get(node)
                    .into_iter()
                    .flat_map(|n| &n.guests)
                    .filter_map(|&id| self.guests.get(&id).map(|g| (id, g))),
            ),
        }
    }

    pub(super) fn define(&mut self, id: ServerId, node: &Arc<str>, cpu: u32, memory_mib: u64) -> Result<()> {
        let state = match self.guests.get(&id) {
            Some(g) if g.node != *node => {
                let why = format!("it is defined on node `{}`", g.node);
                return Err(Error::permanent(format!("defining server `{id}`"), why));
            }
            // What runs keeps running as it is.
            Some(g) if g.since.is_some() => return Ok(()),
            Some(g) => g.state,
            None => GuestState::Stopped,
        };
        self.commit(Change::Guest { id, node: node.clone(), state, cpu, memory_mib })
    }

    /// Whether it had to be started; none when absent.
    pub(super) fn start(&mut self, id: ServerId) -> Result<Option<bool>> {
        if !self.guests.contains_key(&id) {
            return Ok(None);
        }
        self.turn(id, GuestState::Running, true, |g| g.since.is_none()).map(Some)
    }

    /// Ends a guest that runs. False when it does not.
    pub(super) fn end(&mut self, id: ServerId, crashed: bool, tell: bool) -> Result<bool> {
        let state = if crashed { GuestState::Crashed } else { GuestState::Stopped };
        self.turn(id, state, tell, |g| g.since.is_some())
    }

    pub(super) fn freeze(&mut self, id: ServerId, frozen: bool) -> Result<bool> {
        let (from, to) = match frozen {
            true => (GuestState::Running, GuestState::Frozen),
            false => (GuestState::Frozen, GuestState::Running),
        };
        self.turn(id, to, false, |g| g.state == from)
    }

    fn turn(&mut self, id: ServerId, state: GuestState, tell: bool, when: impl Fn(&Guest) -> bool) -> Result<bool> {
        let Some(g) = self.guests.get(&id).filter(|g| when(g)) else { return Ok(false) };
        let (node, cpu, memory_mib) = (g.node.clone(), g.cpu, g.memory_mib);
        self.commit(Change::Guest { id, node: node.clone(), state, cpu, memory_mib })?;
        if tell {
            self.tell(&node, NodeEvent::Guest(SeenGuest { id, state }));
        }
        Ok(true)
    }

    /// Forgets a guest, whatever it does. False when there is none.
    pub(super) fn undefine(&mut self, id: ServerId) -> Result<bool> {
        if !self.guests.contains_key(&id) {
            return Ok(false);
        }
        self.commit(Change::NoGuest { id }).map(|()| true)
    }

    // -- storage

    pub(super) fn ensure_disk(
        &mut self,
        id: DiskId,
        node: &Arc<str>,
        size_gib: u64,
        image: Option<&str>,
    ) -> Result<()> {
        let attempted = || format!("creating disk `{id}`");
        if let Some(disk) = self.disks.get(&id) {
            if disk.size_gib >= size_gib {
                return Ok(());
            }
            let (node, image) = (disk.node.clone(), disk.image.clone());
            return self.commit(Change::Disk { id, node, size_gib, image });
        }
        if let Some(key) = image {
            let Some(found) = self.images.get(&(node.clone(), key.to_owned())) else {
                return Err(Error::permanent(attempted(), format!("there is no image `{key}`")));
            };
            if found.virtual_bytes > size_gib << 30 {
                return Err(Error::permanent(attempted(), "it is smaller than its image"));
            }
        }
        self.commit(Change::Disk { id, node: node.clone(), size_gib, image: image.map(Arc::from) })
    }

    pub(super) fn delete_disk(&mut self, id: DiskId) -> Result<()> {
        if self.disks.contains_key(&id) { self.commit(Change::NoDisk { id }) } else { Ok(()) }
    }

    pub(super) fn disks(&self, node: Option<&Arc<str>>) -> Vec<DiskId> {
        self.disks.iter().filter(|(_, d)| node.is_none_or(|n| d.node == *n)).map(|(&id, _)| id).collect()
    }

    /// Bytes promised to the disks of a node.
    pub(super) fn promised_bytes(&self, node: &Arc<str>) -> u64 {
        self.disks.values().filter(|d| d.node == *node).map(|d| d.size_gib << 30).sum()
    }

    pub(super) fn ensure_seed(&mut self, id: ServerId, node: &Arc<str>) -> Result<()> {
        if self.seeds.contains_key(&id) { Ok(()) } else { self.commit(Change::Seed { id, node: node.clone() }) }
    }

    pub(super) fn delete_seed(&mut self, id: ServerId) -> Result<()> {
        if self.seeds.contains_key(&id) { self.commit(Change::NoSeed { id }) } else { Ok(()) }
    }

    pub(super) fn put_image(&mut self, node: &Arc<str>, image: StoredImage) -> Result<()> {
        self.commit(Change::Image { node: node.clone(), image })
    }

    /// An image of a disk's size. Its digest is the disk's name's, for there are no bytes.
    pub(super) fn capture_image(&mut self, node: &Arc<str>, storage_key: &str, disk: DiskId) -> Result<StoredImage> {
        if let Some(there) = self.images.get(&(node.clone(), storage_key.to_owned())) {
            return Ok(there.clone());
        }
        let Some(found) = self.disks.get(&disk).filter(|found| found.node == *node) else {
            return Err(Error::permanent(format!("copying disk `{disk}`"), "the node has no such disk"));
        };
        let sha256 = Sha256::digest(disk.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        let image = StoredImage { storage_key: storage_key.to_owned(), virtual_bytes: found.size_gib << 30, sha256 };
        self.put_image(node, image.clone())?;
        Ok(image)
    }

    /// The images of all nodes, by name.
    pub(super) fn images(&self) -> Vec<String> {
        self.images.keys().map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn delete_image(&mut self, node: &Arc<str>, storage_key: &str) -> Result<()> {
        let attempted = || format!("deleting image `{storage_key}`");
        if self.disks.values().any(|d| d.node == *node && d.image.as_deref() == Some(storage_key)) {
            return Err(Error::permanent(attempted(), "disks are cloned from it"));
        }
        if !self.images.contains_key(&(node.clone(), storage_key.to_owned())) {
            return Ok(());
        }
        self.commit(Change::NoImage { node: node.clone(), storage_key: storage_key.to_owned() })
    }
}
