//! How much may be copied out of a script's values.
//!
//! Lua keeps a text once however often a table holds it; a copy of that table holds it as often as it is there. So a table
//! of a few megabytes can be gigabytes outside Lua, where the limit on a block's memory does not count.

use crate::{helper::text_of, meter::Meter, object::Copies};
use mlua::{Error, Result, Table, Value as Lv};

/// What each value takes beside its text, bytes.
const EACH: usize = 32;
/// How many values are copied before the deadline is looked at again.
const STEPS: usize = 1024;
/// How much is copied before it goes on the block's account; most copies are smaller.
const PIECE: usize = 64 << 10;

/// What is left for one copy.
pub(crate) struct Room {
    what: &'static str,
    most: usize,
    left: usize,
    steps: usize,
    copies: Copies,
    /// Copied and not on the account yet.
    uncounted: usize,
}

impl Room {
    /// For `what`, which is named when there is not enough.
    pub fn new(what: &'static str, most: usize) -> Self {
        Self { what, most, left: most, steps: 0, copies: Copies::default(), uncounted: 0 }
    }

    /// Counts a value that is looked at.
    ///
    /// # Errors
    /// When the run is stopped meanwhile.
    pub fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS) { Meter::check_current() } else { Ok(()) }
    }

    /// Counts what is about to be copied.
    ///
    /// # Errors
    /// When it is too much, or the run is stopped meanwhile.
    pub fn take(&mut self, bytes: usize) -> Result<()> {
        self.step()?;
        let left = self.left.checked_sub(EACH).and_then(|left| left.checked_sub(bytes));
        self.left = left.ok_or_else(|| Error::runtime(format!("{} has more than {} bytes", self.what, self.most)))?;
        self.uncounted += EACH + bytes;
        if self.uncounted > PIECE { self.copies.take(std::mem::take(&mut self.uncounted)) } else { Ok(()) }
    }

    /// Counts a value by its text and reads it as one.
    ///
    /// # Errors
    /// As [`Room::take`].
    pub fn text(&mut self, value: &Lv) -> Result<Option<String>> {
        self.take(if let Lv::String(text) = value { text.as_bytes().len() } else { 0 })?;
        Ok(text_of(value))
    }

    /// The texts of a table, and what they are called.
    ///
    /// # Errors
    /// As [`Room::take`].
    pub fn pairs(&mut self, table: &Table) -> Result<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        for pair in table.pairs::<Lv, Lv>() {
            let (name, value) = pair?;
            pairs.extend(self.text(&name)?.zip(self.text(&value)?));
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_counts_as_often_as_it_is_copied() {
        let lua = mlua::Lua::new();
        let shared = lua.create_string("x".repeat(100)).unwrap();
        let table = lua.create_table().unwrap();
        for key in 0..10 {
            table.raw_set(format!("{key}"), &shared).unwrap();
        }
        assert_eq!(Room::new("a form", 2_000).pairs(&table).unwrap().len(), 10);
        let refused = Room::new("a form", 1_500).pairs(&table).unwrap_err().to_string();
        assert_eq!(refused, "runtime error: a form has more than 1500 bytes");
        assert!(Room::new("a text", 10).take(usize::MAX - EACH).is_err());
    }
}
