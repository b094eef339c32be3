//! Objects as Lua holds them: userdata with a tag of ours.
//!
//! mlua's own userdata is looked into by mlua alone, and each way there and back is guarded. Of these, a C function of ours reads
//! the object in a few instructions. They are made once, and nothing takes the object out or changes it: what scripts
//! change lies behind it.
#![allow(unsafe_code)]

use super::Object;
use mlua::{Lua, Result, Table, Value as Lv, ffi};
use std::{
    mem::{self, ManuallyDrop},
    os::raw::{c_int, c_void},
    ptr,
};

/// Marks them; mlua itself uses 0 and 1.
const TAG: c_int = 64;

/// Bytes of each: Luau keeps pages for every size, and of those with its own 16 bytes in front a state has many.
const SIZE: usize = 48;

/// Luau aligns what it gives as a number is.
const _: () = assert!(mem::size_of::<Object>() <= SIZE && mem::align_of::<Object>() <= mem::align_of::<f64>());

/// Teaches a state about objects, which all have this metatable.
///
/// # Errors
/// The lack of memory.
pub(super) fn register(lua: &Lua, metatable: &Table) -> Result<()> {
    // SAFETY: `exec_raw` runs the closure in protected mode with the table on the stack, which is taken away.
    unsafe {
        lua.exec_raw(metatable, |state| {
            ffi::lua_setuserdatadtor(state, TAG, Some(drop_object));
            ffi::lua_setuserdatametatable(state, TAG);
        })
    }
}

/// Called by Luau when nothing holds the userdata any more.
unsafe extern "C" fn drop_object(_: *mut ffi::lua_State, object: *mut c_void) {
    // SAFETY: what has the tag was made by `push` and is dropped once. Nothing that an object holds calls Lua when it is dropped
    // but mlua's own values, which may be dropped here.
    unsafe { ptr::drop_in_place(object.cast::<Object>()) }
}

/// Pushes an object, which is moved out of its place.
///
/// # Safety
/// There is room on the stack, and a Lua error may be raised; then the object was not moved.
pub(super) unsafe fn push(state: *mut ffi::lua_State, object: *const Object) {
    // SAFETY: the memory is as large and aligned as an object, and between its making and filling nothing is called.
    unsafe {
        let place = ffi::lua_newuserdatataggedwithmetatable(state, SIZE, TAG);
        place.cast::<Object>().copy_from_nonoverlapping(object, 1);
    }
}

/// The object at an index, if it is one.
///
/// # Safety
/// It lives as long as the value stands there or is held otherwise.
pub(super) unsafe fn at<'a>(state: *mut ffi::lua_State, index: c_int) -> Option<&'a Object> {
    // SAFETY: only `push` makes userdata with this tag.
    unsafe { ffi::lua_touserdatatagged(state, index, TAG).cast::<Object>().as_ref() }
}

/// An object as a Lua value.
///
/// # Errors
/// The lack of memory.
pub(super) fn make(lua: &Lua, object: Object) -> Result<Lv> {
    let mut object = ManuallyDrop::new(object);
    let mut moved = false;
    // SAFETY: `exec_raw` runs the closure in protected mode, in a frame of its own with room for the value. The closure
    // holds nothing that has to be dropped.
    let made = unsafe {
        lua.exec_raw((), |state| {
            push(state, &raw const *object);
            moved = true;
        })
    };
    if !moved {
        // SAFETY: it is still here, and not used any more.
        unsafe { ManuallyDrop::drop(&mut object) }
    }
    made
}

/// Looks at the object in a Lua value, if it is one.
pub(crate) fn with<T>(value: &Lv, look: impl FnOnce(&Object) -> T) -> Option<T> {
    let Lv::UserData(data) = value else { return None };
    let lua = data.weak_lua().upgrade();
    let object = lua.exec_raw_lua(|raw| {
        // SAFETY: between calls Luau's stack has room for a few values more, and this one is taken away again. The object
        // lives and stays where it is, since `data` and `lua` hold it until it was looked at.
        unsafe {
            raw.push(data).ok()?;
            let object = at(raw.state(), -1);
            ffi::lua_pop(raw.state(), 1);
            object
        }
    });
    object.map(look)
}
