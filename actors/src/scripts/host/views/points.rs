//! What scripts register beside triggers.

use super::super::{blocks, list::Search};
use crate::scripts::{
    beans::{actions, components, forms, levels, point_id, provider_data},
    occasion::Tree,
};
use serde_json::{Value, json};
use sutler_lua::Bean;
use sutler_model::{PluggableResource, Point, PointKind, Scope, Script};
use sutler_store::{Error as StoreError, Filter, Snapshot};
use uuid::Uuid;

/// What the scripts within reach register of a type; none for another type.
pub(super) fn list(search: &Search<'_>, resource_type: &str) -> Result<Option<Vec<Bean>>, StoreError> {
    if !["BILLING_METHOD", "MEASUREMENT_FUNCTION", "CONFIG_PROVIDER", "PLUGGABLE_PROVIDER", "REPORT_METHOD"]
        .contains(&resource_type)
    {
        return Ok(None);
    }
    let mut beans = Vec::new();
    for script in search.snapshot.records(Filter::<Script>::new()) {
        let script = script?;
        if blocks::owned_within(search.snapshot, search.tree, search.sight.reach, script.owner)? {
            for point in script.points.iter().filter(|point| kind(&point.kind) == resource_type) {
                if let Some(bean) = bean(search.snapshot, &script, point)? {
                    beans.push(super::blocks::owned(search.snapshot, script.owner, bean)?);
                }
            }
        }
    }
    Ok(Some(beans))
}

/// What a script within reach registers under an id.
pub(super) fn find(snapshot: &Snapshot, tree: &Tree, reach: Scope, id: Uuid) -> Result<Option<Bean>, StoreError> {
    // Ids of this kind tell nothing of where they come from, so all scripts are looked through; none else has such ids.
    if id.get_version_num() != 5 {
        return Ok(None);
    }
    for script in snapshot.records(Filter::<Script>::new()) {
        let script = script?;
        let Some(point) = script.points.iter().find(|point| point_id(script.id, &point.function) == id) else {
            continue;
        };
        if !blocks::owned_within(snapshot, tree, reach, script.owner)? {
            return Ok(None);
        }
        let bean = bean(snapshot, &script, point)?;
        return bean.map(|bean| super::blocks::owned(snapshot, script.owner, bean)).transpose();
    }
    Ok(None)
}

/// The resource type of what is registered; payment providers are listed elsewhere.
const fn kind(kind: &PointKind) -> &'static str {
    match kind {
        PointKind::Billing(_) => "BILLING_METHOD",
        PointKind::Measure(_) => "MEASUREMENT_FUNCTION",
        PointKind::ConfigProvider(_) => "CONFIG_PROVIDER",
        PointKind::PluggableProvider(_) => "PLUGGABLE_PROVIDER",
        PointKind::Report(_) => "REPORT_METHOD",
        PointKind::PaymentProvider(_) => "PAYMENT_PROVIDER",
    }
}

fn bean(snapshot: &Snapshot, script: &Script, point: &Point) -> Result<Option<Bean>, StoreError> {
    let named = |bean: &'static str| {
        Bean::new(bean)
            .with("resourceUUID", point_id(script.id, &point.function).to_string())
            .with("resourceName", point.name.as_str())
            .with("resourceType", kind(&point.kind))
            .with("resourceState", if script.enabled { "ACTIVE" } else { "HIDDEN" })
            .with("resourceCreateDate", script.created_at.0)
            .with("lastModifiedTime", script.modified_at.0)
            .with("description", point.description.as_str())
            .with("fdlDescription", point.description.as_str())
            .with("fdlName", point.name.as_str())
            .with("fdlReference", point.reference.as_str())
            .with("fdlUUID", script.id.to_string())
    };
    Ok(Some(match &point.kind {
        PointKind::Billing(billing) => named("BillingMethod").with("configurableList", forms(&billing.values)),
        PointKind::Measure(measure) => {
            let values = measure.values.iter().zip(members(&forms(&measure.values)));
            named("MeasurementFunction")
                .with("associatedType", measure.associated_type.as_str())
                .with("measuredValues", Value::Object(values.map(|(value, form)| (value.key.clone(), form)).collect()))
        }
        // The language has one bean for both kinds of provider.
        PointKind::ConfigProvider(config) => {
            let parts: Vec<_> = config.resources.iter().flat_map(|resource| resource.components.clone()).collect();
            named("PluggableResourceProvider")
                .with("providerType", config.provider_type.as_str())
                .with("providerGroup", config.provider_group.as_str())
                .with("associatedResourceTypes", json!(config.types().collect::<Vec<_>>()))
                .with("providerData", provider_data(script.id, config))
                .with("actionDefinitions", actions(script.id, parts.iter().flat_map(|part| &part.actions)))
                .with("productComponentTypes", components(script.id, &parts))
        }
        PointKind::PluggableProvider(provider) => {
            let (id, kind) = (script.id, provider.provider_type.clone());
            let own = move |resource: &PluggableResource| resource.script_id == id && resource.provider_type == kind;
            let in_use = snapshot.records(Filter::<PluggableResource>::new().when(own)).next().transpose()?.is_some();
            named("PluggableResourceProvider")
                .with("providerType", provider.provider_type.as_str())
                .with("providerGroup", provider.provider_group.as_str())
                .with("providerIcon", provider.icon.as_str())
                .with("canCreate", provider.create.is_some())
                .with("canModify", true)
                .with("canDelete", true)
                .with("associatedResourceTypes", json!(["PLUGGABLE_RESOURCE"]))
                .with("inUse", in_use)
                .with("actionDefinitions", actions(script.id, provider.all_actions()))
                .with("productComponentTypes", components(script.id, &provider.components))
        }
        PointKind::Report(report) => named("ReportMethod")
            .with("inputValues", forms(&report.values))
            .with("invocationLevel", levels(&report.levels).get(0).cloned().unwrap_or_default())
            .with("supportedReportChartTypes", json!(report.charts)),
        PointKind::PaymentProvider(_) => return Ok(None),
    }))
}

fn members(forms: &Value) -> Vec<Value> {
    forms.as_array().cloned().unwrap_or_default()
}
