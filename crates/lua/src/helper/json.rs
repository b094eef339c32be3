//! The `JSON` helper.

use super::Module;
use crate::json;
use mlua::{Lua, LuaString, Result, Table, Value as Lv};

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("encode", |lua, value: Lv| lua.create_string(json::from_lua(&value)?.to_string()))?;
    module.function("decode", |lua, text: Option<LuaString>| {
        let Some(text) = text else { return Ok(Lv::Nil) };
        let bytes = text.as_bytes();
        if bytes.trim_ascii().is_empty() {
            // The body of an answer may be empty; reading it must not end a trigger whose request was sent.
            return Ok(Lv::Nil);
        }
        json::decode(lua, &bytes)
    })?;
    Ok(module.table)
}
