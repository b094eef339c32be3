//! Sign-ins.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, Session};

impl Record for Session {
    const NOUN: Noun = Noun::Session;
    const SECRETS: &'static [&'static str] = &["secret_hash"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::User, Some(self.user_id));
        keys
    }
}
