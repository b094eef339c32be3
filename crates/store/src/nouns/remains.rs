//! What is kept of resources that are gone; found by resource or customer, never needed in memory.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, Remains};

impl Record for Remains {
    const NOUN: Noun = Noun::Remains;
    // What was filled in may hold passwords that no form says to be some.
    const SECRETS: &'static [&'static str] = &["was"];
    const HISTORY: &'static [Field] = &[Field::Customer, Field::Subject];

    identified!();

    fn live(&self) -> bool {
        false
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, Some(self.customer_id)).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.by_id(Field::Subject, Some(self.resource_id));
        keys
    }
}
