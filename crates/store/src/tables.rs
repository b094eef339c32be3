//! The tables of the file.

use crate::{Error, error::Attempt, key::Key};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};
use sutler_model::Noun;

/// Any table of bytes.
pub(crate) type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;
/// One while it is written.
pub(crate) type WriteTable<'t> = Table<'t, &'static [u8], &'static [u8]>;
/// One while it is read.
pub(crate) type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// What kind of file this is: magic, schema, store id, creation time.
pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Feed blocks by the sequence number of their first entry.
pub(crate) const FEED: TableDefinition<u64, &[u8]> = TableDefinition::new("feed");
/// Consumers of the feed by name.
pub(crate) const CONSUMERS: TableDefinition<&str, &[u8]> = TableDefinition::new("consumers");
/// What calls of runs have done; see [`crate::calls`].
pub(crate) const CALLS: Bytes = TableDefinition::new("calls");
/// What records that are no longer live can be found by; see [`crate::history`].
pub(crate) const HISTORY: Bytes = TableDefinition::new("history");

const NOUNS: usize = Noun::MAX + 1;

/// The table of the live records of `noun`; of most nouns, all records.
pub(crate) fn live(noun: Noun) -> Bytes {
    TableDefinition::new(noun.name())
}

/// The table of the records of `noun` that are no longer live. Apart, so that start-up reads only live ones.
pub(crate) fn closed(noun: Noun) -> Bytes {
    TableDefinition::new(match noun {
        Noun::Job => "job.closed",
        Noun::ScriptRun => "script_run.closed",
        Noun::Interval => "interval.closed",
        Noun::Invoice => "invoice.closed",
        Noun::ScriptRevision => "script_revision.closed",
        Noun::Datum => "datum.closed",
        Noun::BlobContent => "blob_content.closed",
        Noun::Measurement => "measurement.closed",
        Noun::Transaction => "transaction.closed",
        Noun::Remains => "remains.closed",
        // Nouns whose records are always live; their second table stays absent.
        _ => "none.closed",
    })
}

/// A table of a snapshot; none while nothing was ever written to it.
pub(crate) fn read<K: redb::Key + 'static, V: redb::Value + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<redb::ReadOnlyTable<K, V>>, Error> {
    match txn.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(Error::io("opening a table of the store", e)),
    }
}

/// Tables of one write transaction, opened when first needed.
pub(crate) struct WriteTables<'t> {
    txn: &'t WriteTransaction,
    live: [Option<WriteTable<'t>>; NOUNS],
    closed: [Option<WriteTable<'t>>; NOUNS],
    /// The last key of those tables when it was first asked for; none within: there was none.
    newest: [Option<Option<Key>>; NOUNS],
    history: Option<WriteTable<'t>>,
    calls: Option<WriteTable<'t>>,
}

impl<'t> WriteTables<'t> {
    /// None open yet.
    pub(crate) fn new(txn: &'t WriteTransaction) -> Self {
        Self {
            txn,
            live: [const { None }; NOUNS],
            closed: [const { None }; NOUNS],
            newest: [const { None }; NOUNS],
            history: None,
            calls: None,
        }
    }

    /// Where a record of `noun` belongs.
    pub(crate) fn noun(&mut self, noun: Noun, is_live: bool) -> Result<&mut WriteTable<'t>, Error> {
        let (slot, definition) = if is_live {
            (&mut self.live[noun as usize], live(noun))
        } else {
            (&mut self.closed[noun as usize], closed(noun))
        };
        opened(self.txn, slot, definition)
    }

    /// The history index.
    pub(crate) fn history(&mut self) -> Result<&mut WriteTable<'t>, Error> {
        opened(self.txn, &mut self.history, HISTORY)
    }

    /// What calls of runs have done.
    pub(crate) fn calls(&mut self) -> Result<&mut WriteTable<'t>, Error> {
        opened(self.txn, &mut self.calls, CALLS)
    }

    /// The bytes of a record that is no longer live, through `f`; one that came to be so in this very transaction may be
    /// missed.
    pub(crate) fn closed_record<T>(
        &mut self,
        noun: Noun,
        key: &Key,
        f: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Error> {
        // Most keys begin with a time, so that a new one is beyond all there are.
        if self.newest(noun)?.is_none_or(|newest| newest < key) {
            return Ok(None);
        }
        let found = self.noun(noun, false)?.get(key.bytes()).attempt("reading a record")?;
        Ok(found.map(|guard| f(guard.value())))
    }

    fn newest(&mut self, noun: Noun) -> Result<Option<&Key>, Error> {
        if self.newest[noun as usize].is_none() {
            let last = self.noun(noun, false)?.last().attempt("reading the last record")?;
            let last = last.map(|(key, _)| Key::new(key.value()));
            self.newest[noun as usize] = Some(last);
        }
        Ok(self.newest[noun as usize].as_ref().and_then(Option::as_ref))
    }
}

fn opened<'s, 't>(
    txn: &'t WriteTransaction,
    slot: &'s mut Option<WriteTable<'t>>,
    definition: Bytes,
) -> Result<&'s mut WriteTable<'t>, Error> {
    if slot.is_none() {
        *slot = Some(txn.open_table(definition).attempt("opening a table of the store")?);
    }
    Ok(slot.as_mut().expect("opened above"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nouns;
    use redb::TableHandle;

    #[test]
    fn records_that_are_no_longer_live_have_a_table_for_each_noun() {
        for noun in Noun::ALL.into_iter().filter(|noun| nouns::has_history(*noun)) {
            assert_eq!(closed(noun).name(), format!("{}.closed", noun.name()));
        }
    }
}
