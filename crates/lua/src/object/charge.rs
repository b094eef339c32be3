//! Memory that scripts take on this side of the fence, where the Lua allocator does not see it.

use crate::{Limit, meter::Meter};
use mlua::{Lua, Result, WeakLua};
use std::{cell::Cell, rc::Rc};

/// What any object takes on this side with the first that it holds, bytes: a map makes room for eleven entries then.
pub(crate) const OBJECT_BYTES: usize = 640;

/// What may be discarded before it is collected, of this many parts of the account one.
const DISCARDED_PART: usize = 16;

/// One Lua state's account.
pub(crate) struct Tally {
    used: Cell<usize>,
    /// See [`discarded`].
    discarded: Cell<usize>,
    /// For what is on this account and Lua's own together.
    limit: usize,
}

impl Tally {
    pub fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { used: Cell::new(0), discarded: Cell::new(0), limit })
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

/// Notes what holds memory on this side until Lua collects it, and looks like next to nothing there, such as an error that a
/// script has caught. Once enough has come together it is collected.
///
/// # Errors
/// The lack of memory.
pub(crate) fn discarded(lua: &Lua, bytes: usize) -> Result<()> {
    let Some(tally) = lua.app_data_ref::<Rc<Tally>>().map(|tally| tally.clone()) else { return Ok(()) };
    let all = tally.discarded.get() + bytes;
    let enough = all > tally.limit / DISCARDED_PART;
    tally.discarded.set(if enough { 0 } else { all });
    if enough { lua.gc_collect() } else { Ok(()) }
}

/// Does work that takes so much memory on this side until it ends.
///
/// # Errors
/// When there is not as much left, and those of the work.
pub(crate) fn with_room<T>(lua: &Lua, bytes: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut charge = Charge::default();
    charge.grow(lua, bytes)?;
    let done = work();
    drop(charge);
    share(lua)?;
    done
}

/// What is copied of the values of the run in progress, on its state's account until it is dropped.
#[derive(Default)]
pub(crate) struct Copies {
    charge: Charge,
    lua: Option<WeakLua>,
}

impl Copies {
    /// Copies of so many bytes.
    ///
    /// # Errors
    /// When there is not as much left.
    pub fn of(bytes: usize) -> Result<Self> {
        let mut copies = Self::default();
        copies.take(bytes)?;
        Ok(copies)
    }

    /// So many bytes more are about to be copied.
    ///
    /// # Errors
    /// When there is not as much left.
    pub fn take(&mut self, bytes: usize) -> Result<()> {
        if self.lua.is_none() {
            self.lua = Meter::current().and_then(|meter| meter.env()).map(|env| env.weak_lua().clone());
        }
        match self.lua.as_ref().and_then(WeakLua::try_upgrade) {
            Some(lua) => self.charge.grow(&lua, bytes),
            None => Ok(()),
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        if self.charge.bytes > 0 {
            self.charge.shrink(usize::MAX);
            if let Some(lua) = self.lua.as_ref().and_then(WeakLua::try_upgrade) {
                let _ = share(&lua);
            }
        }
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

    /// Gives a part of it to an object that came out of the one whose charge this is, or what there is of it.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { tally: self.tally.clone(), bytes }
    }

    /// Is so many bytes from now on.
    ///
    /// # Errors
    /// As [`Charge::grow`].
    pub fn become_of(&mut self, lua: &Lua, bytes: usize) -> Result<()> {
        self.shrink(usize::MAX);
        self.grow(lua, bytes)
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
