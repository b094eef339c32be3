//! The one writer: gathers what arrived, applies it in one durable transaction, then answers each.

use crate::{
    ChangeSet, Committed, Error, Health, Index,
    change::{Action, PreparedChange},
    consumers::{self, Consumer},
    error::Attempt,
    feed, history,
    index::View,
    key::Key,
    msgpack,
    shared::Shared,
    tables::{CONSUMERS, FEED, WriteTables},
    trim,
};
use rapidhash::fast::RandomState;
use redb::{Database, Durability, ReadableTable, WriteTransaction};
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};
use sutler_model::Noun;
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
    Commit(ChangeSet, oneshot::Sender<Result<Committed, Error>>),
    /// Read or register a consumer's position.
    Consumer { name: String, start: u64, answer: oneshot::Sender<Result<Consumer, Error>> },
    /// Move a consumer.
    Advance { name: String, next: u64, answer: oneshot::Sender<Result<(), Error>> },
    /// Finish.
    Close,
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Commit(set, _) => set.entry.bytes().len(),
            _ => 0,
        }
    }

    /// Answers that nothing more is written.
    fn refuse(self, error: &dyn Fn() -> Error) {
        match self {
            Self::Commit(_, answer) => drop(answer.send(Err(error()))),
            Self::Consumer { answer, .. } => drop(answer.send(Err(error()))),
            Self::Advance { answer, .. } => drop(answer.send(Err(error()))),
            Self::Close => {}
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
}

/// An answer that waits for the commit.
enum Answer {
    Set(oneshot::Sender<Result<Committed, Error>>, Result<u64, Error>),
    Consumer(oneshot::Sender<Result<Consumer, Error>>, Consumer),
    Advance(oneshot::Sender<Result<(), Error>>),
}

impl Writer {
    /// Runs until told to close, or until the storage fails.
    pub(crate) fn run(mut self) {
        loop {
            let batch = self.shared.queue.take(SETS_MAX, BYTES_MAX, Command::bytes, IDLE);
            let closing = batch.iter().any(|c| matches!(c, Command::Close));
            let outcome = catch_unwind(AssertUnwindSafe(|| self.turn(batch)));
            let failure = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(chain(&error)),
                Err(_) => Some("the writer panicked".to_owned()),
            };
            if let Some(reason) = &failure {
                tracing::error!(reason, "the store has stopped");
                self.shared.set_health(Health::Stopped(reason.clone()));
            }
            if closing || failure.is_some() {
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

    /// One batch. An error means that the store can no longer be trusted.
    fn turn(&mut self, batch: Vec<Command>) -> Result<(), Error> {
        let trim_due = self.trimmed_at.elapsed() >= trim::EVERY;
        if batch.is_empty() && !(trim_due && trim::is_due(&self.db, &self.shared)?) {
            return Ok(());
        }
        if let Some(refusal) = self.shared.space.refusal() {
            self.shared.set_health(Health::ReadOnly(refusal.error().to_string()));
            batch.into_iter().for_each(|command| command.refuse(&|| refusal.error()));
            return Ok(());
        }
        self.shared.set_health(Health::Ok);
        let began = Instant::now();
        let txn = begin(&self.db)?;
        let mut answers = Vec::with_capacity(batch.len());
        match self.apply(&txn, batch, trim_due, &mut answers) {
            Ok(applied) => match self.commit(txn, applied, answers, began) {
                Ok(()) => Ok(()),
                Err((error, answers)) => {
                    answers.into_iter().for_each(|a| a.fail(&error));
                    Err(error)
                }
            },
            Err(error) => {
                answers.into_iter().for_each(|a| a.fail(&error));
                Err(error)
            }
        }
    }

    fn apply(
        &mut self,
        txn: &WriteTransaction,
        batch: Vec<Command>,
        trim_due: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Applied, Error> {
        let mut applied =
            Applied { tail: self.tail, sets: Vec::with_capacity(batch.len()), dirty: false, oldest: None };
        let (mut sets, mut moves) = (Vec::with_capacity(batch.len()), Vec::new());
        for command in batch {
            match command {
                Command::Commit(set, answer) => {
                    sets.push(set);
                    answers.push(Answer::Set(answer, Ok(0)));
                }
                Command::Close => {}
                other => moves.push(other),
            }
        }
        let mut accepted = Vec::with_capacity(sets.len());
        {
            let mut tables = WriteTables::new(txn);
            let mut checks = Checks::new(&self.shared.index, sets.len());
            for (set, answer) in sets.iter().zip(answers.iter_mut()) {
                let checked = checks.check(set, &mut tables)?;
                let accept = checked.is_ok() && !set.entry.is_empty();
                if accept {
                    write_set(set, &mut tables)?;
                    applied.tail.seq += 1;
                }
                accepted.push(accept);
                if let Answer::Set(_, outcome) = answer {
                    *outcome = checked.map(|()| applied.tail.seq);
                }
            }
        }
        let mut accepted = accepted.into_iter();
        sets.retain(|_| accepted.next().unwrap_or(false));
        applied.sets = sets;
        if !applied.sets.is_empty() {
            applied.dirty = true;
            self.append_block(txn, &mut applied)?;
        }
        if !moves.is_empty() {
            let mut table = txn.open_table(CONSUMERS).attempt("opening the feed's consumers")?;
            for command in moves {
                match command {
                    Command::Consumer { name, start, answer } => {
                        let found = consumers::load(&table, &name)?;
                        let consumer = found.unwrap_or(Consumer { next: start.max(1), lost: None });
                        if found.is_none() {
                            consumers::save(&mut table, &name, consumer)?;
                            applied.dirty = true;
                        }
                        answers.push(Answer::Consumer(answer, consumer));
                    }
                    Command::Advance { name, next, answer } => {
                        consumers::save(&mut table, &name, Consumer { next, lost: None })?;
                        applied.dirty = true;
                        answers.push(Answer::Advance(answer));
                    }
                    Command::Commit(..) | Command::Close => {}
                }
            }
        }
        if trim_due {
            self.trimmed_at = Instant::now();
            applied.oldest = trim::step(txn, &self.shared)?;
            applied.dirty |= applied.oldest.is_some();
        }
        Ok(applied)
    }

    fn append_block(&self, txn: &WriteTransaction, applied: &mut Applied) -> Result<(), Error> {
        let entries = || applied.sets.iter().map(|s| s.entry.bytes());
        let length = feed::block_len(entries().map(<[u8]>::len));
        let at = self.shared.options.now().max(self.tail.at);
        let header = feed::Header { entries: applied.sets.len() as u32, at, offset: self.tail.offset };
        let mut table = txn.open_table(FEED).attempt("opening the feed")?;
        let mut space = table.insert_reserve(self.tail.seq + 1, length).attempt("appending to the feed")?;
        feed::write_block(space.as_mut(), header, entries());
        applied.tail.at = at;
        applied.tail.offset += length as u64;
        Ok(())
    }

    /// Makes a batch durable and known, then answers. An error comes with the answers still owed.
    fn commit(
        &mut self,
        txn: WriteTransaction,
        applied: Applied,
        answers: Vec<Answer>,
        began: Instant,
    ) -> Result<(), (Error, Vec<Answer>)> {
        let sets = applied.sets.len();
        if applied.dirty {
            if let Err(e) = txn.commit() {
                return Err((Error::io("committing to the store", e), answers));
            }
        } else if let Err(e) = txn.abort() {
            return Err((Error::io("ending a transaction without changes", e), answers));
        }
        self.tail = applied.tail;
        if sets > 0 {
            self.shared.index.apply(applied.sets.iter().map(|s| s.changes.as_slice()), applied.tail.seq);
        }
        self.shared.committed(applied.tail.seq, applied.oldest, applied.dirty, sets, began.elapsed());
        let at = self.tail.at;
        for answer in answers {
            // A caller who no longer waits is no error.
            match answer {
                Answer::Set(to, outcome) => drop(to.send(outcome.map(|seq| Committed { seq, at }))),
                Answer::Consumer(to, consumer) => drop(to.send(Ok(consumer))),
                Answer::Advance(to) => drop(to.send(Ok(()))),
            }
        }
        Ok(())
    }
}

impl Answer {
    fn fail(self, error: &Error) {
        let stopped = || Error::Stopped(chain(error));
        match self {
            // What was refused was refused, whatever came after.
            Self::Set(to, Err(refusal)) => drop(to.send(Err(refusal))),
            Self::Set(to, Ok(_)) => drop(to.send(Err(stopped()))),
            Self::Consumer(to, _) => drop(to.send(Err(stopped()))),
            Self::Advance(to) => drop(to.send(Err(stopped()))),
        }
    }
}

/// What a batch came to.
struct Applied {
    tail: Tail,
    sets: Vec<ChangeSet>,
    /// Whether there is anything to commit.
    dirty: bool,
    /// The oldest entry left, when some were trimmed.
    oldest: Option<u64>,
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
    }
    Ok(())
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
    batch: Overlay<'a>,
    /// Of the set being checked: dropped when the set is refused.
    set: Overlay<'a>,
    sets_left: usize,
}

/// Changed versions (none: gone) and claims (none: free).
#[derive(Default)]
struct Overlay<'a> {
    versions: HashMap<(Noun, &'a Key), Option<u64>, RandomState>,
    claims: HashMap<(Noun, &'a [u8]), Option<&'a Key>, RandomState>,
}

impl<'a> Checks<'a> {
    fn new(index: &'a Index, sets: usize) -> Self {
        Self { view: index.view(), batch: Overlay::default(), set: Overlay::default(), sets_left: sets }
    }

    /// Whether all preconditions of a set hold. The outer error is the storage's.
    fn check(&mut self, set: &'a ChangeSet, tables: &mut WriteTables<'_>) -> Result<Result<(), Error>, Error> {
        self.sets_left -= 1;
        let mut rest = set.changes.iter();
        while let Some(change) = rest.next() {
            if let Err(refusal) = self.check_change(change, tables)? {
                self.set.versions.clear();
                self.set.claims.clear();
                return Ok(Err(refusal));
            }
            // Nobody asks after the last change of the last set.
            if !matches!(change.action, Action::Require) && (self.sets_left > 0 || rest.len() > 0) {
                self.set.versions.insert((change.noun, &change.key), change.version);
                self.set.claims.extend(change.removed.claims().map(|(_, claim)| ((change.noun, claim), None)));
                let taken = change.added.claims().map(|(_, claim)| ((change.noun, claim), Some(&change.key)));
                self.set.claims.extend(taken);
            }
        }
        self.batch.versions.extend(self.set.versions.drain());
        self.batch.claims.extend(self.set.claims.drain());
        Ok(Ok(()))
    }

    fn check_change(
        &self,
        change: &'a PreparedChange,
        tables: &mut WriteTables<'_>,
    ) -> Result<Result<(), Error>, Error> {
        let (noun, key) = (change.noun, &change.key);
        let at = (noun, key);
        let found = match self.set.versions.get(&at).or_else(|| self.batch.versions.get(&at)) {
            Some(version) => *version,
            None => match self.view.version(noun, key) {
                None if !change.history.is_empty() => {
                    tables.closed_record(noun, key.bytes(), version_of)?.transpose()?
                }
                version => version,
            },
        };
        if found != change.expected {
            return Ok(Err(Error::Conflict { noun, id: key.id(), expected: change.expected, found }));
        }
        for (field, claim) in change.added.claims() {
            let at = (noun, claim);
            let holder = match self.set.claims.get(&at).or_else(|| self.batch.claims.get(&at)) {
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
