//! Reading one consistent state of the store.

use crate::{
    Error, Health, Record,
    error::Attempt,
    feed, msgpack,
    shared::Shared,
    tables::{self, FEED},
};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use std::{
    cell::OnceCell,
    sync::{Arc, atomic::Ordering},
};
use sutler_model::Noun;
use uuid::Uuid;

/// A consistent view as of one commit. Short-lived: one held open makes the file grow.
pub struct Snapshot {
    pub(crate) txn: ReadTransaction,
    pub(crate) shared: Arc<Shared>,
    /// A feed position whose changes it surely sees.
    pub(crate) seq: u64,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.shared.index.close_snapshot(self.seq);
    }
}

impl Snapshot {
    pub(crate) fn open(db: &Database, shared: Arc<Shared>) -> Result<Self, Error> {
        let seq = shared.index.open_snapshot(|| shared.last_seq());
        match db.begin_read().attempt("opening a snapshot of the store") {
            Ok(txn) => {
                let snapshot = Self { txn, shared, seq };
                snapshot.await_index()?;
                Ok(snapshot)
            }
            Err(error) => {
                shared.index.close_snapshot(seq);
                Err(error)
            }
        }
    }

    /// Waits until the index holds what this snapshot sees. A commit is seen a moment before the index has taken it in: what
    /// was listed in between would lack records that belong to others which `get` shows as they are after it.
    fn await_index(&self) -> Result<(), Error> {
        if self.shared.committing.load(Ordering::SeqCst) <= self.shared.last_seq() {
            return Ok(());
        }
        let Some(table) = tables::read(&self.txn, FEED)? else { return Ok(()) };
        let Some((first, block)) = table.last().attempt("reading the feed")? else { return Ok(()) };
        let seen = feed::header(block.value()).map_or(0, |header| header.last(first.value()));
        while self.shared.last_seq() < seen {
            if let Health::Stopped(reason) = self.shared.health() {
                return Err(Error::Stopped(reason));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// A record by id.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn get<R: Record>(&self, id: impl Into<Uuid>) -> Result<Option<R>, Error> {
        self.get_by_key(id.into().as_bytes())
    }

    /// A record by its whole key (intervals).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn get_by_key<R: Record>(&self, key: &[u8]) -> Result<Option<R>, Error> {
        Tables::of::<R>(self).get(key)
    }

    /// All records with keys in `from..to`, in order, one at a time; stops early when `f` answers false.
    /// An empty `to` is no end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scan<R: Record>(&self, from: &[u8], to: &[u8], mut f: impl FnMut(R) -> bool) -> Result<(), Error> {
        use std::ops::Bound;
        let to = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        let mut rows = Tables::of::<R>(self).rows((Bound::Included(from), to), crate::Order::Ascending)?;
        while let Some((_, bytes)) = rows.next()? {
            if !f(msgpack::read(&bytes, R::NOUN.name())?) {
                break;
            }
        }
        Ok(())
    }
}

/// A range of keys.
pub(crate) type Bounds<'a> = (std::ops::Bound<&'a [u8]>, std::ops::Bound<&'a [u8]>);

/// The tables of one noun in a snapshot, each opened when something is looked for in it: mostly the index knows already that
/// there is nothing, or that it is live.
pub(crate) struct Tables<'s> {
    snapshot: &'s Snapshot,
    noun: Noun,
    live: OnceCell<Option<tables::ReadTable>>,
    closed: OnceCell<Option<tables::ReadTable>>,
}

impl<'s> Tables<'s> {
    pub(crate) fn of<R: Record>(snapshot: &'s Snapshot) -> Self {
        let closed = if R::HISTORY.is_empty() { OnceCell::from(None) } else { OnceCell::new() };
        Self { snapshot, noun: R::NOUN, live: OnceCell::new(), closed }
    }

    /// The live records, then the others.
    fn each(&self) -> impl Iterator<Item = Result<&tables::ReadTable, Error>> {
        [(&self.live, tables::live(self.noun)), (&self.closed, tables::closed(self.noun))].into_iter().filter_map(
            |(slot, table)| {
                if slot.get().is_none() {
                    match tables::read(&self.snapshot.txn, table) {
                        Ok(table) => drop(slot.set(table)),
                        Err(error) => return Some(Err(error)),
                    }
                }
                slot.get()?.as_ref().map(Ok)
            },
        )
    }

    /// A record by its key.
    pub(crate) fn get<R: Record>(&self, key: &[u8]) -> Result<Option<R>, Error> {
        for table in self.each() {
            let table = table?;
            if let Some(found) = table.get(key).attempt("reading a record")? {
                return msgpack::read(found.value(), self.noun.name()).map(Some);
            }
        }
        Ok(None)
    }

    /// Keys and bytes of records, live or not, in the order of their keys.
    pub(crate) fn rows(&self, bounds: Bounds<'_>, order: crate::Order) -> Result<Rows, Error> {
        let mut ranges = Vec::new();
        for table in self.each() {
            ranges.push(Range { rows: table?.range::<&[u8]>(bounds).attempt("reading records")?, head: None });
        }
        Ok(Rows { ranges, order })
    }
}

/// A record's key and bytes.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Rows of several tables, merged.
pub(crate) struct Rows {
    ranges: Vec<Range>,
    order: crate::Order,
}

struct Range {
    rows: redb::Range<'static, &'static [u8], &'static [u8]>,
    head: Option<Row>,
}

impl Rows {
    /// Rows of ranges that may overlap.
    pub(crate) fn new(
        ranges: impl IntoIterator<Item = redb::Range<'static, &'static [u8], &'static [u8]>>,
        order: crate::Order,
    ) -> Self {
        Self { ranges: ranges.into_iter().map(|rows| Range { rows, head: None }).collect(), order }
    }

    /// The next row; `sort` answers the part of its key it is ordered by.
    pub(crate) fn next_by(&mut self, sort: impl Fn(&Row) -> &[u8]) -> Result<Option<Row>, Error> {
        for range in &mut self.ranges {
            if range.head.is_none() {
                let row = match self.order {
                    crate::Order::Ascending => range.rows.next(),
                    crate::Order::Descending => range.rows.next_back(),
                };
                let row = row.transpose().attempt("reading records")?;
                range.head = row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec()));
            }
        }
        let heads = self.ranges.iter_mut().filter(|r| r.head.is_some());
        let key = |r: &&mut Range| r.head.as_ref().map(|row| sort(row).to_vec());
        let first = match self.order {
            crate::Order::Ascending => heads.min_by_key(key),
            crate::Order::Descending => heads.max_by_key(key),
        };
        Ok(first.and_then(|range| range.head.take()))
    }

    /// The next row.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, Error> {
        if let [only] = self.ranges.as_mut_slice() {
            let row = match self.order {
                crate::Order::Ascending => only.rows.next(),
                crate::Order::Descending => only.rows.next_back(),
            };
            let row = row.transpose().attempt("reading records")?;
            return Ok(row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())));
        }
        self.next_by(|row| &row.0)
    }
}
