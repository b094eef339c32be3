//! What the store must know of a noun.

use serde::{Serialize, de::DeserializeOwned};
use sutler_model::Noun;
use uuid::Uuid;

/// A field that records can be found by. Stored by number in the history index: append, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// The record above it in its tree.
    Parent = 1,
    /// Its owner.
    Customer = 2,
    /// Its owner's seller.
    BillingEntity = 3,
    /// Its state's word.
    State = 4,
    /// Its name, folded to small letters.
    Name = 5,
    /// The record it works on or belongs to (a job's item, a disk's server, a run's resource).
    Subject = 6,
    /// The node it is on.
    Node = 7,
    /// The user it belongs to.
    User = 8,
    /// The script it belongs to.
    Script = 9,
    /// `name=value` and `name` of each resource key.
    Key = 10,
    /// The image it was made from.
    Image = 11,
    /// Unfinished (jobs), open (intervals), due (runs): what start-up must pick up.
    Pending = 12,
    /// The runs of scripts that it names: what set it off, what charged or paid. They are kept while it is there.
    Run = 13,
}

/// The index keys of one record, packed: two allocations however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexKeys {
    bytes: Vec<u8>,
    /// What each key is for, and where it lies in `bytes`.
    entries: Vec<(Slot, u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Found(Field),
    Unique(&'static str),
}

impl IndexKeys {
    /// Findable by `value` in `field`.
    pub fn by(&mut self, field: Field, value: impl AsRef<[u8]>) -> &mut Self {
        let start = self.start();
        self.bytes.extend_from_slice(value.as_ref());
        self.end(Slot::Found(field), start)
    }

    /// Unique by `parts` together; `field` is what an error names.
    pub fn unique(&mut self, field: &'static str, parts: &[&[u8]]) -> &mut Self {
        let start = self.start();
        // Length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
        for part in [field.as_bytes()].iter().chain(parts) {
            self.bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            self.bytes.extend_from_slice(part);
        }
        self.end(Slot::Unique(field), start)
    }

    /// What it can be found by.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (Field, &[u8])> {
        self.entries.iter().filter_map(|(slot, start, end)| match slot {
            Slot::Found(field) => Some((*field, &self.bytes[*start as usize..*end as usize])),
            Slot::Unique(_) => None,
        })
    }

    /// What it claims for itself alone: the field an error names, and the claim within its noun.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.entries.iter().filter_map(|(slot, start, end)| match slot {
            Slot::Unique(field) => Some((*field, &self.bytes[*start as usize..*end as usize])),
            Slot::Found(_) => None,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Drops from both what is in both.
    pub(crate) fn drop_common(&mut self, other: &mut Self) {
        let (ours, theirs) = (&self.bytes, &other.bytes);
        self.entries.retain(|(slot, start, end)| {
            let key = &ours[*start as usize..*end as usize];
            let same = |(s, from, to): &(Slot, u32, u32)| s == slot && &theirs[*from as usize..*to as usize] == key;
            match other.entries.iter().position(same) {
                Some(i) => {
                    other.entries.swap_remove(i);
                    false
                }
                None => true,
            }
        });
    }

    fn start(&mut self) -> u32 {
        if self.entries.is_empty() {
            // What most records need, at once.
            self.bytes.reserve(192);
            self.entries.reserve(10);
        }
        self.bytes.len() as u32
    }

    fn end(&mut self, slot: Slot, start: u32) -> &mut Self {
        self.entries.push((slot, start, self.bytes.len() as u32));
        self
    }
}

/// A record the store keeps: MessagePack with field names, in one table per noun.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Its table.
    const NOUN: Noun;
    /// Top-level fields never shown outside the store (password hashes and the like).
    const SECRETS: &'static [&'static str] = &[];
    /// Fields by which its records can still be found once they are no longer live. Each costs a write to the
    /// on-disk index when that happens. Empty: its records are always live.
    const HISTORY: &'static [Field] = &[];
    /// Values of those fields that most such records have: not worth an entry each, because looking at all records finds
    /// them as fast.
    const COMMON: &'static [(Field, &'static [u8])] = &[];
    /// The field whose value every key begins with, if there is one: found by range, live or not.
    const CLUSTERED: Option<Field> = None;

    /// Its key in the table; order of keys is order of listing. 16 bytes (the id) for all but intervals.
    fn key(&self) -> Vec<u8>;
    /// An id for messages and feed entries; for an interval its resource.
    fn id(&self) -> Uuid;
    /// Its version, from 1.
    fn version(&self) -> u64;
    /// Sets its version; called by the change set.
    fn set_version(&mut self, version: u64);
    /// Live records are indexed in memory; the rest (finished jobs and runs, closed intervals) on disk, clustered.
    fn live(&self) -> bool {
        true
    }
    /// Whether it is a run, or a job, that is over for good: what it did by calls ([`crate::CallMade`]) is never done again.
    fn over(&self) -> bool {
        false
    }
    /// Whether a run that was for it may be asked for again, for how that ended has not been settled.
    fn awaits_run(&self) -> bool {
        false
    }
    /// What it can be found by.
    fn index(&self) -> IndexKeys;
}
