//! The customer that each seller is to itself.
//!
//! In the language a seller has one customer of the status ADMIN, which its own people belong to; scripts write to the seller by
//! way of it. Here staff belong to no customer, so this one has no record and follows from the seller's: its keys are the
//! seller's keys, its people the seller's staff. It has no servers, is charged nothing, and is there for sellers' scripts alone.

use super::{ALL, Beans, contact, keys};
use serde_json::{Value, json};
use sutler_lua::Bean;
use sutler_model::{BillingEntity, BillingEntityId, CustomerId, Scope, User};
use sutler_store::{Error, Field, Filter, Order, PageRequest, Snapshot};
use uuid::Uuid;

/// The id of a seller's own customer.
pub(crate) fn operator_id(seller: BillingEntityId) -> Uuid {
    Uuid::new_v5(&seller.0, b"operator")
}

/// The customer whose a record is, as its bean tells; none where that is the seller's own.
pub(crate) fn customer_of(bean: &Bean) -> Option<CustomerId> {
    let id = |property: &str| bean.text(property).and_then(|text| text.parse::<Uuid>().ok());
    let own = id("billingEntityUUID").map(|seller| operator_id(BillingEntityId(seller)));
    id("customerUUID").filter(|customer| Some(*customer) != own).map(CustomerId)
}

/// The seller whose own customer has this id.
///
/// # Errors
/// Those of the store.
pub(crate) fn seller_of_operator(snapshot: &Snapshot, id: Uuid) -> Result<Option<BillingEntity>, Error> {
    // No record has an id of this version, so that this is seldom looked for.
    if id.get_version_num() != 5 {
        return Ok(None);
    }
    for seller in snapshot.records(Filter::<BillingEntity>::new()) {
        let seller = seller?;
        if operator_id(seller.id) == id {
            return Ok(Some(seller));
        }
    }
    Ok(None)
}

impl Beans<'_> {
    /// A seller's own customer; of its people those few that an event is about, and all when a script asks for it.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn operator(&self, seller: &BillingEntity, about: Option<&User>) -> Result<Bean, Error> {
        let id = operator_id(seller.id).to_string();
        let people = self.staff(seller, about)?;
        let email = people.get(0).and_then(|user| user.get("email").cloned()).unwrap_or_default();
        let mut bean = Bean::new("Customer");
        for (name, value) in [
            ("resourceUUID", Value::from(id.as_str())),
            ("resourceName", seller.name.as_str().into()),
            ("resourceType", "CUSTOMER".into()),
            ("resourceState", "ACTIVE".into()),
            ("resourceCreateDate", seller.created_at.0.into()),
            ("lastModifiedTime", seller.created_at.0.into()),
            ("resourceKey", keys(seller, self.viewer)),
            ("billingEntityUUID", seller.id.to_string().into()),
            ("billingEntityName", seller.name.as_str().into()),
            ("customerUUID", id.as_str().into()),
            ("customerName", seller.name.as_str().into()),
            ("customerId", id.as_str().into()),
            ("organisationName", seller.name.as_str().into()),
            ("status", "ADMIN".into()),
            ("creditCustomer", "INVOICE".into()),
            ("address", contact::address(&seller.contact)),
            ("vatNumber", contact::known(&seller.contact.vat_number)),
            ("email", email),
            ("limitsMap", json!({})),
            ("providers", json!({})),
            ("carryOverBalance", 0.into()),
            ("nonCarryOverBalance", 0.into()),
            ("vatExempt", false.into()),
            ("timeZone", "UTC".into()),
            ("warningSent", false.into()),
            ("customerCardCheck", false.into()),
            ("exceedCreditLimit", false.into()),
            ("exceedCutoffLimit", false.into()),
            ("users", people),
        ] {
            if !value.is_null() {
                bean = bean.with(name, value);
            }
        }
        Ok(bean)
    }

    /// The customer that an event is about. Of what a member of staff does it is their seller's own, which customers' scripts
    /// do not see.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn of_event(&self, customer: Option<CustomerId>, staff: Option<&User>) -> Result<Option<Bean>, Error> {
        if let Some(id) = customer {
            return self.customer(id);
        }
        let Some(user) = staff.filter(|user| user.customer_id.is_none()) else { return Ok(None) };
        if matches!(self.viewer, Scope::Customer(_)) {
            return Ok(None);
        }
        let seller = self.snapshot.get::<BillingEntity>(user.billing_entity_id)?;
        seller.map(|seller| self.operator(&seller, Some(user))).transpose()
    }

    fn staff(&self, seller: &BillingEntity, about: Option<&User>) -> Result<Value, Error> {
        let people = if self.children < ALL {
            about.into_iter().cloned().collect()
        } else {
            let staff = Filter::<User>::new().is(Field::BillingEntity, seller.id.0.as_bytes());
            let page = PageRequest { cursor: None, limit: self.children, order: Order::Ascending };
            self.snapshot.page(&staff.when(|user| user.customer_id.is_none()), &page)?.items
        };
        people
            .into_iter()
            .map(|user| Ok(Value::from(self.bean(user)?.properties)))
            .collect::<Result<Vec<_>, Error>>()
            .map(Value::from)
    }
}
