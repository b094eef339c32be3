//! Schema versions: an append-only list of migrations, run on a copy.

use crate::Error;
use redb::WriteTransaction;

/// Brings the tables from one schema version to the next.
pub(crate) type Migration = fn(&WriteTransaction) -> Result<(), Error>;

/// `MIGRATIONS[i]` leads from version `i + 1` to `i + 2`. Append, never change.
pub(crate) const MIGRATIONS: &[Migration] = &[];

/// The schema version that a list of migrations leads to.
pub(crate) fn current(migrations: &[Migration]) -> u32 {
    migrations.len() as u32 + 1
}
