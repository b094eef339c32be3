//! Of the library `os`, what tells the time, always in UTC. Nothing of it reaches outside.

use crate::{
    date::{self, strftime},
    error,
    meter::Meter,
    object::ms_number,
};
use mlua::{Error, Lua, Result, Table, Value};

/// Longest format of a date, bytes: printing cannot be interrupted.
const FORMAT_BYTES: usize = 4 << 10;

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let os = lua.create_table_with_capacity(0, 4)?;
    os.raw_set("clock", lua.create_function(|_, ()| Ok(clock()))?)?;
    os.raw_set("date", lua.create_function(date)?)?;
    let difference = |_: &Lua, (to, from): (f64, Option<f64>)| Ok(to - from.unwrap_or_default());
    os.raw_set("difftime", lua.create_function(difference)?)?;
    os.raw_set("time", lua.create_function(time)?)?;
    Ok(os)
}

/// Seconds since the run began.
fn clock() -> f64 {
    let us = Meter::current().map_or(0, |meter| meter.elapsed_us());
    // Exact for 285 years.
    #[allow(clippy::cast_precision_loss)]
    let us = us as f64;
    us / 1e6
}

fn date(lua: &Lua, (wanted, time): (Option<mlua::LuaString>, Option<f64>)) -> Result<Value> {
    #[allow(clippy::cast_possible_truncation)] // saturates
    let ms = time.map_or_else(date::now, |seconds| (seconds.floor() * 1000.0) as i64);
    let wanted = wanted.map_or_else(|| "%c".to_owned(), |wanted| wanted.to_string_lossy());
    if wanted.len() > FORMAT_BYTES {
        let most = format!("invalid argument #1 to 'date' (a format has at most {FORMAT_BYTES} bytes)");
        return Err(Error::runtime(most));
    }
    // The place of the machine is nobody's: local time is UTC.
    let wanted = wanted.strip_prefix('!').unwrap_or(&wanted);
    if wanted == "*t" {
        let table = lua.create_table_with_capacity(0, 9)?;
        for (name, value) in strftime::fields(ms) {
            table.raw_set(name, ms_number(value))?;
        }
        table.raw_set("isdst", false)?;
        return Ok(Value::Table(table));
    }
    let text = strftime::strftime(ms, wanted).map_err(|told| {
        Error::runtime(format!(
            "invalid argument #1 to 'date' (invalid conversion specifier '{}')",
            error::shown(&told)
        ))
    })?;
    lua.create_string(text).map(Value::String)
}

fn time(lua: &Lua, of: Value) -> Result<f64> {
    let table = match of {
        Value::Nil => return Ok(ms_number(date::now().div_euclid(1000))),
        Value::Table(table) => table,
        other => {
            let got = other.type_name();
            return Err(Error::runtime(format!("invalid argument #1 to 'time' (table expected, got {got})")));
        }
    };
    let field = |name: &str, default: Option<i64>| -> Result<i64> {
        let value = lua.coerce_number(table.raw_get::<Value>(name)?)?;
        match (value, default) {
            (Some(value), _) if value.abs() > f64::from(i32::MAX) => {
                Err(Error::runtime(format!("field '{name}' of a date table is out of bounds")))
            }
            #[allow(clippy::cast_possible_truncation)] // within the bounds
            (Some(value), _) => Ok(value as i64),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(Error::runtime(format!("field '{name}' missing in date table"))),
        }
    };
    let parts = [
        field("year", None)?,
        field("month", None)?,
        field("day", None)?,
        field("hour", Some(12))?,
        field("min", Some(0))?,
        field("sec", Some(0))?,
    ];
    let moment = strftime::moment(parts).ok_or_else(|| Error::runtime("a date table of no time there is"))?;
    Ok(ms_number(moment / 1000))
}
