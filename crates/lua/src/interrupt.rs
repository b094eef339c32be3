//! The look at a run's limits at each safe point of Lua code.
//!
//! Luau asks at every call, every turn of a loop and every step of a pattern. On mlua's way to a function of ours an error or
//! panic is caught, which takes many times as long as the look itself. So a C function looks first, and goes that way
//! only when there is something to raise.
#![allow(unsafe_code)]

use crate::meter::Meter;
use mlua::{Lua, Result, VmState, ffi};
use std::{os::raw::c_int, sync::OnceLock};

type Interrupt = unsafe extern "C-unwind" fn(*mut ffi::lua_State, c_int);

/// The one that mlua puts into every state.
static RAISING: OnceLock<Interrupt> = OnceLock::new();

/// Has a state's code stopped when its run has used up what it may.
///
/// # Errors
/// The lack of memory.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    lua.set_interrupt(|_| Meter::check_current().map(|()| VmState::Continue));
    // SAFETY: the state has its callbacks as long as it lives, and nothing of Lua's is touched.
    unsafe {
        lua.exec_raw((), |state| {
            let interrupt = &raw mut (*ffi::lua_callbacks(state)).interrupt;
            if let Some(raising) = *interrupt {
                RAISING.get_or_init(|| raising);
                *interrupt = Some(look);
            }
        })
    }
}

/// A safe point in a C function of ours.
///
/// # Safety
/// `state` is the one that runs; a Lua error may be raised, so no Rust value with a destructor is alive.
pub(crate) unsafe fn safe_point(state: *mut ffi::lua_State) {
    // SAFETY: as promised.
    unsafe { look(state, -1) }
}

/// Called by Luau; `gc` is negative at a safe point.
unsafe extern "C-unwind" fn look(state: *mut ffi::lua_State, gc: c_int) {
    if gc >= 0 || Meter::may_go_on() {
        return;
    }
    if let Some(raising) = RAISING.get() {
        // SAFETY: called as Luau would call it. No Rust value lives across the call, which may raise a Lua error.
        unsafe { raising(state, gc) }
    }
}
