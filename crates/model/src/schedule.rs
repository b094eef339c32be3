//! When scheduled entries are due: a grid of times that follows from the schedule and the moment it counts from, so nothing
//! of it has to be kept.

use crate::{Timestamp, time::DAY_MS};
use serde::{Deserialize, Serialize};

/// When a scheduled entry runs: first at `start_s` seconds after midnight UTC (or at once), then every `every_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schedule {
    /// Seconds after midnight UTC of the first run; none: one period after it was loaded.
    pub start_s: Option<u32>,
    /// Milliseconds between runs; at least 1000.
    pub every_ms: u64,
    /// What becomes of times that passed while the program was down or the script paused.
    #[serde(default)]
    pub missed: Missed,
}

/// What becomes of missed times of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are passed over.
    Skip,
    /// The latest runs, late.
    #[default]
    Once,
    /// Each runs, late, in order; of very many the latest 1,000.
    Each,
}

impl Schedule {
    /// The latest time at or before `now` at which the entry is due, given that its schedule counts from `since`.
    pub fn latest_due(self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let grid = self.grid(since);
        grid.time(grid.place(now))
    }

    /// The first time after `now` at which the entry is due.
    pub fn next_due(self, since: Timestamp, now: Timestamp) -> Timestamp {
        let grid = self.grid(since);
        grid.at(grid.place(now).saturating_add(1).max(grid.first))
    }

    /// The time before one at which the entry is due, if that is not the first.
    pub fn due_before(self, since: Timestamp, due: Timestamp) -> Option<Timestamp> {
        let grid = self.grid(since);
        grid.time(grid.place(due).saturating_sub(1))
    }

    fn grid(self, since: Timestamp) -> Grid {
        let every_ms = i64::try_from(self.every_ms.max(1)).unwrap_or(i64::MAX);
        let Some(seconds) = self.start_s else { return Grid { anchor: since, first: 1, every_ms } };
        let midnight = since.0.div_euclid(DAY_MS).saturating_mul(DAY_MS);
        let today = Timestamp(midnight).plus_ms(i64::from(seconds) * 1000);
        let anchor = if today > since { today } else { today.plus_ms(DAY_MS) };
        Grid { anchor, first: 0, every_ms }
    }
}

/// Times that are a period apart, by their places.
struct Grid {
    /// The time at place 0.
    anchor: Timestamp,
    /// The first place that counts.
    first: i64,
    every_ms: i64,
}

impl Grid {
    fn at(&self, place: i64) -> Timestamp {
        self.anchor.plus_ms(place.saturating_mul(self.every_ms))
    }

    /// The same for a place that counts.
    fn time(&self, place: i64) -> Option<Timestamp> {
        (place >= self.first).then(|| self.at(place))
    }

    /// The last place whose time is not after a moment.
    fn place(&self, moment: Timestamp) -> i64 {
        moment.since_ms(self.anchor).div_euclid(self.every_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const HOURLY: Schedule = Schedule { start_s: None, every_ms: 3_600_000, missed: Missed::Once };
    const NIGHTLY: Schedule = Schedule { start_s: Some(22 * 3600), every_ms: 86_400_000, missed: Missed::Once };

    #[test]
    fn without_a_start_the_first_run_is_one_period_after_loading() {
        let since = at("2026-03-01T10:20:00Z");
        assert_eq!(HOURLY.latest_due(since, at("2026-03-01T11:19:59.999Z")), None);
        assert_eq!(HOURLY.latest_due(since, at("2026-03-01T11:20:00Z")), Some(at("2026-03-01T11:20:00Z")));
        assert_eq!(HOURLY.latest_due(since, at("2026-03-01T12:19:00Z")), Some(at("2026-03-01T11:20:00Z")));
    }

    #[test]
    fn a_start_is_the_next_such_time_of_day() {
        let morning = at("2026-03-01T10:00:00Z");
        assert_eq!(NIGHTLY.latest_due(morning, at("2026-03-01T21:59:59Z")), None);
        assert_eq!(NIGHTLY.latest_due(morning, at("2026-03-01T22:00:00Z")), Some(at("2026-03-01T22:00:00Z")));
        assert_eq!(NIGHTLY.next_due(morning, at("2026-03-01T21:59:59Z")), at("2026-03-01T22:00:00Z"));
        assert_eq!(NIGHTLY.next_due(morning, at("2026-03-01T22:00:00Z")), at("2026-03-02T22:00:00Z"));
        let night = at("2026-03-01T23:00:00Z");
        assert_eq!(NIGHTLY.next_due(night, at("2026-03-05T22:30:00Z")), at("2026-03-06T22:00:00Z"));
        assert_eq!(NIGHTLY.latest_due(night, at("2026-03-02T21:00:00Z")), None);
        assert_eq!(NIGHTLY.latest_due(night, at("2026-03-02T22:30:00Z")), Some(at("2026-03-02T22:00:00Z")));
    }

    #[test]
    fn of_several_missed_times_only_the_last_is_due() {
        let since = at("2026-03-01T10:00:00Z");
        assert_eq!(HOURLY.latest_due(since, at("2026-03-04T17:30:00Z")), Some(at("2026-03-04T17:00:00Z")));
    }

    #[test]
    fn extreme_schedules_do_not_overflow() {
        let odd = Schedule { start_s: Some(u32::MAX), every_ms: u64::MAX, missed: Missed::Once };
        let (end, beginning) = (Timestamp(i64::MAX), Timestamp(i64::MIN));
        assert_eq!(odd.latest_due(end, end), Some(end));
        assert_eq!(odd.latest_due(beginning, beginning), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn due_times_follow_each_other_without_a_gap(
            start_s in proptest::option::of(0..86_400_u32),
            every_ms in 1_000..100_000_000_000_u64,
            since in 0..2_000_000_000_000_i64,
            passed in 0..500_000_000_000_i64,
        ) {
            let schedule = Schedule { start_s, every_ms, missed: Missed::Once };
            let (since, now) = (Timestamp(since), Timestamp(since + passed));
            let next = schedule.next_due(since, now);
            prop_assert!(next > now);
            let latest = schedule.latest_due(since, now);
            prop_assert!(latest.is_none_or(|latest| latest > since && latest <= now));
            prop_assert_eq!(schedule.due_before(since, next), latest);
            prop_assert_eq!(latest.map(|latest| schedule.next_due(since, latest)), latest.map(|_| next));
        }
    }
}
