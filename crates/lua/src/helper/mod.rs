//! Helpers.
use crate::shard::Shard;
use mlua::{Lua, Result, Table};
use std::rc::Rc;

pub(crate) fn install(_lua: &Lua, _base: &Table, _shard: &Rc<Shard>) -> Result<()> {
    Ok(())
}
