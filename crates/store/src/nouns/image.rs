//! Guest images.

use super::identified;
use crate::{Field, IndexKeys, Record};
use sutler_model::{Image, ImageState, Noun};

impl Record for Image {
    const NOUN: Noun = Noun::Image;
    // May hold what those it is offered to do not see.
    const SECRETS: &'static [&'static str] = &["metadata"];

    identified!();

    fn index(&self) -> IndexKeys {
        let mut keys = IndexKeys::default();
        keys.by_id(Field::BillingEntity, Some(self.billing_entity_id)).by_id(Field::Customer, self.customer_id);
        keys.named(&self.name).in_state(&self.state).keyed(&self.keys);
        keys.pending(match self.state {
            ImageState::Deleting => true,
            // What customers made goes when nothing is made from it any more; what was taken in from a file stays.
            ImageState::Retired => self.base.is_some(),
            ImageState::Ready | ImageState::Creating => false,
        });
        let customer = self.customer_id.map_or([0; 16], |c| c.0.into_bytes());
        keys.unique("name", &[self.billing_entity_id.0.as_bytes(), &customer, self.name.to_lowercase().as_bytes()]);
        keys
    }
}
