//! Copying the store continuously into a second folder: a base, then every block of the feed.
//!
//! A consumer of the feed like any other: what it has not copied is not trimmed, up to the feed's hard limit. Where it
//! stands is told by the copy itself, so a kill at any moment loses nothing and repeats nothing.

use crate::{
    Error, Store,
    error::Attempt,
    feed, open,
    segment::{self, Segment, SegmentReader},
    tables,
    writer::chain,
};
use redb::ReadableDatabase;
use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::watch};
use uuid::Uuid;

/// A segment beyond this is closed and another begun.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of blocks copied in one go.
const STEP_BYTES: usize = 4 << 20;
/// How often the store is told how far the copy is; each time costs it a commit.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// How a copy is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Last feed position that is safe in the copy.
    pub seq: u64,
    /// Why it cannot go on; it keeps trying.
    pub error: Option<String>,
}

/// A continuous copy; ends when dropped, and goes on where it was when started again.
pub struct Follower {
    status: watch::Receiver<FollowerStatus>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts copying `store` into `folder`, which is made when missing.
    ///
    /// # Errors
    /// [`Error::InUse`] when another follower writes there, [`Error::Foreign`] when another store's copy lies there,
    /// [`Error::Corrupt`] when the copy is ahead of the store, [`Error::Io`].
    pub fn start(store: Store, folder: PathBuf) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.attempt("starting the follower")?;
        let mut copy = Copy::open(store, folder, runtime)?;
        let (stop, stopped) = watch::channel(false);
        let (tell, status) = watch::channel(FollowerStatus { seq: copy.next - 1, error: None });
        let thread = std::thread::Builder::new()
            .name("store-follow".to_owned())
            .spawn(move || copy.run(&stopped, &tell))
            .attempt("starting the follower")?;
        Ok(Self { status, stop, thread: Some(thread) })
    }

    /// How the copy is doing; changes as it goes on.
    pub fn status(&self) -> watch::Receiver<FollowerStatus> {
        self.status.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // Its panic, if any, was printed by the panic hook; a destructor has nobody to tell.
        self.thread.take().map(JoinHandle::join);
    }
}

struct Copy {
    store: Store,
    store_id: Uuid,
    folder: PathBuf,
    runtime: Runtime,
    consumer: String,
    /// The next position to copy.
    next: u64,
    segment: Option<Segment>,
    told: (u64, Instant),
    /// Held locked.
    _lock: File,
}

impl Copy {
    fn open(store: Store, folder: PathBuf, runtime: Runtime) -> Result<Self, Error> {
        let attempted = format!("following into `{}`", folder.display());
        std::fs::create_dir_all(&folder).attempt(&attempted)?;
        let lock_path = folder.join("follower.lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path).attempt(&attempted)?;
        if lock.try_lock().is_err() {
            return Err(Error::InUse { path: folder });
        }
        let store_id = open::read_meta(&*store.db()?, &folder)?.id;
        let consumer = format!("follower {}", folder.display());
        let told = (0, Instant::now());
        let mut copy = Self { store, store_id, folder, runtime, consumer, next: 0, segment: None, told, _lock: lock };
        copy.find_place()?;
        let (start, _) = copy.runtime.block_on(copy.store.consumer(&copy.consumer, copy.next))?;
        if start != copy.next {
            copy.tell()?;
        }
        Ok(copy)
    }

    /// Finds out how far the copy is; begins it when there is none.
    fn find_place(&mut self) -> Result<(), Error> {
        let Some((base, path)) = bases(&self.folder)?.pop() else { return self.begin() };
        let db = open::open_file(&path, 1 << 20)?;
        if open::read_meta(&db, &path)?.id != self.store_id {
            return Err(Error::Foreign { path, detail: "it is the copy of another store".to_owned() });
        }
        drop(db);
        self.next = base + 1;
        for (first, path) in segment::list(&self.folder)? {
            let Some(mut reader) = SegmentReader::open(&path, self.store_id)? else { continue };
            if first > self.next {
                // Something between is missing, so what follows is worth nothing without a new base.
                return self.begin();
            }
            while let Some((first, block)) = reader.next()? {
                let entries = feed::header(&block).map_or(0, |h| h.entries);
                self.next = self.next.max(first + u64::from(entries));
            }
            self.segment = Some(Segment::resume(&path, reader.whole())?);
        }
        let last = *self.store.watch().borrow();
        if self.next > last + 1 {
            let detail = format!(
                "the copy reaches to {} but the store only to {last}: it was put back to an earlier state; follow into \
                 another folder",
                self.next - 1
            );
            return Err(Error::Corrupt { path: self.folder.clone(), detail });
        }
        Ok(())
    }

    /// Writes a base and goes on from there.
    fn begin(&mut self) -> Result<(), Error> {
        let partial = self.folder.join("base.new");
        open::remove_if_there(&partial)?;
        let committed = crate::backup::backup(&self.store, &partial)?;
        let base = self.folder.join(format!("base-{:020}.redb", committed.seq));
        std::fs::rename(&partial, &base).attempt(&format!("finishing `{}`", base.display()))?;
        crate::marker::sync_dir(&base)?;
        self.next = committed.seq + 1;
        self.segment = None;
        Ok(())
    }

    fn run(&mut self, stopped: &watch::Receiver<bool>, status: &watch::Sender<FollowerStatus>) {
        let mut grown = self.store.watch();
        let mut stop = stopped.clone();
        loop {
            // Before reading: what comes after wakes the wait below.
            grown.borrow_and_update();
            let outcome = self.catch_up(status, &stop);
            if *stop.borrow() {
                break;
            }
            let (patience, error) = match outcome {
                Ok(()) => (TELL_EVERY, None),
                Err(error) => {
                    tracing::error!(folder = %self.folder.display(), error = chain(&error), "copying the feed failed");
                    (RETRY, Some(chain(&error)))
                }
            };
            let failed = error.is_some();
            let now = FollowerStatus { seq: self.next - 1, error };
            status.send_if_modified(|s| std::mem::replace(s, now.clone()) != now);
            let ended = self.runtime.block_on(async {
                tokio::select! {
                    stopped = stop.wait_for(|s| *s) => stopped.is_ok(),
                    // The sender lives in the store this follower holds.
                    _ = grown.changed(), if !failed => false,
                    () = tokio::time::sleep(patience) => false,
                }
            });
            if ended {
                break;
            }
        }
        if let Err(error) = self.tell() {
            tracing::warn!(error = chain(&error), "the store was not told how far its copy is");
        }
    }

    /// Copies all there is.
    fn catch_up(&mut self, status: &watch::Sender<FollowerStatus>, stop: &watch::Receiver<bool>) -> Result<(), Error> {
        while !*stop.borrow() {
            let blocks = match blocks(&self.store, self.next, STEP_BYTES) {
                Err(Error::Trimmed { asked, oldest }) => {
                    tracing::warn!(asked, oldest, "the feed was trimmed before it was copied: taking a new base");
                    self.begin()?;
                    continue;
                }
                other => other?,
            };
            let Some((last, block)) = blocks.last() else { break };
            let next = last + feed::header(block).map_or(0, |h| u64::from(h.entries));
            let written = self.segment().and_then(|segment| segment.append(&blocks));
            if let Err(error) = written {
                // How much of it arrived is found out by reading it again.
                self.segment = None;
                self.find_place()?;
                return Err(error);
            }
            self.next = next;
            status.send_if_modified(|s| std::mem::replace(&mut s.seq, next - 1) != next - 1);
            if self.told.1.elapsed() >= TELL_EVERY {
                self.tell()?;
            }
        }
        if self.told.1.elapsed() >= TELL_EVERY { self.tell() } else { Ok(()) }
    }

    fn segment(&mut self) -> Result<&mut Segment, Error> {
        if self.segment.as_ref().is_none_or(|s| s.len() >= SEGMENT_BYTES) {
            self.segment = Some(Segment::create(&self.folder, self.next, self.store_id)?);
        }
        Ok(self.segment.as_mut().expect("made above"))
    }

    fn tell(&mut self) -> Result<(), Error> {
        if self.told.0 != self.next {
            self.runtime.block_on(self.store.advance(&self.consumer, self.next))?;
        }
        self.told = (self.next, Instant::now());
        Ok(())
    }
}

/// The bases of a copy, oldest first, each with the last position it holds.
pub(crate) fn bases(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    segment::numbered(folder, "base-", ".redb")
}

/// Whole blocks of the feed from position `from`, where a block begins.
fn blocks(store: &Store, from: u64, bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let txn = store.db()?.begin_read().attempt("reading the feed")?;
    let Some(table) = tables::read(&txn, tables::FEED)? else { return Ok(Vec::new()) };
    let (mut out, mut total) = (Vec::new(), 0);
    for row in table.range(from..).attempt("reading the feed")? {
        let (first, block) = row.attempt("reading the feed")?;
        if out.is_empty() && first.value() > from {
            return Err(Error::Trimmed { asked: from, oldest: first.value() });
        }
        if !feed::is_whole(block.value()) {
            return Err(store.damaged(format!("the feed block at {} does not add up", first.value())));
        }
        total += block.value().len();
        out.push((first.value(), block.value().to_vec()));
        if total >= bytes {
            break;
        }
    }
    Ok(out)
}
