//! Puts to sleep who was idle for long, and who was idle longest when too many are awake.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::{
    Entity,
    activation::{Core, Entry},
    life,
};

/// Sweeps need not be more exact than this part of the idle time.
const SWEEPS_PER_IDLE_TIME: u64 = 4;
/// Crashes are forgotten and the mailboxes measured at least this often, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 10_000;
const SHORTEST_PAUSE_MS: u64 = 5;

/// Starts the sweeper of `core` on the housekeeping thread; it ends with the registry.
pub(super) fn start<E: Entity>(core: &Arc<Core<E>>) {
    let pause_ms = (core.config.idle_ms / SWEEPS_PER_IDLE_TIME).clamp(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS);
    let sweeper = run(Arc::downgrade(core), core.sweep.clone(), Duration::from_millis(pause_ms));
    // On a pool that has ended nothing wakes, so there is nothing to sweep.
    core.pool().keeper().spawn(sweeper);
}

async fn run<E: Entity>(core: Weak<Core<E>>, early: Arc<tokio::sync::Notify>, pause: Duration) {
    loop {
        // Either reason to wake up is the same to us.
        let _ = tokio::time::timeout(pause, early.notified()).await;
        let Some(core) = core.upgrade() else { return };
        let idle_ns = core.config.idle_ms.saturating_mul(1_000_000);
        let depth = sleep_unused_since(&core, life::now_ns().saturating_sub(idle_ns), usize::MAX).await;
        core.gauges.depth.set(f64::from(depth));
        if core.awake() > core.config.max_awake {
            evict(&core).await;
        }
    }
}

/// Puts to sleep those idle and unused since `cutoff_ns`, at most `limit`; the depth of the deepest mailbox.
async fn sleep_unused_since<E: Entity>(core: &Core<E>, cutoff_ns: u64, mut limit: usize) -> u32 {
    let window = Duration::from_millis(core.config.window_ms);
    let mut deepest = 0;
    for index in 0..core.shards() {
        let asleep = {
            let mut shard = core.shard_at(index);
            let now = Instant::now();
            shard.crashes.retain(|_, crashes| !crashes.forgotten(now, window));
            let sleepers = shard.entries.extract_if(|_, entry| {
                let Entry::Awake(awake) = entry else { return false };
                deepest = deepest.max(awake.life.pending());
                let sleeps = limit > 0 && awake.life.idle_since().is_some_and(|since| since <= cutoff_ns);
                limit -= usize::from(sleeps);
                sleeps
            });
            sleepers.collect::<Vec<_>>()
        };
        if !asleep.is_empty() {
            core.left(asleep.len());
        }
        // Dropping their addresses wakes other threads: not under the lock, and others have their turn between shards.
        drop(asleep);
        tokio::task::yield_now().await;
    }
    deepest
}

/// Makes room for an eighth more than the limit asks, so that a full registry does not evict at each activation.
async fn evict<E: Entity>(core: &Core<E>) {
    let mut idle_since = Vec::new();
    for index in 0..core.shards() {
        idle_since.extend(core.shard_at(index).entries.values().filter_map(|entry| match entry {
            Entry::Awake(awake) => awake.life.idle_since(),
            Entry::Loading(_) => None,
        }));
        tokio::task::yield_now().await;
    }
    let max = core.config.max_awake;
    let excess = core.awake().saturating_sub(max - max / 8).min(idle_since.len());
    if let Some(last) = excess.checked_sub(1) {
        let (_, cutoff_ns, _) = idle_since.select_nth_unstable(last);
        sleep_unused_since(core, *cutoff_ns, excess).await;
    }
}
