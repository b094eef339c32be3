//! Zones in texts of dates: how far they are from UTC.

/// What zones are called, and the minutes from UTC: as Java reads them where one name has several meanings, and without those
/// that mean something else on each continent.
const NAMES: [(&str, i64); 55] = [
    ("Coordinated Universal Time", 0),
    ("Greenwich Mean Time", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("WET", 0),
    ("WEST", 60),
    ("BST", 60),
    ("CET", 60),
    ("MET", 60),
    ("WAT", 60),
    ("CEST", 120),
    ("MEST", 120),
    ("EET", 120),
    ("CAT", 120),
    ("SAST", 120),
    ("EEST", 180),
    ("EAT", 180),
    ("MSK", 180),
    ("TRT", 180),
    ("GST", 240),
    ("PKT", 300),
    ("IST", 330),
    ("WIB", 420),
    ("ICT", 420),
    ("HKT", 480),
    ("SGT", 480),
    ("MYT", 480),
    ("AWST", 480),
    ("JST", 540),
    ("KST", 540),
    ("ACST", 570),
    ("AEST", 600),
    ("ACDT", 630),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
    ("BRT", -180),
    ("ART", -180),
    ("NST", -210),
    ("NDT", -150),
    ("AST", -240),
    ("ADT", -180),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("Z", 0),
];

/// The zone that a text begins with (`EST`, `Z`, `+0100`, `+01:00`, `GMT+1`), in minutes from UTC, and its length.
pub(super) fn offset(text: &str) -> Option<(i64, usize)> {
    let (minutes, length) = named(text).unwrap_or((0, 0));
    let counts_on = matches!(text.get(..length), Some("" | "UTC" | "GMT"));
    match numeric(&text.as_bytes()[length..]).filter(|_| counts_on) {
        Some((more, digits)) => Some((more, length + digits)),
        None if length > 0 => Some((minutes, length)),
        None => None,
    }
}

/// By a name, in any letter case, that ends where the word does.
fn named(text: &str) -> Option<(i64, usize)> {
    NAMES.into_iter().find_map(|(name, minutes)| {
        let head = text.get(..name.len())?;
        let ends = !text[name.len()..].starts_with(|next: char| next.is_ascii_alphabetic());
        (ends && head.eq_ignore_ascii_case(name)).then_some((minutes, name.len()))
    })
}

/// By a sign with hours, of one digit or two, and minutes, which may be left out.
fn numeric(text: &[u8]) -> Option<(i64, usize)> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digit = |at: usize| text.get(at).filter(|c| c.is_ascii_digit()).map(|c| i64::from(c - b'0'));
    let (hours, at) = match (digit(1)?, digit(2)) {
        (tens, Some(ones)) => (tens * 10 + ones, 3),
        (hours, None) => (hours, 2),
    };
    let colon = usize::from(text.get(at) == Some(&b':'));
    match digit(at + colon).zip(digit(at + colon + 1)) {
        Some((tens, ones)) => Some((sign * (hours * 60 + tens * 10 + ones), at + colon + 2)),
        None => Some((sign * hours * 60, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read_by_name_and_by_number_and_by_both() {
        for (text, minutes, length) in [
            ("Z", 0, 1),
            ("+0130", 90, 5),
            ("-01:30", -90, 6),
            ("+01", 60, 3),
            ("-5", -300, 2),
            ("-5:30", -330, 5),
            ("GMT", 0, 3),
            ("GMT+1", 60, 5),
            ("GMT+01:00", 60, 9),
            ("UTC-0930", -570, 8),
            ("GMT-", 0, 3),
            ("EST", -300, 3),
            ("est)", -300, 3),
            ("PDT 2026", -420, 3),
            ("CET", 60, 3),
            ("CEST", 120, 4),
            ("BST", 60, 3),
            ("IST", 330, 3),
            // What stands behind another name is something else.
            ("CET+1", 60, 3),
            ("EST-2026", -300, 3),
        ] {
            assert_eq!(offset(text), Some((minutes, length)), "{text}");
        }
        for text in ["", "+", "-x", "ESTONIA", "XYZ", "é"] {
            assert_eq!(offset(text), None, "{text}");
        }
    }
}
