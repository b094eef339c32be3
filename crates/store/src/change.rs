//! Change sets: encoded, compared and indexed on the caller's thread, so that the writer only copies bytes.

use crate::{
    IndexKeys, Op, Record,
    calls::{Note, Touched},
    feed,
    history::Rule,
    key::Key,
    msgpack,
};
use std::ops::Range;
use sutler_model::{Cause, Noun};

/// Puts and deletes that happen together or not at all. Encoded and compared on the caller's thread.
pub struct ChangeSet {
    /// The set's feed entry; a created record's bytes lie only here.
    pub(crate) entry: feed::EntryWriter,
    /// Bytes of updated records.
    updates: Vec<u8>,
    pub(crate) changes: Vec<PreparedChange>,
    /// What a call of a run does by it.
    pub(crate) note: Option<Note>,
}

/// One prepared change: where its bytes are, its precondition, and what it does to the indexes.
pub(crate) struct PreparedChange {
    pub(crate) noun: Noun,
    pub(crate) key: Key,
    pub(crate) action: Action,
    /// The version it must be at; none: it must not exist.
    pub(crate) expected: Option<u64>,
    /// Its version afterwards; none: gone.
    pub(crate) version: Option<u64>,
    pub(crate) was_live: bool,
    pub(crate) is_live: bool,
    /// Whether it is the end for good of a run, or of a job that makes calls.
    pub(crate) over: bool,
    /// Fields by which records of this noun are found once they are no longer live; empty: they always are.
    pub(crate) history: Rule,
    /// Index keys that go and come; those of a live record in memory, of others on disk.
    pub(crate) removed: IndexKeys,
    pub(crate) added: IndexKeys,
}

/// What happens to the record's bytes.
pub(crate) enum Action {
    /// Stored; the bytes lie in the feed entry.
    Create(Range<usize>),
    /// Stored; the bytes lie in `updates`.
    Update(Range<usize>),
    /// Removed.
    Delete,
    /// Only its version is demanded.
    Require,
}

impl ChangeSet {
    /// An empty set with a cause.
    pub fn new(cause: Cause) -> Self {
        Self {
            entry: feed::EntryWriter::new(&cause),
            updates: Vec::new(),
            changes: Vec::with_capacity(1),
            note: Note::of(&cause),
        }
    }

    /// Forgets the calls of what ends for good in this set; see [`crate::CallMade`]. For those that made none it is not worth
    /// a look.
    pub fn forget_calls(&mut self) -> &mut Self {
        self.entry.forget_calls();
        self
    }

    /// Stores a record that must not exist yet. Sets its version to 1.
    pub fn create<R: Record>(&mut self, record: &mut R) -> &mut Self {
        record.set_version(1);
        let (key, after) = (Key::new(&record.key()), record.index());
        self.entry.begin::<R>(Op::Created, &key, 1, &after);
        let bytes = self.entry.record(record);
        self.push::<R>(key, Action::Create(bytes), None, Some(1), None, Some((after, record.live())));
        self.note(record, Op::Created)
    }

    /// Stores `new` in place of `old`, which must still be at `old.version()`. Sets `new`'s version to one more.
    /// `old` must be the record as it was read: what it can be found by is taken from it.
    ///
    /// # Panics
    /// When the two are different records.
    pub fn update<R: Record>(&mut self, old: &R, new: &mut R) -> &mut Self {
        let key = old.key();
        assert!(key == new.key(), "an update keeps the record's key");
        let (key, version) = (Key::new(&key), old.version() + 1);
        new.set_version(version);
        let (before, after) = (old.index(), new.index());
        let start = self.updates.len();
        msgpack::write(&mut self.updates, new);
        let end = self.updates.len();
        // The old encoding is needed only for the comparison; it borrows the buffer's tail.
        msgpack::write(&mut self.updates, old);
        self.entry.begin::<R>(Op::Updated, &key, version, &after);
        self.entry.differences(&self.updates[end..], &self.updates[start..end]);
        self.updates.truncate(end);
        self.push::<R>(
            key,
            Action::Update(start..end),
            Some(old.version()),
            Some(version),
            Some((before, old.live())),
            Some((after, new.live())),
        );
        self.note(new, Op::Updated)
    }

    /// Deletes `old`, which must still be at `old.version()`.
    pub fn delete<R: Record>(&mut self, old: &R) -> &mut Self {
        let (key, before) = (Key::new(&old.key()), old.index());
        self.entry.begin::<R>(Op::Deleted, &key, old.version(), &before);
        self.entry.record(old);
        self.push::<R>(key, Action::Delete, Some(old.version()), None, Some((before, old.live())), None);
        self.note(old, Op::Deleted)
    }

    /// The same for what goes in masses when it is old: the feed tells that it is gone, and not what it was.
    pub fn sweep<R: Record>(&mut self, old: &R) -> &mut Self {
        let (key, before) = (Key::new(&old.key()), old.index());
        self.entry.begin::<R>(Op::Deleted, &key, old.version(), &before);
        self.entry.nothing();
        self.push::<R>(key, Action::Delete, Some(old.version()), None, Some((before, old.live())), None);
        self.note(old, Op::Deleted)
    }

    /// Tells of something in the feed alone: the record comes and goes in this set.
    pub fn mention<R: Record>(&mut self, record: &mut R) -> &mut Self {
        self.create(record).delete(record)
    }

    /// Demands that `record` is still at its version, without changing it.
    pub fn require<R: Record>(&mut self, record: &R) -> &mut Self {
        let version = Some(record.version());
        self.push::<R>(Key::new(&record.key()), Action::Require, version, version, None, None);
        self
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The bytes a change stores.
    pub(crate) fn bytes(&self, action: &Action) -> Option<&[u8]> {
        match action {
            Action::Create(range) => Some(&self.entry.bytes()[range.clone()]),
            Action::Update(range) => Some(&self.updates[range.clone()]),
            Action::Delete | Action::Require => None,
        }
    }

    /// What the change just pushed means for calls.
    fn note<R: Record>(&mut self, record: &R, op: Op) -> &mut Self {
        if let Some(change) = self.changes.last_mut() {
            change.over = record.over();
            if let Some(note) = &mut self.note {
                note.push(Touched { noun: change.noun, id: change.key.id(), op, version: record.version() });
            }
        }
        self
    }

    fn push<R: Record>(
        &mut self,
        key: Key,
        action: Action,
        expected: Option<u64>,
        version: Option<u64>,
        before: Option<(IndexKeys, bool)>,
        after: Option<(IndexKeys, bool)>,
    ) {
        let (mut removed, was_live) = before.unwrap_or_default();
        let (mut added, is_live) = after.unwrap_or_default();
        if was_live == is_live {
            removed.drop_common(&mut added);
        }
        let noun = R::NOUN;
        let history = Rule::of::<R>();
        self.changes.push(PreparedChange {
            noun,
            key,
            action,
            expected,
            version,
            was_live,
            is_live,
            over: false,
            history,
            removed,
            added,
        });
    }
}
