//! The defaults of a store.

use crate::Options;
use std::time::{SystemTime, UNIX_EPOCH};
use sutler_model::Timestamp;

impl Default for Options {
    /// Fits an idle controller of 64 MB: a 16 MiB cache, 512 MiB kept free, a week of feed, a month or 4 GiB at most,
    /// calls for a week and a look at them every hour, and the machine's clock.
    fn default() -> Self {
        const DAY_MS: i64 = sutler_model::time::DAY_MS;
        Self {
            cache_bytes: 16 << 20,
            reserve_bytes: 512 << 20,
            feed_keep_ms: 7 * DAY_MS,
            feed_max_ms: 30 * DAY_MS,
            feed_max_bytes: 4 << 30,
            calls_keep_ms: 7 * DAY_MS,
            calls_sweep_ms: 3_600_000,
            clock: system_clock,
        }
    }
}

/// The machine's clock; a time before 1970 reads as 1970.
fn system_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
