//! Schema versions: an append-only list of migrations, run on a copy.

use crate::{
    Error, Field,
    error::Attempt,
    history, nouns,
    tables::{self, Bytes, HISTORY},
};
use redb::{ReadableTable, WriteTransaction};
use sutler_model::Noun;

/// Brings the tables from one schema version to the next.
pub(crate) type Migration = fn(&WriteTransaction) -> Result<(), Error>;

/// `MIGRATIONS[i]` leads from version `i + 1` to `i + 2`. Append, never change.
pub(crate) const MIGRATIONS: &[Migration] = &[part_tables, find_by_run];

/// The schema version that a list of migrations leads to.
pub(crate) fn current(migrations: &[Migration]) -> u32 {
    migrations.len() as u32 + 1
}

/// 1 to 2: transactions that have ended and measurements lie no longer in one table, where those who looked through the one met
/// the other.
fn part_tables(txn: &WriteTransaction) -> Result<(), Error> {
    const ATTEMPT: &str = "giving transactions and measurements tables of their own";
    let mut shared = txn.open_table(Bytes::new("none.closed")).attempt(ATTEMPT)?;
    let mut transactions = txn.open_table(tables::closed(Noun::Transaction)).attempt(ATTEMPT)?;
    let mut measurements = txn.open_table(tables::closed(Noun::Measurement)).attempt(ATTEMPT)?;
    while let Some((key, record)) = shared.pop_first().attempt(ATTEMPT)? {
        // The key of a transaction is its id; that of a measurement begins with a resource and a time.
        let table = if key.value().len() == 16 { &mut transactions } else { &mut measurements };
        table.insert(key.value(), record.value()).attempt(ATTEMPT)?;
    }
    Ok(())
}

/// 2 to 3: records that are no longer live can be found by the runs that they name.
fn find_by_run(txn: &WriteTransaction) -> Result<(), Error> {
    const ATTEMPT: &str = "finding records by the runs they name";
    let mut history = txn.open_table(HISTORY).attempt(ATTEMPT)?;
    for noun in [Noun::Job, Noun::ScriptRun, Noun::Interval, Noun::Invoice, Noun::Transaction] {
        let found_by_run = history::prefix(noun, Field::Run, &[]);
        let table = txn.open_table(tables::closed(noun)).attempt(ATTEMPT)?;
        for row in table.iter().attempt(ATTEMPT)? {
            let (key, record) = row.attempt(ATTEMPT)?;
            for entry in nouns::place(noun, record.value())?.1 {
                // The noun and the field; the length that follows is that of the id.
                if entry[..2] == found_by_run[..2] {
                    history.insert(entry.as_slice(), key.value()).attempt(ATTEMPT)?;
                }
            }
        }
    }
    Ok(())
}
