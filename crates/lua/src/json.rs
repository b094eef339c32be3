//! JSON from and to Lua values.

use crate::{
    dialect::number_text,
    meter::Meter,
    object::{JSON_BYTES, Writer},
};
use mlua::{Lua, Result, Table, Value as Lv};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::{borrow::Cow, cell::Cell, fmt, io};

/// What an object counts among what is copied, bytes: less than it takes, for many small ones are common.
const OBJECT: usize = 256;
/// A Lua value as JSON. What has no counterpart (functions) vanishes like nil; an empty table is an empty array.
///
/// # Errors
/// Nested too deeply, or into itself.
pub(crate) fn from_lua(value: &Lv) -> Result<Value> {
    write(value, &mut Writer::new(false)).map(Option::unwrap_or_default)
}

/// The same for a part of what is written. A table that holds one large text many times over is small in Lua and endless in
/// JSON, and tables and objects may hold each other, so all parts count together.
pub(crate) fn write(value: &Lv, writer: &mut Writer) -> Result<Option<Value>> {
    if let Lv::UserData(_) = value {
        return crate::object::write(value, writer);
    }
    writer.room.take(if let Lv::String(text) = value { text.as_bytes().len() } else { 0 })?;
    Ok(Some(match value {
        Lv::Boolean(b) => Value::Bool(*b),
        Lv::Integer(n) => Value::from(*n),
        Lv::Number(n) => number(*n),
        Lv::String(text) => Value::String(text.to_string_lossy()),
        Lv::Table(table) => writer.nested(|writer| self::table(table, writer))?,
        _ => return Ok(None),
    }))
}

fn table(table: &Table, writer: &mut Writer) -> Result<Value> {
    // Only whole numbers from 1 for keys make an array; a few holes in it are nulls.
    let (mut count, mut length) = (0_usize, Some(0_usize));
    for pair in table.pairs::<Lv, Lv>() {
        let (key, _) = pair?;
        writer.room.step()?;
        count += 1;
        length = length.zip(index(&key)).map(|(most, index)| most.max(index));
    }
    if let Some(length) = length.filter(|length| *length <= 2 * count + 8) {
        let mut items = Vec::with_capacity(length);
        for index in 1..=length {
            items.push(write(&table.raw_get(index)?, writer)?.unwrap_or_default());
        }
        return Ok(Value::Array(items));
    }
    writer.room.take(OBJECT)?;
    let mut object = Map::new();
    for pair in table.pairs::<Lv, Lv>() {
        let (key, value) = pair?;
        let key = match &key {
            Lv::String(text) => text.to_string_lossy(),
            Lv::Integer(n) => n.to_string(),
            Lv::Number(n) => number_text(*n),
            Lv::Boolean(b) => b.to_string(),
            _ => continue,
        };
        if let Some(value) = write(&value, writer)? {
            writer.room.take(key.len())?;
            object.insert(key, value);
        }
    }
    Ok(Value::Object(object))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked
fn index(key: &Lv) -> Option<usize> {
    match key {
        Lv::Integer(n) => usize::try_from(*n).ok().filter(|n| *n >= 1),
        Lv::Number(n) => (*n >= 1.0 && *n < 4e9 && n.fract() == 0.0).then_some(*n as usize),
        _ => None,
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

/// The value with its fractions as Lua writes them, which is how a JSON library written in Lua does it: a sum of amounts
/// shows no more digits there than in any other text of the script.
pub(crate) fn rounded(value: Value) -> Value {
    match value {
        Value::Number(n) => match n.as_f64().filter(|n| n.fract() != 0.0) {
            Some(fraction) => number_text(fraction).parse().map_or(Value::Number(n), number),
            None => Value::Number(n),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(rounded).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, item)| (key, rounded(item))).collect()),
        other => other,
    }
}

/// JSON as text; `pretty` in lines.
///
/// # Errors
/// When it is too long, which texts of signs that have to be escaped become, or the run is stopped meanwhile.
pub(crate) fn text(value: &Value, pretty: bool) -> Result<String> {
    let mut out = Bounded { text: Vec::new(), refused: None };
    let written =
        if pretty { serde_json::to_writer_pretty(&mut out, value) } else { serde_json::to_writer(&mut out, value) };
    match written {
        Ok(()) => String::from_utf8(out.text).map_err(mlua::Error::external),
        Err(error) => Err(out.refused.unwrap_or_else(|| mlua::Error::external(error))),
    }
}

/// A text that is written in the bounds of [`text`].
struct Bounded {
    text: Vec<u8>,
    refused: Option<mlua::Error>,
}

/// How much is written before the deadline is looked at again, bytes.
const SLICE: usize = 64 << 10;

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let (before, after) = (self.text.len(), self.text.len() + piece.len());
        let checked = if after > JSON_BYTES {
            Err(mlua::Error::runtime(format!("the text has more than {JSON_BYTES} bytes as JSON")))
        } else if before / SLICE == after / SLICE {
            Ok(())
        } else {
            Meter::check_current()
        };
        if let Err(error) = checked {
            self.refused = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        self.text.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an object takes for up to eleven members, bytes; nodes are hardly ever full.
const NODE: usize = 640;

/// About how much memory a JSON value takes.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(items) => 32 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 32 + weight_of(fields),
        _ => 32,
    }
}

/// The same for an object's members.
pub(crate) fn weight_of(fields: &Map<String, Value>) -> usize {
    members_weight(fields.len(), fields.iter().map(|(key, item)| member_weight(key, item)).sum())
}

/// The same for one member, without its share of the object.
pub(crate) fn member_weight(key: &str, item: &Value) -> usize {
    16 + key.len() + weight(item)
}

/// The same for so many members that hold so much.
pub(crate) const fn members_weight(count: usize, held: usize) -> usize {
    NODE * count.div_ceil(8) + held
}

/// JSON text as a Lua value; null is nil. Tables come to be as the text is read, within the state's memory limit.
///
/// # Errors
/// For text that is not JSON, and when the run is stopped meanwhile.
pub(crate) fn decode(lua: &Lua, text: &[u8]) -> Result<Lv> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let steps = Cell::new(0);
    let read = Reader { lua, steps: &steps }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        // A stopped run says so itself.
        Meter::check_current().err().unwrap_or_else(|| mlua::Error::runtime(format!("JSON: {error}")))
    })
}

#[derive(Clone, Copy)]
struct Reader<'l> {
    lua: &'l Lua,
    steps: &'l Cell<usize>,
}

impl Reader<'_> {
    fn step<E: de::Error>(&self) -> std::result::Result<(), E> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get().is_multiple_of(1024) { Meter::check_current().map_err(E::custom) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Lv;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Lv, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Lv;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> std::result::Result<Lv, E> {
        Ok(Lv::Nil)
    }

    fn visit_bool<E: de::Error>(self, b: bool) -> std::result::Result<Lv, E> {
        Ok(Lv::Boolean(b))
    }

    #[allow(clippy::cast_precision_loss)] // Lua has no other numbers
    fn visit_i64<E: de::Error>(self, n: i64) -> std::result::Result<Lv, E> {
        Ok(Lv::Number(n as f64))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E: de::Error>(self, n: u64) -> std::result::Result<Lv, E> {
        Ok(Lv::Number(n as f64))
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> std::result::Result<Lv, E> {
        Ok(Lv::Number(n))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Lv, E> {
        self.lua.create_string(text).map(Lv::String).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Lv, A::Error> {
        let table = self.lua.create_table().map_err(de::Error::custom)?;
        let mut index = 0;
        while let Some(item) = items.next_element_seed(self)? {
            index += 1;
            self.step()?;
            table.raw_set(index, item).map_err(de::Error::custom)?;
        }
        Ok(Lv::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> std::result::Result<Lv, A::Error> {
        let table = self.lua.create_table().map_err(de::Error::custom)?;
        while let Some(key) = fields.next_key::<Cow<'de, str>>()? {
            let item = fields.next_value_seed(self)?;
            self.step()?;
            table.raw_set(key.as_ref(), item).map_err(de::Error::custom)?;
        }
        Ok(Lv::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection, prelude::*};

    /// Whole numbers between those that a double counts by ones and the end of integers come back as integers of the same value.
    fn has_one_form(n: &f64) -> bool {
        n.is_finite()
            && (n.fract() != 0.0 || n.abs() <= 9_007_199_254_740_992.0 || n.abs() > 9_223_372_036_854_775_808.0)
    }

    /// Values that Lua has counterparts for: nothing is nil, and no object is empty, which a table could not tell from an array.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_filter("numbers that have one form", has_one_form).prop_map(number),
            any::<String>().prop_map(Value::from),
            "[0-9]{1,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let key = prop_oneof!["[0-9a-z]{0,4}", any::<String>()];
            prop_oneof![
                collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                collection::btree_map(key, inner, 1..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_lua_reads_it_writes_as_it_was(value in value(), pretty in any::<bool>()) {
            let lua = Lua::new();
            let read = decode(&lua, text(&value, pretty).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(from_lua(&read).unwrap(), value);
        }

        #[test]
        fn what_is_no_json_is_refused(text in "([\\[\\]{},:\"0-9eE.+\\-]|null|true|\\\\u[0-9a-fD]{4}| |é){0,20}") {
            let known = serde_json::from_str::<Value>(&text).is_ok();
            prop_assert_eq!(decode(&Lua::new(), text.as_bytes()).is_ok(), known, "{}", text);
        }
    }
}
