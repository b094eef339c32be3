//! The fixed members of the table `p`, set in one guarded step.
//!
//! Each step from Rust into a Lua state with a memory limit is guarded against the lack of memory, which costs more than the
//! step itself; mlua has no way to set several members in one but the C interface.
#![allow(unsafe_code)]

use mlua::{Lua, Result, Table, Value, Variadic, ffi};
use std::{ffi::CStr, os::raw::c_int};

/// In the order of their values.
const NAMES: [&CStr; 7] = [c"input", c"triggerOption", c"beUUID", c"timeStamp", c"customer", c"user", c"resource"];

/// A table with one value for each name; nil stands for a member that is not there.
///
/// # Errors
/// The lack of memory.
pub(crate) fn table(lua: &Lua, values: [Value; NAMES.len()]) -> Result<Table> {
    // SAFETY: `exec_raw` runs the closure in protected mode, in a frame of its own with the values at 1 to 7; a C function has
    // room for one more. The table goes below them, each name takes the value on top away, and the table is left as the
    // one result. No Rust value lives across these calls, any of which may raise a Lua error.
    unsafe {
        lua.exec_raw(Variadic::from_iter(values), |state| {
            ffi::lua_createtable(state, 0, NAMES.len() as c_int);
            ffi::lua_insert(state, 1);
            for name in NAMES.iter().rev() {
                ffi::lua_rawsetfield(state, 1, name.as_ptr());
            }
        })
    }
}
