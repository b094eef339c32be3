//! Calls from here into Lua.

use crate::object;
use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, Result};
use std::{cell::Cell, pin::pin};

/// Calls a function, which may wait.
///
/// When such a call ends or is dropped, mlua takes back its coroutine's stack outside of any protected call, for which Luau
/// takes a little memory. If a script has left none, Luau's exception would pass through Rust and end the process. So the
/// limit is lifted for that moment, in which no Lua code runs.
///
/// # Errors
/// What the function raises.
pub(crate) async fn call<R: FromLuaMulti>(function: &Function, args: impl IntoLuaMulti) -> Result<R> {
    let lua = function.weak_lua().upgrade();
    let limit = Cell::new(None);
    // Dropped from the last to the first.
    let _after = Finally(|| {
        if let Some(limit) = limit.get() {
            let _ = lua.set_memory_limit(limit);
        }
    });
    let call = pin!(function.call_async(args));
    let _before = Finally(|| limit.set(lua.set_memory_limit(0).ok()));
    call.await
}

/// Does what runs no code of a script and makes only what we give it, without the limit on the state's memory: as long as
/// there is one, mlua guards each value that it makes.
pub(crate) fn unguarded<T>(lua: &Lua, work: impl FnOnce() -> T) -> T {
    let _after = Finally(|| {
        let _ = object::share(lua);
    });
    let _ = lua.set_memory_limit(0);
    work()
}

/// Does something when it is dropped.
struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
