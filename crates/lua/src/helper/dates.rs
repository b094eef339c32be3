//! The `FDLDateHelper`.

use super::{Module, text_of};
use crate::{
    date, error,
    object::{self, Object, ms_number},
};
use mlua::{Error, Lua, Result, Table, Value as Lv};
use sutler_model::time::DAY_MS;

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("getTimestamp", |_, (value, pattern): (Lv, Lv)| {
        if value.is_nil() {
            return Ok(ms_number(date::now()));
        }
        if let (Lv::String(text), Some(pattern)) = (&value, pattern_of(&pattern)?) {
            let text = text.to_string_lossy();
            let ms = date::parse(&text, &pattern, date::now()).ok_or_else(|| {
                Error::runtime(format!("INVALID_DATE_FORMAT: `{}` is not of the form {pattern}", error::shown(&text)))
            })?;
            return Ok(ms_number(ms));
        }
        ms(&value).map(ms_number)
    })?;
    module.function("getString", |_, (time, pattern): (Lv, Lv)| {
        let pattern = pattern_of(&pattern)?.unwrap_or_else(|| "yyyy-MM-dd'T'HH:mm:ssZ".to_owned());
        Ok(date::format(ms(&time)?, &pattern))
    })?;
    module.function("addDays", |_, (time, days): (Lv, f64)| Ok(ms_number(ms(&time)?) + days * ms_number(DAY_MS)))?;
    Ok(module.table)
}

/// Longest pattern read.
const PATTERN_BYTES: usize = 256;

fn pattern_of(value: &Lv) -> Result<Option<String>> {
    let pattern = text_of(value);
    match &pattern {
        Some(text) if text.len() > PATTERN_BYTES => {
            Err(Error::runtime(format!("INVALID_DATE_FORMAT: the pattern is longer than {PATTERN_BYTES} bytes")))
        }
        _ => Ok(pattern),
    }
}

/// A moment given as a date, a number or a text.
#[allow(clippy::cast_possible_truncation)] // saturates
fn ms(value: &Lv) -> Result<i64> {
    match value {
        Lv::Number(n) => Ok(*n as i64),
        Lv::Integer(n) => Ok(*n),
        Lv::String(text) => {
            let text = text.to_string_lossy();
            date::parse_any(&text)
                .map(|(from, _)| from)
                .ok_or_else(|| Error::runtime(format!("INVALID_DATE_FORMAT: `{}` is not a date", error::shown(&text))))
        }
        _ => object::with(value, |object| if let Object::Date(ms) = object { Some(*ms) } else { None })
            .flatten()
            .ok_or_else(|| Error::runtime(format!("INVALID_DATE_FORMAT: a date expected, got {}", value.type_name()))),
    }
}
