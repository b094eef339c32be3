//! The store's face: open, commit, read, follow.

use crate::{
    ChangeSet, ConsumerPlace, Error, FeedEntry, Index, Record, Snapshot, consumers,
    error::Attempt,
    feed,
    ids::Ids,
    marker::Marker,
    open,
    queue::Hurry,
    readers::Readers,
    shared::Shared,
    tables,
    writer::{Command, Reply},
};
use redb::{Database, ReadableDatabase};
use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{Context, Poll},
    thread::JoinHandle,
};
use sutler_model::{Noun, Timestamp};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Feed entries searched in one turn of a reading thread, so that a long search holds nobody up.
const SEARCHED_AT_ONCE: usize = 256;

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
    /// What calls of ended runs did is remembered for at least this long after the end, milliseconds: well past the time in which
    /// who asked for a run asks again.
    pub calls_keep_ms: i64,
    /// How often what is remembered of calls is gone through, and how long after the start for the first time, milliseconds: by then
    /// all that a crash cut off has been taken up.
    pub calls_sweep_ms: u64,
    /// The clock; tests set it.
    pub clock: fn() -> Timestamp,
}

/// An open store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    /// None once closed.
    pub(crate) db: RwLock<Option<Arc<Database>>>,
    pub(crate) readers: Readers,
    pub(crate) ids: Mutex<Ids>,
    /// Held locked while the store is open.
    pub(crate) marker: Mutex<Option<Marker>>,
    pub(crate) writer: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The last handle is gone: the writer finishes what it has, and the file is closed when this returns.
        self.shared.queue.finish();
        self.db.write().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the writer was caught and told by the writer itself.
        self.writer.take().map(JoinHandle::join);
    }
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
    answer: oneshot::Receiver<Reply>,
}

impl Future for Pending {
    type Output = Result<Committed, Error>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| answer.map_or_else(|_| Err(gone()), |a| a.outcome))
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

impl Store {
    /// Opens the store, or makes it when `path` does not exist. Runs migrations on a copy first.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Foreign`], [`Error::Newer`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        open::open(path, options)
    }

    /// Hands a change set to the writer without waiting. Sets submitted one after another commit in that order.
    pub fn submit(&self, set: ChangeSet) -> Pending {
        self.hand_over(set, Hurry::Now)
    }

    fn hand_over(&self, set: ChangeSet, hurry: Hurry) -> Pending {
        let (to, answer) = oneshot::channel();
        if let Err(command) = self.inner.shared.queue.push(Command::Commit(Box::new(set), to), hurry) {
            command.refuse(&|| self.stopped());
        }
        Pending { answer }
    }

    /// Hands several change sets to the writer at once: as many as fit share a transaction. Each is still checked and
    /// answered by itself.
    pub fn submit_all(&self, sets: impl IntoIterator<Item = ChangeSet>) -> Vec<Pending> {
        let (commands, pending): (Vec<_>, Vec<_>) = sets
            .into_iter()
            .map(|set| {
                let (to, answer) = oneshot::channel();
                (Command::Commit(Box::new(set), to), Pending { answer })
            })
            .unzip();
        if let Err(commands) = self.inner.shared.queue.push_all(commands.into_iter(), Hurry::Now) {
            commands.for_each(|command| command.refuse(&|| self.stopped()));
        }
        pending
    }

    /// Commits a change set durably. After the answer every read sees it.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::Taken`], [`Error::DiskFull`], [`Error::Stopped`].
    pub async fn commit(&self, set: ChangeSet) -> Result<Committed, Error> {
        self.inner.shared.queue.room().await;
        self.submit(set).await
    }

    /// The same for a set that nobody waits for: it shares a transaction with many of its like, at most some twelve
    /// milliseconds later.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit_soon(&self, set: ChangeSet) -> Result<Committed, Error> {
        self.inner.shared.queue.room().await;
        self.hand_over(set, Hurry::Soon).await
    }

    /// Runs `f` on a snapshot, on a thread where blocking is allowed.
    ///
    /// # Errors
    /// Those of `f`, and [`Error::Io`].
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Snapshot) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.clone();
        let outcome = self.inner.readers.run(move || f(&store.snapshot()?)).await;
        outcome.unwrap_or_else(|| Err(Error::io("reading the store", "the read panicked")))
    }

    /// The same on this thread, where it is one of a runtime's several and the others take over its tasks: the two wake-ups
    /// of a read elsewhere take many times longer than a few records do.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_here<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Snapshot) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| f(&self.snapshot()?)),
            _ => self.read(f).await,
        }
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
        let db = self.db()?;
        Snapshot::open(&db, self.inner.shared.clone())
    }

    /// The in-memory index; never blocks for long.
    pub fn index(&self) -> &Index {
        &self.inner.shared.index
    }

    /// The current time by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.shared.options.now()
    }

    /// A new id's UUID (version 7, by the store's clock).
    pub fn new_uuid(&self) -> Uuid {
        self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner).next(self.now())
    }

    /// Feed entries from `from` on (inclusive), at most `max` of them, oldest first. Blocks; empty at the end.
    ///
    /// # Errors
    /// [`Error::Trimmed`] when `from` is older than the oldest entry kept.
    pub fn feed(&self, from: u64, max: usize) -> Result<Vec<FeedEntry>, Error> {
        self.feed_of(from, max, max, |_| true).map(|(entries, _)| entries)
    }

    /// Of the next `window` or more feed entries from `from` on (inclusive), those that change a wanted noun, at most `max`
    /// of them, oldest first; and the last entry looked at, none at the end. Only what is wanted is decoded. Blocks.
    ///
    /// # Errors
    /// [`Error::Trimmed`] when `from` is older than the oldest entry kept.
    pub fn feed_of(
        &self,
        from: u64,
        max: usize,
        window: usize,
        wanted: impl Fn(Noun) -> bool,
    ) -> Result<(Vec<FeedEntry>, Option<u64>), Error> {
        let from = from.max(1);
        let txn = self.db()?.begin_read().attempt("reading the feed")?;
        let (mut out, mut last) = (Vec::new(), None);
        let Some(table) = tables::read(&txn, tables::FEED)? else { return Ok((out, last)) };
        let begin = table.range(..=from).attempt("reading the feed")?.next_back().transpose();
        let begin = begin.attempt("reading the feed")?.map(|(first, _)| first.value());
        for row in table.range(begin.unwrap_or(from)..).attempt("reading the feed")? {
            let (first, block) = row.attempt("reading the feed")?;
            if begin.is_none() {
                return Err(Error::Trimmed { asked: from, oldest: first.value() });
            }
            let seen = feed::read_block(first.value(), block.value(), from, max, &wanted, &mut out)
                .ok_or_else(|| self.damaged(format!("the feed block at {} does not add up", first.value())))?;
            last = seen.or(last);
            if out.len() >= max || last.is_some_and(|last| last - from >= window as u64) {
                break;
            }
        }
        Ok((out, last))
    }

    /// What `find` first makes of a feed entry from `from` on (inclusive), oldest first; none when the feed's end is reached.
    ///
    /// # Errors
    /// [`Error::Trimmed`] when `from` is older than the oldest entry kept.
    pub async fn search_feed<T: Send + 'static>(
        &self,
        mut from: u64,
        mut find: impl FnMut(&FeedEntry) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        loop {
            let store = self.clone();
            let search = move || {
                let entries = store.feed(from, SEARCHED_AT_ONCE)?;
                let found = entries.iter().find_map(&mut find);
                Ok((find, found, entries.last().map(|last| last.seq)))
            };
            let outcome = self.inner.readers.run(search).await;
            let outcome = outcome.unwrap_or_else(|| Err(Error::io("searching the feed", "the search panicked")));
            let (again, found, last) = outcome?;
            match last {
                Some(last) if found.is_none() => (find, from) = (again, last + 1),
                _ => return Ok(found),
            }
        }
    }

    /// Changes whenever the feed grows; the value is the last position.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.shared.seq.subscribe()
    }

    /// The durable position of consumer `name` (next entry to read), registering it at `start` when new.
    /// The flag says that entries it had not seen were trimmed: it must resync, and the gap is shown.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn consumer(&self, name: &str, start: u64) -> Result<(u64, bool), Error> {
        let name = name.to_owned();
        // A known one is only read: also a store that takes no writes can be started on.
        let known = {
            let name = name.clone();
            self.read(move |snapshot| match tables::read(&snapshot.txn, tables::CONSUMERS)? {
                Some(table) => consumers::load(&table, &name),
                None => Ok(None),
            })
        };
        let consumer = match known.await? {
            Some(consumer) => consumer,
            None => self.ask(|answer| Command::Consumer { name, start, answer }, Hurry::Now).await?,
        };
        Ok((consumer.next, consumer.lost.is_some()))
    }

    /// Moves consumer `name` to `next`. Not a change set: leaves no trace in the feed.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn advance(&self, name: &str, next: u64) -> Result<(), Error> {
        let name = name.to_owned();
        self.ask(|answer| Command::Advance { name, next, answer }, Hurry::Now).await
    }

    /// All consumers of the feed, by name. Blocks.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn consumers(&self) -> Result<Vec<ConsumerPlace>, Error> {
        let txn = self.db()?.begin_read().attempt("reading the feed's consumers")?;
        let Some(table) = tables::read(&txn, tables::CONSUMERS)? else { return Ok(Vec::new()) };
        let all = consumers::all(&table)?;
        Ok(all.into_iter().map(|(name, c)| ConsumerPlace { name, next: c.next, lost: c.lost }).collect())
    }

    /// Copies the store to a new file while it runs.
    ///
    /// # Errors
    /// [`Error::Io`]; refuses to overwrite, and to fill a disk beyond the store's reserve.
    pub async fn backup(&self, to: PathBuf) -> Result<Committed, Error> {
        let store = self.clone();
        let outcome = self.inner.readers.run(move || crate::backup::backup(&store, &to)).await;
        outcome.unwrap_or_else(|| Err(Error::io("backing up the store", "the backup panicked")))
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        &self.inner.shared.path
    }

    /// Whether the store can commit.
    pub fn health(&self) -> Health {
        self.inner.shared.health()
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        self.inner.shared.stats()
    }

    /// Waits for the writer to finish what it has and closes the file.
    pub async fn close(&self) {
        let mut closed = self.inner.shared.closed.subscribe();
        self.inner.shared.queue.finish();
        // The sender lives as long as this handle.
        drop(closed.wait_for(|closed| *closed).await);
        self.inner.db.write().unwrap_or_else(PoisonError::into_inner).take();
        self.inner.marker.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn db(&self) -> Result<Arc<Database>, Error> {
        self.inner.db.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| self.stopped())
    }

    pub(crate) fn damaged(&self, detail: String) -> Error {
        Error::Corrupt { path: self.inner.shared.path.clone(), detail }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
        hurry: Hurry,
    ) -> Result<T, Error> {
        let (to, answer) = oneshot::channel();
        if self.inner.shared.queue.push(command(to), hurry).is_err() {
            return Err(self.stopped());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    fn stopped(&self) -> Error {
        match self.health() {
            crate::Health::Stopped(reason) => Error::Stopped(reason),
            _ => Error::Stopped("it is being closed".to_owned()),
        }
    }
}

fn gone() -> Error {
    Error::Stopped("its writer is gone".to_owned())
}
