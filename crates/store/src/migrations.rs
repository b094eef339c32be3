//! Schema versions: an append-only list of migrations, run on a copy.

use crate::{
    Error,
    error::Attempt,
    tables::{self, Bytes},
};
use redb::WriteTransaction;
use sutler_model::Noun;

/// Brings the tables from one schema version to the next.
pub(crate) type Migration = fn(&WriteTransaction) -> Result<(), Error>;

/// `MIGRATIONS[i]` leads from version `i + 1` to `i + 2`. Append, never change.
pub(crate) const MIGRATIONS: &[Migration] = &[part_tables];

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
