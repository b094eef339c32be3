//! Servers.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, Server, ServerState};

impl Record for Server {
    const NOUN: Noun = Noun::Server;
    // Settings and metadata may hold passwords.
    const SECRETS: &'static [&'static str] = &["provider_values", "metadata", "runtime_metadata"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, Some(self.customer_id)).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.by(Field::State, self.state.name()).named(&self.name).by_id(Field::Node, self.node_id);
        keys.by_id(Field::Image, Some(self.image_id)).keyed(&self.keys).pending(self.job_id.is_some());
        // Its name is free again as soon as it is on its way out.
        if self.state != ServerState::Deleting {
            keys.unique("name", &[self.customer_id.0.as_bytes(), self.name.to_lowercase().as_bytes()]);
        }
        keys
    }
}
