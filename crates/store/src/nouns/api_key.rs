//! Keys for programs.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{ApiKey, Noun};

impl Record for ApiKey {
    const NOUN: Noun = Noun::ApiKey;
    const SECRETS: &'static [&'static str] = &["secret_hash"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::BillingEntity, Some(self.billing_entity_id)).by_id(Field::Customer, self.customer_id);
        keys.by_id(Field::User, Some(self.user_id)).named(&self.name);
        keys
    }
}
