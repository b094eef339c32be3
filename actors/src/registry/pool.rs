//! The threads that actors run on.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use actix::{Arbiter, ArbiterHandle, System};
use uuid::Uuid;

use super::life;

/// A set of arbiters shared by all registries, and one housekeeping thread for loads and sweeps.
///
/// Entities are sharded by id, so one entity's conversation stays on one arbiter. Cheap to clone; when the last clone
/// goes the threads end, and [`ArbiterPool::stop`] also waits for them.
#[derive(Clone)]
pub struct ArbiterPool(Arc<Threads>);

struct Threads {
    system: System,
    arbiters: Vec<ArbiterHandle>,
    keeper: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl fmt::Debug for ArbiterPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArbiterPool").field("arbiters", &self.0.arbiters.len()).finish_non_exhaustive()
    }
}

impl ArbiterPool {
    /// Starts `arbiters` threads (at least one) and the housekeeping thread, from any thread.
    ///
    /// # Errors
    /// When a thread or its event loop cannot be started.
    pub fn start(arbiters: usize) -> io::Result<Self> {
        let (started, starting) = mpsc::sync_channel(1);
        let keeper = thread::Builder::new().name("actors".to_owned()).spawn(move || keep(arbiters.max(1), &started))?;
        match starting.recv() {
            Ok((system, arbiters)) => {
                Ok(Self(Arc::new(Threads { system, arbiters, keeper: Mutex::new(Some(keeper)) })))
            }
            Err(_) => Err(match keeper.join() {
                Ok(Err(error)) => error,
                _ => io::Error::other("the actors' housekeeping thread ended at its start"),
            }),
        }
    }

    /// Ends the threads and waits for them; actors that are still awake are dropped. Safe to repeat.
    ///
    /// # Errors
    /// When a thread did not end cleanly.
    ///
    /// # Panics
    /// Never call it from one of the pool's own threads: joining oneself panics.
    pub fn stop(&self) -> io::Result<()> {
        self.0.system.stop();
        let keeper = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        keeper.map_or(Ok(()), |keeper| {
            keeper.join().unwrap_or_else(|_| Err(io::Error::other("the actors' housekeeping thread panicked")))
        })
    }

    /// The arbiter that the entity `id` lives on.
    pub(super) fn arbiter(&self, id: Uuid) -> &ArbiterHandle {
        &self.0.arbiters[spread(id, self.0.arbiters.len())]
    }

    /// The housekeeping thread.
    pub(super) fn keeper(&self) -> &ArbiterHandle {
        self.0.system.arbiter()
    }
}

impl Drop for Threads {
    /// Does not wait: the last clone may go on one of these threads.
    fn drop(&mut self) {
        self.system.stop();
    }
}

/// The life of the housekeeping thread.
fn keep(count: usize, started: &mpsc::SyncSender<(System, Vec<ArbiterHandle>)>) -> io::Result<()> {
    life::now_ns();
    // `System::new` would panic where the event loop cannot be made.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let runner = System::with_tokio_rt(|| runtime);
    let mut arbiters = Vec::with_capacity(count);
    for _ in 0..count {
        match Arbiter::try_new() {
            Ok(arbiter) => arbiters.push(arbiter),
            Err(error) => {
                for begun in &arbiters {
                    begun.stop();
                }
                return Err(error);
            }
        }
    }
    let handles = arbiters.iter().map(Arbiter::handle).collect();
    if started.send((System::current(), handles)).is_err() {
        return Ok(());
    }
    let ended = runner.run();
    for arbiter in arbiters {
        arbiter.join().map_err(|_| io::Error::other("an arbiter's thread panicked"))?;
    }
    ended
}

/// Spreads ids evenly over `n` places, whatever version of id they are.
pub(super) fn spread(id: Uuid, n: usize) -> usize {
    let (high, low) = id.as_u64_pair();
    // Fibonacci hashing: counted ids and time-ordered ids both end up evenly in the upper half.
    let mixed = (high ^ low).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    usize::try_from(mixed).unwrap_or(0) % n
}
