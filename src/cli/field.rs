//! Options that become fields of a request: how each is read, and where in the body or query it goes.

use clap::{Arg, ArgAction, ArgMatches, builder::PossibleValuesParser, builder::TypedValueParser};
use serde_json::{Value, json};
use std::{fs, io::Read};
use sutler_model::{Nanos, Timestamp};

/// An option of a command and the field it sets.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The option's name, without dashes.
    pub flag: &'static str,
    /// The field, in dot notation; for filters the query parameter.
    pub at: &'static str,
    /// How it is read.
    pub kind: Kind,
    /// Whether it can be left out.
    pub need: Need,
    /// The line of help.
    pub help: &'static str,
}

/// Whether a field can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It cannot.
    Must,
    /// It can.
    May,
    /// Given by its place rather than by name.
    Place,
}

/// How the text of an option becomes a value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Itself.
    Text,
    /// A whole number.
    Number,
    /// Memory: MiB, or with a unit (`2GiB`).
    Mib,
    /// Disk space: GiB, or with a unit (`1TiB`).
    Gib,
    /// A decimal amount, kept as text.
    Amount,
    /// A time: RFC 3339, a date, a month, or `now`.
    Time,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One or more of these words.
    Choices(&'static [&'static str]),
    /// The name or id of a record of this noun.
    Ref(&'static str),
    /// Set to this JSON when the option is there.
    Switch(&'static str),
    /// A text given more than once, each itself or `@FILE`.
    Texts,
    /// Text read from a file, `-` for the standard input.
    File,
    /// `NAME=VALUE`, given more than once: resource keys.
    Keys,
    /// `KEY=VALUE`, given more than once: an object of texts.
    Map,
    /// JSON, or `@FILE` with JSON.
    Json,
    /// `NAME=VALUE` or `NAME=@FILE`, given more than once: the values of a form. Others see command lines, so what is secret
    /// comes from a file, `-` for the standard input.
    Values,
}

impl Field {
    /// A field that must be given.
    pub const fn must(flag: &'static str, at: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { flag, at, kind, need: Need::Must, help }
    }

    /// A field that may be left out.
    pub const fn may(flag: &'static str, at: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { flag, at, kind, need: Need::May, help }
    }

    /// A field given by its place.
    pub const fn place(flag: &'static str, at: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { flag, at, kind, need: Need::Place, help }
    }

    /// The field as clap knows it.
    pub fn arg(&'static self) -> Arg {
        let arg = Arg::new(self.flag).help(self.help).required(self.need != Need::May);
        let arg = match self.need {
            Need::Place => arg.value_name(self.placeholder()),
            _ => arg.long(self.flag).value_name(self.placeholder()),
        };
        match &self.kind {
            Kind::Switch(_) => arg.action(ArgAction::SetTrue).required(false).value_name(None::<&str>),
            Kind::Choice(words) => arg.value_parser(PossibleValuesParser::new(*words).map(Value::from)),
            Kind::Choices(words) => arg
                .value_parser(PossibleValuesParser::new(*words).map(Value::from))
                .value_delimiter(',')
                .action(ArgAction::Append),
            Kind::Texts | Kind::Keys | Kind::Map | Kind::Values => {
                arg.value_parser(|text: &str| self.kind.read(text)).action(ArgAction::Append)
            }
            _ => arg.value_parser(|text: &str| self.kind.read(text)),
        }
    }

    fn placeholder(&self) -> String {
        let word = match &self.kind {
            Kind::Number => "N",
            Kind::Mib | Kind::Gib => "SIZE",
            Kind::Amount => "AMOUNT",
            Kind::Time => "TIME",
            Kind::File => "FILE",
            Kind::Keys => "NAME=VALUE",
            Kind::Map => "KEY=VALUE",
            Kind::Json => "JSON|@FILE",
            Kind::Values => "NAME=VALUE|NAME=@FILE",
            Kind::Texts => "TEXT|@FILE",
            _ => return self.flag.to_uppercase(),
        };
        word.to_owned()
    }

    /// The value given on the command line; none when it was left out. References are still names.
    pub fn value(&self, given: &ArgMatches) -> Option<Value> {
        match &self.kind {
            Kind::Switch(set) => given.get_flag(self.flag).then(|| serde_json::from_str(set).unwrap_or(Value::Null)),
            Kind::Texts | Kind::Keys | Kind::Choices(_) => {
                Some(Value::Array(given.get_many::<Value>(self.flag)?.cloned().collect()))
            }
            Kind::Map => {
                let pairs = given.get_many::<Value>(self.flag)?;
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                Some(pairs.map(|pair| (text(&pair["name"]), pair["value"].clone())).collect())
            }
            Kind::Values => {
                let pairs = given.get_many::<Value>(self.flag)?.filter_map(Value::as_object);
                Some(Value::Object(pairs.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()))
            }
            _ => given.get_one::<Value>(self.flag).cloned(),
        }
    }
}

impl Kind {
    /// Reads the text of an option. Errors say what would be right.
    fn read(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Number => text.parse::<u64>().map(Value::from).map_err(|_| "must be a whole number".to_owned()),
            Self::Mib => size(text, 1).map(Value::from),
            Self::Gib => size(text, 1024).map(Value::from),
            Self::Amount => text.parse::<Nanos>().map(|_| Value::from(text)).map_err(|e| e.to_string()),
            Self::Time => time(text).map(|t| Value::from(t.to_string())),
            Self::Texts => match text.strip_prefix('@') {
                Some(path) => read_text(path).map(|t| Value::from(t.trim_end())),
                None => Ok(Value::from(text)),
            },
            Self::File => read_text(text).map(Value::from),
            Self::Json => {
                let text = text.strip_prefix('@').map_or_else(|| Ok(text.to_owned()), read_text)?;
                serde_json::from_str(&text).map_err(|e| format!("must be JSON: {e}"))
            }
            Self::Keys | Self::Map => match text.split_once('=') {
                Some((name, value)) if !name.is_empty() => Ok(json!({"name": name, "value": value})),
                _ => Err("must be NAME=VALUE".to_owned()),
            },
            Self::Values => match text.split_once('=') {
                Some((name, value)) if !name.is_empty() => {
                    let value = match value.strip_prefix('@') {
                        Some(path) => read_text(path)?.trim_end().to_owned(),
                        None => value.to_owned(),
                    };
                    Ok(json!({ name: value }))
                }
                _ => Err("must be NAME=VALUE, or NAME=@FILE for what is secret".to_owned()),
            },
            Self::Text | Self::Ref(_) | Self::Choice(_) | Self::Choices(_) | Self::Switch(_) => Ok(Value::from(text)),
        }
    }
}

/// Puts `value` at a path in dot notation, making the objects on the way.
pub fn put(body: &mut Value, path: &str, value: Value) {
    match path.split_once('.') {
        Some((first, rest)) => {
            if !body[first].is_object() {
                body[first] = json!({});
            }
            put(&mut body[first], rest, value);
        }
        None => body[path] = value,
    }
}

/// A size in units of `unit_mib` MiB; bare numbers are in that unit.
fn size(text: &str, unit_mib: u64) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => unit_mib,
        "m" | "mib" => 1,
        "g" | "gib" => 1024,
        "t" | "tib" => 1024 * 1024,
        _ => return Err("must be a number, or one with the unit MiB, GiB or TiB, such as 2GiB".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "must be a whole number with or without a unit".to_owned())?;
    let mib = number.checked_mul(unit).ok_or("is too large")?;
    if mib % unit_mib != 0 {
        return Err(format!("must be a multiple of {unit_mib} MiB"));
    }
    Ok(mib / unit_mib)
}

/// A time as people write it: RFC 3339, `2026-11-22` (its first moment, UTC), `2026-11` or `now`.
pub fn time(text: &str) -> Result<Timestamp, String> {
    if text == "now" {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        return Ok(Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX)));
    }
    let whole = match text.len() {
        7 => format!("{text}-01T00:00:00Z"),
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    whole.parse().map_err(|_| "must be a time such as 2026-11-22T10:00:00Z, 2026-11-22, 2026-11 or now".to_owned())
}

/// The text of a file, `-` for the standard input.
pub fn read_text(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        _ => fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)).map(|_| ()),
    };
    read.map_err(|e| format!("reading `{path}`: {e}"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_units_and_refuse_what_does_not_divide() {
        assert_eq!(size("512", 1), Ok(512));
        assert_eq!(size("2GiB", 1), Ok(2048));
        assert_eq!(size("2g", 1024), Ok(2));
        assert_eq!(size("1TiB", 1024), Ok(1024));
        for bad in ["", "x", "1.5G", "1kb", "512MiB", "99999999999999T", "é"] {
            assert!(size(bad, 1024).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(time("2026-11").unwrap().to_string(), "2026-11-01T00:00:00.000Z");
        assert_eq!(time("2026-11-22").unwrap().to_string(), "2026-11-22T00:00:00.000Z");
        assert_eq!(time("2026-11-22T11:00:00+01:00").unwrap().to_string(), "2026-11-22T10:00:00.000Z");
        assert!(time("now").unwrap() > time("2020-01").unwrap());
        for bad in ["", "yesterday", "2026-13", "2026-11-31", "12345678901"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nested_fields_share_their_object() {
        let mut body = json!({});
        put(&mut body, "quota.cpus", json!(4));
        put(&mut body, "quota.servers", json!(2));
        put(&mut body, "name", json!("x"));
        assert_eq!(body, json!({"quota": {"cpus": 4, "servers": 2}, "name": "x"}));
    }
}
