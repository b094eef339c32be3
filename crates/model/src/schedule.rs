//! When scheduled entries are due: a grid of times that follows from the schedule and the moment it counts from, so nothing
//! of it has to be kept.

use crate::{Timestamp, time::DAY_MS};
use serde::{Deserialize, Serialize};

/// When a scheduled entry runs: first at `start_s` seconds after midnight UTC (or at once), then every `every_ms` or every
/// `every_months`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schedule {
    /// Seconds after midnight UTC of the first run; none: one period after it was loaded.
    pub start_s: Option<u32>,
    /// Of one in months: the day of the month of each run, or the last day of shorter months; none: that of the first run.
    #[serde(default)]
    pub start_day: Option<u8>,
    /// Milliseconds between runs; at least 1000, or 0 where it is months.
    pub every_ms: u64,
    /// Calendar months between runs, each at the time of the first and on the same day of the month, or on the last day of
    /// shorter months; 0: it is milliseconds.
    #[serde(default)]
    pub every_months: u32,
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

    /// Milliseconds from the latest time at which the entry is due to the next; from the moment it counts from to the first.
    pub fn interval_ms(self, since: Timestamp, now: Timestamp) -> i64 {
        let grid = self.grid(since);
        let place = grid.place(now);
        grid.at(place.saturating_add(1)).since_ms(grid.at(place))
    }

    fn grid(self, since: Timestamp) -> Grid {
        let Some(seconds) = self.start_s else { return Grid { anchor: since, first: 1, period: self.period(since) } };
        let midnight = since.0.div_euclid(DAY_MS).saturating_mul(DAY_MS);
        let today = Timestamp(midnight).plus_ms(i64::from(seconds) * 1000);
        let anchor = match self.start_day.filter(|_| self.every_months > 0) {
            Some(day) if today.plus_months(0, day) > since => today.plus_months(0, day),
            Some(day) => today.plus_months(1, day),
            None if today > since => today,
            None => today.plus_ms(DAY_MS),
        };
        Grid { anchor, first: 0, period: self.period(anchor) }
    }

    fn period(self, anchor: Timestamp) -> Period {
        match self.every_months {
            0 => Period::Ms(i64::try_from(self.every_ms.max(1)).unwrap_or(i64::MAX)),
            // A first run in a shorter month does not move the others.
            months => Period::Months(i64::from(months), self.start_day.unwrap_or_else(|| anchor.day())),
        }
    }
}

/// Times that are a period apart, by their places.
struct Grid {
    /// The time at place 0.
    anchor: Timestamp,
    /// The first place that counts.
    first: i64,
    period: Period,
}

enum Period {
    Ms(i64),
    /// So many, and on which day of them.
    Months(i64, u8),
}

impl Grid {
    fn at(&self, place: i64) -> Timestamp {
        match self.period {
            Period::Ms(every) => self.anchor.plus_ms(place.saturating_mul(every)),
            Period::Months(every, day) => self.anchor.plus_months(place.saturating_mul(every), day),
        }
    }

    /// The same for a place that counts.
    fn time(&self, place: i64) -> Option<Timestamp> {
        (place >= self.first).then(|| self.at(place))
    }

    /// The last place whose time is not after a moment.
    fn place(&self, moment: Timestamp) -> i64 {
        match self.period {
            Period::Ms(every) => moment.since_ms(self.anchor).div_euclid(every),
            Period::Months(every, day) => self.anchor.months_until(moment, day).div_euclid(every),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const HOURLY: Schedule =
        Schedule { start_s: None, start_day: None, every_ms: 3_600_000, every_months: 0, missed: Missed::Once };
    const NIGHTLY: Schedule = Schedule { start_s: Some(22 * 3600), every_ms: 86_400_000, ..HOURLY };
    const MONTHLY: Schedule = Schedule { every_ms: 0, every_months: 1, ..HOURLY };

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
    fn a_month_is_the_calendars_and_its_day_that_of_the_first() {
        let since = at("2026-01-31T10:20:00Z");
        let mut times = vec![MONTHLY.next_due(since, since)];
        while times.len() < 4 {
            times.push(MONTHLY.next_due(since, times[times.len() - 1]));
        }
        let days = ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"];
        assert_eq!(times, days.map(|day| at(&format!("{day}T10:20:00Z"))));
        assert_eq!(MONTHLY.latest_due(since, at("2026-02-28T10:19:59Z")), None);
        assert_eq!(MONTHLY.interval_ms(since, at("2026-02-28T10:20:00Z")), 31 * DAY_MS);
        assert_eq!(MONTHLY.interval_ms(since, since), 28 * DAY_MS);
        let yearly = Schedule { start_s: Some(3600), every_months: 12, ..MONTHLY };
        let leap = at("2028-02-28T02:00:00Z");
        assert_eq!(yearly.next_due(leap, leap), at("2028-02-29T01:00:00Z"));
        assert_eq!(yearly.next_due(leap, at("2028-02-29T01:00:00Z")), at("2029-02-28T01:00:00Z"));
        assert_eq!(yearly.latest_due(leap, at("2033-01-01T00:00:00Z")), Some(at("2032-02-29T01:00:00Z")));
    }

    #[test]
    fn a_month_is_due_on_the_day_that_its_start_names_whenever_it_was_loaded() {
        let days = |since: &str, day: u8, months: u32| -> Vec<String> {
            let on = Schedule { start_s: Some(7200), start_day: Some(day), every_months: months, ..MONTHLY };
            let (since, mut times) = (at(since), Vec::new());
            while times.len() < 4 {
                times.push(on.next_due(since, times.last().copied().unwrap_or(since)));
            }
            times.iter().map(|due| due.to_string().replace("T02:00:00.000Z", "")).collect()
        };
        assert_eq!(days("2026-01-15T10:20:00Z", 1, 1), ["2026-02-01", "2026-03-01", "2026-04-01", "2026-05-01"]);
        assert_eq!(days("2026-01-01T01:59:59Z", 1, 1)[0], "2026-01-01");
        assert_eq!(days("2026-01-01T02:00:00Z", 1, 1)[0], "2026-02-01");
        // Loaded in a short month it is on the last day there, and on its own in the next.
        assert_eq!(days("2026-02-10T00:00:00Z", 31, 1), ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]);
        assert_eq!(days("2026-02-28T02:00:00Z", 31, 1)[0], "2026-03-31");
        assert_eq!(days("2027-12-31T03:00:00Z", 30, 1), ["2028-01-30", "2028-02-29", "2028-03-30", "2028-04-30"]);
        assert_eq!(days("2026-06-20T00:00:00Z", 31, 3), ["2026-06-30", "2026-09-30", "2026-12-31", "2027-03-31"]);
    }

    #[test]
    fn of_several_missed_times_only_the_last_is_due() {
        let since = at("2026-03-01T10:00:00Z");
        assert_eq!(HOURLY.latest_due(since, at("2026-03-04T17:30:00Z")), Some(at("2026-03-04T17:00:00Z")));
    }

    #[test]
    fn extreme_schedules_do_not_overflow() {
        let odd = Schedule { start_s: Some(u32::MAX), start_day: Some(u8::MAX), every_ms: u64::MAX, ..HOURLY };
        let (end, beginning) = (Timestamp(i64::MAX), Timestamp(i64::MIN));
        assert_eq!(odd.latest_due(end, end), Some(end));
        assert_eq!(odd.latest_due(beginning, beginning), None);
        for months in [1, u32::MAX] {
            for (since, now) in [(end, end), (beginning, beginning), (beginning, end), (end, beginning)] {
                let odd = Schedule { every_months: months, ..odd };
                let _ = (odd.latest_due(since, now), odd.next_due(since, now), odd.interval_ms(since, now));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn due_times_follow_each_other_without_a_gap(
            start_s in proptest::option::of(0..86_400_u32),
            start_day in proptest::option::of(1..=31_u8),
            every_ms in 1_000..100_000_000_000_u64,
            every_months in prop_oneof![Just(0_u32), 1..40_u32],
            since in 0..2_000_000_000_000_i64,
            passed in 0..500_000_000_000_i64,
        ) {
            let schedule = Schedule { start_s, start_day, every_ms, every_months, missed: Missed::Once };
            let (since, now) = (Timestamp(since), Timestamp(since + passed));
            let next = schedule.next_due(since, now);
            prop_assert!(next > now);
            let latest = schedule.latest_due(since, now);
            prop_assert!(latest.is_none_or(|latest| latest > since && latest <= now));
            prop_assert_eq!(schedule.due_before(since, next), latest);
            if let Some(latest) = latest {
                prop_assert_eq!(schedule.interval_ms(since, now), next.since_ms(latest));
            }
            prop_assert_eq!(latest.map(|latest| schedule.next_due(since, latest)), latest.map(|_| next));
        }
    }
}
