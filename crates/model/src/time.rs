//! Points in time: UTC milliseconds inside, RFC 3339 text at the edges.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970-01-01T00:00:00Z. Text form: RFC 3339 with milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// Milliseconds in a UTC day.
pub const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// This moment plus `ms` milliseconds; saturates at the ends of the range.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The first moment of the UTC day after this one.
    #[must_use]
    pub const fn next_midnight(self) -> Self {
        Self((self.0.div_euclid(DAY_MS) + 1).saturating_mul(DAY_MS))
    }

    /// First moments of this moment's UTC month and of the next.
    #[must_use]
    pub fn month(self) -> (Self, Self) {
        let date = self.date_time().date();
        let first = date.replace_day(1).unwrap_or(date);
        let next_month = first.month().next();
        let year = if first.month() == time::Month::December { first.year() + 1 } else { first.year() };
        let next = time::Date::from_calendar_date(year, next_month, 1).unwrap_or(first);
        let ms = |d: time::Date| Self(d.midnight().assume_utc().unix_timestamp() * 1000);
        (ms(first), ms(next))
    }

    /// The day of its UTC month, from 1.
    pub fn day(self) -> u8 {
        self.date_time().date().day()
    }

    /// The same time of day so many months later or, below zero, earlier: on a day of the month, or on the last one of a month
    /// that is too short for it; saturates at the ends of the range.
    #[must_use]
    pub fn plus_months(self, months: i64, day: u8) -> Self {
        let date = self.date_time().date();
        let sum = i64::from(date.year()) * 12 + i64::from(u8::from(date.month())) - 1;
        let sum = sum.saturating_add(months);
        let (year, month) = (i32::try_from(sum.div_euclid(12)), u8::try_from(sum.rem_euclid(12) + 1));
        let month = month.ok().and_then(|month| time::Month::try_from(month).ok());
        let date = year.ok().zip(month).and_then(|(year, month)| {
            time::Date::from_calendar_date(year, month, day.clamp(1, month.length(year))).ok()
        });
        match date {
            Some(date) if date.year() > 0 => {
                Self(date.midnight().assume_utc().unix_timestamp() * 1000 + self.0.rem_euclid(DAY_MS))
            }
            _ => Self(if months < 0 { i64::MIN } else { i64::MAX }),
        }
    }

    /// The most months that [`Timestamp::plus_months`] takes from this moment without going past another; below zero where that
    /// one is earlier.
    #[must_use]
    pub fn months_until(self, other: Self, day: u8) -> i64 {
        let count = |at: Self| {
            let date = at.date_time().date();
            i64::from(date.year()) * 12 + i64::from(u8::from(date.month()))
        };
        let months = count(other) - count(self);
        months - i64::from(self.plus_months(months, day) > other)
    }

    fn date_time(self) -> OffsetDateTime {
        // Years beyond 9999 have no RFC 3339 text; clamp to the last one that has.
        let clamped = self.0.clamp(-62_135_596_800_000, 253_402_300_799_999);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(clamped) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// Milliseconds in the UTC month of a moment.
pub fn month_ms(at: Timestamp) -> i64 {
    let (from, to) = at.month();
    to.since_ms(from).max(1)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.date_time();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

impl FromStr for Timestamp {
    type Err = time::error::Parse;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let t = OffsetDateTime::parse(text, &Rfc3339)?;
        Ok(Self((t.unix_timestamp_nanos() / 1_000_000) as i64))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
            text.parse().map_err(|_| de::Error::custom("expected an RFC 3339 time such as 2026-11-22T10:00:00Z"))
        } else {
            i64::deserialize(d).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_milliseconds_agree() {
        let t = Timestamp(1_795_386_245_007);
        assert_eq!(t.to_string(), "2026-11-22T22:24:05.007Z");
        assert_eq!("2026-11-22T22:24:05.007Z".parse::<Timestamp>().unwrap(), t);
        assert_eq!("2026-11-22T23:24:05.007+01:00".parse::<Timestamp>().unwrap(), t);
    }

    #[test]
    fn months_and_midnights_follow_the_calendar() {
        let december: Timestamp = "2026-12-31T23:59:59.999Z".parse().unwrap();
        let (from, to) = december.month();
        assert_eq!(from.to_string(), "2026-12-01T00:00:00.000Z");
        assert_eq!(to.to_string(), "2027-01-01T00:00:00.000Z");
        assert_eq!(december.next_midnight(), to);
        assert_eq!(to.next_midnight(), to.plus_ms(DAY_MS));
    }

    #[test]
    fn a_month_later_is_the_same_day_or_the_last_one() {
        let day = |text: &str| format!("{text}T10:20:30.400Z").parse::<Timestamp>().unwrap();
        for (from, months, to) in [
            ("2026-01-31", 1, "2026-02-28"),
            ("2028-01-31", 1, "2028-02-29"),
            ("2026-01-31", 2, "2026-03-31"),
            ("2026-11-30", 3, "2027-02-28"),
            ("2026-03-31", -1, "2026-02-28"),
            ("2024-02-29", 12, "2025-02-28"),
            ("2024-02-29", 48, "2028-02-29"),
        ] {
            assert_eq!(day(from).plus_months(months, day(from).day()), day(to), "{from} and {months}");
        }
        assert_eq!(day("2026-01-31").months_until(day("2026-02-28"), 31), 1);
        assert_eq!(day("2026-01-31").months_until(day("2026-02-28").plus_ms(-1), 31), 0);
        assert_eq!(day("2026-01-31").months_until(day("2026-01-30"), 31), -1);
        assert_eq!(day("2026-01-31").plus_months(i64::MAX, 31), Timestamp(i64::MAX));
        assert_eq!(day("2026-01-31").plus_months(i64::MIN, 31), Timestamp(i64::MIN));
    }
}
