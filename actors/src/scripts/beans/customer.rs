//! Customers.

use super::{
    Described, Property, Read, amount, contact, described, id, keys, metadata, nanos, set_keys, set_name, text, whole,
};
use serde_json::{Value, json};
use sutler_model::{Customer, CustomerStatus, Plan, Scope, User};
use sutler_store::Field;

impl Described for Customer {
    const KIND: &'static str = "Customer";

    /// A customer is written to at the address of the first of its people.
    fn finish(read: &mut Vec<(&'static str, Read)>) {
        let users = read.iter().find_map(|(_, read)| if let Read::Beans(users) = read { Some(users) } else { None });
        if let Some(email) = users.and_then(|users| users.first()?.text("email")) {
            read.push(("email", Read::Value(email.into())));
        }
    }

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Customer>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |c, _| c.name.as_str().into()).or_set(|c, v, _| set_name(&mut c.name, v)),
            P::new("resourceKey", keys).or_set(|c, v, viewer| set_keys(&mut c.keys, v, viewer)),
            P::new("organisationName", |c, _| match c.contact.organisation.as_str() {
                "" => c.name.as_str().into(),
                organisation => organisation.into(),
            })
            .or_set(|c, v, _| contact::set(&mut c.contact, |c| &mut c.organisation, v)),
            P::new("productOfferUUID", |c, _| id(Some(c.plan_id))),
            P::new("status", |c, _| status(c.status).into()).or_set(|c, v, viewer| {
                if matches!(viewer, Scope::Customer(_)) {
                    return Err("a customer's script may not set the status".to_owned());
                }
                c.status = match v.as_str() {
                    Some("ACTIVE") => CustomerStatus::Active,
                    Some("DISABLED") => CustomerStatus::Suspended,
                    Some("CLOSED") => CustomerStatus::Closed,
                    _ => return Err(format!("is {}; must be ACTIVE, DISABLED or CLOSED", text(v))),
                };
                Ok(())
            }),
            P::new("warningLevel", |c, _| c.warning_level.map_or(Value::Null, amount)).or_set(|c, v, _| {
                c.warning_level = if v.is_null() { None } else { Some(nanos(v)?) };
                Ok(())
            }),
            P::new("limitsMap", |c, _| limits(c)).or_set(set_limits),
            P::new("creditCustomer", |_, _| "INVOICE".into()),
            P::new("providers", |c, _| json!(c.provider_values)).or_set(|c, v, _| {
                c.provider_values = super::providers(v)?;
                Ok(())
            }),
            P::new("address", |c, _| contact::address(&c.contact))
                .or_set(|c, v, _| contact::set_address(&mut c.contact, v)),
            P::new("vatNumber", |c, _| contact::known(&c.contact.vat_number))
                .or_set(|c, v, _| contact::set(&mut c.contact, |c| &mut c.vat_number, v)),
            P::new("customerId", |c, _| id(Some(c.id))),
            P::read("productOfferName", |c, b| {
                Ok(b.snapshot.get::<Plan>(c.plan_id)?.map_or(Value::Null, |p| p.name.into()))
            }),
            // No units are bought here: what is paid and charged is the other one's.
            P::new("carryOverBalance", |_, _| 0.into()),
            P::read("nonCarryOverBalance", |c, b| b.balance_of(c)),
            P::new("vatExempt", |_, _| false.into()),
            P::new("timeZone", |_, _| "UTC".into()),
            P::new("warningSent", |_, _| false.into()),
            // Nobody's card is asked for beforehand, and there is no limit of credit.
            P::new("customerCardCheck", |_, _| false.into()),
            P::new("exceedCreditLimit", |_, _| false.into()),
            P::new("exceedCutoffLimit", |_, _| false.into()),
            P::held("users", |c, b| b.within::<User>(Field::Customer, c.id.into())),
        ];
        PROPERTIES
    }

    described! {
        label: |c| c.name.clone();
        created_at: |c| c.created_at;
        resource_state: |c| if c.status == CustomerStatus::Closed { "DELETED" } else { "ACTIVE" };
        customer: |c| Some(c.id);
        billing_entity: |c| c.billing_entity_id;
        keys: |c| &c.keys;
        metadata: |c| Some(metadata::kept(&c.metadata));
        metadata_mut: |c| &mut c.metadata;
    }
}

const fn status(status: CustomerStatus) -> &'static str {
    match status {
        CustomerStatus::Active => "ACTIVE",
        CustomerStatus::Suspended => "DISABLED",
        CustomerStatus::Closed => "CLOSED",
    }
}

fn limits(customer: &Customer) -> Value {
    let quota = customer.quota;
    // The language counts memory in megabytes, as we do.
    json!({"MAX_SERVERS": quota.servers, "MAX_CPUS": quota.cpus, "MAX_RAM": quota.memory_mib, "MAX_STORAGEGB": quota.disk_gib})
}

fn set_limits(customer: &mut Customer, value: &Value, viewer: Scope) -> Result<(), String> {
    if matches!(viewer, Scope::Customer(_)) {
        return Err("a customer's script may not set limits".to_owned());
    }
    let limit = |name: &str| value.get(name).filter(|v| !v.is_null()).map(whole).transpose();
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let quota = &mut customer.quota;
    quota.servers = limit("MAX_SERVERS")?.map_or(quota.servers, narrow);
    quota.cpus = limit("MAX_CPUS")?.map_or(quota.cpus, narrow);
    quota.memory_mib = limit("MAX_RAM")?.unwrap_or(quota.memory_mib);
    quota.disk_gib = limit("MAX_STORAGEGB")?.unwrap_or(quota.disk_gib);
    Ok(())
}
