//! What points describe, as the language has it: values that people fill in, actions, and the parts that hold both.

use serde_json::{Map, Value, json};
use sutler_model::{
    ScriptId, ValueDef,
    point::{Action, Component, ConfigPoint, Level, Validator},
};

/// A form, as a list of Values; what is set is added by whoever knows it.
pub(crate) fn forms(definitions: &[ValueDef]) -> Value {
    let form = |value: &ValueDef| {
        json!({
            "key": value.key, "name": value.name, "description": value.description, "required": value.required,
            "readOnly": value.read_only, "hidden": value.hidden, "defaultValue": value.default_value,
            "defaultText": value.default_text, "measureType": value.measure_type, "dataContent": value.data_content,
            "recheckOnChange": value.recheck_on_change, "remembered": value.remembered,
            "validator": value.validator.as_ref().map(validator),
        })
    };
    definitions.iter().map(form).collect()
}

fn validator(validator: &Validator) -> Value {
    let condition = |rule: &sutler_model::point::FilterCondition| json!({"field": rule.field, "condition": rule.condition, "value": rule.values});
    let conditions: Vec<Value> = validator.filter.iter().map(condition).collect();
    let filter = if conditions.is_empty() { Value::Null } else { json!({"filterConditions": conditions}) };
    let kind = Some(validator.kind.as_str()).filter(|kind| !kind.is_empty());
    json!({
        "validatorType": kind, "validateString": validator.rule, "errorMessage": validator.error,
        "allowsMultipleValues": validator.multiple, "searchFilter": filter,
    })
}

/// Actions by key.
pub(crate) fn actions<'a>(script: ScriptId, actions: impl IntoIterator<Item = &'a Action>) -> Value {
    let definition = |action: &Action| {
        let definition = json!({
            "key": action.key, "name": action.name, "description": action.description, "order": action.order,
            "returnType": action.return_type, "executionFunction": action.function, "icon": action.icon,
            "available": action.available, "invocationType": action.invocation, "fdlUUID": script.to_string(),
            "invocationLevels": levels(&action.levels), "parameters": forms(&action.parameters),
        });
        (action.key.clone(), definition)
    };
    Value::Object(actions.into_iter().map(definition).collect::<Map<_, _>>())
}

/// Who may, in the language's words; null where the descriptor does not say.
pub(crate) fn levels(levels: &[Level]) -> Value {
    let word = |level: &Level| match level {
        Level::Open => "OPEN",
        Level::Customer => "CUSTOMER",
        Level::BillingEntity => "BE",
        Level::Provider => "MBE",
    };
    if levels.is_empty() { Value::Null } else { levels.iter().map(word).collect() }
}

/// The parts of a provider, as ProductComponentTypes; plans and billing methods call each `TYPE_reference`.
pub(crate) fn components(script: ScriptId, components: &[Component]) -> Value {
    let part = |component: &Component| {
        json!({
            "resourceName": component.name, "referenceField": component.reference, "isOptional": component.optional,
            "configurableList": forms(&component.values), "actionFunctions": actions(script, &component.actions),
        })
    };
    components.iter().map(part).collect()
}

/// What a configuration provider adds, as ProviderData by type of resource.
pub(crate) fn provider_data(script: ScriptId, provider: &ConfigPoint) -> Value {
    let data = provider.resources.iter().map(|resource| {
        let editable = resource.components.iter().flat_map(|part| &part.values).any(|value| !value.read_only);
        let data = json!({
            "resourceType": resource.resource_type, "useWithBilling": resource.use_with_billing,
            "allowCustomerEdit": editable, "productComponentTypes": components(script, &resource.components),
        });
        (resource.resource_type.clone(), data)
    });
    Value::Object(data.collect::<Map<_, _>>())
}
