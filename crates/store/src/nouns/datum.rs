//! What scripts keep; found by key or script, never needed in memory.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Datum, Noun};

impl Record for Datum {
    const NOUN: Noun = Noun::Datum;
    // What a script keeps is its own affair; a key may be as telling as its value.
    const SECRETS: &'static [&'static str] = &["key", "value", "done"];
    const HISTORY: &'static [Field] = &[Field::Script];

    identified!();

    fn live(&self) -> bool {
        false
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Script, Some(self.script_id));
        keys
    }
}
