//! Pluggable resources.

use super::{Beans, Described, Property, described, id, keys, set_keys, set_name, text};
use serde_json::{Value, json};
use std::collections::hash_map::Entry;
use sutler_lua::Bean;
use sutler_model::{PluggableResource, Point, PointKind, Script, pluggable::PluggableState, point::PluggablePoint};
use sutler_store::Error;

impl Described for PluggableResource {
    const KIND: &'static str = "PluggableResource";
    const PLACED: bool = true;

    fn properties() -> &'static [Property<Self>] {
        type P = Property<PluggableResource>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |r, _| r.name.as_str().into()).or_set(|r, v, _| set_name(&mut r.name, v)),
            P::new("resourceKey", keys).or_set(|r, v, viewer| set_keys(&mut r.keys, v, viewer)),
            P::new("providerType", |r, _| r.provider_type.as_str().into()),
            P::new("providerUUID", |r, _| id(Some(r.script_id))),
            P::read("providerName", |r, b| of_provider(r, b, |point, _| point.name.as_str().into())),
            P::read("providerGroup", |r, b| of_provider(r, b, |_, provider| provider.provider_group.as_str().into())),
            P::read("providerIcon", |r, b| of_provider(r, b, |_, provider| provider.icon.as_str().into())),
            P::read("canCreate", |r, b| of_provider(r, b, |_, provider| provider.create.is_some().into())),
            P::read("canModify", |r, b| of_provider(r, b, |_, provider| provider.modify.is_some().into())),
            P::read("canDelete", |r, b| of_provider(r, b, |_, provider| provider.delete.is_some().into())),
            P::new("resourceValues", |r, _| json!(r.values)).or_set(|r, v, _| {
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

/// Something of the provider of a resource; nothing once it is gone.
fn of_provider(
    resource: &PluggableResource,
    beans: &Beans<'_>,
    of: fn(&Point, &PluggablePoint) -> Value,
) -> Result<Value, Error> {
    let mut providers = beans.providers.borrow_mut();
    let point = match providers.entry((resource.script_id, resource.provider_type.clone())) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => {
            let script = beans.snapshot.get::<Script>(resource.script_id)?;
            let points = script.map(|script| script.points).unwrap_or_default();
            unknown.insert(points.into_iter().find(|point| {
                matches!(&point.kind, PointKind::PluggableProvider(own) if own.provider_type == resource.provider_type)
            }))
        }
    };
    Ok(match point.as_ref().map(|point| (point, &point.kind)) {
        Some((point, PointKind::PluggableProvider(provider))) => of(point, provider),
        _ => Value::Null,
    })
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
