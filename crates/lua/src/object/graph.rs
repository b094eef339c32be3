//! Objects that hold objects: kept free of circles, written within bounds, and dropped without recursion.
//!
//! A circle of reference counts would outlive its Lua state, and a chain of a million lists would overflow the stack when
//! its head is dropped; a script could cause either.

use super::Val;
use crate::{meter::Meter, room::Room};
use mlua::{Error, Result};
use std::cell::RefCell;

/// Deepest nesting written as JSON.
const DEPTH: usize = 100;
/// Most text one object becomes.
pub(crate) const JSON_BYTES: usize = 16 << 20;

/// What is left of the bounds while an object is written as JSON.
pub(crate) struct Writer {
    /// Whether beans name their kind under `@bean`, and what scripts set on them under `@set`.
    pub tagged: bool,
    pub room: Room,
    depth: usize,
}

impl Writer {
    pub fn new(tagged: bool) -> Self {
        Self { tagged, room: Room::new("the value", JSON_BYTES), depth: 0 }
    }

    /// Goes one level down for the time of `write`.
    pub fn nested<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH {
            return Err(Error::runtime(format!("the value is nested deeper than {DEPTH} levels")));
        }
        self.depth += 1;
        let written = write(self);
        self.depth -= 1;
        written
    }
}

/// What an object is known by.
pub(super) type Identity = *const ();

/// Fails if `value` is, or leads to, the object `target` that is about to hold it.
pub(super) fn refuse_circle(value: &Val, target: Identity) -> Result<()> {
    let mut open = vec![value.clone()];
    let mut steps = 0_usize;
    while let Some(value) = open.pop() {
        steps += 1;
        if steps.is_multiple_of(1024) {
            Meter::check_current()?;
        }
        if value.identity() == Some(target) {
            return Err(Error::runtime("INVALID_INPUT: an object cannot hold itself"));
        }
        value.children(&mut open);
    }
    Ok(())
}

thread_local! {
    /// Values whose holder is gone, while a drop is in progress.
    static FALLING: RefCell<Option<Vec<Val>>> = const { RefCell::new(None) };
}

/// Drops values one after the other, however deeply they hold each other.
pub(super) fn bury(values: Vec<Val>) {
    // Scalars, the common case, need no care.
    if values.iter().all(|value| value.identity().is_none()) {
        return;
    }
    let outermost = FALLING.with_borrow_mut(|falling| match falling {
        Some(waiting) => {
            waiting.extend(values);
            false
        }
        None => {
            *falling = Some(values);
            true
        }
    });
    if !outermost {
        return;
    }
    while let Some(value) = FALLING.with_borrow_mut(|falling| falling.as_mut().and_then(Vec::pop)) {
        // May bury more.
        drop(value);
    }
    FALLING.set(None);
}
