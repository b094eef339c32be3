//! Invoices; never live, for they never change.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Invoice, Noun};

impl Record for Invoice {
    const NOUN: Noun = Noun::Invoice;
    const HISTORY: &'static [Field] = &[Field::Customer, Field::BillingEntity, Field::Run];

    identified!();

    fn live(&self) -> bool {
        false
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, Some(self.customer_id)).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.naming(self.charges.iter().map(|charge| charge.run_id));
        if let Some(number) = self.number {
            keys.unique("number", &[self.billing_entity_id.0.as_bytes(), &number.to_be_bytes()]);
        }
        keys
    }
}
