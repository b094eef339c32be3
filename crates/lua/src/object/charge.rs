//! Memory that scripts take on this side of the fence, where the Lua allocator does not see it.

use crate::{Limit, meter::Meter};
use mlua::{Lua, Result};
use std::{cell::Cell, rc::Rc};

/// What any object takes on this side with the first that it holds, bytes: a map makes room for eleven entries then.
pub(crate) const OBJECT_BYTES: usize = 640;

/// One Lua state's account.
pub(crate) struct Tally {
    used: Cell<usize>,
    /// For what is on this account and Lua's own together.
    limit: usize,
}

impl Tally {
    pub fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { used: Cell::new(0), limit })
    }

    /// Leaves to Lua what is not used here.
    fn share(&self, lua: &Lua) -> Result<()> {
        lua.set_memory_limit(self.limit.saturating_sub(self.used.get()).max(1)).map(|_| ())
    }
}

/// Leaves to Lua what its objects do not use on this side, as at the beginning of a run.
///
/// # Errors
/// Never: the state has a limit.
pub(crate) fn share(lua: &Lua) -> Result<()> {
    match lua.app_data_ref::<Rc<Tally>>() {
        Some(tally) => tally.share(lua),
        None => Ok(()),
    }
}

/// What one object has on the account; freed with it.
#[derive(Default)]
pub(crate) struct Charge {
    tally: Option<Rc<Tally>>,
    bytes: usize,
}

impl Charge {
    /// Adds to the account.
    ///
    /// # Errors
    /// When it is full even after a collection of garbage; the run is then stopped for good.
    pub fn grow(&mut self, lua: &Lua, bytes: usize) -> Result<()> {
        if self.tally.is_none() {
            self.tally = lua.app_data_ref::<Rc<Tally>>().map(|tally| tally.clone());
        }
        let Some(tally) = &self.tally else { return Ok(()) };
        self.bytes += bytes;
        tally.used.set(tally.used.get() + bytes);
        let held = || tally.used.get() + lua.used_memory();
        if held() > tally.limit {
            // Dead objects count until they are collected, and Lua, which sees only their handles, is in no hurry.
            lua.gc_collect()?;
            // Little freed: collecting again and again would only burn time.
            if held() > tally.limit / 8 * 7 {
                if let Some(meter) = Meter::current() {
                    meter.stop(Limit::Memory);
                }
                return Err(mlua::Error::runtime(Limit::Memory));
            }
        }
        tally.share(lua)
    }

    /// Takes off the account.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        if let Some(tally) = &self.tally {
            tally.used.set(tally.used.get().saturating_sub(bytes));
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}
