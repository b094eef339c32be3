//! `string.gsub`, whose function may wait.
//!
//! Luau's own calls the function from C, where a run cannot wait. This one searches by Luau's `find` in its own frame, keeps
//! how far it is in values on its stack, and is resumed there when the function has waited.

use super::{WAITS, behind, find_behind, instead, text};
use crate::interrupt;
use mlua::ffi;
use std::{
    mem,
    os::raw::{c_char, c_int},
    ptr,
};

// Upvalues: Luau's own, one for what needs more than that, and what `find` needs.
const LUAU: c_int = 1;
const LENIENT: c_int = 2;
const FIND: c_int = 3;
const FIND_LINEAR: c_int = 4;

// The frame while a function replaces. The first four are what `find` takes.
const TEXT: c_int = 1;
const PATTERN: c_int = 2;
const AT: c_int = 3;
const PLAIN: c_int = 4;
const FUNCTION: c_int = 5;
const PROGRESS: c_int = 6;
/// The text so far; nil as long as nothing is replaced.
const MADE: c_int = 7;
const KEPT: c_int = 7;
/// What `find` answers: where the match begins and ends, then captures.
const FROM: c_int = KEPT + 1;
const TO: c_int = KEPT + 2;
/// What the function answers.
const PUT: c_int = KEPT + 3;

/// More than any pattern captures, and a few.
const ROOM: c_int = 64;
/// What a text being made begins with room for, bytes.
const MADE_BYTES: usize = 256;

/// How far it is. In memory of Lua's, so that it is still there when the function has waited.
struct Progress {
    /// Most replacements.
    most: f64,
    count: f64,
    /// Bytes of the text that are in what is made.
    taken: usize,
    /// Bytes of what is made.
    made: usize,
    /// Whether the pattern fits at the beginning only.
    anchored: bool,
}

/// `gsub(s, pattern, replacement, most)`.
pub(super) unsafe extern "C-unwind" fn gsub(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Luau, with the arguments on the stack. Luau's own calls nothing for the replacements that it gets to
    // see, so nothing waits in its midst.
    unsafe {
        match ffi::lua_type(state, 3) {
            ffi::LUA_TFUNCTION => begin(state),
            ffi::LUA_TSTRING if text(state, 3).is_some_and(lenient) => instead(state, LENIENT),
            ffi::LUA_TTABLE if asks(state, 3) => instead(state, LENIENT),
            _ => behind(state, LUAU),
        }
    }
}

/// Whether a table may call something for what it does not have.
///
/// # Safety
/// `state` is the one that runs, and there is a table at the index.
unsafe fn asks(state: *mut ffi::lua_State, index: c_int) -> bool {
    // SAFETY: as promised; what was pushed is taken away.
    unsafe {
        let asks = ffi::lua_getmetatable(state, index) != 0;
        if asks {
            ffi::lua_pop(state, 1);
        }
        asks
    }
}

/// Whether `%` stands before anything but a digit or another one, which Luau refuses.
fn lenient(replacement: &[u8]) -> bool {
    let mut bytes = replacement.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' && bytes.next().is_some_and(|next| !next.is_ascii_digit() && *next != b'%') {
            return true;
        }
    }
    false
}

/// Makes the frame from the arguments.
///
/// # Safety
/// `state` runs [`gsub`].
unsafe fn begin(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: each value has room on the stack; the memory for the progress is as large and aligned as it has to be.
    unsafe {
        ffi::luaL_checklstring(state, TEXT, ptr::null_mut());
        ffi::luaL_checklstring(state, PATTERN, ptr::null_mut());
        let mut number = 0;
        let most = ffi::lua_tonumberx(state, 4, &raw mut number);
        let most = if number == 0 { f64::INFINITY } else { most };
        let anchored = text(state, PATTERN).is_some_and(|pattern| pattern.first() == Some(&b'^'));
        ffi::lua_settop(state, 3);
        ffi::lua_pushnil(state);
        ffi::lua_insert(state, AT);
        ffi::lua_pushnil(state);
        ffi::lua_insert(state, PLAIN);
        let progress = ffi::lua_newuserdata(state, mem::size_of::<Progress>()).cast::<Progress>();
        progress.write(Progress { most, count: 0.0, taken: 0, made: 0, anchored });
        ffi::lua_pushnil(state);
        replace(state, progress, 0)
    }
}

/// Called by Luau when the function has waited and answered, or the one of the prelude instead of this.
pub(super) unsafe extern "C-unwind" fn resumed(state: *mut ffi::lua_State, _: c_int) -> c_int {
    // SAFETY: the frame is as [`instead`] left it, with what is answered alone, the text and a number; or as [`replace`] left
    // it, with the answer on top.
    unsafe {
        if ffi::lua_gettop(state) < PUT {
            return ffi::lua_gettop(state);
        }
        let progress = ffi::lua_touserdata(state, PROGRESS).cast::<Progress>();
        let next = take(state, progress);
        replace(state, progress, next)
    }
}

/// Replaces from a place in the text on; answers as C functions do.
///
/// # Safety
/// The frame is that of [`begin`], with nothing above [`KEPT`].
unsafe fn replace(state: *mut ffi::lua_State, progress: *mut Progress, mut at: usize) -> c_int {
    // SAFETY: see above; `find` and the function find room for what they answer.
    unsafe {
        ffi::luaL_checkstack(state, ROOM, c"gsub".as_ptr());
        while more(progress) && at <= length(state, TEXT) {
            // Neither a search for a plain text nor a function that is none of Lua's looks at the run's limits.
            interrupt::safe_point(state);
            #[allow(clippy::cast_precision_loss)] // no text is that long
            ffi::lua_pushnumber(state, (at + 1) as f64);
            ffi::lua_replace(state, AT);
            find_behind(state, FIND, FIND_LINEAR);
            if ffi::lua_type(state, FROM) == ffi::LUA_TNIL {
                ffi::lua_settop(state, KEPT);
                break;
            }
            (*progress).count += 1.0;
            ffi::lua_pushvalue(state, FUNCTION);
            ffi::lua_insert(state, PUT);
            if ffi::lua_gettop(state) == PUT {
                push_match(state);
            }
            ffi::lua_call(state, ffi::lua_gettop(state) - PUT, 1);
            if ffi::lua_status(state) != ffi::LUA_OK {
                return WAITS;
            }
            at = take(state, progress);
        }
        finish(state, progress)
    }
}

/// Whether one more may be replaced.
///
/// # Safety
/// It is there.
unsafe fn more(progress: *const Progress) -> bool {
    // SAFETY: as promised.
    let progress = unsafe { &*progress };
    progress.count < progress.most && !(progress.anchored && progress.count > 0.0)
}

/// Takes in what the function answered, and answers where the search goes on.
///
/// # Safety
/// The frame is as [`replace`] left it, with the answer at [`PUT`].
unsafe fn take(state: *mut ffi::lua_State, progress: *mut Progress) -> usize {
    // SAFETY: see above; a number becomes a text where it stands.
    unsafe {
        let (from, to) = (place(state, FROM) - 1, place(state, TO));
        if ffi::lua_toboolean(state, PUT) != 0 {
            let mut length = 0;
            let put = ffi::lua_tolstring(state, PUT, &raw mut length);
            if put.is_null() {
                ffi::luaL_error(state, c"invalid replacement value (a %s)".as_ptr(), ffi::luaL_typename(state, PUT));
            }
            let taken = (*progress).taken;
            add(state, progress, ffi::lua_tolstring(state, TEXT, ptr::null_mut()).add(taken), from - taken);
            add(state, progress, put, length);
            (*progress).taken = to;
        }
        ffi::lua_settop(state, KEPT);
        // Where nothing was matched, the character there stays.
        if to == from { to + 1 } else { to }
    }
}

/// Adds to what is made.
///
/// # Safety
/// The bytes are those of a text on the stack.
unsafe fn add(state: *mut ffi::lua_State, progress: *mut Progress, bytes: *const c_char, count: usize) {
    // SAFETY: what is copied fits, since there is made room for it first.
    unsafe {
        let made = (*progress).made;
        let (mut room, mut size) = (ffi::lua_touserdata(state, MADE).cast::<c_char>(), length(state, MADE));
        if room.is_null() || size - made < count {
            size = (made + count).max(size * 2).max(MADE_BYTES);
            let larger = ffi::lua_newuserdata(state, size).cast::<c_char>();
            if made > 0 {
                larger.copy_from_nonoverlapping(room, made);
            }
            ffi::lua_replace(state, MADE);
            room = larger;
        }
        room.add(made).copy_from_nonoverlapping(bytes, count);
        (*progress).made += count;
    }
}

/// The text and how often was replaced.
///
/// # Safety
/// As of [`replace`].
unsafe fn finish(state: *mut ffi::lua_State, progress: *mut Progress) -> c_int {
    // SAFETY: see above.
    unsafe {
        if ffi::lua_type(state, MADE) == ffi::LUA_TNIL {
            ffi::lua_pushvalue(state, TEXT);
        } else {
            let (taken, all) = ((*progress).taken, length(state, TEXT));
            add(state, progress, ffi::lua_tolstring(state, TEXT, ptr::null_mut()).add(taken), all - taken);
            ffi::lua_pushlstring_(state, ffi::lua_touserdata(state, MADE).cast(), (*progress).made);
        }
        ffi::lua_pushnumber(state, (*progress).count);
        2
    }
}

/// Pushes the whole of what was matched.
///
/// # Safety
/// The frame has `find`'s answer.
unsafe fn push_match(state: *mut ffi::lua_State) {
    // SAFETY: both places are in the text.
    unsafe {
        let (from, to) = (place(state, FROM) - 1, place(state, TO));
        ffi::lua_pushlstring_(state, ffi::lua_tolstring(state, TEXT, ptr::null_mut()).add(from), to - from);
    }
}

/// A place in the text that `find` answered.
///
/// # Safety
/// There is a number at the index.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place in a text
unsafe fn place(state: *mut ffi::lua_State, index: c_int) -> usize {
    // SAFETY: as promised.
    unsafe { ffi::lua_tonumber(state, index) as usize }
}

/// Bytes of the text or memory at an index; of nil none.
///
/// # Safety
/// `state` is the one that runs.
unsafe fn length(state: *mut ffi::lua_State, index: c_int) -> usize {
    // SAFETY: as promised.
    unsafe { ffi::lua_objlen(state, index) }
}
