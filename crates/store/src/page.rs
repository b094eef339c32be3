//! Pages of records: candidates from the in-memory index and the history index, re-checked on the snapshot's records.

use crate::{
    Error, Field, Filter, Order, Page, PageRequest, Record, Snapshot, cursor,
    error::Attempt,
    history,
    index::Candidates,
    key::Key,
    msgpack,
    snapshot::{Row, Rows, Tables},
    tables,
};
use std::{collections::VecDeque, ops::Bound};

/// Records looked at for one page: beyond it a short page answers rather than block its reader.
const BUDGET: usize = 20_000;
/// Records on one page.
const LIMIT: std::ops::RangeInclusive<usize> = 1..=1000;

/// Which indexed field to search history by: those that hold for few records first.
const SELECTIVE: [Field; 12] = [
    Field::Run,
    Field::Name,
    Field::Subject,
    Field::Key,
    Field::Parent,
    Field::User,
    Field::Script,
    Field::Image,
    Field::Node,
    Field::Customer,
    Field::BillingEntity,
    Field::State,
];

impl Snapshot {
    /// All records that fit, the oldest first, read a page at a time.
    pub fn records<R: Record>(&self, filter: Filter<R>) -> Records<'_, R> {
        Records::new(self, filter, PageRequest { cursor: None, limit: *LIMIT.end(), order: Order::Ascending })
    }

    /// The same at once, for those that are few enough.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn all<R: Record>(&self, filter: Filter<R>) -> Result<Vec<R>, Error> {
        self.records(filter).collect()
    }

    /// The first record that fits, in an order.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn first<R: Record>(&self, filter: Filter<R>, order: Order) -> Result<Option<R>, Error> {
        Records::new(self, filter, PageRequest { cursor: None, limit: 1, order }).next().transpose()
    }

    /// A page of records. It may be short, even empty, with more behind its cursor, when few of very many match.
    ///
    /// # Errors
    /// [`Error::BadCursor`], [`Error::Io`].
    pub fn page<R: Record>(&self, filter: &Filter<R>, page: &PageRequest) -> Result<Page<R>, Error> {
        let limit = page.limit.clamp(*LIMIT.start(), *LIMIT.end());
        let after = page.cursor.as_deref().map(|c| cursor::decode(R::NOUN, page.order, c)).transpose()?;
        let tables = Tables::of::<R>(self);
        let mut source = self.source(filter, page.order, after.as_deref(), &tables)?;
        let mut items: Vec<R> = Vec::new();
        let mut last: Vec<u8> = Vec::new();
        for _ in 0..BUDGET {
            let (key, record) = match source.next(self, filter)? {
                None => return Ok(Page { items, next: None }),
                Some((key, Some(bytes))) => (key, Some(msgpack::read(&bytes, R::NOUN.name())?)),
                Some((key, None)) => {
                    let record = tables.get(&key)?;
                    (key, record)
                }
            };
            if let Some(record) = record.filter(|r| filter.matches(r)) {
                if items.len() == limit {
                    return Ok(Page { items, next: Some(cursor::encode(R::NOUN, page.order, &last)) });
                }
                items.push(record);
                last = key;
            } else if items.len() < limit {
                last = key;
            }
        }
        Ok(Page { items, next: Some(cursor::encode(R::NOUN, page.order, &last)) })
    }

    fn source<R: Record>(
        &self,
        filter: &Filter<R>,
        order: Order,
        after: Option<&[u8]>,
        tables: &Tables<'_>,
    ) -> Result<Source, Error> {
        let beyond = |after: Option<&[u8]>| after.map_or(Bound::Unbounded, |a| Bound::Excluded(a.to_vec()));
        let walk = |from: Bound<Vec<u8>>, to: Bound<Vec<u8>>| {
            let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
            tables.rows(bounds, order).map(Source::Walk)
        };
        let whole = || match order {
            Order::Ascending => walk(beyond(after), Bound::Unbounded),
            Order::Descending => walk(Bound::Unbounded, beyond(after)),
        };
        if filter.fields.is_empty() {
            return whole();
        }
        let memory = Memory { order, next: after.map(Key::new), batch: VecDeque::new(), ended: false };
        // What is pending is live.
        if R::HISTORY.is_empty() || filter.fields.iter().any(|(f, _)| *f == Field::Pending) {
            return Ok(Source::Memory(memory));
        }
        let by = |wanted: &Field| filter.fields.iter().find(|(f, _)| f == wanted);
        let rule = history::Rule::of::<R>();
        let finds = |(field, values): &&(Field, Vec<Vec<u8>>)| {
            R::HISTORY.contains(field) && values.iter().all(|value| rule.holds(*field, value))
        };
        let chosen = SELECTIVE.iter().filter_map(by).find(finds);
        let Some((field, values)) = chosen else {
            return match R::CLUSTERED.as_ref().and_then(by).map(|(_, values)| values.as_slice()) {
                Some([prefix]) => {
                    let (from, to) = prefix_range(prefix);
                    match (order, after) {
                        (Order::Ascending, Some(a)) if a >= prefix.as_slice() => walk(beyond(after), to),
                        (Order::Descending, Some(a)) if a.starts_with(prefix) => walk(from, beyond(after)),
                        _ => walk(from, to),
                    }
                }
                _ => whole(),
            };
        };
        let mut ranges = Vec::new();
        if let Some(table) = tables::read(&self.txn, tables::HISTORY)? {
            for value in values {
                let prefix = history::prefix(R::NOUN, *field, value);
                let (mut from, mut to) = prefix_range(&prefix);
                let end = after.map(|after| Bound::Excluded([&prefix, after].concat()));
                match (order, end) {
                    (_, None) => {}
                    (Order::Ascending, Some(end)) => from = end,
                    (Order::Descending, Some(end)) => to = end,
                }
                let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
                ranges.push(table.range::<&[u8]>(bounds).attempt("reading the history index")?);
            }
        }
        Ok(Source::Both(memory, History { rows: Rows::new(ranges, order), head: None, last: None }))
    }
}

/// Records that fit a filter, one after the other.
pub struct Records<'s, R: Record> {
    snapshot: &'s Snapshot,
    filter: Filter<R>,
    page: PageRequest,
    read: std::vec::IntoIter<R>,
    ended: bool,
}

impl<'s, R: Record> Records<'s, R> {
    fn new(snapshot: &'s Snapshot, filter: Filter<R>, page: PageRequest) -> Self {
        Self { snapshot, filter, page, read: Vec::new().into_iter(), ended: false }
    }
}

impl<R: Record> Iterator for Records<'_, R> {
    type Item = Result<R, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.read.next() {
                return Some(Ok(record));
            }
            if self.ended {
                return None;
            }
            match self.snapshot.page(&self.filter, &self.page) {
                Ok(found) => {
                    self.ended = found.next.is_none();
                    (self.read, self.page.cursor) = (found.items.into_iter(), found.next);
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// All keys that begin with `prefix`.
fn prefix_range(prefix: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut end = prefix.to_vec();
    while end.last() == Some(&0xff) {
        end.pop();
    }
    let to = match end.last_mut() {
        Some(last) => {
            *last += 1;
            Bound::Excluded(end)
        }
        None => Bound::Unbounded,
    };
    (Bound::Included(prefix.to_vec()), to)
}

/// A candidate's key, and its bytes where they are at hand.
type Candidate = (Vec<u8>, Option<Vec<u8>>);

/// Where candidates come from, in order.
enum Source {
    /// The records themselves.
    Walk(Rows),
    /// The in-memory index.
    Memory(Memory),
    /// Both indexes, merged.
    Both(Memory, History),
}

impl Source {
    /// The next candidate.
    fn next<R: Record>(&mut self, snapshot: &Snapshot, filter: &Filter<R>) -> Result<Option<Candidate>, Error> {
        match self {
            Self::Walk(rows) => Ok(rows.next()?.map(|(key, bytes)| (key, Some(bytes)))),
            Self::Memory(memory) => {
                memory.fill(snapshot, filter);
                Ok(memory.batch.pop_front().map(|key| (key.bytes().to_vec(), None)))
            }
            Self::Both(memory, history) => {
                memory.fill(snapshot, filter);
                history.fill()?;
                let live = memory.batch.front().map(Key::bytes);
                let past = history.head.as_deref();
                // A record that was closed in between may be in both.
                let (take_live, take_past) = match (live, past) {
                    (None, None) => return Ok(None),
                    (Some(_), None) => (true, false),
                    (None, Some(_)) => (false, true),
                    (Some(a), Some(b)) if a == b => (true, true),
                    (Some(a), Some(b)) => {
                        let live_first = (a < b) == (memory.order == Order::Ascending);
                        (live_first, !live_first)
                    }
                };
                let live = if take_live { memory.batch.pop_front().map(|k| k.bytes().to_vec()) } else { None };
                let past = if take_past { history.head.take() } else { None };
                Ok(live.or(past).map(|key| (key, None)))
            }
        }
    }
}

/// Candidates from the in-memory index, a batch at a time, so that its lock is held only for moments.
struct Memory {
    order: Order,
    next: Option<Key>,
    batch: VecDeque<Key>,
    ended: bool,
}

impl Memory {
    fn fill<R: Record>(&mut self, snapshot: &Snapshot, filter: &Filter<R>) {
        while self.batch.is_empty() && !self.ended {
            let index = &snapshot.shared.index;
            let found = index.candidates(R::NOUN, &filter.fields, self.next.as_ref(), self.order, snapshot.seq);
            let Candidates { keys, next } = found;
            self.batch.extend(keys);
            self.ended = next.is_none();
            self.next = next;
        }
    }
}

/// Candidates from the history index.
struct History {
    rows: Rows,
    head: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

impl History {
    fn fill(&mut self) -> Result<(), Error> {
        while self.head.is_none() {
            let Some((_, key)) = self.rows.next_by(|row: &Row| &row.1)? else { break };
            // With several values asked for, a record may hold more than one.
            if self.last.as_ref() != Some(&key) {
                self.last = Some(key.clone());
                self.head = Some(key);
            }
        }
        Ok(())
    }
}
