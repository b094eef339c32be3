//! What scripts keep from run to run.

use crate::{DatumId, RunId, ScriptId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One value that a script keeps under a key. Everything in it may be a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Datum {
    /// Derived from script, space and key.
    pub id: DatumId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Whose it is; it goes with the script.
    pub script_id: ScriptId,
    /// Which of the script's two stores it is in.
    pub space: DataSpace,
    /// Its key there.
    pub key: String,
    /// JSON text; none: it was deleted, and stays a while for the sake of `done`.
    pub value: Option<String>,
    /// When it ceases to be; none: never.
    pub expires_at: Option<Timestamp>,
    /// The latest writes, so that a repeated run repeats none of its own.
    pub done: Vec<DataWrite>,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// A store that a script has for itself. Stored by name: append, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSpace {
    /// `kv`.
    Kv,
    /// `dataStore`: private maps of a provider's resources.
    Private,
}

/// A write that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataWrite {
    /// The run that did it.
    pub run_id: RunId,
    /// The number of the call in the run.
    pub call_no: u32,
    /// What it answered, JSON text.
    pub answer: String,
}

impl Datum {
    /// The id of a key's datum.
    pub fn id_of(script: ScriptId, space: DataSpace, key: &str) -> DatumId {
        let space = match space {
            DataSpace::Kv => "kv",
            DataSpace::Private => "private",
        };
        DatumId(Uuid::new_v5(&script.0, format!("{space}:{key}").as_bytes()))
    }

    /// The value at a time, JSON text; none: there is none.
    pub fn value_at(&self, now: Timestamp) -> Option<&str> {
        self.value.as_deref().filter(|_| self.expires_at.is_none_or(|end| end > now))
    }

    /// What it counts against its script's limit, bytes.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, String::len)
    }
}
