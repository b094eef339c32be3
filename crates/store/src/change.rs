//! Change sets: encoded, compared and indexed on the caller's thread, so that the writer only copies bytes.

use crate::{Field, IndexKeys, Op, Record, feed, history, key::Key, msgpack};
use std::ops::Range;
use sutler_model::{Cause, Noun};

/// Puts and deletes that happen together or not at all. Encoded and compared on the caller's thread.
pub struct ChangeSet {
    /// The set's feed entry; a created record's bytes lie only here.
    pub(crate) entry: feed::EntryWriter,
    /// Bytes of updated records.
    updates: Vec<u8>,
    pub(crate) changes: Vec<PreparedChange>,
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
    /// Whether records of this noun stop being live at all.
    pub(crate) has_history: bool,
    pub(crate) memory: Difference<Keys>,
    pub(crate) disk: Difference<Vec<Vec<u8>>>,
    /// Unique values it takes, wherever they are kept: the field for errors, and the claim.
    pub(crate) claims: Vec<(&'static str, Box<[u8]>)>,
    /// Unique values it gives up.
    pub(crate) releases: Vec<Box<[u8]>>,
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

/// What goes and what comes.
#[derive(Default)]
pub(crate) struct Difference<T> {
    pub(crate) removed: T,
    pub(crate) added: T,
}

/// Entries of the in-memory index.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) fields: Vec<(Field, Box<[u8]>)>,
    pub(crate) claims: Vec<Box<[u8]>>,
}

impl ChangeSet {
    /// An empty set with a cause.
    pub fn new(cause: Cause) -> Self {
        Self { entry: feed::EntryWriter::new(&cause), updates: Vec::new(), changes: Vec::new() }
    }

    /// Stores a record that must not exist yet. Sets its version to 1.
    pub fn create<R: Record>(&mut self, record: &mut R) -> &mut Self {
        record.set_version(1);
        let (key, after) = (Key::new(&record.key()), record.index());
        self.entry.begin::<R>(Op::Created, &key, 1, &after);
        let bytes = self.entry.record(record);
        self.push::<R>(key, Action::Create(bytes), None, Some(1), None, Some((after, record.live())));
        self
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
        self
    }

    /// Deletes `old`, which must still be at `old.version()`.
    pub fn delete<R: Record>(&mut self, old: &R) -> &mut Self {
        let (key, before) = (Key::new(&old.key()), old.index());
        self.entry.begin::<R>(Op::Deleted, &key, old.version(), &before);
        self.entry.record(old);
        self.push::<R>(key, Action::Delete, Some(old.version()), None, Some((before, old.live())), None);
        self
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

    fn push<R: Record>(
        &mut self,
        key: Key,
        action: Action,
        expected: Option<u64>,
        version: Option<u64>,
        before: Option<(IndexKeys, bool)>,
        after: Option<(IndexKeys, bool)>,
    ) {
        let has_history = !R::HISTORY.is_empty();
        let was_live = before.as_ref().is_some_and(|(_, live)| *live);
        let is_live = after.as_ref().is_some_and(|(_, live)| *live);
        let (old, new) = (Placed::new::<R>(&key, before), Placed::new::<R>(&key, after));
        let held = |p: &Placed, live: bool| if live { p.claims() } else { Vec::new() };
        let (lost, won) = difference(held(&old, was_live), held(&new, is_live));
        let (removed, added) = difference(old.fields, new.fields);
        let memory =
            Difference { removed: Keys { fields: removed, claims: lost }, added: Keys { fields: added, claims: won } };
        let (removed, added) = difference(old.disk, new.disk);
        let (releases, claims) = difference(old.claims, new.claims);
        let change = PreparedChange {
            noun: R::NOUN,
            key,
            action,
            expected,
            version,
            was_live,
            is_live,
            has_history,
            memory,
            disk: Difference { removed, added },
            claims,
            releases: releases.into_iter().map(|(_, claim)| claim).collect(),
        };
        self.changes.push(change);
    }
}

/// Where the index keys of one state of a record are kept.
#[derive(Default)]
struct Placed {
    /// In memory; empty when not live.
    fields: Vec<(Field, Box<[u8]>)>,
    /// On disk; empty when live. Claims among them.
    disk: Vec<Vec<u8>>,
    claims: Vec<(&'static str, Box<[u8]>)>,
}

impl Placed {
    fn new<R: Record>(key: &Key, state: Option<(IndexKeys, bool)>) -> Self {
        let Some((keys, live)) = state else { return Self::default() };
        let claims: Vec<_> =
            keys.unique.into_iter().map(|(field, value)| (field, history::claim(R::NOUN, field, &value))).collect();
        if live {
            let fields = keys.fields.into_iter().map(|(field, value)| (field, value.into_boxed_slice())).collect();
            return Self { fields, disk: Vec::new(), claims };
        }
        let mut disk = history::entries::<R>(key.bytes(), &keys.fields);
        disk.extend(claims.iter().map(|(_, claim)| claim.to_vec()));
        Self { fields: Vec::new(), disk, claims }
    }

    fn claims(&self) -> Vec<Box<[u8]>> {
        self.claims.iter().map(|(_, claim)| claim.clone()).collect()
    }
}

/// What is only in `old`, and what is only in `new`. The lists are a handful long.
fn difference<T: PartialEq>(mut old: Vec<T>, mut new: Vec<T>) -> (Vec<T>, Vec<T>) {
    if !old.is_empty() {
        new.retain(|n| match old.iter().position(|o| o == n) {
            Some(i) => {
                old.swap_remove(i);
                false
            }
            None => true,
        });
    }
    (old, new)
}
