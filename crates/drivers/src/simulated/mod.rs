//! The simulated twin: guests, disks, images and interfaces of any number of nodes in one process's memory.
//!
//! One [`Simulated`] world is shared by all of its nodes; a node costs memory from the moment it is first addressed. The
//! world can be kept in a file (see [`Config::file`]), so that it outlives a kill of the process as real guests do.

mod fault;
mod journal;
mod node;
mod world;

pub use fault::{Fault, FaultError, Suffering};

use crate::{Drivers, Error, Result, compute::SeenGuest};
use fault::Faults;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicU64},
};
use sutler_model::{DiskId, ServerId};
use world::World;

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// CPUs each node says it has.
    pub cpus: u32,
    /// Memory each node says it has, MiB.
    pub memory_mib: u64,
    /// What each call takes, besides the faults asked for.
    pub delay_ms: u64,
    /// The deadline that a hanging call runs into.
    pub deadline_ms: u64,
    /// Where the world is kept across processes; none: it ends with the process.
    pub file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { cpus: 256, memory_mib: 1024 * 1024, delay_ms: 0, deadline_ms: 10_000, file: None }
    }
}

/// What all views of a world share.
pub(crate) struct Shared {
    config: Config,
    world: Mutex<World>,
    faults: Faults,
    calls: AtomicU64,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        // Every change below is complete before it can panic, so a poisoned world is still a whole one.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A simulated world and the handle on it: makes drivers for its nodes and does what operators and accidents do.
#[derive(Clone)]
pub struct Simulated(Arc<Shared>);

/// Worlds kept in files, one for each file and process.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Shared>>>> = LazyLock::new(Mutex::default);

impl Simulated {
    /// A new world, or the one kept in `config.file`.
    ///
    /// # Errors
    /// `Permanent` when the file cannot be read or written or is not such a file.
    pub fn new(config: Config) -> Result<Self> {
        let world = World::open(config.file.as_deref())?;
        Ok(Self(Arc::new(Shared {
            config,
            world: Mutex::new(world),
            faults: Faults::default(),
            calls: AtomicU64::new(0),
        })))
    }

    /// The world kept in `folder`: every caller in this process shares it.
    ///
    /// # Errors
    /// As [`Simulated::new`].
    pub fn in_folder(folder: &Path) -> Result<Self> {
        Self::in_folder_with(folder, Config::default())
    }

    /// Like [`Simulated::in_folder`]; `config` counts for whoever comes first.
    ///
    /// # Errors
    /// As [`Simulated::new`].
    pub fn in_folder_with(folder: &Path, config: Config) -> Result<Self> {
        let attempted = || format!("opening the simulated world in `{}`", folder.display());
        std::fs::create_dir_all(folder).map_err(|e| Error::from_io(attempted(), e))?;
        let file = folder.canonicalize().map_err(|e| Error::from_io(attempted(), e))?.join("simulated.jsonl");
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = open.get(&file).and_then(Weak::upgrade) {
            return Ok(Self(shared));
        }
        let world = Self::new(Config { file: Some(file.clone()), ..config })?;
        open.retain(|_, w| w.strong_count() > 0);
        open.insert(file, Arc::downgrade(&world.0));
        Ok(world)
    }

    /// The drivers of the node called `node`, which is there from now on.
    pub fn drivers(&self, node: &str) -> Drivers {
        let view = Arc::new(node::View::new(self.0.clone(), node));
        Drivers { compute: view.clone(), storage: view.clone(), network: view }
    }

    /// Makes the next calls that match fail, hang or take longer.
    pub fn fault(&self, fault: Fault) {
        self.0.faults.add(fault);
    }

    /// What a step that calls itself `name` suffers, once; the name has a slash in it.
    pub fn suffer(&self, name: impl FnOnce() -> String) -> Suffering {
        if self.0.faults.any() { self.0.faults.take(&name()) } else { Suffering::default() }
    }

    /// The faults that are still to be suffered, oldest first.
    pub fn faults(&self) -> Vec<Fault> {
        self.0.faults.left()
    }

    /// The deadline that calls run into.
    pub fn deadline(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.config.deadline_ms)
    }

    /// Takes all faults back; a call that hangs goes on hanging until its deadline.
    pub fn clear_faults(&self) {
        self.0.faults.clear();
    }

    /// Calls answered so far, over all nodes.
    pub fn calls(&self) -> u64 {
        self.0.calls.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What a guest does, on whichever node it is, with no faults in the way.
    pub fn guest(&self, id: ServerId) -> Option<SeenGuest> {
        self.0.world().guest(id).map(|g| SeenGuest { id, state: g.state })
    }

    /// Every guest there is.
    pub fn guests(&self) -> Vec<SeenGuest> {
        self.0.world().guests(None)
    }

    /// Every disk there is.
    pub fn disks(&self) -> Vec<DiskId> {
        self.0.world().disks(None)
    }

    /// Every image there is, by name; once for each node that has it.
    pub fn images(&self) -> Vec<String> {
        self.0.world().images()
    }

    /// Kills a guest's process, as `kill -9` does. False when it does not run.
    pub fn kill(&self, id: ServerId) -> bool {
        done(self.0.world().end(id, true, true))
    }

    /// Kills a guest while nobody looks: no event tells of it.
    pub fn kill_unseen(&self, id: ServerId) -> bool {
        done(self.0.world().end(id, true, false))
    }

    /// A guest shuts itself down, as its owner does inside it.
    pub fn shut_down(&self, id: ServerId) -> bool {
        done(self.0.world().end(id, false, true))
    }

    /// A guest is gone, definition and all, and no event tells of it.
    pub fn lose(&self, id: ServerId) -> bool {
        done(self.0.world().undefine(id))
    }

    /// Freezes a guest's process, as SIGSTOP does; no event tells of it.
    pub fn freeze(&self, id: ServerId) -> bool {
        done(self.0.world().freeze(id, true))
    }

    /// Lets a frozen guest go on.
    pub fn thaw(&self, id: ServerId) -> bool {
        done(self.0.world().freeze(id, false))
    }

    /// Starts a guest behind the controller's back. False when it is absent or runs.
    pub fn start_by_hand(&self, id: ServerId) -> bool {
        done(self.0.world().start(id).map(|started| started == Some(true)))
    }

    /// Cuts the connection to a node: calls answer `Disconnected` until [`Simulated::reconnect`].
    pub fn disconnect(&self, node: &str) {
        self.0.world().set_connected(&Arc::from(node), false);
    }

    /// Brings the connection back.
    pub fn reconnect(&self, node: &str) {
        self.0.world().set_connected(&Arc::from(node), true);
    }
}

/// What came of an accident; one that could not be kept did not happen.
fn done(outcome: Result<bool>) -> bool {
    outcome.unwrap_or_else(|error| {
        tracing::error!(%error, "the simulated world could not be kept");
        false
    })
}

#[cfg(test)]
mod tests;
