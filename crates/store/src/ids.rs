//! New ids: UUID version 7, strictly increasing within a process, so that records of one millisecond keep their order.

use sutler_model::Timestamp;
use uuid::Uuid;

/// Gives out ids.
#[derive(Default)]
pub(crate) struct Ids {
    ms: u64,
    counter: u16,
}

/// The 12 bits after the time count within a millisecond (RFC 9562, 6.2, method 1).
const COUNTER_MAX: u16 = 0x0fff;

impl Ids {
    pub(crate) fn next(&mut self, now: Timestamp) -> Uuid {
        let ms = u64::try_from(now.0).unwrap_or(0);
        if ms > self.ms {
            (self.ms, self.counter) = (ms, 0);
        } else if self.counter == COUNTER_MAX {
            // Ahead of the clock by a millisecond for every 4096 ids, rather than out of order.
            (self.ms, self.counter) = (self.ms + 1, 0);
        } else {
            self.counter += 1;
        }
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&self.counter.to_be_bytes());
        // Seeded anew by the system now and then: as hard to guess, without a call of the system for each.
        tail[2..].copy_from_slice(&rand::random::<[u8; 8]>());
        uuid::Builder::from_unix_timestamp_millis(self.ms, &tail).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_even_when_the_clock_stands_or_goes_back() {
        let mut ids = Ids::default();
        let mut last = Uuid::nil();
        for i in 0..10_000_i64 {
            let id = ids.next(Timestamp(1_000_000 - i / 1000));
            assert!(id > last && id.get_version_num() == 7);
            last = id;
        }
    }
}
