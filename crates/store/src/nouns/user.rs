//! People; found by name under their e-mail address.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, User};

impl Record for User {
    const NOUN: Noun = Noun::User;
    const SECRETS: &'static [&'static str] = &["password_hash"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::BillingEntity, Some(self.billing_entity_id)).by_id(Field::Customer, self.customer_id);
        keys.by(Field::Name, self.email.to_lowercase()).keyed(&self.keys);
        keys.unique("email", &[self.email.to_lowercase().as_bytes()]);
        keys
    }
}
