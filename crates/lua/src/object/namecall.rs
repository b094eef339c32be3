//! `object:method(…)` without a closure for each call.
//!
//! Luau hands a method call on a userdata to its metatable's `__namecall`, which learns the method's name only through the
//! C interface. A dotted `object.method` goes through `__index` instead and gets a function bound to the object, which is how
//! both call styles of the language work.
//!
//! What needs nothing of Lua is answered at once ([`quick`]); all else goes by way of mlua.
#![allow(unsafe_code)]

use super::quick;
use mlua::{Function, Lua, Result, ffi};
use std::{ffi::CStr, os::raw::c_int};

/// A C function that calls `dispatch(name, object, …)`.
pub(super) fn handler(lua: &Lua, dispatch: Function) -> Result<Function> {
    // SAFETY: `exec_raw` runs the closure in protected mode with `dispatch` on the stack, which becomes the upvalue; the
    // new C function is left there as the one result.
    unsafe {
        lua.exec_raw(dispatch, |state| {
            ffi::lua_pushcclosured(state, namecall, c"__namecall".as_ptr(), 1);
        })
    }
}

unsafe extern "C-unwind" fn namecall(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau with a valid state and the arguments on its stack; LUA_MINSTACK leaves room for two more.
    // No Rust value lives across these calls, any of which may raise a Lua error.
    unsafe {
        let name = ffi::lua_namecallatom(state, std::ptr::null_mut());
        if name.is_null() {
            ffi::luaL_error(state, c"not a method call".as_ptr());
        }
        if ffi::lua_gettop(state) == 1 && quick::answer(state, CStr::from_ptr(name)) {
            return 1;
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_pushstring(state, name);
        ffi::lua_insert(state, 2);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}
