//! The one writer: gathers what arrived, applies it in one durable transaction, then answers each.

use crate::{
    ChangeSet, Committed, Error, Health, Index, calls,
    change::{Action, PreparedChange},
    consumers::{self, Consumer},
    error::Attempt,
    feed::BlockWriter,
    history,
    index::View,
    key::Key,
    msgpack,
    overlay::Overlay,
    shared::Shared,
    tables::{CONSUMERS, FEED, WriteTables},
    trim,
};
use redb::{Database, Durability, ReadableTable, WriteTransaction};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Most change sets in one transaction: beyond it, latency grows and throughput no longer does.
pub(crate) const SETS_MAX: usize = 1000;
/// Most bytes of feed in one transaction, so that a block stays cheap to read.
const BYTES_MAX: usize = 8 << 20;
/// How often old feed entries are looked for while there is nothing to do.
const IDLE: Duration = Duration::from_secs(30);

/// Something for the writer to do.
pub(crate) enum Command {
    /// Commit a change set.
    Commit(Box<ChangeSet>, oneshot::Sender<Reply>),
    /// Read or register a consumer's position.
    Consumer { name: String, start: u64, answer: oneshot::Sender<Result<Consumer, Error>> },
    /// Move a consumer.
    Advance { name: String, next: u64, answer: oneshot::Sender<Result<(), Error>> },
}

/// The answer to a change set. It brings the set back, so that its memory is freed by the thread that made it rather
/// than by the writer, whose time is the scarcest.
pub(crate) struct Reply {
    pub(crate) outcome: Result<Committed, Error>,
    pub(crate) _set: Option<Box<ChangeSet>>,
}

impl Reply {
    pub(crate) fn refused(error: Error) -> Self {
        Self { outcome: Err(error), _set: None }
    }
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Commit(set, _) => set.entry.bytes().len(),
            _ => 0,
        }
    }

    /// Answers that nothing more is written.
    pub(crate) fn refuse(self, error: &dyn Fn() -> Error) {
        match self {
            Self::Commit(_, answer) => drop(answer.send(Reply::refused(error()))),
            Self::Consumer { answer, .. } => drop(answer.send(Err(error()))),
            Self::Advance { answer, .. } => drop(answer.send(Err(error()))),
        }
    }
}

/// The end of the feed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    /// Last position given out.
    pub(crate) seq: u64,
    /// Time of the last commit.
    pub(crate) at: sutler_model::Timestamp,
    /// Bytes of all blocks ever written.
    pub(crate) offset: u64,
}

pub(crate) struct Writer {
    pub(crate) db: Arc<Database>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tail: Tail,
    pub(crate) trimmed_at: Instant,
    /// Whether the last step of trimming left more to trim.
    pub(crate) behind: bool,
    pub(crate) sweep: calls::Sweep,
    pub(crate) blocks: BlockWriter,
    /// How many sets that cannot wait the next turn can expect: those there, and one from each giver just answered.
    pub(crate) company: usize,
}

/// A change set on its way.
struct Submitted {
    set: Box<ChangeSet>,
    to: oneshot::Sender<Reply>,
    /// Its place in the feed, once that is known.
    outcome: Result<u64, Error>,
}

impl Submitted {
    /// What the feed and the index must take in.
    fn accepted(&self) -> Option<&ChangeSet> {
        Some(&*self.set).filter(|set| self.outcome.is_ok() && !set.entry.is_empty())
    }
}

/// An answer that waits for the commit.
enum Answer {
    Consumer(oneshot::Sender<Result<Consumer, Error>>, Consumer),
    Advance(oneshot::Sender<Result<(), Error>>),
}

impl Writer {
    /// Runs until the queue is finished, or until the storage fails.
    pub(crate) fn run(mut self) {
        loop {
            let idle = if self.behind { trim::SOON } else { IDLE };
            let (batch, urgent) = self.shared.queue.take(SETS_MAX, BYTES_MAX, Command::bytes, idle, self.company);
            self.company = 0;
            let outcome = catch_unwind(AssertUnwindSafe(|| self.turn(batch, urgent)));
            let failure = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(chain(&error)),
                Err(_) => Some("the writer panicked".to_owned()),
            };
            if let Some(reason) = &failure {
                tracing::error!(reason, "the store has stopped");
                self.shared.set_health(Health::Stopped(reason.clone()));
            }
            if failure.is_some() || self.shared.queue.is_finished() {
                let reason = failure.unwrap_or_else(|| "it was closed".to_owned());
                self.shared.set_health(Health::Stopped(reason.clone()));
                self.shared.queue.close(|command| command.refuse(&|| Error::Stopped(reason.clone())));
                break;
            }
        }
        let shared = self.shared.clone();
        // The file is closed before anyone who waits for it is told.
        drop(self);
        shared.closed.send_replace(true);
    }

    /// One batch, of which so many could not wait. An error means that the store can no longer be trusted.
    fn turn(&mut self, batch: Vec<Command>, urgent: usize) -> Result<(), Error> {
        let trim_due = self.trimmed_at.elapsed() >= if self.behind { trim::SOON } else { trim::EVERY };
        let sweep_due = trim_due && self.sweep.is_due(&self.shared.options);
        if batch.is_empty() && !(sweep_due || trim_due && trim::is_due(&self.db, &self.shared)?) {
            return Ok(());
        }
        if let Some(refusal) = self.shared.space.refusal() {
            self.shared.set_health(Health::ReadOnly(refusal.error().to_string()));
            batch.into_iter().for_each(|command| command.refuse(&|| refusal.error()));
            return Ok(());
        }
        self.shared.set_health(Health::Ok);
        let began = Instant::now();
        let mut batch = Batch::new(batch, self.tail);
        let done = self.apply(&mut batch, trim_due).map(|oldest| {
            // Before the answers: whoever has one finds its changes in the index.
            let sets = || batch.sets.iter().filter_map(Submitted::accepted);
            let count = sets().count();
            if count > 0 {
                self.shared.index.apply(sets().map(|set| set.changes.as_slice()), batch.tail.seq);
            }
            self.tail = batch.tail;
            self.shared.committed(batch.tail.seq, oldest, batch.dirty, count, began.elapsed());
        });
        self.company = self.shared.queue.urgent() + urgent;
        batch.answer(done.as_ref().err());
        done
    }

    /// Makes a batch durable; answers the oldest feed position left when some were trimmed.
    fn apply(&mut self, batch: &mut Batch, trim_due: bool) -> Result<Option<u64>, Error> {
        let txn = begin(&self.db)?;
        {
            let mut tables = WriteTables::new(&txn);
            let mut checks = Checks::new(&self.shared.index, batch.sets.len());
            for Submitted { set, outcome, .. } in &mut batch.sets {
                let set: &ChangeSet = set;
                let checked = checks.check(set, &mut tables)?;
                if checked.is_ok() && !set.entry.is_empty() {
                    write_set(set, &mut tables)?;
                    batch.tail.seq += 1;
                    batch.dirty = true;
                }
                *outcome = checked.map(|()| batch.tail.seq);
            }
        }
        if batch.dirty {
            self.append(&txn, batch)?;
        }
        if !batch.moves.is_empty() {
            batch.move_consumers(&txn)?;
        }
        let mut oldest = None;
        if trim_due {
            self.trimmed_at = Instant::now();
            let trimmed = trim::step(&txn, &self.shared)?;
            self.behind = trimmed.as_ref().is_some_and(|trimmed| trimmed.more);
            oldest = trimmed.map(|trimmed| trimmed.oldest);
            batch.dirty |= oldest.is_some();
            // Which has time.
            if !self.behind && self.sweep.is_due(&self.shared.options) {
                batch.dirty |= self.sweep.step(&mut WriteTables::new(&txn), &self.shared.options)?;
            }
        }
        if batch.dirty {
            self.shared.committing.store(batch.tail.seq, Ordering::SeqCst);
            txn.commit().attempt("committing to the store")?;
        } else {
            txn.abort().attempt("ending a transaction without changes")?;
        }
        Ok(oldest)
    }

    /// Appends the accepted sets to the feed.
    fn append(&mut self, txn: &WriteTransaction, batch: &mut Batch) -> Result<(), Error> {
        let at = self.shared.options.now().max(self.tail.at);
        batch.tail.at = at;
        let mut table = txn.open_table(FEED).attempt("opening the feed")?;
        let mut first = self.tail.seq + 1;
        let mut flush = |blocks: &mut BlockWriter, tail: &mut Tail| -> Result<(), Error> {
            let entries = blocks.entries();
            let block = blocks.finish(at, tail.offset);
            table.insert(first, block).attempt("appending to the feed")?;
            tail.offset += block.len() as u64;
            first += u64::from(entries);
            Ok(())
        };
        for set in batch.sets.iter().filter_map(Submitted::accepted) {
            let entry = set.entry.bytes();
            if !self.blocks.has_room(entry.len()) {
                flush(&mut self.blocks, &mut batch.tail)?;
            }
            self.blocks.push(entry);
        }
        flush(&mut self.blocks, &mut batch.tail)
    }
}

/// What is done in one transaction, and what it came to.
struct Batch {
    sets: Vec<Submitted>,
    moves: Vec<Command>,
    answers: Vec<Answer>,
    tail: Tail,
    /// Whether there is anything to commit.
    dirty: bool,
}

impl Batch {
    fn new(commands: Vec<Command>, tail: Tail) -> Self {
        let mut batch = Self {
            sets: Vec::with_capacity(commands.len()),
            moves: Vec::new(),
            answers: Vec::new(),
            tail,
            dirty: false,
        };
        for command in commands {
            match command {
                Command::Commit(set, to) => batch.sets.push(Submitted { set, to, outcome: Ok(0) }),
                other => batch.moves.push(other),
            }
        }
        batch
    }

    fn move_consumers(&mut self, txn: &WriteTransaction) -> Result<(), Error> {
        let mut table = txn.open_table(CONSUMERS).attempt("opening the feed's consumers")?;
        for command in self.moves.drain(..) {
            match command {
                Command::Consumer { name, start, answer } => {
                    let found = consumers::load(&table, &name)?;
                    let consumer = found.unwrap_or(Consumer { next: start.max(1), lost: None });
                    if found.is_none() {
                        consumers::save(&mut table, &name, consumer)?;
                        self.dirty = true;
                    }
                    self.answers.push(Answer::Consumer(answer, consumer));
                }
                Command::Advance { name, next, answer } => {
                    consumers::save(&mut table, &name, Consumer { next, lost: None })?;
                    self.dirty = true;
                    self.answers.push(Answer::Advance(answer));
                }
                Command::Commit(..) => {}
            }
        }
        Ok(())
    }

    /// Answers everyone; with an error, those whose change is not known to be durable get it.
    fn answer(self, error: Option<&Error>) {
        let stopped = || error.map(|e| Error::Stopped(chain(e)));
        let at = self.tail.at;
        // The last first: who handed over several and waits for them in order is then woken once, not for each. And a
        // caller who no longer waits is no error.
        for Submitted { set, to, outcome } in self.sets.into_iter().rev() {
            let outcome = match (outcome, stopped()) {
                (Ok(_), Some(stopped)) => Err(stopped),
                (outcome, _) => outcome.map(|seq| Committed { seq, at }),
            };
            drop(to.send(Reply { outcome, _set: Some(set) }));
        }
        for answer in self.answers {
            match answer {
                Answer::Consumer(to, consumer) => drop(to.send(stopped().map_or(Ok(consumer), Err))),
                Answer::Advance(to) => drop(to.send(stopped().map_or(Ok(()), Err))),
            }
        }
        self.moves.into_iter().for_each(|c| c.refuse(&|| stopped().unwrap_or_else(|| Error::Stopped(String::new()))));
    }
}

/// A durable transaction that needs no repair after a crash.
pub(crate) fn begin(db: &Database) -> Result<WriteTransaction, Error> {
    let mut txn = db.begin_write().attempt("beginning a transaction")?;
    txn.set_durability(Durability::Immediate).attempt("asking for durable commits")?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}

fn write_set(set: &ChangeSet, tables: &mut WriteTables<'_>) -> Result<(), Error> {
    for change in &set.changes {
        write_change(change, set.bytes(&change.action), tables)?;
        if change.over && set.entry.forgets() {
            calls::forget(tables, change.key.bytes())?;
        }
    }
    set.note.as_ref().map_or(Ok(()), |note| note.store(tables))
}

fn write_change(change: &PreparedChange, bytes: Option<&[u8]>, tables: &mut WriteTables<'_>) -> Result<(), Error> {
    let key = change.key.bytes();
    let existed = !matches!(change.action, Action::Create(_) | Action::Require);
    if existed && (bytes.is_none() || change.was_live != change.is_live) {
        tables.noun(change.noun, change.was_live)?.remove(key).attempt("removing a record")?;
    }
    if let Some(bytes) = bytes {
        tables.noun(change.noun, change.is_live)?.insert(key, bytes).attempt("storing a record")?;
    }
    if change.history.is_empty() {
        return Ok(());
    }
    let entries = |keys| history::entries(change.noun, change.history, key, keys);
    if !change.was_live {
        for entry in entries(&change.removed) {
            tables.history()?.remove(entry.as_slice()).attempt("removing from the history index")?;
        }
    }
    if !change.is_live {
        for entry in entries(&change.added) {
            tables.history()?.insert(entry.as_slice(), key).attempt("adding to the history index")?;
        }
    }
    Ok(())
}

/// Checks preconditions against the index, and against what earlier sets of the batch changed, which it knows not yet.
struct Checks<'a> {
    view: View<'a>,
    overlay: Overlay<'a>,
}

impl<'a> Checks<'a> {
    fn new(index: &'a Index, sets: usize) -> Self {
        Self { view: index.view(), overlay: Overlay::new(sets) }
    }

    /// Whether all preconditions of a set hold. The outer error is the storage's.
    fn check(&mut self, set: &'a ChangeSet, tables: &mut WriteTables<'_>) -> Result<Result<(), Error>, Error> {
        let before = self.overlay.len();
        for change in &set.changes {
            if let Err(refusal) = self.check_change(change, tables)? {
                self.overlay.truncate(before);
                return Ok(Err(refusal));
            }
            if !matches!(change.action, Action::Require) {
                self.overlay.note(change);
            }
        }
        Ok(Ok(()))
    }

    fn check_change(
        &self,
        change: &'a PreparedChange,
        tables: &mut WriteTables<'_>,
    ) -> Result<Result<(), Error>, Error> {
        let (noun, key) = (change.noun, &change.key);
        let found = match self.overlay.version(noun, key) {
            Some(version) => version,
            None => match self.view.version(noun, key) {
                None if !change.history.is_empty() => tables.closed_record(noun, key, version_of)?.transpose()?,
                version => version,
            },
        };
        if found != change.expected {
            return Ok(Err(Error::Conflict { noun, id: key.id(), expected: change.expected, found }));
        }
        for (field, claim) in change.added.claims() {
            let holder = match self.overlay.holder(noun, claim) {
                Some(holder) => holder.cloned(),
                None => match self.view.holder(noun, claim) {
                    None if !change.history.is_empty() => {
                        let stored = history::claim(noun, claim);
                        let holder = tables.history()?.get(stored.as_slice()).attempt("looking for a unique value")?;
                        holder.map(|guard| Key::new(guard.value()))
                    }
                    holder => holder.cloned(),
                },
            };
            if let Some(holder) = holder.filter(|h| h != key) {
                return Ok(Err(Error::Taken { noun, field, holder: holder.id() }));
            }
        }
        Ok(Ok(()))
    }
}

fn version_of(record: &[u8]) -> Result<u64, Error> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u64,
    }
    msgpack::read::<Versioned>(record, "a record's version").map(|v| v.version)
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
