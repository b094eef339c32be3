//! The `FDLHashHelper`.

use super::Module;
use base64::{Engine, engine::general_purpose::STANDARD};
use mlua::{Error, Lua, LuaString, Result, Table};
use uuid::Uuid;

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("toBase64", |_, text: LuaString| Ok(STANDARD.encode(text.as_bytes())))?;
    module.function("fromBase64", |lua, text: LuaString| {
        let bytes =
            STANDARD.decode(text.as_bytes().trim_ascii()).map_err(|e| Error::runtime(format!("base64: {e}")))?;
        lua.create_string(bytes)
    })?;
    module.function("getRandomUUID", |_, ()| Ok(Uuid::new_v4().to_string()))?;
    module.function("getNamedUUID", |_, name: LuaString| {
        Ok(Uuid::new_v5(&Uuid::NAMESPACE_URL, &name.as_bytes()).to_string())
    })?;
    Ok(module.table)
}
