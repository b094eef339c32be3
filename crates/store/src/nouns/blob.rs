//! Blobs, and apart from them their bytes, which are never needed in memory.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Blob, BlobContent, Noun};

impl Record for Blob {
    const NOUN: Noun = Noun::Blob;

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, self.customer_id).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        // What counts against a quota is what the owner has itself.
        let owner = self.customer_id.map_or(self.billing_entity_id.0, |customer| customer.0);
        keys.named(&self.name).by_id(Field::Subject, Some(owner));
        keys
    }
}

impl Record for BlobContent {
    const NOUN: Noun = Noun::BlobContent;
    const SECRETS: &'static [&'static str] = &["content"];
    const HISTORY: &'static [Field] = &[Field::Subject];

    identified!();

    fn live(&self) -> bool {
        false
    }

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Subject, Some(self.id));
        keys
    }
}
