//! Memory that scripts take on this side of the fence, where the Lua allocator does not see it.

use crate::{Limit, meter::Meter};
use mlua::{Lua, Result};
use std::{cell::Cell, rc::Rc};

/// One Lua state's account.
pub(crate) struct Tally {
    used: Cell<usize>,
    limit: usize,
}

impl Tally {
    pub fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { used: Cell::new(0), limit })
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
        if tally.used.get() > tally.limit {
            // Dead objects count until they are collected, and Lua, which sees only their handles, is in no hurry.
            lua.gc_collect()?;
            // Little freed: collecting again and again would only burn time.
            if tally.used.get() > tally.limit / 8 * 7 {
                if let Some(meter) = Meter::current() {
                    meter.stop(Limit::Memory);
                }
                return Err(mlua::Error::runtime(Limit::Memory));
            }
        }
        Ok(())
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
