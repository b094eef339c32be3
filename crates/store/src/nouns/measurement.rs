//! What was measured; clustered by resource and time, never needed in memory.

use crate::{Field, IndexKeys, Record};
use sutler_model::{Measurement, Noun, Timestamp};
use uuid::Uuid;

/// What the keys of a resource's measurements at a time begin with; from here they are scanned.
pub fn measurement_prefix(resource: Uuid, at: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(72);
    out.extend_from_slice(resource.as_bytes());
    // With the sign flipped, times before 1970 sort before those after.
    out.extend_from_slice(&(at.0 as u64 ^ 1 << 63).to_be_bytes());
    out
}

impl Record for Measurement {
    const NOUN: Noun = Noun::Measurement;
    // They are looked through by key; one entry more finds those of a resource.
    const HISTORY: &'static [Field] = &[Field::Subject];

    fn key(&self) -> Vec<u8> {
        let mut key = measurement_prefix(self.resource_id, self.at);
        key.extend_from_slice(self.script_id.0.as_bytes());
        key.extend_from_slice(self.function.as_bytes());
        key
    }

    fn id(&self) -> Uuid {
        self.resource_id
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    fn live(&self) -> bool {
        false
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by(Field::Subject, self.resource_id.as_bytes());
        keys
    }
}
