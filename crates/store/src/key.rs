//! Keys of records, kept small because the in-memory index holds several for each record.

use std::{cmp::Ordering, sync::Arc};
use uuid::Uuid;

/// A record's key in its noun's table; ordered as its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// An id.
    Id([u8; 16]),
    /// An interval's key.
    Long(Arc<[u8]>),
}

impl Key {
    /// The key with these bytes.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        <[u8; 16]>::try_from(bytes).map_or_else(|_| Self::Long(bytes.into()), Self::Id)
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Id(id) => id,
            Self::Long(bytes) => bytes,
        }
    }

    /// The id it stands for in messages and the feed: of an interval (customer 16, start 8, resource 16, meter 1) its
    /// resource.
    pub(crate) fn id(&self) -> Uuid {
        match self {
            Self::Id(id) => Uuid::from_bytes(*id),
            Self::Long(bytes) => {
                bytes.get(24..40).and_then(|b| b.try_into().ok()).map_or(Uuid::nil(), Uuid::from_bytes)
            }
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            // The order of the bytes, in one comparison instead of a call.
            (Self::Id(a), Self::Id(b)) => u128::from_be_bytes(*a).cmp(&u128::from_be_bytes(*b)),
            _ => self.bytes().cmp(other.bytes()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
