//! The `JSON` helper.

use super::Module;
use crate::json;
use mlua::{Error, Lua, LuaString, Result, Table, Value as Lv};

/// Longest text decoded, bytes: its values take up to sixteen times that for a moment, outside the memory limit.
const DECODE_BYTES: usize = 4 << 20;

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
        if bytes.len() > DECODE_BYTES {
            return Err(Error::runtime(format!("JSON: the text is longer than {DECODE_BYTES} bytes")));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| Error::runtime(format!("JSON: {error}")))?;
        json::to_lua(lua, &value)
    })?;
    Ok(module.table)
}
