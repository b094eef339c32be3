//! Answers to requests with an idempotency key.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, Receipt};

impl Record for Receipt {
    const NOUN: Noun = Noun::Receipt;
    const SECRETS: &'static [&'static str] = &["reply"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::User, Some(self.user_id));
        keys
    }
}
