//! Forgetting old feed entries, in small steps, never past a consumer that has not seen them, up to a hard limit.

use crate::{Error, consumers, error::Attempt, feed, shared::Shared, tables};
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};
use std::time::Duration;

/// How often the writer looks.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// How soon it goes on where it left more to trim: of full blocks some 20 MiB go in a second then, which is more than the feed
/// grows by.
pub(crate) const SOON: Duration = Duration::from_millis(50);
/// Blocks removed at most in one transaction.
const BLOCKS: usize = 64;

/// What a step has done.
pub(crate) struct Trimmed {
    /// The oldest position left.
    pub(crate) oldest: u64,
    /// Whether it took all that one step may, so that there may be more.
    pub(crate) more: bool,
}

/// Whether the oldest block is old or the feed large enough to look closer. Cheap.
pub(crate) fn is_due(db: &Database, shared: &Shared) -> Result<bool, Error> {
    let txn = db.begin_read().attempt("reading the feed")?;
    let Some(table) = tables::read(&txn, tables::FEED)? else { return Ok(false) };
    let (Some(first), Some(last)) =
        (table.first().attempt("reading the feed")?, table.last().attempt("reading the feed")?)
    else {
        return Ok(false);
    };
    if first.0.value() == last.0.value() {
        return Ok(false);
    }
    let (Some(oldest), Some(newest)) = (feed::header(first.1.value()), feed::header(last.1.value())) else {
        return Ok(false);
    };
    let age = shared.options.now().since_ms(oldest.at);
    let over = age > shared.options.feed_max_ms || newest.offset - oldest.offset > shared.options.feed_max_bytes;
    if over || age <= shared.options.feed_keep_ms {
        return Ok(over);
    }
    let Some(consumers) = tables::read(&txn, tables::CONSUMERS)? else { return Ok(true) };
    let unseen = consumers::all(&consumers)?.iter().map(|(_, c)| c.next).min();
    let end = first.0.value() + u64::from(oldest.entries);
    Ok(unseen.is_none_or(|next| next >= end))
}

/// Removes what may go, a few blocks at most; none: nothing may.
///
/// The last block always stays: it tells a restart where the feed ends.
pub(crate) fn step(txn: &WriteTransaction, shared: &Shared) -> Result<Option<Trimmed>, Error> {
    let options = &shared.options;
    let now = options.now();
    let mut feed_table = txn.open_table(tables::FEED).attempt("opening the feed")?;
    let Some(last) = feed_table.last().attempt("reading the feed")?.map(|(first, block)| {
        (first.value(), feed::header(block.value()).map_or(0, |h| h.offset) + block.value().len() as u64)
    }) else {
        return Ok(None);
    };
    let mut consumer_table = txn.open_table(tables::CONSUMERS).attempt("opening the feed's consumers")?;
    let mut consumers = consumers::all(&consumer_table)?;
    let unseen = consumers.iter().map(|(_, c)| c.next).min().unwrap_or(u64::MAX);
    let mut doomed = Vec::new();
    let mut end = 0;
    for row in feed_table.iter().attempt("reading the feed")?.take(BLOCKS) {
        let (first, block) = row.attempt("reading the feed")?;
        let first = first.value();
        let Some(header) = feed::header(block.value()).filter(|_| first < last.0) else { break };
        let next = first + u64::from(header.entries);
        let age = now.since_ms(header.at);
        let over = age > options.feed_max_ms || last.1 - header.offset > options.feed_max_bytes;
        if !(over || age > options.feed_keep_ms && next <= unseen) {
            break;
        }
        doomed.push(first);
        end = next;
    }
    if doomed.is_empty() {
        return Ok(None);
    }
    let more = doomed.len() == BLOCKS;
    for first in doomed {
        feed_table.remove(first).attempt("trimming the feed")?;
    }
    for (name, consumer) in consumers.iter_mut().filter(|(_, c)| c.next < end) {
        let from = consumer.lost.map_or(consumer.next, |(from, _)| from);
        consumer.lost = Some((from, end - 1));
        consumer.next = end;
        tracing::warn!(consumer = name, from, to = end - 1, "feed entries were trimmed before this consumer saw them");
        consumers::save(&mut consumer_table, name, *consumer)?;
    }
    Ok(Some(Trimmed { oldest: end, more }))
}
