//! The `Utils` helper and the conversion of measures.

use super::{Module, text_of};
use crate::{
    error, json,
    object::{BeanRef, JSON_BYTES, OBJECT_BYTES},
    room::Room,
};
use mlua::{Error, Lua, Result, Table, Value as Lv};
use serde_json::json;

/// Holds a text against a part of it, without a copy of either where they are texts.
fn compared(text: &Lv, part: &Lv, how: fn(&[u8], &[u8]) -> bool) -> bool {
    if let (Lv::String(text), Lv::String(part)) = (text, part) {
        return how(&text.as_bytes(), &part.as_bytes());
    }
    how(text_of(text).unwrap_or_default().as_bytes(), text_of(part).unwrap_or_default().as_bytes())
}

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module
        .function("stringStartsWith", |_, (text, start): (Lv, Lv)| Ok(compared(&text, &start, <[u8]>::starts_with)))?;
    module.function("stringEndsWith", |_, (text, end): (Lv, Lv)| Ok(compared(&text, &end, <[u8]>::ends_with)))?;
    module.function("roundNumber", |_, (number, places): (f64, Option<i32>)| {
        let scale = 10_f64.powi(places.unwrap_or(0).clamp(0, 15));
        Ok((number * scale).round() / scale)
    })?;
    module.function("createFilterCondition", |lua, (field, condition, value): (Lv, Lv, Lv)| {
        let bean = BeanRef::empty("FilterCondition");
        bean.charge(lua, OBJECT_BYTES)?;
        bean.set(lua, "field", "field", &field)?;
        let condition = text_of(&condition).unwrap_or_else(|| "IS_EQUAL_TO".to_owned());
        bean.set(lua, "condition", "condition", &Lv::String(lua.create_string(condition)?))?;
        if !value.is_nil() {
            bean.set(lua, "value", "value", &value)?;
        }
        Ok(bean)
    })?;
    module.function("createURLActionContent", |_, (method, url, params): (Lv, Lv, Lv)| {
        let mut room = Room::new("the content", JSON_BYTES);
        let (method, url) = (room.text(&method)?, room.text(&url)?);
        json::text(&json!({"method": method, "url": url, "params": json::from_lua(&params)?}), false)
    })?;
    module.function("createRefreshFunctionActionContent", |_, (refresh, message, level): (bool, Lv, Lv)| {
        let mut room = Room::new("the content", JSON_BYTES);
        let (message, level) = (room.text(&message)?, room.text(&level)?);
        json::text(&json!({"refresh": refresh, "message": message, "level": level}), false)
    })?;
    module.function("createDisplayDialogueActionContent", |_, (values, title, message, icon): (Lv, Lv, Lv, Lv)| {
        let mut room = Room::new("the content", JSON_BYTES);
        let (title, message, icon) = (room.text(&title)?, room.text(&message)?, room.text(&icon)?);
        let content = json!({"values": json::from_lua(&values)?, "title": title, "message": message, "icon": icon});
        json::text(&content, false)
    })?;
    Ok(module.table)
}

/// Sizes in bytes and times in seconds; measures of one kind convert into each other.
const MEASURES: [(&str, f64, u8); 11] = [
    ("B", 1.0, 0),
    ("KB", 1024.0, 0),
    ("MB", 1_048_576.0, 0),
    ("GB", 1_073_741_824.0, 0),
    ("TB", 1_099_511_627_776.0, 0),
    ("SECOND", 1.0, 1),
    ("MINUTE", 60.0, 1),
    ("HOUR", 3_600.0, 1),
    ("DAY", 86_400.0, 1),
    ("MONTH", 2_629_746.0, 1),
    ("YEAR", 31_556_952.0, 1),
];

/// `convert_mtype(from, to)`: what an amount of the first is multiplied with to become the second.
pub(super) fn factor(from: &Lv, to: &Lv) -> Result<f64> {
    let (from, to) = (text_of(from).unwrap_or_default(), text_of(to).unwrap_or_default());
    let find = |name: &str| MEASURES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
    match (find(&from), find(&to)) {
        _ if from.eq_ignore_ascii_case(&to) => Ok(1.0),
        (Some((_, a, kind)), Some((_, b, other))) if kind == other => Ok(a / b),
        _ => Err(Error::runtime(format!(
            "convert_mtype: {} does not convert into {}",
            error::shown(&from),
            error::shown(&to)
        ))),
    }
}
