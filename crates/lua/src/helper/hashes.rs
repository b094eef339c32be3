//! The `FDLHashHelper`.

use super::Module;
use base64::{Engine, engine::general_purpose::STANDARD};
use mlua::{BorrowedBytes, Error, Lua, LuaString, Result, Table};
use uuid::Uuid;

/// Longest text: nothing can interrupt the work on it.
const BYTES: usize = 8 << 20;

fn bytes(text: &LuaString) -> Result<BorrowedBytes> {
    let bytes = text.as_bytes();
    if bytes.len() > BYTES {
        return Err(Error::runtime(format!("FDLHashHelper: the text is longer than {BYTES} bytes")));
    }
    Ok(bytes)
}

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("toBase64", |_, text: LuaString| Ok(STANDARD.encode(bytes(&text)?)))?;
    module.function("fromBase64", |lua, text: LuaString| {
        let bytes = STANDARD.decode(bytes(&text)?.trim_ascii()).map_err(|e| Error::runtime(format!("base64: {e}")))?;
        lua.create_string(bytes)
    })?;
    module.function("getRandomUUID", |_, ()| Ok(Uuid::new_v4().to_string()))?;
    module.function("getNamedUUID", |_, name: LuaString| {
        Ok(Uuid::new_v5(&Uuid::NAMESPACE_URL, &bytes(&name)?).to_string())
    })?;
    Ok(module.table)
}
