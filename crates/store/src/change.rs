//! Change sets going in, feed entries coming out.

use crate::Record;
use serde::{Deserialize, Serialize};
use sutler_model::{Cause, Noun, Timestamp};
use uuid::Uuid;

/// Puts and deletes that happen together or not at all. Encoded and compared on the caller's thread.
pub struct ChangeSet {
    pub(crate) cause: Cause,
    pub(crate) changes: Vec<PreparedChange>,
}

/// One prepared change: bytes to store, preconditions, index keys before and after, and the feed's view.
pub(crate) struct PreparedChange {
    // The store's author owns these fields.
    _private: (),
}

impl ChangeSet {
    /// An empty set with a cause.
    pub fn new(cause: Cause) -> Self {
        Self { cause, changes: Vec::new() }
    }

    /// Stores a record that must not exist yet. Sets its version to 1.
    pub fn create<R: Record>(&mut self, record: &mut R) -> &mut Self {
        let _ = record;
        todo!()
    }

    /// Stores `new` in place of `old`, which must still be at `old.version()`. Sets `new`'s version to one more.
    pub fn update<R: Record>(&mut self, old: &R, new: &mut R) -> &mut Self {
        let _ = (old, new);
        todo!()
    }

    /// Deletes `old`, which must still be at `old.version()`.
    pub fn delete<R: Record>(&mut self, old: &R) -> &mut Self {
        let _ = old;
        todo!()
    }

    /// Demands that `record` is still at its version, without changing it.
    pub fn require<R: Record>(&mut self, record: &R) -> &mut Self {
        let _ = record;
        todo!()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A committed change set, as the feed keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedEntry {
    /// Its place: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When it was committed; never goes back from one entry to the next.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// What.
    pub changes: Vec<Change>,
}

/// One record's change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Kind of record.
    pub noun: Noun,
    /// Which; for an interval its resource.
    pub id: Uuid,
    /// The key in the noun's table.
    pub key: Vec<u8>,
    /// Its version afterwards (of a deletion: before).
    pub version: u64,
    /// What happened.
    pub op: Op,
    /// Changed top-level fields. All of them for a creation (no old values) and a deletion (no new values).
    pub fields: Vec<FieldChange>,
    /// Index fields of the record (after; of a deletion: before) that scope it: customer and billing entity.
    pub customer_id: Option<Uuid>,
    /// See `customer_id`.
    pub billing_entity_id: Option<Uuid>,
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// It came to be.
    Created,
    /// It changed.
    Updated,
    /// It is gone.
    Deleted,
}

/// One field's change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field.
    pub name: String,
    /// Before; none on creation.
    pub old: Option<rmpv::Value>,
    /// After; none on deletion.
    pub new: Option<rmpv::Value>,
}

impl Change {
    /// The record as it was after this change, for creations.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the fields are not such a record.
    pub fn created<R: Record>(&self) -> Result<R, crate::Error> {
        todo!()
    }

    /// The value of a field after the change, as JSON; ids as text. None when the field did not change.
    pub fn new_value(&self, field: &str) -> Option<serde_json::Value> {
        let _ = field;
        todo!()
    }

    /// The value of a field before the change, as JSON.
    pub fn old_value(&self, field: &str) -> Option<serde_json::Value> {
        let _ = field;
        todo!()
    }
}
