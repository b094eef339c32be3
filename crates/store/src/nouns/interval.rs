//! Usage intervals; live while open, clustered by customer and start.

use super::run_behind;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Interval, IntervalKey, Noun, Timestamp};
use uuid::Uuid;

/// The bytes of an interval's key: customer 16 | start 8 | resource 16 | meter 1. Their order is that of the key.
pub fn interval_key(key: &IntervalKey) -> Vec<u8> {
    let mut out = interval_prefix(key.customer_id.0, key.start);
    out.extend_from_slice(key.resource_id.as_bytes());
    out.push(key.meter as u8);
    out
}

/// What the keys of a customer's intervals that start at `start` begin with; from here a month is scanned.
pub fn interval_prefix(customer: Uuid, start: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(41);
    out.extend_from_slice(customer.as_bytes());
    // With the sign flipped, times before 1970 sort before those after.
    out.extend_from_slice(&(start.0 as u64 ^ 1 << 63).to_be_bytes());
    out
}

impl Record for Interval {
    const NOUN: Noun = Noun::Interval;
    // History is searched by customer and time through the key; one entry more finds those of a resource, and one those that
    // a run began or ended.
    const HISTORY: &'static [Field] = &[Field::Subject, Field::Run];
    const CLUSTERED: Option<Field> = Some(Field::Customer);

    fn key(&self) -> Vec<u8> {
        interval_key(&self.key)
    }

    fn id(&self) -> Uuid {
        self.key.resource_id
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    fn live(&self) -> bool {
        self.end.is_none()
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, Some(self.key.customer_id));
        keys.by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.by(Field::Subject, self.key.resource_id.as_bytes()).pending(self.live());
        keys.naming([Some(&self.began_by), self.ended_by.as_ref()].into_iter().flatten().filter_map(run_behind));
        keys
    }
}
