//! JSON from and to Lua values.

use crate::meter::Meter;
use mlua::{Lua, Result, Table, Value as Lv};
use serde_json::{Map, Number, Value};

/// Deepest nesting read or written.
const DEPTH: usize = 100;
/// Most values in one conversion: a table that holds itself many times over is small in Lua and endless in JSON.
const VALUES: usize = 1_000_000;

/// A Lua value as JSON. What has no counterpart (functions) vanishes like nil; an empty table is an empty array.
///
/// # Errors
/// Nested too deeply, or into itself.
pub(crate) fn from_lua(value: &Lv) -> Result<Value> {
    Converter { left: VALUES }.value(value, 0).map(Option::unwrap_or_default)
}

struct Converter {
    left: usize,
}

impl Converter {
    fn value(&mut self, value: &Lv, depth: usize) -> Result<Option<Value>> {
        if depth > DEPTH {
            return Err(mlua::Error::runtime(format!("the table is nested deeper than {DEPTH} levels")));
        }
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| mlua::Error::runtime(format!("the table holds more than {VALUES} values")))?;
        if self.left % 1024 == 0 {
            Meter::check_current()?;
        }
        Ok(Some(match value {
            Lv::Boolean(b) => Value::Bool(*b),
            Lv::Integer(n) => Value::from(*n),
            Lv::Number(n) => number(*n),
            Lv::String(text) => Value::String(text.to_string_lossy()),
            Lv::Table(table) => self.table(table, depth)?,
            Lv::UserData(object) => match crate::object::to_json(object) {
                Some(value) => value,
                None => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<Value> {
        let length = table.raw_len();
        let mut count = 0_usize;
        let mut array = true;
        for pair in table.pairs::<Lv, Lv>() {
            let (key, _) = pair?;
            count += 1;
            array &= is_index(&key, length);
        }
        if array && count == length {
            let mut items = Vec::with_capacity(length);
            for index in 1..=length {
                items.push(self.value(&table.raw_get(index)?, depth + 1)?.unwrap_or_default());
            }
            return Ok(Value::Array(items));
        }
        let mut object = Map::new();
        for pair in table.pairs::<Lv, Lv>() {
            let (key, value) = pair?;
            let key = match &key {
                Lv::String(text) => text.to_string_lossy(),
                Lv::Integer(n) => n.to_string(),
                Lv::Number(n) => crate::dialect::number_text(*n),
                Lv::Boolean(b) => b.to_string(),
                _ => continue,
            };
            if let Some(value) = self.value(&value, depth + 1)? {
                object.insert(key, value);
            }
        }
        Ok(Value::Object(object))
    }
}

#[allow(clippy::cast_precision_loss)] // no table is that long
fn is_index(key: &Lv, length: usize) -> bool {
    match key {
        Lv::Integer(n) => *n >= 1 && *n as u64 <= length as u64,
        Lv::Number(n) => *n >= 1.0 && *n <= length as f64 && n.fract() == 0.0,
        _ => false,
    }
}

/// Whole numbers without a fraction; what JSON has no number for becomes null.
pub(crate) fn number(n: f64) -> Value {
    // Beyond 2^53 a double's neighbours are more than one apart, and its own text is the honest one.
    #[allow(clippy::cast_possible_truncation)]
    if n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0 {
        return Value::from(n as i64);
    }
    Number::from_f64(n).map_or(Value::Null, Value::Number)
}

/// JSON as a Lua value; null is nil.
pub(crate) fn to_lua(lua: &Lua, value: &Value) -> Result<Lv> {
    Ok(match value {
        Value::Null => Lv::Nil,
        Value::Bool(b) => Lv::Boolean(*b),
        Value::Number(n) => Lv::Number(n.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Lv::String(lua.create_string(text)?),
        Value::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (index, item) in items.iter().enumerate() {
                table.raw_set(index + 1, to_lua(lua, item)?)?;
            }
            Lv::Table(table)
        }
        Value::Object(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (key, item) in fields {
                table.raw_set(key.as_str(), to_lua(lua, item)?)?;
            }
            Lv::Table(table)
        }
    })
}
