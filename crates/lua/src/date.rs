//! Dates in the patterns of Java's `SimpleDateFormat`, always UTC, and the date texts that filters understand.

mod zone;

use std::time::{SystemTime, UNIX_EPOCH};
use sutler_model::time::DAY_MS;
use zone::offset;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// A moment taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    ms: i64,
    offset_minutes: i64,
}

impl Parts {
    const EPOCH: Self = Self { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, ms: 0, offset_minutes: 0 };

    fn of(ms: i64) -> Self {
        let (days, rest) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        // Civil-from-days over eras of 400 years, which begin in March.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1_000 % 60,
            ms: rest % 1_000,
            offset_minutes: 0,
        }
    }

    /// Lenient like Java: the 32nd of a month is the 1st of the next.
    fn to_ms(self) -> Option<i64> {
        if !(-200_000_000..200_000_000).contains(&self.year) {
            return None;
        }
        let months = self.month - 1;
        let (year, month) = (self.year + months.div_euclid(12), months.rem_euclid(12) + 1);
        let year = year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + self.day - 1;
        let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
        let minutes = self.hour * 60 + self.minute - self.offset_minutes;
        days.checked_mul(DAY_MS)?.checked_add(minutes * 60_000 + self.second * 1_000 + self.ms)
    }
}

/// One piece of a pattern: a run of one letter, or text.
enum Piece {
    Field(char, usize),
    Text(String),
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            let mut text = String::new();
            if chars.peek() == Some(&'\'') {
                chars.next();
                text.push('\'');
            } else {
                while let Some(c) = chars.next() {
                    match c {
                        '\'' if chars.peek() == Some(&'\'') => {
                            chars.next();
                            text.push('\'');
                        }
                        '\'' => break,
                        c => text.push(c),
                    }
                }
            }
            pieces.push(Piece::Text(text));
        } else if c.is_ascii_alphabetic() {
            let mut width = 1;
            while chars.peek() == Some(&c) {
                chars.next();
                width += 1;
            }
            pieces.push(Piece::Field(c, width));
        } else {
            pieces.push(Piece::Text(c.to_string()));
        }
    }
    pieces
}

/// 1 for Monday to 7 for Sunday.
fn weekday(ms: i64) -> i64 {
    (ms.div_euclid(DAY_MS) + 3).rem_euclid(7) + 1
}

/// The year and the number of a moment's week: it begins on Monday and is of the year that its Thursday is in (ISO 8601).
fn week_of(ms: i64) -> (i64, i64) {
    let thursday = ms + (4 - weekday(ms)) * DAY_MS;
    let t = Parts::of(thursday);
    let first = Parts { year: t.year, ..Parts::EPOCH }.to_ms().unwrap_or(thursday);
    (t.year, (thursday - first) / (7 * DAY_MS) + 1)
}

/// The same within its month, where days before the first such week are in week 0.
fn week_of_month(ms: i64, day: i64) -> i64 {
    // The weekday of the month's first day, counted from Monday, and so how much of its first week it has.
    let first = (weekday(ms) - 1 - (day - 1)).rem_euclid(7);
    (day - 1 + first) / 7 + i64::from(first <= 3)
}

/// Milliseconds as text.
pub(crate) fn format(ms: i64, pattern: &str) -> String {
    let t = Parts::of(ms);
    let mut out = String::new();
    for piece in pieces(pattern) {
        let (letter, width) = match piece {
            Piece::Text(text) => {
                out.push_str(&text);
                continue;
            }
            Piece::Field(letter, width) => (letter, width.min(40)),
        };
        let number = match letter {
            'y' if width == 2 => t.year.rem_euclid(100),
            'y' => t.year,
            'Y' if width == 2 => week_of(ms).0.rem_euclid(100),
            'Y' => week_of(ms).0,
            'w' => week_of(ms).1,
            'W' => week_of_month(ms, t.day),
            'F' => (t.day - 1) / 7 + 1,
            'u' => weekday(ms),
            'M' | 'L' if width < 3 => t.month,
            'd' => t.day,
            'H' => t.hour,
            'k' => (t.hour + 23) % 24 + 1,
            'K' => t.hour % 12,
            'h' => (t.hour + 11) % 12 + 1,
            'm' => t.minute,
            's' => t.second,
            'S' => t.ms,
            'D' => {
                let first = Parts { month: 1, day: 1, hour: 0, minute: 0, second: 0, ms: 0, ..t }.to_ms().unwrap_or(ms);
                (ms - first) / DAY_MS + 1
            }
            _ => {
                let name = |names: &[&str], index: i64| {
                    let name = usize::try_from(index).ok().and_then(|i| names.get(i)).copied().unwrap_or_default();
                    (if width > 3 { name } else { &name[..name.len().min(3)] }).to_owned()
                };
                out.push_str(&match letter {
                    'M' | 'L' => name(&MONTHS, t.month - 1),
                    'E' => name(&DAYS, ms.div_euclid(DAY_MS).rem_euclid(7)),
                    'a' => (if t.hour < 12 { "AM" } else { "PM" }).to_owned(),
                    'G' => "AD".to_owned(),
                    'z' if width > 3 => "Coordinated Universal Time".to_owned(),
                    'z' => "UTC".to_owned(),
                    'Z' => "+0000".to_owned(),
                    'X' => "Z".to_owned(),
                    other => other.to_string().repeat(width),
                });
                continue;
            }
        };
        out.push_str(&format!("{number:0width$}"));
    }
    out
}

/// The present.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether a field of a pattern is a number of digits.
fn is_number(letter: char, width: usize) -> bool {
    match letter {
        'M' | 'L' => width < 3,
        letter => "yYwWFudHkKhmsSD".contains(letter),
    }
}

/// Text read by a pattern, as milliseconds. A year of two digits is one from 80 years before `now` to 20 years after it.
pub(crate) fn parse(text: &str, pattern: &str, now: i64) -> Option<i64> {
    let mut t = Parts::EPOCH;
    let (mut afternoon, mut short_year, mut week, mut day_of_week) = (None, false, None, 1);
    let mut rest = text.trim();
    let pieces = pieces(pattern);
    for (at, piece) in pieces.iter().enumerate() {
        let (letter, width) = match piece {
            Piece::Text(text) => {
                rest = rest.strip_prefix(text.as_str())?;
                continue;
            }
            Piece::Field(letter, width) => (*letter, *width),
        };
        // As in `Nov  2`.
        rest = rest.trim_start_matches([' ', '\t']);
        if !is_number(letter, width) {
            let length = match letter {
                'M' | 'L' => {
                    let (index, length) =
                        MONTHS.iter().enumerate().find_map(|(i, name)| Some((i, named(rest, name)?)))?;
                    t.month = i64::try_from(index).ok()? + 1;
                    length
                }
                'E' => DAYS.iter().find_map(|name| named(rest, name))?,
                'a' => {
                    let mark = rest.get(..2)?;
                    afternoon = Some(mark.eq_ignore_ascii_case("PM"));
                    (afternoon == Some(true) || mark.eq_ignore_ascii_case("AM")).then_some(2)?
                }
                'G' => 2,
                'z' | 'Z' | 'X' => {
                    let (minutes, length) = offset(rest)?;
                    t.offset_minutes = minutes;
                    length
                }
                _ => return None,
            };
            rest = rest.get(length..)?;
            continue;
        }
        // Fields that touch have the width of the pattern; others take all digits.
        let touches = matches!(pieces.get(at + 1), Some(Piece::Field(c, w)) if is_number(*c, *w));
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let length = if touches { digits.min(width) } else { digits };
        let value: i64 = rest.get(..length).filter(|d| !d.is_empty() && d.len() <= 12)?.parse().ok()?;
        rest = &rest[length..];
        match letter {
            'y' | 'Y' => {
                t.year = value;
                short_year = width <= 2 && length == 2;
            }
            'M' | 'L' => t.month = value,
            'd' => t.day = value,
            'D' => (t.month, t.day) = (1, value),
            'w' => week = Some(value),
            'u' => day_of_week = value,
            'H' => t.hour = value,
            'k' => t.hour = value % 24,
            // Without a mark for the afternoon this is the plain hour, so that 24-hour texts read by `hh` keep theirs.
            'h' | 'K' => t.hour = value,
            'm' => t.minute = value,
            's' => t.second = value,
            'S' => t.ms = value,
            _ => {}
        }
    }
    if let Some(afternoon) = afternoon {
        t.hour = t.hour % 12 + if afternoon { 12 } else { 0 };
    }
    if short_year {
        let from = Parts { year: Parts::of(now).year - 80, ..Parts::of(now) };
        t.year += from.year.div_euclid(100) * 100;
        if t.to_ms()? < from.to_ms()? {
            t.year += 100;
        }
    }
    if let Some(week) = week {
        // The first week is the one that the 4th of January is in.
        t = Parts { month: 1, day: 4, ..t };
        t.day += (week - 1) * 7 + day_of_week - weekday(t.to_ms()?);
    }
    t.to_ms()
}

/// How many bytes of `text` spell `name`, in full or by three letters.
fn named(text: &str, name: &str) -> Option<usize> {
    let starts = |word: &str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if starts(name) { Some(name.len()) } else { starts(&name[..3]).then_some(3) }
}

/// A date text of any form that filters use, as the span it names: from, and the first moment after it, in milliseconds.
/// A number is Unix seconds, or milliseconds where seconds would lie in the far future.
pub(crate) fn parse_any(text: &str) -> Option<(i64, i64)> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        if !number.is_finite() {
            return None;
        }
        // The year 5138 in seconds, 1973 in milliseconds.
        #[allow(clippy::cast_possible_truncation)]
        return Some(if number.abs() < 1e11 {
            let ms = (number * 1000.0) as i64;
            (ms, ms + if number.fract() == 0.0 { 1000 } else { 1 })
        } else {
            (number as i64, (number as i64).saturating_add(1))
        });
    }
    let mut t = Parts::EPOCH;
    let mut rest = text;
    let field = |rest: &mut &str, width: usize| -> Option<i64> {
        let value = rest.get(..width).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        *rest = &rest[width..];
        Some(value)
    };
    t.year = field(&mut rest, 4)?;
    let separator = rest.chars().next().filter(|c| matches!(c, '-' | '/'))?;
    rest = &rest[1..];
    t.month = field(&mut rest, 2)?;
    rest = rest.strip_prefix(separator)?;
    t.day = field(&mut rest, 2)?;
    if !(1..=12).contains(&t.month) || !(1..=31).contains(&t.day) {
        return None;
    }
    let mut span = DAY_MS;
    rest = rest.strip_prefix('T').unwrap_or(rest).trim_start();
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        t.hour = field(&mut rest, 2)?;
        rest = rest.strip_prefix(':')?;
        t.minute = field(&mut rest, 2)?;
        span = 60_000;
        if let Some(after) = rest.strip_prefix(':') {
            rest = after;
            t.second = field(&mut rest, 2)?;
            span = 1_000;
            if let Some(after) = rest.strip_prefix('.') {
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                let ms: String = after[..digits].chars().chain("000".chars()).take(3).collect();
                t.ms = ms.parse().ok()?;
                span = 1;
                rest = &after[digits..];
            }
        }
    }
    let rest = rest.trim_start();
    if !rest.is_empty() {
        let (minutes, length) = offset(rest)?;
        t.offset_minutes = minutes;
        if length != rest.len() {
            return None;
        }
    }
    let from = t.to_ms()?;
    Some((from, from + span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-22T22:24:05.007Z, a Sunday.
    const T: i64 = 1_795_386_245_007;

    #[test]
    fn every_pattern_of_the_published_scripts_prints() {
        for (pattern, text) in [
            ("yyyy-MM-dd", "2026-11-22"),
            ("yyyy-MM-ddhh:mm:ssZ", "2026-11-2210:24:05+0000"),
            ("yyyy-MM-dd hh:mm:ssZ", "2026-11-22 10:24:05+0000"),
            ("yyyy-MM-dd'T'HH:mm:ssZ", "2026-11-22T22:24:05+0000"),
            ("EEE MMM dd HH:mm:ss Z yyyy", "Sun Nov 22 22:24:05 +0000 2026"),
            ("yyyy/MM/dd HH:mm:ss", "2026/11/22 22:24:05"),
            ("d/M/yy h:mm a", "22/11/26 10:24 PM"),
            ("EEEE, d MMMM yyyy 'o''clock' HH.mm.ss.SSS", "Sunday, 22 November 2026 o'clock 22.24.05.007"),
            ("DDD", "326"),
            ("YYYY-'W'ww-u", "2026-W47-7"),
            ("F W yyy", "4 3 2026"),
        ] {
            assert_eq!(format(T, pattern), text, "{pattern}");
        }
        assert_eq!(format(0, "EEE yyyy-MM-dd HH:mm:ss"), "Thu 1970-01-01 00:00:00");
        assert_eq!(format(-1, "yyyy-MM-dd HH:mm:ss.SSS"), "1969-12-31 23:59:59.999");
    }

    #[test]
    fn weeks_begin_on_monday_and_belong_where_their_thursday_is() {
        let at = |text: &str| parse(text, "yyyy-MM-dd", T).unwrap();
        for (day, told) in [
            ("2014-12-29", "2015-01 1"),
            ("2014-12-28", "2014-52 7"),
            ("2016-01-03", "2015-53 7"),
            ("2016-01-04", "2016-01 1"),
            ("1969-12-31", "1970-01 3"),
        ] {
            assert_eq!(format(at(day), "YYYY-ww u"), told, "{day}");
        }
        // The 1st of August 2014 is a Friday, that of May a Thursday.
        for (day, told) in [("2014-08-01", "0"), ("2014-08-04", "1"), ("2014-05-01", "1"), ("2014-05-31", "5")] {
            assert_eq!(format(at(day), "W"), told, "{day}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for pattern in [
            "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            "EEE MMM dd HH:mm:ss.SSS Z yyyy",
            "yyyyMMddHHmmssSSS",
            "d.M.yyyy h:mm:ss.SSS a",
        ] {
            assert_eq!(parse(&format(T, pattern), pattern, T), Some(T), "{pattern}");
        }
        assert_eq!(parse("2026-11-22T23:24:05+0100", "yyyy-MM-dd'T'HH:mm:ssZ", T), Some(T - 7));
        assert_eq!(parse("2000-02-29", "yyyy-MM-dd", T), Some(951_782_400_000));
        for text in ["", "soon", "2026", "2026-xx-22", "99999999999999999999-01-01"] {
            assert_eq!(parse(text, "yyyy-MM-dd", T), None, "{text}");
        }
    }

    /// What Java reads, in UTC and English, at the moment `T`.
    #[test]
    fn texts_are_read_as_leniently_as_java_does() {
        for (text, pattern, read) in [
            ("1/2/26", "dd/MM/yy", "2026-02-01T00:00:00"),
            ("01/02/50", "dd/MM/yy", "1950-02-01T00:00:00"),
            ("01/02/46", "dd/MM/yy", "2046-02-01T00:00:00"),
            ("31/12/46", "dd/MM/yy", "1946-12-31T00:00:00"),
            ("01/02/1926", "dd/MM/yy", "1926-02-01T00:00:00"),
            ("01/02/99", "d/M/y", "1999-02-01T00:00:00"),
            ("01/02/5", "dd/MM/yy", "5-02-01T00:00:00"),
            ("01/02/26", "dd/MM/yyyy", "26-02-01T00:00:00"),
            ("261122", "yyMMdd", "2026-11-22T00:00:00"),
            ("Sun, 22 Nov 2026 22:24:05 GMT", "EEE, dd MMM yyyy HH:mm:ss z", "2026-11-22T22:24:05"),
            ("Sun, 22 Nov 2026 22:24:05 EST", "EEE, dd MMM yyyy HH:mm:ss z", "2026-11-23T03:24:05"),
            ("sun, 22 NOV 2026 22:24:05 GMT+1:30", "EEE, dd MMM yyyy HH:mm:ss z", "2026-11-22T20:54:05"),
            ("Sun, 22 Nov 2026 22:24:05 cest", "EEE, dd MMM yyyy HH:mm:ss Z", "2026-11-22T20:24:05"),
            ("2026-11-22 22:24:05 PST", "yyyy-MM-dd HH:mm:ss zzz", "2026-11-23T06:24:05"),
            ("2026-11-22 22:24:05+01", "yyyy-MM-dd HH:mm:ssX", "2026-11-22T21:24:05"),
            ("2026-11-22 22:24:05-01:30", "yyyy-MM-dd HH:mm:ssXXX", "2026-11-22T23:54:05"),
            ("Nov  2 2026", "MMM d yyyy", "2026-11-02T00:00:00"),
            ("november 2   2026", "MMM d yyyy", "2026-11-02T00:00:00"),
            ("2026-326", "yyyy-DDD", "2026-11-22T00:00:00"),
            ("2026326", "yyyyDDD", "2026-11-22T00:00:00"),
            ("2026-02-30", "yyyy-MM-dd", "2026-03-02T00:00:00"),
            ("26.11.2026 foo", "dd.MM.yyyy", "2026-11-26T00:00:00"),
            ("o'clock 5", "'o''clock' H", "1970-01-01T05:00:00"),
            ("10PM", "ha", "1970-01-01T22:00:00"),
            ("1030PM", "hhmma", "1970-01-01T22:30:00"),
            ("12:00 AM", "h:mm a", "1970-01-01T00:00:00"),
            ("24:30", "kk:mm", "1970-01-01T00:30:00"),
        ] {
            let ms = parse(text, pattern, T).unwrap_or_else(|| panic!("{text} is not of the form {pattern}"));
            assert_eq!(format(ms, "y-MM-dd'T'HH:mm:ss"), read, "{text} by {pattern}");
        }
        for (text, pattern) in [("Nov 2 2026", "MMM dd, yyyy"), ("22:24 XYZ", "HH:mm z"), ("PM 10", "ha"), ("", "n")] {
            assert_eq!(parse(text, pattern, T), None, "{text} by {pattern}");
        }
    }

    #[test]
    fn a_week_reads_back_as_one_of_its_days() {
        for day in ["2014-12-29", "2016-01-03", "2026-11-22"] {
            let at = parse(day, "yyyy-MM-dd", T).unwrap();
            assert_eq!(parse(&format(at, "YYYY-'W'ww-u"), "YYYY-'W'ww-u", T), Some(at), "{day}");
        }
        assert_eq!(parse("2026-W47", "YYYY-'W'ww", T), parse("2026-11-16", "yyyy-MM-dd", T));
    }

    #[test]
    fn filter_texts_name_the_span_they_show() {
        let second = (T - 7, T - 7 + 1000);
        for text in [
            "2026-11-2222:24:05+0000",
            "2026-11-22T22:24:05Z",
            "2026-11-22 22:24:05",
            "2026-11-22T23:24:05+01:00",
            "2026-11-22T22:24:05+0000",
            "2026/11/22 22:24:05",
            "1795386245",
        ] {
            assert_eq!(parse_any(text), Some(second), "{text}");
        }
        assert_eq!(parse_any("2026-11-22"), Some((1_795_305_600_000, 1_795_392_000_000)));
        assert_eq!(parse_any("1795386245007"), Some((T, T + 1)));
        assert_eq!(parse_any("1795386245.5"), Some((1_795_386_245_500, 1_795_386_245_501)));
        for text in ["", "yesterday", "2026-13-01", "2026-11-22x", "22-11-2026", "NaN", "2026-11-22T22:24:05+0100x"] {
            assert_eq!(parse_any(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_beyond_all_time_is_its_end() {
        assert_eq!(parse_any("1e300"), Some((i64::MAX, i64::MAX)));
        assert_eq!(parse_any("-1e300"), Some((i64::MIN, i64::MIN + 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_is_too_strange_to_be_read_or_refused(
            text in "([0-9]{1,14}|[-+.:/ TZ']|GMT|e9|PM|Sun|é|[A-Za-z]){0,14}",
            pattern in "([yMdHhKkmsSDEaGzZXLu]{1,5}|[-+.:/ T'é]){0,12}",
            ms in any::<i64>(),
        ) {
            let _ = (parse(&text, &pattern, ms), format(ms, &pattern));
            if let Some((from, to)) = parse_any(&text) {
                prop_assert!(from < to || from == i64::MAX, "{} {}", from, to);
            }
        }

        /// From 1600 to 9900.
        #[test]
        fn every_moment_that_is_printed_reads_back(ms in -11_676_096_000_000..250_246_000_000_000_i64) {
            let iso = "yyyy-MM-dd'T'HH:mm:ss.SSSZ";
            prop_assert_eq!(parse_any(&format(ms, iso)), Some((ms, ms + 1)));
            for pattern in [iso, "EEEE, d MMMM yyyy K:mm:ss.SSS a", "yyyyMMddHHmmssSSS", "MMM d yyyy kk:mm:ss.SSS XXX"] {
                prop_assert_eq!(parse(&format(ms, pattern), pattern, T), Some(ms), "{}", pattern);
            }
        }
    }
}
