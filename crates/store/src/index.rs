//! The in-memory index of live records: built at start, kept by the writer after each commit and before the answer.

use crate::{Field, IndexKeys, Order, Record, change::PreparedChange, key::Key, sorted::Sorted};
use rapidhash::fast::RandomState;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};
use sutler_model::Noun;
use uuid::Uuid;

/// The in-memory index of live records, current to the last acknowledged commit.
#[derive(Default)]
pub struct Index {
    inner: RwLock<Inner>,
    /// Feed position of each open snapshot, and how many stand there.
    snapshots: Mutex<BTreeMap<u64, usize>>,
}

/// Change sets applied for each hold of the lock: readers wait a fraction of a millisecond even behind a full batch.
const SETS_PER_LOCK: usize = 64;
const FIELDS: usize = Field::Run as usize + 1;
const NOUNS: usize = Noun::MAX + 1;

#[derive(Default)]
struct Inner {
    nouns: [NounIndex; NOUNS],
    /// Records that left an entry while an older snapshot was open, which must still find them there.
    departed: VecDeque<(u64, Noun, Key)>,
}

#[derive(Default)]
struct NounIndex {
    versions: Sorted<u64>,
    fields: [HashMap<Box<[u8]>, Postings, RandomState>; FIELDS],
    claims: HashMap<Box<[u8]>, Key, RandomState>,
}

/// Records with one value. Most names and subjects have one record, for which a set would be a waste.
enum Postings {
    One(Key),
    Many(Sorted<()>),
}

impl Postings {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(keys) => keys.len(),
        }
    }

    fn contains(&self, key: &Key) -> bool {
        match self {
            Self::One(k) => k == key,
            Self::Many(keys) => keys.get(key).is_some(),
        }
    }

    fn insert(&mut self, key: Key) {
        match self {
            Self::One(k) if *k == key => {}
            Self::One(k) => {
                let mut keys = Sorted::default();
                keys.insert(k.clone(), ());
                keys.insert(key, ());
                *self = Self::Many(keys);
            }
            Self::Many(keys) => keys.insert(key, ()),
        }
    }

    /// Whether nothing is left.
    fn remove(&mut self, key: &Key) -> bool {
        match self {
            Self::One(k) => k == key,
            Self::Many(keys) => {
                keys.remove(key);
                keys.len() == 0
            }
        }
    }

    /// The next `max` keys beyond `after`, and whether there are more.
    fn page(&self, after: Option<&Key>, order: Order, max: usize, out: &mut Vec<Key>) -> bool {
        match self {
            Self::One(k) => {
                let beyond = after.is_none_or(|after| order.compare(after, k).is_lt());
                out.extend(Some(k.clone()).filter(|_| beyond));
                false
            }
            Self::Many(keys) => {
                let mut keys = keys.beyond(after, order);
                out.extend(keys.by_ref().take(max).cloned());
                keys.next().is_some()
            }
        }
    }
}

impl NounIndex {
    fn postings(&self, field: Field, value: &[u8]) -> Option<&Postings> {
        self.fields[field as usize].get(value)
    }

    fn add(&mut self, keys: &IndexKeys, key: &Key) {
        for (field, value) in keys.fields() {
            let map = &mut self.fields[field as usize];
            match map.get_mut(value) {
                Some(postings) => postings.insert(key.clone()),
                None => drop(map.insert(value.into(), Postings::One(key.clone()))),
            }
        }
        for (_, claim) in keys.claims() {
            self.claims.insert(claim.into(), key.clone());
        }
    }

    fn remove(&mut self, keys: &IndexKeys, key: &Key) {
        for (field, value) in keys.fields() {
            let map = &mut self.fields[field as usize];
            if map.get_mut(value).is_some_and(|p| p.remove(key)) {
                map.remove(value);
            }
        }
        for (_, claim) in keys.claims() {
            // Another record may have taken it since, in the same batch.
            if self.claims.get(claim) == Some(key) {
                self.claims.remove(claim);
            }
        }
    }
}

/// A batch of candidate keys for a filter.
pub(crate) struct Candidates {
    pub(crate) keys: Vec<Key>,
    /// Where the next batch begins; none: that was all.
    pub(crate) next: Option<Key>,
}

impl Index {
    /// Ids of the live records of `noun` with `value` in `field`, in order.
    pub fn ids(&self, noun: Noun, field: Field, value: &[u8]) -> Vec<Uuid> {
        let inner = self.read();
        match inner.nouns[noun as usize].postings(field, value) {
            None => Vec::new(),
            Some(Postings::One(key)) => vec![key.id()],
            Some(Postings::Many(keys)) => keys.keys().map(Key::id).collect(),
        }
    }

    /// How many there are.
    pub fn count(&self, noun: Noun, field: Field, value: &[u8]) -> usize {
        self.read().nouns[noun as usize].postings(field, value).map_or(0, Postings::len)
    }

    /// All live ids of `noun`, in order.
    pub fn all(&self, noun: Noun) -> Vec<Uuid> {
        self.read().nouns[noun as usize].versions.keys().map(Key::id).collect()
    }

    /// The version of a live record.
    pub fn version(&self, noun: Noun, id: Uuid) -> Option<u64> {
        self.view().version(noun, &Key::Id(id.into_bytes()))
    }

    /// The live record that holds a unique value; parts as given to [`crate::IndexKeys::unique`].
    pub fn holder(&self, noun: Noun, field: &'static str, parts: &[&[u8]]) -> Option<Uuid> {
        let mut keys = IndexKeys::default();
        keys.unique(field, parts);
        let view = self.view();
        keys.claims().find_map(|(_, claim)| view.holder(noun, claim)).map(Key::id)
    }

    /// The index as it is, held still.
    pub(crate) fn view(&self) -> View<'_> {
        View(self.read())
    }

    /// Live records by noun.
    pub(crate) fn counts(&self) -> Vec<(Noun, u64)> {
        let inner = self.read();
        Noun::ALL.into_iter().map(|n| (n, inner.nouns[n as usize].versions.len() as u64)).collect()
    }

    /// Takes in a live record at start-up.
    pub(crate) fn load<R: Record>(&self, record: &R) {
        let (key, keys) = (Key::new(&record.key()), record.index());
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let index = &mut inner.nouns[R::NOUN as usize];
        index.add(&keys, &key);
        index.versions.insert(key, record.version());
    }

    /// Takes in what a commit changed; `last` is its last feed position.
    pub(crate) fn apply<'a>(&self, sets: impl Iterator<Item = &'a [PreparedChange]>, last: u64) {
        // Read after the commit: a snapshot opened from here on sees it and needs no memory of what it replaced.
        let oldest = self.snapshots().first_key_value().map(|(seq, _)| *seq);
        let mut sets = sets.peekable();
        while sets.peek().is_some() {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            match oldest {
                None => inner.departed.clear(),
                Some(oldest) => {
                    while inner.departed.front().is_some_and(|(seq, ..)| *seq <= oldest) {
                        inner.departed.pop_front();
                    }
                }
            }
            for change in sets.by_ref().take(SETS_PER_LOCK).flatten() {
                inner.apply_one(change, oldest.map(|_| last));
            }
        }
    }

    /// Notes a snapshot that sees at least everything up to `seq`; [`Self::close_snapshot`] ends it.
    pub(crate) fn open_snapshot(&self, seq: impl FnOnce() -> u64) -> u64 {
        let mut snapshots = self.snapshots();
        // Under the lock, so that the writer either sees this snapshot or has already published its commit.
        let seq = seq();
        *snapshots.entry(seq).or_default() += 1;
        seq
    }

    pub(crate) fn close_snapshot(&self, seq: u64) {
        let mut snapshots = self.snapshots();
        if let Some(count) = snapshots.get_mut(&seq) {
            *count -= 1;
            if *count == 0 {
                snapshots.remove(&seq);
            }
        }
    }

    /// Keys beyond `after` that may satisfy all of `fields` (each: any of its values) in a snapshot at `seq`.
    pub(crate) fn candidates(
        &self,
        noun: Noun,
        fields: &[(Field, Vec<Vec<u8>>)],
        after: Option<&Key>,
        order: Order,
        seq: u64,
    ) -> Candidates {
        let inner = self.read();
        let index = &inner.nouns[noun as usize];
        let count = |(field, values): &(Field, Vec<Vec<u8>>)| -> usize {
            values.iter().filter_map(|v| index.postings(*field, v)).map(Postings::len).sum()
        };
        let Some(driver) = (0..fields.len()).min_by_key(|i| count(&fields[*i])) else {
            return Candidates { keys: Vec::new(), next: None };
        };
        let ahead = |a: &Key, b: &Key| order.compare(a, b);
        let mut keys = Vec::new();
        let mut next: Option<Key> = None;
        for postings in fields[driver].1.iter().filter_map(|v| index.postings(fields[driver].0, v)) {
            // A batch reaches only as far as the value that was cut off first.
            if postings.page(after, order, BATCH, &mut keys) {
                let last = keys.last().cloned();
                next = match (next, last) {
                    (Some(a), Some(b)) => Some(if ahead(&a, &b).is_le() { a } else { b }),
                    (a, b) => a.or(b),
                };
            }
        }
        keys.retain(|key| {
            fields.iter().enumerate().all(|(i, (field, values))| {
                i == driver || values.iter().any(|v| index.postings(*field, v).is_some_and(|p| p.contains(key)))
            })
        });
        let departed = inner.departed.iter().rev().take_while(|(at, ..)| *at > seq);
        keys.extend(departed.filter(|(_, n, _)| *n == noun).map(|(.., key)| key.clone()));
        keys.retain(|key| {
            after.is_none_or(|a| ahead(a, key).is_lt()) && next.as_ref().is_none_or(|n| ahead(key, n).is_le())
        });
        keys.sort_unstable_by(ahead);
        keys.dedup();
        Candidates { keys, next }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshots(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Candidates looked at for each hold of the lock.
const BATCH: usize = 1024;

impl Inner {
    fn apply_one(&mut self, change: &PreparedChange, departed_at: Option<u64>) {
        let PreparedChange { noun, key, version, was_live, is_live, removed, added, .. } = change;
        let index = &mut self.nouns[*noun as usize];
        if *was_live {
            index.remove(removed, key);
            if let Some(seq) = departed_at.filter(|_| !removed.is_empty()) {
                self.departed.push_back((seq, *noun, key.clone()));
            }
        }
        if *is_live {
            index.add(added, key);
        }
        match version.filter(|_| *is_live) {
            Some(version) => index.versions.insert(key.clone(), version),
            None if *was_live => index.versions.remove(key),
            None => {}
        }
    }
}

/// The index held still; the writer is the only one who would change it.
pub(crate) struct View<'a>(RwLockReadGuard<'a, Inner>);

impl View<'_> {
    /// The version of a live record.
    pub(crate) fn version(&self, noun: Noun, key: &Key) -> Option<u64> {
        self.0.nouns[noun as usize].versions.get(key).copied()
    }

    /// The live record that holds a claim.
    pub(crate) fn holder(&self, noun: Noun, claim: &[u8]) -> Option<&Key> {
        self.0.nouns[noun as usize].claims.get(claim)
    }
}
