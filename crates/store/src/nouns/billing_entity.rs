//! Sellers.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{BillingEntity, Noun};

impl Record for BillingEntity {
    const NOUN: Noun = Noun::BillingEntity;
    // Settings may hold passwords.
    const SECRETS: &'static [&'static str] = &["provider_values", "metadata"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Parent, self.parent_id).named(&self.name).keyed(&self.keys);
        // The whole path: whoever may see an entity may list all below it.
        for above in &self.path {
            keys.by_id(Field::BillingEntity, Some(*above));
        }
        let parent = self.parent_id.map_or([0; 16], |p| p.0.into_bytes());
        keys.unique("name", &[&parent, self.name.to_lowercase().as_bytes()]);
        keys
    }
}
