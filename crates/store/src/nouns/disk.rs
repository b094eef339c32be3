//! Disks.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Disk, DiskState, Noun};

impl Record for Disk {
    const NOUN: Noun = Noun::Disk;

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::Customer, Some(self.customer_id)).by_id(Field::BillingEntity, Some(self.billing_entity_id));
        keys.in_state(&self.state).named(&self.name).by_id(Field::Subject, Some(self.server_id));
        keys.by_id(Field::Node, self.node_id).by_id(Field::Image, self.image_id).keyed(&self.keys);
        keys.pending(self.state == DiskState::Deleting);
        keys
    }
}
