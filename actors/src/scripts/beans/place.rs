//! Where a resource stands and of which offer it is.
//!
//! What a customer has stands in one place, called after it, in the one cluster there is, and is of one offer, its plan.

use super::{Beans, goods::product};
use crate::scripts::schedule::root;
use serde_json::{Value, json};
use sutler_model::{BillingEntity, Customer, CustomerId, Plan};
use sutler_store::Error;
use uuid::Uuid;

/// What the bean of a placed record says of whose it is and where it stands; also of what follows from that record.
pub(crate) const WHOSE: [&str; 10] = [
    "billingEntityUUID",
    "billingEntityName",
    "customerUUID",
    "customerName",
    "vdcUUID",
    "vdcName",
    "clusterUUID",
    "clusterName",
    "productOfferUUID",
    "productOfferName",
];

/// The version number of ids that are made here (RFC 9562), and of ids that follow from them.
const MADE: u8 = 0x70;
const DERIVED: u8 = 0x80;

const fn with_version(id: Uuid, version: u8) -> Uuid {
    let mut bytes = id.into_bytes();
    bytes[6] = bytes[6] & 0x0f | version;
    Uuid::from_bytes(bytes)
}

/// The id of what has no record of its own and follows from the record with this id. It leads back; see [`origin_of`].
pub(crate) const fn derived(id: Uuid) -> Uuid {
    with_version(id, DERIVED)
}

/// The id of the record that an id made by [`derived`] follows from; none for any other id.
pub(crate) fn origin_of(id: Uuid) -> Option<Uuid> {
    (id.into_bytes()[6] & 0xf0 == DERIVED).then(|| with_version(id, MADE))
}

impl Beans<'_> {
    /// The one cluster and its name.
    pub(crate) fn cluster(&self) -> Result<Option<(Uuid, String)>, Error> {
        if let Some(known) = &*self.cluster.borrow() {
            return Ok(known.clone());
        }
        let provider = root(self.snapshot)?.map(|id| self.snapshot.get::<BillingEntity>(id)).transpose()?.flatten();
        let cluster = provider.map(|provider| (derived(provider.id.0), provider.name));
        self.cluster.replace(Some(cluster.clone()));
        Ok(cluster)
    }

    /// The properties of VirtualResource, the same for all that a customer has.
    pub(super) fn place(&self, customer: CustomerId, place: &mut Vec<(&'static str, Value)>) -> Result<(), Error> {
        place.push(("vdcUUID", derived(customer.0).to_string().into()));
        place.push(("vdcName", self.customer_name(customer.0)?));
        if let Some((id, name)) = self.cluster()? {
            place.push(("clusterUUID", id.to_string().into()));
            place.push(("clusterName", name.into()));
        }
        let plan = self.snapshot.get::<Customer>(customer)?.map(|customer| customer.plan_id);
        if let Some(plan) = plan.map(|id| self.snapshot.get::<Plan>(id)).transpose()?.flatten() {
            // For filters such as `productOffer.product.components.referenceField`.
            if !plan.charges.is_empty() {
                place.push(("productOffer", json!({"product": product(&plan)})));
            }
            place.push(("productOfferUUID", plan.id.to_string().into()));
            place.push(("productOfferName", plan.name.into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_leads_back_and_no_other_does() {
        let id = Uuid::now_v7();
        assert_ne!(derived(id), id);
        assert_eq!((origin_of(derived(id)), origin_of(id)), (Some(id), None));
        assert_eq!(origin_of(Uuid::new_v4()), None);
    }
}
