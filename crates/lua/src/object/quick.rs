//! Method calls that need nothing of Lua but a place for what they answer: most of what scripts ask of objects.
//!
//! Theirs is a way without mlua's guards. What they answer waits on this side until Lua has made room for it, since a lack of
//! memory is raised past everything that is alive where Luau is called.
#![allow(unsafe_code)]

use super::{Object, Val, held, method};
use mlua::ffi;
use std::{
    cell::RefCell,
    ffi::CStr,
    mem,
    os::raw::c_int,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

thread_local! {
    static WAITS: RefCell<Option<Wait>> = const { RefCell::new(None) };
}

/// What has no place in Lua yet.
enum Wait {
    Text(Rc<str>),
    Object(Object),
}

/// What is to be pushed.
#[derive(Clone, Copy)]
enum Answer {
    Nil,
    Bool(bool),
    Number(f64),
    /// The bytes of the text that waits, and how many.
    Text(*const u8, usize),
    /// The object that waits.
    Object(*const Object),
}

/// Pushes what the object at 1, called without arguments, answers to a method. False: nothing was done, and the guarded way
/// is to be gone.
///
/// # Safety
/// `state` runs a C function with that object as its only argument. A Lua error may be raised, so nothing that has to be
/// dropped is alive.
pub(super) unsafe fn answer(state: *mut ffi::lua_State, name: &CStr) -> bool {
    // SAFETY: the object stands on the stack. What waits stays until it was pushed: nothing else puts anything there while
    // Luau makes room. An object that was pushed belongs to Lua and is not dropped here.
    unsafe {
        let Some(object) = held::at(state, 1) else { return false };
        // On the guarded way a panic would be caught; there it may come again.
        let answer = catch_unwind(AssertUnwindSafe(|| ask(object, name))).unwrap_or(None);
        match answer {
            None => return false,
            Some(Answer::Nil) => ffi::lua_pushnil(state),
            Some(Answer::Bool(flag)) => ffi::lua_pushboolean(state, c_int::from(flag)),
            Some(Answer::Number(number)) => ffi::lua_pushnumber(state, number),
            Some(Answer::Text(bytes, count)) => {
                ffi::lua_pushlstring_(state, bytes.cast(), count);
                drop(WAITS.take());
            }
            Some(Answer::Object(object)) => {
                held::push(state, object);
                mem::forget(WAITS.take());
            }
        }
        true
    }
}

/// Asks the object; a value that is Lua's own goes the guarded way.
fn ask(object: &Object, name: &CStr) -> Option<Answer> {
    let value = method::asked(object, name.to_str().ok()?)?;
    let wait = match value {
        Val::Nil => return Some(Answer::Nil),
        Val::Bool(flag) => return Some(Answer::Bool(flag)),
        Val::Num(number) => return Some(Answer::Number(number)),
        Val::Lua(_) => return None,
        Val::Text(text) => Wait::Text(text),
        Val::Enum(constant) => Wait::Object(Object::Enum(constant)),
        Val::Date(ms) => Wait::Object(Object::Date(ms)),
        Val::Bean(bean) => Wait::Object(Object::Bean(bean)),
        Val::List(list) => Wait::Object(Object::List(list)),
        Val::Map(map) => Wait::Object(Object::Map(map)),
        Val::Node(node) => Wait::Object(Object::Node(node)),
        Val::Attribute(attribute) => Wait::Object(Object::Attribute(attribute)),
    };
    WAITS.with_borrow_mut(|waits| {
        Some(match waits.insert(wait) {
            Wait::Text(text) => Answer::Text(text.as_ptr(), text.len()),
            Wait::Object(object) => Answer::Object(object),
        })
    })
}
