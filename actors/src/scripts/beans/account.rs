//! Users and billing entities.

use super::{Described, Property, id};
use serde_json::{Value, json};
use sutler_model::{BillingEntity, BillingEntityId, CustomerId, ResourceKey, Role, Timestamp, User};

impl Described for User {
    const KIND: &'static str = "User";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<User>;
        const PROPERTIES: &[P] = &[
            P::new("email", |u, _| Ok(u.email.as_str().into())),
            P::new("firstName", |u, _| Ok(u.first_name.as_str().into())),
            P::new("lastName", |u, _| Ok(u.last_name.as_str().into())),
            P::new("userId", |u, _| Ok(id(Some(u.id)))),
            P::new("userType", |_, _| Ok("USER".into())),
            P::new("admin", |u, _| {
                Ok(matches!(u.role, Role::ProviderAdmin | Role::ResellerAdmin | Role::CustomerAdmin).into())
            }),
        ];
        PROPERTIES
    }

    fn label(&self) -> String {
        format!("{} {}", self.first_name, self.last_name).trim().to_owned()
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn resource_state(&self) -> &'static str {
        if self.locked { "LOCKED" } else { "ACTIVE" }
    }

    fn customer(&self) -> Option<CustomerId> {
        self.customer_id
    }

    fn billing_entity(&self) -> BillingEntityId {
        self.billing_entity_id
    }
}

impl Described for BillingEntity {
    const KIND: &'static str = "BillingEntity";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<BillingEntity>;
        const PROPERTIES: &[P] = &[
            P::new("parentUUID", |e, _| Ok(id(e.parent_id))),
            P::new("parentName", |e, b| match e.parent_id {
                Some(parent) => b.name_of::<BillingEntity>(parent.into()),
                None => Ok(Value::Null),
            }),
            P::new("providers", |e, _| Ok(json!(e.provider_values))).or_set(|e, v, _| {
                e.provider_values = super::providers(v)?;
                Ok(())
            }),
            P::new("billingType", |e, _| Ok(if e.parent_id.is_none() { "MASTERBILL" } else { "REGULARBILL" }.into())),
            P::new("currency", |e, _| {
                Ok(
                    json!({"code": e.currency.as_str(), "decimalPlace": e.currency.places(), "symbol": e.currency.as_str()}),
                )
            }),
        ];
        PROPERTIES
    }

    fn label(&self) -> String {
        self.name.clone()
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn customer(&self) -> Option<CustomerId> {
        None
    }

    fn billing_entity(&self) -> BillingEntityId {
        self.id
    }

    fn keys(&self) -> &[ResourceKey] {
        &self.keys
    }
}
