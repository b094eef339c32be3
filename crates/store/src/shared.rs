//! What the writer and the readers share.

use crate::{Health, Index, Options, Stats, queue::Queue, space::Space, writer::Command};
use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Shared by the store's handles, its writer and its snapshots.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) path: PathBuf,
    pub(crate) index: Index,
    pub(crate) queue: Queue<Command>,
    pub(crate) space: Space,
    pub(crate) seq: watch::Sender<u64>,
    /// Feed position of the commit that was begun last: until [`Shared::last_seq`] has come to it, a snapshot may see more than
    /// the index holds.
    pub(crate) committing: AtomicU64,
    pub(crate) closed: watch::Sender<bool>,
    pub(crate) oldest: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) change_sets: AtomicU64,
    pub(crate) health: Mutex<Health>,
}

impl Options {
    pub(crate) fn now(&self) -> sutler_model::Timestamp {
        (self.clock)()
    }
}

impl Shared {
    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stopped is for good.
    pub(crate) fn set_health(&self, health: Health) {
        let mut now = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*now, Health::Stopped(_)) && *now != health {
            *now = health;
        }
    }

    /// The last feed position whose changes the index holds.
    pub(crate) fn last_seq(&self) -> u64 {
        *self.seq.borrow()
    }

    /// Publishes a commit: figures, metrics, and the feed's new end.
    pub(crate) fn committed(&self, seq: u64, oldest: Option<u64>, written: bool, sets: usize, took: Duration) {
        if let Some(oldest) = oldest {
            self.oldest.store(oldest, Ordering::Relaxed);
        }
        if written {
            self.commits.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("sutler_store_commits_total").increment(1);
            metrics::histogram!("sutler_store_commit_seconds").record(took.as_secs_f64());
        }
        if sets > 0 {
            self.change_sets.fetch_add(sets as u64, Ordering::Relaxed);
            metrics::counter!("sutler_store_change_sets_total").increment(sets as u64);
            metrics::histogram!("sutler_store_batch_size").record(sets as f64);
            metrics::gauge!("sutler_store_seq").set(seq as f64);
            self.seq.send_replace(seq);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let file_bytes = std::fs::metadata(&self.path).map_or(0, |m| m.len());
        metrics::gauge!("sutler_store_file_bytes").set(file_bytes as f64);
        Stats {
            file_bytes,
            commits: self.commits.load(Ordering::Relaxed),
            change_sets: self.change_sets.load(Ordering::Relaxed),
            seq: self.last_seq(),
            oldest_seq: self.oldest.load(Ordering::Relaxed),
            records: self.index.counts(),
        }
    }
}

/// Says what the metrics mean; call once the recorder is installed.
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("sutler_store_commits_total", "Durable transactions committed");
    describe_counter!("sutler_store_change_sets_total", "Change sets committed");
    describe_histogram!("sutler_store_batch_size", "Change sets in one transaction");
    describe_histogram!(
        "sutler_store_commit_seconds",
        Unit::Seconds,
        "Time of one transaction, from first check to durable"
    );
    describe_gauge!("sutler_store_file_bytes", Unit::Bytes, "Size of the store's file");
    describe_gauge!("sutler_store_seq", "Last position of the change feed");
}
