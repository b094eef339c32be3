//! Dates as the C library takes them apart, puts them together and prints them: what `os.date` and `os.time` of Lua go by.

use super::{Parts, format, weekday};
use sutler_model::time::DAY_MS;

/// A moment by the names of a date table of Lua: Sunday is the first day of the week.
pub(crate) fn fields(ms: i64) -> [(&'static str, i64); 8] {
    let t = Parts::of(ms);
    [
        ("year", t.year),
        ("month", t.month),
        ("day", t.day),
        ("hour", t.hour),
        ("min", t.minute),
        ("sec", t.second),
        ("wday", weekday(ms) % 7 + 1),
        ("yday", day_of_year(ms) + 1),
    ]
}

/// The moment of a year, month, day, hour, minute and second; what is beyond its unit counts on in the next. None for one that no
/// calendar has.
pub(crate) fn moment([year, month, day, hour, minute, second]: [i64; 6]) -> Option<i64> {
    Parts { year, month, day, hour, minute, second, ..Parts::EPOCH }.to_ms()
}

/// Days since the first of January.
fn day_of_year(ms: i64) -> i64 {
    let first = Parts { year: Parts::of(ms).year, ..Parts::EPOCH }.to_ms().unwrap_or(ms);
    (ms - first).div_euclid(DAY_MS)
}

/// Prints in the words of `strftime`, in English.
///
/// # Errors
/// The conversion that does not exist.
pub(crate) fn strftime(ms: i64, wanted: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = wanted.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut told = String::from(c);
        let mut next = || chars.next().inspect(|letter| told.push(*letter));
        // Other ways to write it are those of other languages.
        let letter = match next() {
            Some('E' | 'O') => next(),
            letter => letter,
        };
        match letter.and_then(|letter| conversion(ms, letter)) {
            Some(text) => out.push_str(&text),
            None => return Err(told),
        }
    }
    Ok(out)
}

fn conversion(ms: i64, letter: char) -> Option<String> {
    let pattern = match letter {
        'a' => "EEE",
        'A' => "EEEE",
        'b' | 'h' => "MMM",
        'B' => "MMMM",
        'd' => "dd",
        'D' | 'x' => "MM/dd/yy",
        'F' => "yyyy-MM-dd",
        'g' => "YY",
        'G' => "YYYY",
        'H' => "HH",
        'I' => "hh",
        'j' => "DDD",
        'm' => "MM",
        'M' => "mm",
        'p' => "a",
        'r' => "hh:mm:ss a",
        'R' => "HH:mm",
        'S' => "ss",
        'T' | 'X' => "HH:mm:ss",
        'u' => "u",
        'V' => "ww",
        'y' => "yy",
        'Y' => "yyyy",
        'z' => "Z",
        'Z' => "z",
        letter => return other(ms, letter),
    };
    Some(format(ms, pattern))
}

/// What has no pattern.
fn other(ms: i64, letter: char) -> Option<String> {
    let t = Parts::of(ms);
    let since_sunday = weekday(ms) % 7;
    // Weeks that began in the year, by the day they begin on.
    let week = |since_its_first: i64| (day_of_year(ms) + 7 - since_its_first) / 7;
    Some(match letter {
        'c' => format!("{} {:2} {}", format(ms, "EEE MMM"), t.day, format(ms, "HH:mm:ss yyyy")),
        'C' => format!("{:02}", t.year.div_euclid(100)),
        'e' => format!("{:2}", t.day),
        'n' => "\n".to_owned(),
        's' => ms.div_euclid(1000).to_string(),
        't' => "\t".to_owned(),
        'U' => format!("{:02}", week(since_sunday)),
        'w' => since_sunday.to_string(),
        'W' => format!("{:02}", week((since_sunday + 6) % 7)),
        '%' => "%".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-02T09:05:07Z, a Monday.
    const T: i64 = 1_793_610_307_000;

    /// What glibc prints in the locale C.
    #[test]
    fn every_conversion_prints_as_in_c() {
        for (wanted, text) in [
            ("%a %A %b %B %h", "Mon Monday Nov November Nov"),
            (
                "%c|%x|%X|%D|%F|%T|%R|%r",
                "Mon Nov  2 09:05:07 2026|11/02/26|09:05:07|11/02/26|2026-11-02|09:05:07|09:05|09:05:07 AM",
            ),
            ("%C %y %Y %g %G", "20 26 2026 26 2026"),
            ("%d|%e|%j|%m", "02| 2|306|11"),
            ("%H %I %M %S %p %s", "09 09 05 07 AM 1793610307"),
            ("%u %w %U %V %W", "1 1 44 45 44"),
            ("%z %Z%n%t%%", "+0000 UTC\n\t%"),
            ("%Ec %Od é", "Mon Nov  2 09:05:07 2026 02 é"),
            ("", ""),
        ] {
            assert_eq!(strftime(T, wanted).as_deref(), Ok(text), "{wanted}");
        }
        for (wanted, told) in [("%Q", "%Q"), ("%", "%"), ("a%E", "%E"), ("%Ek", "%Ek")] {
            assert_eq!(strftime(T, wanted), Err(told.to_owned()), "{wanted}");
        }
    }

    #[test]
    fn weeks_count_from_their_first_day_in_the_year() {
        for (day, told) in [
            ("2023-01-01", "0 01 00 001"),
            ("2024-01-01", "1 00 01 001"),
            ("2024-12-31", "2 52 53 366"),
            ("1969-12-31", "3 52 52 365"),
        ] {
            let (at, _) = crate::date::parse_any(day).unwrap();
            assert_eq!(strftime(at, "%w %U %W %j").as_deref(), Ok(told), "{day}");
        }
    }

    #[test]
    fn what_is_taken_apart_is_put_together_again() {
        for ms in [T, 0, -86_400_000, 253_402_300_799_000] {
            let told = fields(ms);
            assert_eq!(moment(std::array::from_fn(|i| told[i].1)), Some(ms));
        }
        assert_eq!(moment([2026, 14, -3, 25, 0, 0]), Some(1_801_184_400_000));
        assert_eq!(moment([1 << 40, 1, 1, 0, 0, 0]), None);
    }
}
