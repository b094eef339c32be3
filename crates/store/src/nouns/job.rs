//! Jobs; live until they are final.

use super::{identified, run_behind};
use crate::{Field, IndexKeys, Record};
use sutler_model::{Job, Noun, Scope};

impl Record for Job {
    const NOUN: Noun = Noun::Job;
    const HISTORY: &'static [Field] =
        &[Field::Subject, Field::Parent, Field::User, Field::Customer, Field::BillingEntity, Field::State, Field::Run];

    // May hold what its arguments keep secret.
    const SECRETS: &'static [&'static str] = &["request", "metadata"];

    identified!();

    fn live(&self) -> bool {
        !self.state.is_final()
    }

    fn over(&self) -> bool {
        !self.live()
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, self.customer_id).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.by(Field::State, self.state.name()).by_id(Field::Subject, Some(self.item_id));
        keys.by_id(Field::User, self.user_id).by_id(Field::Parent, self.parent_id);
        keys.naming(run_behind(&self.cause));
        if let Some(server) = self.input.server_id().filter(|server| server.0 != self.item_id) {
            // A server's queue holds also the jobs that make something else of it.
            keys.by_id(Field::Subject, Some(server));
        }
        if self.scheduled && self.live() {
            keys.by(Field::Pending, b"later");
            if let Some(request) = &self.request {
                keys.by(Field::Pending, waiting_of(request.owner));
            }
        } else {
            keys.pending(self.live());
        }
        for (user, key, _) in self.answers() {
            // The same caller and key get the same job, finished or not.
            let user = user.map_or([0; 16], |u| u.0.into_bytes());
            let customer = self.customer_id.map_or([0; 16], |c| c.0.into_bytes());
            keys.unique("idempotency_key", &[&customer, &user, key.as_bytes()]);
        }
        keys
    }
}

/// Under what the operations of an owner's scripts are found in [`Field::Pending`] that wait for their time.
pub fn waiting_of(owner: Scope) -> Vec<u8> {
    let (kind, id) = match owner {
        Scope::Provider => (0, [0; 16]),
        Scope::Entity(id) => (1, id.0.into_bytes()),
        Scope::Customer(id) => (2, id.0.into_bytes()),
    };
    [&b"later:"[..], &[kind], &id].concat()
}
