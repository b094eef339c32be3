//! Finding the record that holds a unique value.

use crate::{Error, IndexKeys, Record, Snapshot, error::Attempt, history, tables};

impl Snapshot {
    /// The record, live or not, that holds a unique value; parts as given to [`IndexKeys::unique`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn holder<R: Record>(&self, field: &'static str, parts: &[&[u8]]) -> Result<Option<R>, Error> {
        let mut keys = IndexKeys::default();
        keys.unique(field, parts);
        let Some((_, claim)) = keys.claims().next() else { return Ok(None) };
        // Copied out, so that the index is not held while the record is read.
        let live = self.shared.index.view().holder(R::NOUN, claim).cloned();
        if let Some(key) = live
            && let Some(record) = self.get_by_key(key.bytes())?
        {
            return Ok(Some(record));
        }
        let Some(table) = tables::read(&self.txn, tables::HISTORY)? else { return Ok(None) };
        match table.get(history::claim(R::NOUN, claim).as_slice()).attempt("looking for a unique value")? {
            Some(key) => self.get_by_key(key.value()),
            None => Ok(None),
        }
    }
}
