//! Tables of functions that answer to a dot and to a colon alike.

use crate::object::discarded;
use mlua::{FromLuaMulti, IntoLuaMulti, Lua, MultiValue, Result, Table, Value as Lv};

/// What a call that may wait leaves on our side until Lua collects it.
const CALL_BYTES: usize = 2 << 10;

/// A helper object under construction.
pub(super) struct Module<'l> {
    lua: &'l Lua,
    pub table: Table,
}

impl<'l> Module<'l> {
    pub fn new(lua: &'l Lua) -> Result<Self> {
        Ok(Self { lua, table: lua.create_table()? })
    }

    /// Adds a function; the module itself as first argument, which a colon adds, is dropped.
    pub fn function<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        call: impl Fn(&Lua, A) -> Result<R> + 'static,
    ) -> Result<()> {
        let own = self.table.to_pointer();
        let function = self.lua.create_function(move |lua, mut args: MultiValue| {
            drop_self(&mut args, own);
            call(lua, A::from_lua_multi(args, lua)?)
        })?;
        self.table.raw_set(name, function)
    }

    /// The same for a function that waits.
    pub fn waiting<A: FromLuaMulti, R: IntoLuaMulti, F: Future<Output = Result<R>> + 'static>(
        &self,
        name: &str,
        call: impl Fn(Lua, A) -> F + 'static,
    ) -> Result<()> {
        let own = self.table.to_pointer();
        let call = std::rc::Rc::new(call);
        let function = self.lua.create_async_function(move |lua, mut args: MultiValue| {
            drop_self(&mut args, own);
            let call = call.clone();
            async move {
                // mlua keeps what is polled until the call's handle is collected, also when it failed at once.
                discarded(&lua, CALL_BYTES + size_of::<F>())?;
                let args = A::from_lua_multi(args, &lua)?;
                call(lua, args).await
            }
        })?;
        self.table.raw_set(name, function)
    }
}

/// Drops the first argument if it is the object the function belongs to.
pub(super) fn drop_self(args: &mut MultiValue, own: *const std::ffi::c_void) {
    if let Some(Lv::Table(first)) = args.front()
        && first.to_pointer() == own
    {
        args.pop_front();
    }
}
