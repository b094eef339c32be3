//! Texts that scripts had; never needed in memory.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, ScriptRevision};

impl Record for ScriptRevision {
    const NOUN: Noun = Noun::ScriptRevision;
    const HISTORY: &'static [Field] = &[Field::Script];

    identified!();

    fn live(&self) -> bool {
        false
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Script, Some(self.script_id));
        keys.unique("number", &[self.script_id.0.as_bytes(), &self.number.to_be_bytes()]);
        keys
    }
}
