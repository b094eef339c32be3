//! Copying a store while it runs, and putting a copy in place.

use crate::{
    Committed, Error, Index, Store,
    error::Attempt,
    marker,
    open::{self, beside, remove_if_there},
    tables::{self, CALLS, CONSUMERS, FEED, HISTORY, META},
};
use redb::{Builder, Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, Value};
use std::path::Path;
use sutler_model::Noun;

/// Rows copied in one transaction.
const ROWS: usize = 20_000;

/// Copies a running store to the new file `to`; answers the feed position it holds.
pub(crate) fn backup(store: &Store, to: &Path) -> Result<Committed, Error> {
    let shared = store.shared();
    let size = std::fs::metadata(&shared.path).attempt(&format!("looking at `{}`", shared.path.display()))?.len();
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    shared.space.fits(folder, size)?;
    let txn = store.db()?.begin_read().attempt("opening a snapshot of the store")?;
    copy(&txn, to)
}

/// Copies everything a transaction sees to the new file `to`.
pub(crate) fn copy(txn: &ReadTransaction, to: &Path) -> Result<Committed, Error> {
    refuse_existing(to)?;
    let partial = beside(to, ".partial");
    remove_if_there(&partial)?;
    let written = write_copy(txn, &partial).and_then(|committed| {
        std::fs::File::open(&partial)
            .and_then(|f| f.sync_all())
            .and_then(|()| std::fs::hard_link(&partial, to))
            .attempt(&format!("moving the finished copy to `{}`", to.display()))?;
        remove_if_there(&partial)?;
        marker::sync_dir(to)?;
        Ok(committed)
    });
    if written.is_err() {
        // The first error is the one to tell.
        drop(std::fs::remove_file(&partial));
    }
    written
}

fn write_copy(from: &ReadTransaction, path: &Path) -> Result<Committed, Error> {
    let to = Builder::new().create(path).attempt(&format!("making `{}`", path.display()))?;
    copy_table(from, &to, META)?;
    for noun in Noun::ALL {
        copy_table(from, &to, tables::live(noun))?;
        if crate::nouns::has_history(noun) {
            copy_table(from, &to, tables::closed(noun))?;
        }
    }
    copy_table(from, &to, HISTORY)?;
    copy_table(from, &to, CALLS)?;
    copy_table(from, &to, CONSUMERS)?;
    copy_table(from, &to, FEED)?;
    // Reads every live record back: a copy that cannot be loaded is no copy.
    let (tail, _) = open::load(&to, path, &Index::default())?;
    Ok(Committed { seq: tail.seq, at: tail.at })
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &Database,
    table: TableDefinition<'_, K, V>,
) -> Result<(), Error> {
    let attempted = format!("copying the table `{}`", redb::TableHandle::name(&table));
    let Some(source) = tables::read(from, table)? else { return Ok(()) };
    let mut rows = source.iter().attempt(&attempted)?.peekable();
    while rows.peek().is_some() {
        let txn = to.begin_write().attempt(&attempted)?;
        {
            let mut target = txn.open_table(table).attempt(&attempted)?;
            for row in rows.by_ref().take(ROWS) {
                let (key, value) = row.attempt(&attempted)?;
                target.insert(key.value(), value.value()).attempt(&attempted)?;
            }
        }
        txn.commit().attempt(&attempted)?;
    }
    Ok(())
}

/// Puts a copy of the store file `backup` at `to`, where no store may be, after reading all of it.
///
/// # Errors
/// Those of [`Store::open`] for `backup`, and [`Error::Io`] when there is something at `to`.
pub fn restore(backup: &Path, to: &Path) -> Result<Committed, Error> {
    refuse_existing(to)?;
    let db = open::open_file(backup, 64 << 20)?;
    let meta = open::read_meta(&db, backup)?;
    let known = crate::migrations::current(crate::migrations::MIGRATIONS);
    if meta.schema > known {
        return Err(Error::Newer { path: backup.to_owned(), found: meta.schema, known });
    }
    let txn = db.begin_read().attempt("reading the backup")?;
    let committed = copy(&txn, to)?;
    let mut marker = marker::Marker::lock(to)?;
    marker.set_store_id(meta.id)?;
    Ok(committed)
}

pub(crate) fn refuse_existing(to: &Path) -> Result<(), Error> {
    let attempted = format!("writing `{}`", to.display());
    match to.try_exists().attempt(&attempted)? {
        true => Err(Error::io(attempted, "it exists already, and is not overwritten")),
        false => Ok(()),
    }
}
