//! The change feed: one entry for each change set, the entries of one commit packed into blocks.
//!
//! A block is one value of the feed table, keyed by the sequence number of its first entry: the feed then costs a small
//! commit one insertion, and a large one an insertion for every 16 KiB. Layout, integers little-endian:
//!
//! ```text
//! block:  crc32c of the rest u32 | entries u32 | time ms i64 | bytes of all earlier blocks u64 | (length u32, entry)…
//! entry:  cause length u32, cause | changes u32, its highest bit: calls are forgotten | change…
//! change: noun u8 | op u8 | scope flags u8 | version u64 | key length u8, key | [customer 16] | [billing entity 16]
//!         | payload length u32, payload
//! ```
//!
//! The payload of a creation or deletion is the whole record, of an update its changed fields with old and new values; it is
//! empty for what was swept ([`crate::ChangeSet::sweep`]).

use crate::{Error, Field, IndexKeys, Record, key::Key, msgpack, nouns};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, ops::Range};
use sutler_model::{Cause, Noun, Timestamp};
use uuid::Uuid;

/// A committed change set, as the feed keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedEntry {
    /// Its place: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When it was committed; never goes back from one entry to the next.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// What.
    pub changes: Vec<Change>,
}

/// One record's change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Kind of record.
    pub noun: Noun,
    /// Which; for an interval its resource.
    pub id: Uuid,
    /// The key in the noun's table.
    pub key: Vec<u8>,
    /// Its version afterwards (of a deletion: before).
    pub version: u64,
    /// What happened.
    pub op: Op,
    /// What it was or is.
    pub content: Content,
    /// Index fields of the record (after; of a deletion: before) that scope it: customer and billing entity.
    pub customer_id: Option<Uuid>,
    /// See `customer_id`.
    pub billing_entity_id: Option<Uuid>,
}

/// What a change tells of its record.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The whole record, encoded: of a creation or a deletion. Empty for what was swept. Most readers want it decoded or not at
    /// all, so its fields are taken apart only when they are asked for.
    Record(Vec<u8>),
    /// Top-level fields.
    Fields(Vec<FieldChange>),
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Op {
    /// It came to be.
    Created = 1,
    /// It changed.
    Updated = 2,
    /// It is gone.
    Deleted = 3,
}

/// One field's change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field.
    pub name: String,
    /// Before; none on creation.
    pub old: Option<rmpv::Value>,
    /// After; none on deletion.
    pub new: Option<rmpv::Value>,
}

/// What stands in for a secret.
const MASK: &str = "***";
/// Of an interval, what is shown outside; who began and ended it stands in the cause already.
const INTERVAL_SUMMARY: [&str; 4] = ["key", "quantity", "end", "evidence"];

impl FeedEntry {
    /// The entry as it may leave the process: secrets hidden, intervals cut to what was used.
    #[must_use]
    pub fn masked(mut self) -> Self {
        for change in &mut self.changes {
            let secrets = nouns::secrets(change.noun);
            let mut fields = change.fields().into_owned();
            for field in fields.iter_mut().filter(|f| secrets.contains(&f.name.as_str())) {
                field.old = field.old.take().map(|_| MASK.into());
                field.new = field.new.take().map(|_| MASK.into());
            }
            if change.noun == Noun::Interval {
                fields.retain(|f| INTERVAL_SUMMARY.contains(&f.name.as_str()));
            }
            change.content = Content::Fields(fields);
        }
        self
    }
}

impl Change {
    /// Changed top-level fields; `version` only where all are there: all for a creation (no old values) and a deletion (no
    /// new values), none for what was swept.
    pub fn fields(&self) -> Cow<'_, [FieldChange]> {
        match &self.content {
            Content::Fields(fields) => Cow::Borrowed(fields),
            Content::Record(record) => {
                let fields = msgpack::fields(record).unwrap_or_default().into_iter();
                let fields = fields.map(|(name, value)| {
                    let (value, name) = (msgpack::value(value), name.to_owned());
                    match self.op {
                        Op::Deleted => FieldChange { name, old: value, new: None },
                        Op::Created | Op::Updated => FieldChange { name, old: None, new: value },
                    }
                });
                Cow::Owned(fields.collect())
            }
        }
    }

    /// The record as it was after this change, for creations.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when this is no creation, or the record is not such a one.
    pub fn created<R: Record>(&self) -> Result<R, Error> {
        self.whole(Op::Created)
    }

    /// The record as it was when it was deleted, secrets as the feed keeps them.
    ///
    /// # Errors
    /// As [`Change::created`], of a deletion; also when it was swept.
    pub fn deleted<R: Record>(&self) -> Result<R, Error> {
        self.whole(Op::Deleted)
    }

    fn whole<R: Record>(&self, op: Op) -> Result<R, Error> {
        match &self.content {
            Content::Record(record) if self.op == op => msgpack::read(record, R::NOUN.name()),
            _ => Err(Error::io("decoding a feed entry", "it does not have the whole record")),
        }
    }

    /// The value of a field after the change, as JSON; ids as text. None when the field did not change.
    pub fn new_value(&self, field: &str) -> Option<serde_json::Value> {
        self.value(field, |op| op != Op::Deleted, |change| change.new.as_ref())
    }

    /// The value of a field before the change, as JSON.
    pub fn old_value(&self, field: &str) -> Option<serde_json::Value> {
        self.value(field, |op| op == Op::Deleted, |change| change.old.as_ref())
    }

    /// A value of a field: that of the record where the record alone is there and `has` it, or that `of` its change.
    fn value(
        &self,
        field: &str,
        has: impl Fn(Op) -> bool,
        of: impl Fn(&FieldChange) -> Option<&rmpv::Value>,
    ) -> Option<serde_json::Value> {
        match &self.content {
            Content::Fields(fields) => of(fields.iter().find(|f| f.name == field)?).map(|v| msgpack::json(field, v)),
            Content::Record(record) if has(self.op) => {
                let (_, value) = msgpack::fields(record)?.into_iter().find(|(name, _)| *name == field)?;
                msgpack::value(value).map(|v| msgpack::json(field, &v))
            }
            Content::Record(_) => None,
        }
    }
}

/// In an entry's number of changes: what ends for good by them has its calls forgotten ([`crate::calls`]).
const FORGETS: u32 = 1 << 31;

/// Writes an entry while its change set is made.
pub(crate) struct EntryWriter {
    bytes: Vec<u8>,
    /// Where the number of changes stands.
    count_at: usize,
}

impl EntryWriter {
    pub(crate) fn new(cause: &Cause) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&[0; 4]);
        msgpack::write(&mut bytes, cause);
        let length = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        let count_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes, count_at }
    }

    /// The entry so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.count() & !FORGETS == 0
    }

    /// The calls of what ends for good by the set are forgotten.
    pub(crate) fn forget_calls(&mut self) {
        self.set_count(self.count() | FORGETS);
    }

    /// Whether they are.
    pub(crate) fn forgets(&self) -> bool {
        self.count() & FORGETS != 0
    }

    /// The number of changes, with its mark.
    fn count(&self) -> u32 {
        u32_at(&self.bytes, self.count_at).unwrap_or(0)
    }

    fn set_count(&mut self, count: u32) {
        self.bytes[self.count_at..self.count_at + 4].copy_from_slice(&count.to_le_bytes());
    }

    /// Begins a change; its payload must follow.
    pub(crate) fn begin<R: Record>(&mut self, op: Op, key: &Key, version: u64, keys: &IndexKeys) {
        self.set_count(self.count() + 1);
        let scope = |field| keys.fields().find(|(f, v)| *f == field && v.len() == 16).map(|(_, v)| v);
        let scopes = [scope(Field::Customer), scope(Field::BillingEntity)];
        let flags = u8::from(scopes[0].is_some()) | u8::from(scopes[1].is_some()) << 1;
        self.bytes.extend_from_slice(&[R::NOUN as u8, op as u8, flags]);
        self.bytes.extend_from_slice(&version.to_le_bytes());
        self.bytes.push(key.bytes().len() as u8);
        self.bytes.extend_from_slice(key.bytes());
        for id in scopes.into_iter().flatten() {
            self.bytes.extend_from_slice(id);
        }
    }

    /// A whole record as payload; answers where its bytes are.
    pub(crate) fn record<R: Record>(&mut self, record: &R) -> Range<usize> {
        self.payload(|bytes| msgpack::write(bytes, record))
    }

    /// No payload.
    pub(crate) fn nothing(&mut self) {
        self.payload(|_| {});
    }

    /// The fields that differ as payload.
    pub(crate) fn differences(&mut self, old: &[u8], new: &[u8]) {
        let differences = msgpack::differences(old, new).expect("records encode as maps with text keys");
        self.payload(|bytes| {
            for (name, old, new) in differences {
                bytes.push(name.len() as u8);
                bytes.extend_from_slice(name.as_bytes());
                bytes.push(u8::from(old.is_some()) | u8::from(new.is_some()) << 1);
                for value in [old, new].into_iter().flatten() {
                    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(value);
                }
            }
        });
    }

    fn payload(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let range = at + 4..self.bytes.len();
        let length = range.len() as u32;
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        range
    }
}

/// Bytes of a block before its entries.
pub(crate) const HEADER: usize = 24;

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) entries: u32,
    pub(crate) at: Timestamp,
    /// Bytes of all blocks before this one since the store was made: sizes by subtraction, without a counter to write.
    pub(crate) offset: u64,
}

impl Header {
    /// Position of the last entry of a block that begins at `first`.
    pub(crate) fn last(&self, first: u64) -> u64 {
        first + u64::from(self.entries) - 1
    }
}

/// Most bytes of a block of more than one entry: it fills a page of redb's, which come in powers of two, with room for the
/// page's own header.
const BLOCK_MAX: usize = (16 << 10) - 64;

/// Packs entries into blocks.
pub(crate) struct BlockWriter {
    block: Vec<u8>,
    entries: u32,
}

impl BlockWriter {
    pub(crate) fn new() -> Self {
        Self { block: Vec::with_capacity(BLOCK_MAX), entries: 0 }
    }

    /// Whether an entry of `length` bytes still belongs into this block.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.entries == 0 || self.block.len() + 4 + length <= BLOCK_MAX
    }

    /// Appends an entry.
    pub(crate) fn push(&mut self, entry: &[u8]) {
        if self.entries == 0 {
            self.block.clear();
            self.block.resize(HEADER, 0);
        }
        self.entries += 1;
        self.block.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        self.block.extend_from_slice(entry);
    }

    /// How many entries were pushed.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// The finished block; the next push begins another.
    pub(crate) fn finish(&mut self, at: Timestamp, offset: u64) -> &[u8] {
        let block = &mut self.block;
        block[4..8].copy_from_slice(&std::mem::take(&mut self.entries).to_le_bytes());
        block[8..16].copy_from_slice(&at.0.to_le_bytes());
        block[16..24].copy_from_slice(&offset.to_le_bytes());
        let sum = crc32c::crc32c(&block[4..]);
        block[..4].copy_from_slice(&sum.to_le_bytes());
        block
    }
}

/// The header of a block, without checking the rest.
pub(crate) fn header(block: &[u8]) -> Option<Header> {
    Some(Header {
        entries: u32_at(block, 4)?,
        at: Timestamp(i64::from_le_bytes(block.get(8..16)?.try_into().ok()?)),
        offset: u64::from_le_bytes(block.get(16..24)?.try_into().ok()?),
    })
}

/// Whether the block is whole.
pub(crate) fn is_whole(block: &[u8]) -> bool {
    block.len() >= HEADER && u32_at(block, 0) == Some(crc32c::crc32c(&block[4..]))
}

/// Decodes entries of a block from `from` on that change a wanted noun, onto `out` until it has `max`. Answers the last
/// entry that was looked at, none when that was none. None: the block is damaged.
pub(crate) fn read_block(
    first: u64,
    block: &[u8],
    from: u64,
    max: usize,
    wanted: impl Fn(Noun) -> bool,
    out: &mut Vec<FeedEntry>,
) -> Option<Option<u64>> {
    let header = header(block).filter(|_| is_whole(block))?;
    let mut rest = Reader(&block[HEADER..]);
    let mut last = None;
    for seq in first..first + u64::from(header.entries) {
        let mut entry = Reader(rest.sized()?);
        if out.len() >= max {
            break;
        }
        if seq < from {
            continue;
        }
        last = Some(seq);
        let cause = entry.sized()?;
        let count = entry.u32()? & !FORGETS;
        let changes = (0..count).map(|_| raw_change(&mut entry)).collect::<Option<Vec<_>>>()?;
        if changes.iter().any(|change| wanted(change.noun)) {
            let cause = rmp_serde::from_slice(cause).ok()?;
            let changes = changes.iter().map(RawChange::decode).collect::<Option<_>>()?;
            out.push(FeedEntry { seq, at: header.at, cause, changes });
        }
    }
    Some(last)
}

/// An entry for rebuilding.
pub(crate) struct RawEntry<'a> {
    pub(crate) cause: Cause,
    /// The calls of what ends for good by it are forgotten.
    pub(crate) forgets: bool,
    /// Undecoded.
    pub(crate) changes: Vec<RawChange<'a>>,
}

/// Every entry of a block in order. None: the block is damaged.
pub(crate) fn raw_entries(block: &[u8]) -> Option<Vec<RawEntry<'_>>> {
    let header = header(block).filter(|_| is_whole(block))?;
    let mut rest = Reader(&block[HEADER..]);
    let mut entries = Vec::new();
    for _ in 0..header.entries {
        let mut entry = Reader(rest.sized()?);
        let cause = rmp_serde::from_slice(entry.sized()?).ok()?;
        let count = entry.u32()?;
        let changes = (0..count & !FORGETS).map(|_| raw_change(&mut entry)).collect::<Option<_>>()?;
        entries.push(RawEntry { cause, forgets: count & FORGETS != 0, changes });
    }
    Some(entries)
}

/// A change as stored.
pub(crate) struct RawChange<'a> {
    pub(crate) noun: Noun,
    pub(crate) op: Op,
    pub(crate) version: u64,
    pub(crate) key: &'a [u8],
    scopes: [Option<Uuid>; 2],
    pub(crate) payload: &'a [u8],
}

impl<'a> RawChange<'a> {
    /// Changed fields of an update.
    pub(crate) fn differences(&self) -> Option<Vec<msgpack::Difference<'a>>> {
        let mut payload = Reader(self.payload);
        let mut out = Vec::new();
        while !payload.0.is_empty() {
            let length = payload.u8()?;
            let name = std::str::from_utf8(payload.take(length.into())?).ok()?;
            let flags = payload.u8()?;
            let mut value = |bit| if flags & bit != 0 { payload.sized().map(Some) } else { Some(None) };
            out.push((name, value(1)?, value(2)?));
        }
        Some(out)
    }

    fn decode(&self) -> Option<Change> {
        let field = |name: &str, old: Option<&[u8]>, new: Option<&[u8]>| {
            let decode = |bytes: Option<&[u8]>| bytes.map(|b| msgpack::value(b).ok_or(())).transpose().ok();
            Some(FieldChange { name: name.to_owned(), old: decode(old)?, new: decode(new)? })
        };
        let content = match self.op {
            Op::Updated => {
                let fields = self.differences()?.into_iter().map(|(name, old, new)| field(name, old, new));
                Content::Fields(fields.collect::<Option<_>>()?)
            }
            Op::Created | Op::Deleted => Content::Record(self.payload.to_vec()),
        };
        Some(Change {
            noun: self.noun,
            id: Key::new(self.key).id(),
            key: self.key.to_vec(),
            version: self.version,
            op: self.op,
            content,
            customer_id: self.scopes[0],
            billing_entity_id: self.scopes[1],
        })
    }
}

fn raw_change<'a>(entry: &mut Reader<'a>) -> Option<RawChange<'a>> {
    let noun = entry.u8()?;
    let noun = Noun::ALL.into_iter().find(|n| *n as u8 == noun)?;
    let op = match entry.u8()? {
        1 => Op::Created,
        2 => Op::Updated,
        3 => Op::Deleted,
        _ => return None,
    };
    let flags = entry.u8()?;
    let version = u64::from_le_bytes(entry.take(8)?.try_into().ok()?);
    let length = entry.u8()?;
    let key = entry.take(length.into())?;
    let mut scope = |bit| {
        if flags & bit == 0 { Some(None) } else { Uuid::from_slice(entry.take(16)?).ok().map(Some) }
    };
    let scopes = [scope(1)?, scope(2)?];
    Some(RawChange { noun, op, version, key, scopes, payload: entry.sized()? })
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).and_then(|b| u32_at(b, 0))
    }

    /// Bytes with their length in front.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let n = self.u32()?;
        self.take(n as usize)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
