//! `event`: what sets the present run off. One table for all runs of a block; what it says is asked of the run in progress.

use crate::meter::Meter;
use mlua::{Error, IntoLua, Lua, Result, Table, Value as Lv};
use serde_json::{Map, Value, json};
use sutler_model::{Cause, Scope};

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let event = lua.create_table()?;
    let meta = lua.create_table()?;
    meta.raw_set(
        "__index",
        lua.create_function(|lua, (_, name): (Lv, Lv)| {
            let Lv::String(name) = name else { return Ok(Lv::Nil) };
            match described().remove(&*name.to_str()?) {
                None | Some(Value::Null) => Ok(Lv::Nil),
                Some(value) => crate::json::decode(lua, value.to_string().as_bytes()),
            }
        })?,
    )?;
    // All of it, as a plain table: for a log, or a message as JSON.
    meta.raw_set(
        "__call",
        lua.create_function(|lua, _: Lv| {
            crate::json::decode(lua, Value::Object(described()).to_string().as_bytes())?.into_lua(lua)
        })?,
    )?;
    meta.raw_set(
        "__newindex",
        lua.create_function(|_, _: Lv| Err::<(), _>(Error::runtime("`event` cannot be changed")))?,
    )?;
    meta.raw_set("__metatable", false)?;
    event.set_metatable(Some(meta))?;
    Ok(event)
}

/// What there is to say; nothing while a block registers.
fn described() -> Map<String, Value> {
    let Some(meter) = Meter::current() else { return Map::new() };
    let (Some(who), event) = (&meter.who, meter.event.borrow()) else { return Map::new() };
    let said = json!({
        "type": event.origin.trigger, "option": event.option, "seq": event.origin.seq, "run": who.run_id.to_string(),
        "attempt": event.origin.attempt, "cause": event.origin.cause.as_ref().map(|cause| told(cause, who.owner)), "time": event.timestamp_ms,
        "rehearsal": who.rehearsal, "depth": who.depth, "entry": event.function,
    });
    match said {
        // What is not known is not there.
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null() && value != "").collect(),
        _ => Map::new(),
    }
}

/// A cause as the script's owner may know it: a customer is not told who of its seller's people, and which of its scripts.
fn told(cause: &Cause, owner: Scope) -> Value {
    let mut told = serde_json::to_value(cause).unwrap_or_default();
    if let (Scope::Customer(_), Some(fields)) = (owner, told.as_object_mut()) {
        fields.retain(|name, _| matches!(name.as_str(), "kind" | "job_id"));
    }
    told
}
