//! Lua code blocks.

use super::{identified, owner_bytes};
use crate::{IndexKeys, Record};
use sutler_model::{Noun, Script};

impl Record for Script {
    const NOUN: Noun = Noun::Script;

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.owned(self.owner).named(&self.name);
        keys.unique("name", &[&owner_bytes(self.owner), self.name.to_lowercase().as_bytes()]);
        keys
    }
}
