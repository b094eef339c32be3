//! Customers.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Customer, Noun};

impl Record for Customer {
    const NOUN: Noun = Noun::Customer;
    // Settings and metadata may hold passwords.
    const SECRETS: &'static [&'static str] = &["provider_values", "metadata"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::BillingEntity, Some(self.billing_entity_id)).named(&self.name).in_state(&self.status);
        keys.keyed(&self.keys);
        keys.unique("name", &[self.billing_entity_id.0.as_bytes(), self.name.to_lowercase().as_bytes()]);
        keys
    }
}
