//! Lua as scripts expect it.
use mlua::{Lua, Result, Table};
use std::borrow::Cow;

pub(crate) fn rewrite(source: &str) -> Cow<'_, str> {
    Cow::Borrowed(source)
}
pub(crate) fn base(lua: &Lua) -> Result<Table> {
    lua.create_table()
}
pub(crate) fn environment(lua: &Lua, base: &Table) -> Result<Table> {
    let env = lua.create_table()?;
    let meta = lua.create_table()?;
    meta.raw_set("__index", base)?;
    env.set_metatable(Some(meta))?;
    Ok(env)
}
pub(crate) fn number_text(n: f64) -> String {
    n.to_string()
}
