//! Pluggable resources.

use super::{Beans, Described, Property, definitions, described, keys, set_keys, set_name, text};
use serde_json::{Value, json};
use std::collections::hash_map::Entry;
use sutler_model::{
    PluggableResource, Point, PointKind, Script, ScriptId, pluggable::PluggableState, point::PluggablePoint,
};
use sutler_store::Error;
use uuid::Uuid;

impl Described for PluggableResource {
    const KIND: &'static str = "PluggableResource";
    const PLACED: bool = true;

    fn properties() -> &'static [Property<Self>] {
        type P = Property<PluggableResource>;
        const PROPERTIES: &[P] = &[
            P::new("resourceName", |r, _| r.name.as_str().into()).or_set(|r, v, _| set_name(&mut r.name, v)),
            P::new("resourceKey", keys).or_set(|r, v, viewer| set_keys(&mut r.keys, v, viewer)),
            P::new("providerType", |r, _| r.provider_type.as_str().into()),
            P::read("providerUUID", |r, b| {
                of_provider(r, b, |point, _| point_id(r.script_id, &point.function).to_string().into())
            }),
            P::read("providerActionDefinitions", |r, b| {
                of_provider(r, b, |_, provider| definitions::actions(r.script_id, provider.all_actions()))
            }),
            P::read("providerName", |r, b| of_provider(r, b, |point, _| point.name.as_str().into())),
            P::read("providerGroup", |r, b| of_provider(r, b, |_, provider| provider.provider_group.as_str().into())),
            P::read("providerIcon", |r, b| of_provider(r, b, |_, provider| provider.icon.as_str().into())),
            P::read("canCreate", |r, b| of_provider(r, b, |_, provider| provider.create.is_some().into())),
            // Without a function of the provider nobody is asked.
            P::new("canModify", |_, _| true.into()),
            P::new("canDelete", |_, _| true.into()),
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
    of: impl FnOnce(&Point, &PluggablePoint) -> Value,
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

/// The id of what a function registers: it has no record of its own.
pub(crate) fn point_id(script: ScriptId, function: &str) -> Uuid {
    Uuid::new_v5(&script.0, format!("point:{function}").as_bytes())
}
