//! Users and billing entities.

use super::{
    ALL, Beans, Described, PLAN_TYPES, Property, contact, date, described, id, keys, metadata, set_keys, set_name,
};
use serde_json::{Value, json};
use sutler_model::{BillingEntity, Role, Scope, Session, User};
use sutler_store::{Error, Field, Filter, Order};

impl Described for User {
    const KIND: &'static str = "User";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<User>;
        const PROPERTIES: &[P] = &[
            P::new("resourceKey", keys).or_set(|u, v, viewer| set_keys(&mut u.keys, v, viewer)),
            P::new("email", |u, _| u.email.as_str().into()).or_set(|u, v, _| {
                // What they sign in with is chosen once.
                if u.version > 0 {
                    return Err("cannot be changed: it is what they sign in with".to_owned());
                }
                set_name(&mut u.email, v)?;
                u.email.make_ascii_lowercase();
                Ok(())
            }),
            P::new("firstName", |u, _| u.first_name.as_str().into()).or_set(|u, v, _| set_name(&mut u.first_name, v)),
            P::new("lastName", |u, _| u.last_name.as_str().into()).or_set(|u, v, _| set_name(&mut u.last_name, v)),
            P::new("userId", |u, _| id(Some(u.id))),
            P::new("userType", |_, _| "USER".into()),
            P::read("lastLoginTime", last_login),
            P::new("admin", |u, _| {
                matches!(u.role, Role::ProviderAdmin | Role::ResellerAdmin | Role::CustomerAdmin).into()
            }),
            P::new("address", |u, _| contact::address(&u.contact))
                .or_set(|u, v, _| contact::set_address(&mut u.contact, v)),
            P::new("organisation", |u, _| contact::known(&u.contact.organisation))
                .or_set(|u, v, _| contact::set(&mut u.contact, |c| &mut c.organisation, v)),
            P::new("dayTimeNumber", |u, _| contact::known(&u.contact.day_time_number))
                .or_set(|u, v, _| contact::set(&mut u.contact, |c| &mut c.day_time_number, v)),
            P::new("eveningNumber", |u, _| contact::known(&u.contact.evening_number))
                .or_set(|u, v, _| contact::set(&mut u.contact, |c| &mut c.evening_number, v)),
            P::new("mobileNumber", |u, _| contact::known(&u.contact.mobile_number))
                .or_set(|u, v, _| contact::set(&mut u.contact, |c| &mut c.mobile_number, v)),
            P::new("faxNumber", |u, _| contact::known(&u.contact.fax_number))
                .or_set(|u, v, _| contact::set(&mut u.contact, |c| &mut c.fax_number, v)),
        ];
        PROPERTIES
    }

    described! {
        label: |u| format!("{} {}", u.first_name, u.last_name).trim().to_owned();
        created_at: |u| u.created_at;
        resource_state: |u| if u.locked { "LOCKED" } else { "ACTIVE" };
        customer: |u| u.customer_id;
        billing_entity: |u| u.billing_entity_id;
        keys: |u| &u.keys;
    }
}

/// When a user last signed in: their newest session is kept until they sign in again.
fn last_login(user: &User, beans: &Beans<'_>) -> Result<Value, Error> {
    let sessions = Filter::<Session>::new().is(Field::User, user.id.0.as_bytes());
    let newest = beans.snapshot.first(sessions, Order::Descending)?;
    Ok(date(newest.map(|session| session.created_at)))
}

/// The sellers below one, with a record that a script asks for.
fn descendants(entity: &BillingEntity, beans: &Beans<'_>) -> Result<Value, Error> {
    if beans.children < ALL || matches!(beans.viewer, Scope::Customer(_)) {
        return Ok(Value::Null);
    }
    let own = entity.id;
    let below = Filter::<BillingEntity>::new().is(Field::BillingEntity, own.0.as_bytes()).when(move |e| e.id != own);
    beans.snapshot.records(below).map(|entity| Ok(Value::from(entity?.id.to_string()))).collect()
}

/// Where a seller's control panel is: its own, or that of the nearest seller above that has one.
fn control_panel(entity: &BillingEntity, beans: &Beans<'_>) -> Result<Value, Error> {
    if !entity.contact.control_panel_url.is_empty() {
        return Ok(contact::known(&entity.contact.control_panel_url));
    }
    for id in entity.path.iter().rev().filter(|id| **id != entity.id) {
        let above = beans.snapshot.get::<BillingEntity>(*id)?;
        if let Some(above) = above.filter(|above| !above.contact.control_panel_url.is_empty()) {
            return Ok(contact::known(&above.contact.control_panel_url));
        }
    }
    Ok(Value::Null)
}

impl Described for BillingEntity {
    const KIND: &'static str = "BillingEntity";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<BillingEntity>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |e, _| e.name.as_str().into()).or_set(|e, v, _| set_name(&mut e.name, v)),
            P::new("resourceKey", keys).or_set(|e, v, viewer| set_keys(&mut e.keys, v, viewer)),
            P::new("parentUUID", |e, _| id(e.parent_id)),
            P::read("parentName", |e, b| match e.parent_id {
                Some(parent) => b.name_of::<BillingEntity>(parent.into()),
                None => Ok(Value::Null),
            }),
            P::new("providers", |e, _| json!(e.provider_values)).or_set(|e, v, _| {
                e.provider_values = super::providers(v)?;
                Ok(())
            }),
            P::new("address", |e, _| contact::address(&e.contact))
                .or_set(|e, v, _| contact::set_address(&mut e.contact, v)),
            P::new("vatNumber", |e, _| contact::known(&e.contact.vat_number))
                .or_set(|e, v, _| contact::set(&mut e.contact, |c| &mut c.vat_number, v)),
            P::read("descendants", descendants),
            P::new("permittedPOResourceTypes", |_, _| PLAN_TYPES.into_iter().collect()),
            P::read("controlPanelURL", control_panel),
            P::read("adminControlPanelURL", control_panel),
            P::new("billingType", |e, _| if e.parent_id.is_none() { "MASTERBILL" } else { "REGULARBILL" }.into()),
            P::new("currency", |e, _| {
                let code = e.currency.as_str();
                json!({"code": code, "decimalPlace": e.currency.places(), "symbol": e.currency.symbol()})
            }),
            // How amounts and dates are written here, whoever reads them.
            P::new("invoiceSetting", |e, _| {
                json!({
                    "decimalPlace": e.currency.places(), "decimalSeparator": ".", "dateFormat": "yyyy-MM-dd",
                    "timeZone": "UTC", "useDefaultNumberFormat": true,
                })
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
        metadata: |b| Some(metadata::kept(&b.metadata));
        metadata_mut: |b| &mut b.metadata;
    }
}
