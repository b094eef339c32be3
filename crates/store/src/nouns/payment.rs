//! Payment methods, what customers pay with, and transactions.

use super::{identified, run_behind};
use crate::{Field, IndexKeys, Record};
use sutler_model::{Noun, PaymentInstance, PaymentMethod, Transaction};

impl Record for PaymentMethod {
    const NOUN: Noun = Noun::PaymentMethod;
    const SECRETS: &'static [&'static str] = &["values"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::BillingEntity, Some(self.billing_entity_id)).by_id(Field::Script, Some(self.script_id));
        keys.named(&self.name).in_state(&self.state);
        keys.unique("name", &[self.billing_entity_id.0.as_bytes(), self.name.to_lowercase().as_bytes()]);
        keys
    }
}

impl Record for PaymentInstance {
    const NOUN: Noun = Noun::PaymentInstance;
    const SECRETS: &'static [&'static str] = &["values"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, Some(self.customer_id)).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.by_id(Field::Subject, Some(self.payment_method_id)).named(&self.name).in_state(&self.state);
        keys.unique("name", &[self.customer_id.0.as_bytes(), self.name.to_lowercase().as_bytes()]);
        keys
    }
}

/// Live until they are final. Found by what they pay, and by the payment they give back.
impl Record for Transaction {
    const NOUN: Noun = Noun::Transaction;
    const SECRETS: &'static [&'static str] = &["values", "parameters"];
    const HISTORY: &'static [Field] =
        &[Field::Subject, Field::Parent, Field::Customer, Field::BillingEntity, Field::State, Field::Run];

    identified!();

    fn live(&self) -> bool {
        !self.state.is_final()
    }

    fn awaits_run(&self) -> bool {
        self.live()
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, self.customer_id).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.in_state(&self.state).pending(self.is_due()).by_id(Field::Parent, self.linked_id);
        keys.by_id(Field::Subject, Some(self.payment_method_id));
        keys.by_id(Field::Subject, self.payment_instance_id);
        keys.naming(self.run_ids.iter().copied().chain(run_behind(&self.cause)));
        for invoice in &self.invoice_ids {
            keys.by_id(Field::Subject, Some(*invoice));
            if self.settles() {
                // Whoever holds this is the invoice's one payment, so that nothing is paid twice.
                keys.unique("payment", &[invoice.0.as_bytes()]);
            }
        }
        keys
    }
}
