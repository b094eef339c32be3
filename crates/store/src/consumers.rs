//! Durable positions of those who read the feed.

use crate::{Error, error::Attempt};
use redb::{ReadableTable, Table};

/// The consumer that sets off triggers. A run is swept only once this one is past its event.
pub const TRIGGERS: &str = "triggers";

/// Where a consumer of the feed stands, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerPlace {
    /// Its name.
    pub name: String,
    /// The next entry it reads.
    pub next: u64,
    /// First and last entry that were trimmed before it read them, until it goes on.
    pub lost: Option<(u64, u64)>,
}

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Consumer {
    /// The next entry it reads.
    pub(crate) next: u64,
    /// First and last entry trimmed unread, until it says where it goes on.
    pub(crate) lost: Option<(u64, u64)>,
}

impl Consumer {
    fn encode(self) -> [u8; 24] {
        let (from, to) = self.lost.unwrap_or_default();
        let mut out = [0; 24];
        for (chunk, n) in out.chunks_mut(8).zip([self.next, from, to]) {
            chunk.copy_from_slice(&n.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let n = |i: usize| Some(u64::from_le_bytes(bytes.get(i * 8..i * 8 + 8)?.try_into().ok()?));
        let (from, to) = (n(1)?, n(2)?);
        Some(Self { next: n(0)?, lost: (to != 0).then_some((from, to)) })
    }
}

/// The consumer called `name`.
pub(crate) fn load(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<Consumer>, Error> {
    let Some(found) = table.get(name).attempt("reading a feed consumer")? else { return Ok(None) };
    Consumer::decode(found.value())
        .map(Some)
        .ok_or_else(|| Error::io(format!("reading the feed consumer `{name}`"), "its stored position is damaged"))
}

/// Stores the consumer called `name`.
pub(crate) fn save(table: &mut Table<'_, &str, &[u8]>, name: &str, consumer: Consumer) -> Result<(), Error> {
    table.insert(name, consumer.encode().as_slice()).attempt("storing a feed consumer")?;
    Ok(())
}

/// All of them.
pub(crate) fn all(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Vec<(String, Consumer)>, Error> {
    let mut out = Vec::new();
    for row in table.iter().attempt("reading the feed's consumers")? {
        let (name, value) = row.attempt("reading the feed's consumers")?;
        out.extend(Consumer::decode(value.value()).map(|c| (name.value().to_owned(), c)));
    }
    Ok(out)
}
