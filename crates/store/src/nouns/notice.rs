//! What happened without changing a record.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Notice, Noun};

impl Record for Notice {
    const NOUN: Noun = Noun::Notice;

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, self.customer_id)
            .by_id(Field::BillingEntity, Some(self.billing_entity_id))
            .by_id(Field::User, self.user_id);
        keys
    }
}
