//! The store's face: open, commit, read, follow.

use crate::{ChangeSet, Error, FeedEntry, Field, Filter, Page, PageRequest, Record};
use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use sutler_model::{Noun, Timestamp};
use uuid::Uuid;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// redb's page cache, bytes.
    pub cache_bytes: usize,
    /// Below this much free space on the store's disk, writes are refused. Bytes.
    pub reserve_bytes: u64,
    /// Feed entries older than this are trimmed once every consumer has passed them, milliseconds.
    pub feed_keep_ms: i64,
    /// Beyond this age even unread entries are trimmed and their consumer is marked for resync, milliseconds.
    pub feed_max_ms: i64,
    /// Beyond this size likewise, bytes.
    pub feed_max_bytes: u64,
    /// The clock; tests set it.
    pub clock: fn() -> Timestamp,
}

/// An open store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    _inner: Arc<()>,
}

/// A commit's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Place in the feed.
    pub seq: u64,
    /// Time of the commit.
    pub at: Timestamp,
}

/// Resolves when the change set is durable or refused.
pub struct Pending {
    _private: (),
}

impl Future for Pending {
    type Output = Result<Committed, Error>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

/// Whether the store can commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Commits succeed.
    Ok,
    /// Reads work, writes are refused (disk nearly full).
    ReadOnly(String),
    /// Nothing more is written.
    Stopped(String),
}

/// Figures for metrics.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// File size, bytes.
    pub file_bytes: u64,
    /// Commits since start.
    pub commits: u64,
    /// Change sets since start.
    pub change_sets: u64,
    /// Last feed position.
    pub seq: u64,
    /// Oldest feed position kept.
    pub oldest_seq: u64,
    /// Live records by noun.
    pub records: Vec<(Noun, u64)>,
}

/// A consistent view as of one commit. Short-lived: one held open makes the file grow.
pub struct Snapshot {
    _private: (),
}

/// The in-memory index of live records, current to the last acknowledged commit.
pub struct Index {
    _private: (),
}

impl Store {
    /// Opens the store, or makes it when `path` does not exist. Runs migrations on a copy first.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Foreign`], [`Error::Newer`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        let _ = (path, options);
        todo!()
    }

    /// Hands a change set to the writer without waiting. Sets submitted one after another commit in that order.
    pub fn submit(&self, set: ChangeSet) -> Pending {
        let _ = set;
        todo!()
    }

    /// Commits a change set durably. After the answer every read sees it.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::Taken`], [`Error::DiskFull`], [`Error::Stopped`].
    pub async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        self.submit(set).await
    }

    /// Runs `f` on a snapshot, on a thread where blocking is allowed.
    ///
    /// # Errors
    /// Those of `f`, and [`Error::Io`].
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Snapshot) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _ = f;
        todo!()
    }

    /// A record by id.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn get<R: Record>(&self, id: impl Into<Uuid>) -> Result<Option<R>, Error> {
        let id = id.into();
        self.read(move |s| s.get(id)).await
    }

    /// A snapshot, for threads where blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        todo!()
    }

    /// The in-memory index; never blocks for long.
    pub fn index(&self) -> &Index {
        todo!()
    }

    /// The current time by the store's clock.
    pub fn now(&self) -> Timestamp {
        todo!()
    }

    /// A new id's UUID (version 7, by the store's clock).
    pub fn new_uuid(&self) -> Uuid {
        todo!()
    }

    /// Feed entries from `from` on (inclusive), at most `max` of them, oldest first. Blocks; empty at the end.
    ///
    /// # Errors
    /// [`Error::Trimmed`] when `from` is older than the oldest entry kept.
    pub fn feed(&self, from: u64, max: usize) -> Result<Vec<FeedEntry>, Error> {
        let _ = (from, max);
        todo!()
    }

    /// Changes whenever the feed grows; the value is the last position.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        todo!()
    }

    /// The durable position of consumer `name` (next entry to read), registering it at `start` when new.
    /// The flag says that entries it had not seen were trimmed: it must resync, and the gap is shown.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn consumer(&self, name: &str, start: u64) -> Result<(u64, bool), Error> {
        let _ = (name, start);
        todo!()
    }

    /// Moves consumer `name` to `next`. Not a change set: leaves no trace in the feed.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn advance(&self, name: &str, next: u64) -> Result<(), Error> {
        let _ = (name, next);
        todo!()
    }

    /// Copies the store to a new file while it runs.
    ///
    /// # Errors
    /// [`Error::Io`]; refuses to overwrite.
    pub async fn backup(&self, to: PathBuf) -> Result<Committed, Error> {
        let _ = to;
        todo!()
    }

    /// Whether the store can commit.
    pub fn health(&self) -> Health {
        todo!()
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        todo!()
    }

    /// Waits for the writer to finish what it has and closes the file.
    pub async fn close(&self) {
        todo!()
    }
}

impl Snapshot {
    /// A record by id.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn get<R: Record>(&self, id: impl Into<Uuid>) -> Result<Option<R>, Error> {
        let _ = id.into();
        todo!()
    }

    /// A record by its whole key (intervals).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn get_by_key<R: Record>(&self, key: &[u8]) -> Result<Option<R>, Error> {
        let _ = key;
        todo!()
    }

    /// A page of records.
    ///
    /// # Errors
    /// [`Error::BadCursor`], [`Error::Io`].
    pub fn page<R: Record>(&self, filter: &Filter<R>, page: &PageRequest) -> Result<Page<R>, Error> {
        let _ = (filter, page);
        todo!()
    }

    /// All records with keys in `from..to`, in order, one at a time; stops early when `f` answers false.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scan<R: Record>(&self, from: &[u8], to: &[u8], f: impl FnMut(R) -> bool) -> Result<(), Error> {
        let _ = (from, to, f);
        todo!()
    }
}

impl Index {
    /// Ids of the live records of `noun` with `value` in `field`, in order.
    pub fn ids(&self, noun: Noun, field: Field, value: &[u8]) -> Vec<Uuid> {
        let _ = (noun, field, value);
        todo!()
    }

    /// How many there are.
    pub fn count(&self, noun: Noun, field: Field, value: &[u8]) -> usize {
        let _ = (noun, field, value);
        todo!()
    }

    /// All live ids of `noun`, in order.
    pub fn all(&self, noun: Noun) -> Vec<Uuid> {
        let _ = noun;
        todo!()
    }

    /// The version of a live record.
    pub fn version(&self, noun: Noun, id: Uuid) -> Option<u64> {
        let _ = (noun, id);
        todo!()
    }

    /// The record that holds a unique value; parts as given to [`crate::IndexKeys::unique`].
    pub fn holder(&self, noun: Noun, field: &'static str, parts: &[&[u8]]) -> Option<Uuid> {
        let _ = (noun, field, parts);
        todo!()
    }
}
