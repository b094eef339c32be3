//! `time`: milliseconds since 1970, UTC.

use crate::{date, error, helper::Module, object::ms_number};
use mlua::{Error, Lua, Result, Table};
use time::OffsetDateTime;

/// How times are written unless a pattern says otherwise.
const ISO: &str = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'";
/// Longest pattern read.
const PATTERN_BYTES: usize = 256;

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("now", |_, ()| Ok(ms_number(date::now())))?;
    module.function("format", |_, (at, pattern): (f64, Option<String>)| {
        Ok(date::format(ms(at)?, &pattern_of(pattern)?.unwrap_or_else(|| ISO.to_owned())))
    })?;
    module.function("parse", |_, (text, pattern): (String, Option<String>)| {
        let found = match pattern_of(pattern)? {
            Some(pattern) => date::parse(&text, &pattern, date::now()),
            None => date::parse_any(&text).map(|(from, _)| from),
        };
        let wrong = || Error::runtime(format!("time.parse: `{}` is not such a time", error::shown(&text)));
        found.map(ms_number).ok_or_else(wrong)
    })?;
    module.function("parts", |lua, at: f64| {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms(at)?) * 1_000_000)
            .map_err(|_| Error::runtime("time.parts: there is no such time"))?;
        let parts = lua.create_table()?;
        parts.set("year", at.year())?;
        parts.set("month", u8::from(at.month()))?;
        parts.set("day", at.day())?;
        parts.set("hour", at.hour())?;
        parts.set("minute", at.minute())?;
        parts.set("second", at.second())?;
        // 1 is Monday, as in ISO 8601.
        parts.set("weekday", at.weekday().number_from_monday())?;
        Ok(parts)
    })?;
    Ok(module.table)
}

fn pattern_of(pattern: Option<String>) -> Result<Option<String>> {
    match pattern {
        Some(text) if text.len() > PATTERN_BYTES => {
            Err(Error::runtime(format!("time: the pattern is longer than {PATTERN_BYTES} bytes")))
        }
        pattern => Ok(pattern),
    }
}

#[allow(clippy::cast_possible_truncation)] // saturates
fn ms(at: f64) -> Result<i64> {
    if at.is_finite() { Ok(at as i64) } else { Err(Error::runtime("time: a number of milliseconds expected")) }
}
