//! The `JSON` helper of the language, and `json` for new scripts.

use super::Module;
use crate::json;
use mlua::{Lua, LuaString, Result, Table, Value as Lv};

/// `JSON`: fractions are written as the script would write them.
pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("encode", |_, value: Lv| json::text(&json::rounded(json::from_lua(&value)?), false))?;
    module.function("encode_pretty", |_, value: Lv| json::text(&json::rounded(json::from_lua(&value)?), true))?;
    module.function("decode", decode)?;
    Ok(module.table)
}

/// `json`: every digit counts.
pub(super) fn modern(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("encode", |_, value: Lv| json::text(&json::from_lua(&value)?, false))?;
    module.function("decode", decode)?;
    Ok(module.table)
}

fn decode(lua: &Lua, text: Option<LuaString>) -> Result<Lv> {
    let Some(text) = text else { return Ok(Lv::Nil) };
    let bytes = text.as_bytes();
    if bytes.trim_ascii().is_empty() {
        // The body of an answer may be empty; reading it must not end a trigger whose request was sent.
        return Ok(Lv::Nil);
    }
    json::decode(lua, &bytes)
}
