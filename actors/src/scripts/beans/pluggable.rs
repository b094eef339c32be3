//! Pluggable resources.

use super::{Described, Property, described, id, set_keys, set_name, text};
use serde_json::{Value, json};
use sutler_lua::Bean;
use sutler_model::{PluggableResource, pluggable::PluggableState};

impl Described for PluggableResource {
    const KIND: &'static str = "PluggableResource";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<PluggableResource>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |r, _| Ok(r.name.as_str().into())).or_set(|r, v, _| set_name(&mut r.name, v)),
            P::new("resourceKey", |r, b| Ok(b.keys(r))).or_set(|r, v, viewer| set_keys(&mut r.keys, v, viewer)),
            P::new("providerType", |r, _| Ok(r.provider_type.as_str().into())),
            P::new("providerUUID", |r, _| Ok(id(Some(r.script_id)))),
            P::new("resourceValues", |r, _| Ok(json!(r.values))).or_set(|r, v, _| {
                let values = v.as_object().ok_or("must be a map of texts")?;
                let values = values.iter().filter(|(_, value)| !value.is_null());
                r.values = values.map(|(key, value)| (key.clone(), text(value))).collect();
                Ok(())
            }),
        ];
        PROPERTIES
    }

    described! {
        label: |r| r.name.clone();
        created_at: |r| r.created_at;
        resource_state: |r| match r.state {
            PluggableState::Creating => "CREATING",
            PluggableState::Active | PluggableState::Modifying => "ACTIVE",
            PluggableState::Deleting => "TO_BE_DELETED",
        };
        customer: |r| r.customer_id;
        billing_entity: |r| r.billing_entity_id;
        keys: |r| &r.keys;
    }
}

/// A resource as its provider's functions get it, with the name and values that are to be.
pub(crate) fn pluggable_bean(resource: &PluggableResource) -> Bean {
    let mut bean = Bean::new(PluggableResource::KIND)
        .with("resourceUUID", resource.id.to_string())
        .with("resourceType", "PLUGGABLE_RESOURCE")
        .with("resourceName", resource.name.as_str())
        .with("resourceState", resource.resource_state())
        .with("resourceCreateDate", resource.created_at.0)
        .with("billingEntityUUID", resource.billing_entity_id.to_string())
        .with("providerType", resource.provider_type.as_str())
        .with("providerUUID", resource.script_id.to_string())
        .with("resourceValues", json!(resource.values));
    if let Some(customer) = resource.customer_id {
        bean = bean.with("customerUUID", customer.to_string());
    }
    let keys = resource
        .keys
        .iter()
        .map(|key| json!({"name": key.name, "value": key.value, "type": crate::scripts::words::key_type(key.kind)}));
    bean.with("resourceKey", keys.collect::<Vec<Value>>())
}
