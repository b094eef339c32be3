//! Price plans.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, Plan};

impl Record for Plan {
    const NOUN: Noun = Noun::Plan;

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::BillingEntity, Some(self.billing_entity_id)).named(&self.name);
        keys.unique("name", &[self.billing_entity_id.0.as_bytes(), self.name.to_lowercase().as_bytes()]);
        keys
    }
}
