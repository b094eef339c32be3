//! What scripts register beside triggers.

use super::super::{blocks, list::Search};
use crate::scripts::beans::forms;
use serde_json::{Value, json};
use sutler_lua::Bean;
use sutler_model::{Point, PointKind, Script, ScriptId};
use sutler_store::{Error as StoreError, Filter};
use uuid::Uuid;

/// The id of what a function registers: it has no record of its own.
pub(in crate::scripts::host) fn id_of(script: ScriptId, function: &str) -> Uuid {
    Uuid::new_v5(&script.0, format!("point:{function}").as_bytes())
}

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
            let found = script.points.iter().filter_map(|point| bean(&script, point));
            for bean in found.filter(|bean| bean.text("resourceType").as_deref() == Some(resource_type)) {
                beans.push(super::blocks::owned(search.snapshot, script.owner, bean)?);
            }
        }
    }
    Ok(Some(beans))
}

fn bean(script: &Script, point: &Point) -> Option<Bean> {
    let named = |kind: &'static str, resource_type: &str| {
        Bean::new(kind)
            .with("resourceUUID", id_of(script.id, &point.function).to_string())
            .with("resourceName", point.name.as_str())
            .with("resourceType", resource_type)
            .with("resourceState", if script.enabled { "ACTIVE" } else { "HIDDEN" })
            .with("resourceCreateDate", script.created_at.0)
            .with("description", point.description.as_str())
            .with("fdlDescription", point.description.as_str())
            .with("fdlName", point.name.as_str())
            .with("fdlReference", point.reference.as_str())
            .with("fdlUUID", script.id.to_string())
    };
    Some(match &point.kind {
        PointKind::Billing(billing) => {
            named("BillingMethod", "BILLING_METHOD").with("configurableList", forms(&billing.values))
        }
        PointKind::Measure(measure) => {
            let values = measure.values.iter().zip(members(&forms(&measure.values)));
            named("MeasurementFunction", "MEASUREMENT_FUNCTION")
                .with("associatedType", measure.associated_type.as_str())
                .with("measuredValues", Value::Object(values.map(|(value, form)| (value.key.clone(), form)).collect()))
        }
        PointKind::ConfigProvider(config) => named("ConfigProvider", "CONFIG_PROVIDER")
            .with("providerType", config.provider_type.as_str())
            .with("providerGroup", config.provider_group.as_str())
            .with(
                "associatedResourceTypes",
                json!(config.resources.iter().map(|resource| &resource.resource_type).collect::<Vec<_>>()),
            ),
        PointKind::PluggableProvider(provider) => named("PluggableResourceProvider", "PLUGGABLE_PROVIDER")
            .with("providerType", provider.provider_type.as_str())
            .with("providerGroup", provider.provider_group.as_str())
            .with("providerIcon", provider.icon.as_str())
            .with("canCreate", provider.create.is_some())
            .with("canModify", provider.modify.is_some())
            .with("canDelete", provider.delete.is_some()),
        PointKind::Report(report) => named("ReportMethod", "REPORT_METHOD")
            .with("inputValues", forms(&report.values))
            .with("supportedReportChartTypes", json!(report.charts)),
        PointKind::PaymentProvider(_) => return None,
    })
}

fn members(forms: &Value) -> Vec<Value> {
    forms.as_array().cloned().unwrap_or_default()
}
