//! Users and billing entities.

use super::{Described, Property, described, id};
use serde_json::{Value, json};
use sutler_model::{BillingEntity, Role, User};

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

    described! {
        label: |u| format!("{} {}", u.first_name, u.last_name).trim().to_owned();
        created_at: |u| u.created_at;
        resource_state: |u| if u.locked { "LOCKED" } else { "ACTIVE" };
        customer: |u| u.customer_id;
        billing_entity: |u| u.billing_entity_id;
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

    described! {
        label: |b| b.name.clone();
        created_at: |b| b.created_at;
        customer: |_| None;
        billing_entity: |b| b.id;
        keys: |b| &b.keys;
    }
}
