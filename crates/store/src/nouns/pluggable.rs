//! Resources of kinds that scripts add.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, PluggableResource, pluggable::PluggableState};

impl Record for PluggableResource {
    const NOUN: Noun = Noun::PluggableResource;
    // What is filled in may hold passwords.
    const SECRETS: &'static [&'static str] = &["values", "pending"];

    identified!();

    fn awaits_run(&self) -> bool {
        self.state != PluggableState::Active
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, self.customer_id).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.by_id(Field::Script, Some(self.script_id)).named(&self.name).in_state(&self.state).keyed(&self.keys);
        keys.pending(self.awaits_run());
        keys
    }
}
