//! Functions for texts and numbers that stand before Luau's own.
//!
//! Each decides in a few instructions whether Luau's function does what the language means, and goes on in that function within
//! its own frame: so lines and names in errors are as if the script had called it, and nothing is guarded or copied. What is
//! rare goes to a function of the prelude. All of them are C functions, in which no Rust value that has to be dropped is
//! alive while Luau is called, which may raise an error.
#![allow(unsafe_code)]

mod gsub;

use mlua::{Error, Function, LightUserData, Lua, Result, Variadic, ffi};
use std::{ffi::CStr, os::raw::c_int, ptr, slice};

/// Product of two texts' lengths up to which Luau's plain search, which cannot be interrupted, takes no time worth a look.
const PRODUCT: usize = 4 << 20;
/// Length of a table that Luau joins at once, which cannot be interrupted either.
pub(super) const JOINED: usize = 20_000;
/// What a C function that waits answers to Luau.
const WAITS: c_int = -1;
/// What makes a pattern more than a text, as Luau has it.
const SPECIAL: &[u8] = b"^$*+?.([%-";
/// What `string.rep` repeats at most, as Luau reads the number.
const TIMES: f64 = 2_147_483_647.0;

/// A function by its name; its upvalues are Luau's own, which has none, and those of the prelude that it needs.
///
/// # Errors
/// The lack of memory.
pub(super) fn make(lua: &Lua, (name, behind): (String, Variadic<Function>)) -> Result<Function> {
    let (name, function, resumed): (&CStr, ffi::lua_CFunction, Option<ffi::lua_Continuation>) = match name.as_str() {
        "concat" => (c"concat", concat, None),
        "find" => (c"find", find, None),
        "format" => (c"format", format, None),
        "getmetatable" => (c"getmetatable", getmetatable, None),
        "gsub" => (c"gsub", gsub::gsub, Some(gsub::resumed)),
        "rep" => (c"rep", rep, None),
        "setmetatable" => (c"setmetatable", setmetatable, None),
        "tonumber" => (c"tonumber", tonumber, None),
        _ => return Err(Error::runtime("there is no such function")),
    };
    let count = c_int::try_from(behind.len()).map_err(Error::external)?;
    // SAFETY: `exec_raw` runs the closure in protected mode with the functions on the stack, which become the upvalues; the
    // new function is left there as the one result.
    unsafe { lua.exec_raw(behind, |state| ffi::lua_pushcclosurek(state, function, name.as_ptr(), count, resumed)) }
}

/// Goes on in Luau's function at an upvalue, in this frame.
///
/// # Safety
/// `state` runs a function of [`make`], and the upvalue is a C function without upvalues.
unsafe fn behind(state: *mut ffi::lua_State, upvalue: c_int) -> c_int {
    // SAFETY: as promised; to such a function its own frame is like any other with the same arguments.
    unsafe {
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(upvalue)) {
            Some(function) => function(state),
            None => ffi::luaL_error(state, c"not a C function".as_ptr()),
        }
    }
}

/// Has a function of the prelude at an upvalue answer, with all arguments. Where the run makes way meanwhile, which it can only in a
/// function that is resumed, what is answered stands alone in the frame then.
///
/// # Safety
/// `state` runs a function of [`make`].
unsafe fn instead(state: *mut ffi::lua_State, upvalue: c_int) -> c_int {
    // SAFETY: LUA_MINSTACK leaves room for the function, which goes below its arguments.
    unsafe {
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(upvalue));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        if ffi::lua_status(state) == ffi::LUA_OK { ffi::lua_gettop(state) } else { WAITS }
    }
}

/// The bytes of a text at an index; none: it is no text.
///
/// # Safety
/// They live as long as the value stands there.
unsafe fn text<'a>(state: *mut ffi::lua_State, index: c_int) -> Option<&'a [u8]> {
    // SAFETY: of a text, `lua_tolstring` changes nothing, and it gives its bytes and their number.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TSTRING {
            return None;
        }
        let mut length = 0;
        let bytes = ffi::lua_tolstring(state, index, &raw mut length);
        Some(slice::from_raw_parts(bytes.cast(), length))
    }
}

/// `concat(t, separator, from, to)`; upvalues: Luau's, and one that joins long tables piece by piece.
unsafe extern "C-unwind" fn concat(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau, with the arguments on the stack.
    unsafe {
        let is_long = ffi::lua_type(state, 1) == ffi::LUA_TTABLE && ffi::lua_objlen(state, 1) > JOINED;
        if is_long { instead(state, 2) } else { behind(state, 1) }
    }
}

/// `find(s, pattern, from, plain)`; upvalues: Luau's, and a plain search in linear time.
unsafe extern "C-unwind" fn find(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau, with the arguments on the stack.
    unsafe { find_behind(state, 1, 2) }
}

/// The same with its upvalues at other places.
///
/// # Safety
/// `state` runs a function of [`make`] with those upvalues.
unsafe fn find_behind(state: *mut ffi::lua_State, luau: c_int, linear: c_int) -> c_int {
    // SAFETY: the texts stand where they are until they were looked at.
    unsafe {
        let long = match (text(state, 1), text(state, 2)) {
            (Some(s), Some(pattern)) if s.len().saturating_mul(pattern.len()) > PRODUCT => {
                ffi::lua_toboolean(state, 4) != 0 || !pattern.iter().any(|byte| SPECIAL.contains(byte))
            }
            _ => false,
        };
        if !long {
            return behind(state, luau);
        }
        let before = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(linear));
        for argument in 1..=3 {
            ffi::lua_pushvalue(state, argument);
        }
        ffi::lua_call(state, 3, 2);
        ffi::lua_gettop(state) - before
    }
}

/// `format(pattern, …)`, whose `%s` takes anything, as in 5.2; upvalue: Luau's.
unsafe extern "C-unwind" fn format(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau, with the arguments on the stack; each text takes the place of the value it was made of.
    unsafe {
        for argument in 2..=ffi::lua_gettop(state) {
            if !matches!(ffi::lua_type(state, argument), ffi::LUA_TSTRING | ffi::LUA_TNUMBER) {
                ffi::luaL_tolstring_(state, argument, ptr::null_mut());
                ffi::lua_replace(state, argument);
            }
        }
        behind(state, 1)
    }
}

/// `rep(s, n, separator)`; upvalues: Luau's, and one that knows separators.
unsafe extern "C-unwind" fn rep(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau, with the arguments on the stack.
    unsafe {
        if ffi::lua_type(state, 3) > ffi::LUA_TNIL || ffi::lua_tonumber(state, 2) > TIMES {
            return instead(state, 2);
        }
        behind(state, 1)
    }
}

/// `tonumber(value, base)`: without a base, only what Lua would read as a number, not the words for what is none. With one,
/// a sign and its digits. Upvalues: Luau's, and one that knows signs.
unsafe extern "C-unwind" fn tonumber(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau, with the arguments on the stack; the text stands where it is until it was looked at.
    unsafe {
        let Some(digits) = text(state, 1) else { return behind(state, 1) };
        let decimal = match ffi::lua_type(state, 2) {
            ffi::LUA_TNUMBER => ffi::lua_tonumber(state, 2) == 10.0,
            kind => kind <= ffi::LUA_TNIL,
        };
        if !decimal {
            return if digits.contains(&b'-') { instead(state, 2) } else { behind(state, 1) };
        }
        let mut read = 0;
        let number = ffi::lua_tonumberx(state, 1, &raw mut read);
        let words = || number.is_nan() || !digits.iter().any(u8::is_ascii_digit);
        if read == 0 || !number.is_finite() && words() {
            ffi::lua_pushnil(state);
        } else {
            ffi::lua_pushnumber(state, number);
        }
        1
    }
}

/// Its address marks the metatables of environments, which no script sees.
static MARK: u8 = 0;

/// What stands under [`MARKED`] in the metatable of an environment; no script can make one.
pub(super) fn mark() -> LightUserData {
    LightUserData((&raw const MARK).cast_mut().cast())
}

/// Where the mark stands.
const MARKED: &CStr = c"__environment";

/// Whether the first argument is an environment; then its metatable is on the stack.
///
/// # Safety
/// `state` runs a function of [`make`].
unsafe fn environment(state: *mut ffi::lua_State) -> bool {
    // SAFETY: what is read is pushed, for which LUA_MINSTACK leaves room; a raw read calls nothing.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE || ffi::lua_getmetatable(state, 1) == 0 {
            return false;
        }
        let marked = ffi::lua_rawgetfield(state, -1, MARKED.as_ptr()) == ffi::LUA_TLIGHTUSERDATA
            && ffi::lua_touserdata(state, -1) == mark().0;
        ffi::lua_pop(state, if marked { 1 } else { 2 });
        marked
    }
}

/// `getmetatable(value)`: of an environment, the one that the script has set; upvalue: Luau's.
unsafe extern "C-unwind" fn getmetatable(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau, with the arguments on the stack.
    unsafe {
        if !environment(state) {
            return behind(state, 1);
        }
        if ffi::lua_rawgetfield(state, -1, c"__metatable".as_ptr()) == ffi::LUA_TBOOLEAN {
            ffi::lua_pushnil(state);
        }
        1
    }
}

/// `setmetatable(table, metatable)`; upvalues: Luau's, and one for environments, which is given their own metatable, too.
unsafe extern "C-unwind" fn setmetatable(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau, with the arguments on the stack.
    unsafe {
        if !matches!(ffi::lua_type(state, 2), ffi::LUA_TTABLE | ffi::LUA_TNIL) || !environment(state) {
            return behind(state, 1);
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_insert(state, -2);
        ffi::lua_pushvalue(state, 2);
        ffi::lua_call(state, 2, 0);
        ffi::lua_settop(state, 1);
        1
    }
}
