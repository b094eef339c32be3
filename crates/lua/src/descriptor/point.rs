//! Descriptors of entry points that are no triggers (`fdl.md` 1.2, 1.5, 1.6).

use super::{as_number, as_text, get};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use sutler_model::{
    Point, PointKind, ValueDef,
    point::{
        Action, BillingPoint, Component, ConfigPoint, Execution, FilterCondition, Level, MeasurePoint, PaymentPoint,
        PluggablePoint, ReportPoint, ResourceConfig, Validator, form_problem, provider_type_problem,
    },
};

type Fields = Map<String, Value>;

/// The language's payment functions.
pub(crate) const PAYMENT_FUNCTIONS: [&str; 10] = [
    "REGISTER_PAYMENT_METHOD",
    "UPDATE_PAYMENT_METHOD",
    "REGISTER_PAYMENT_INSTANCE",
    "REMOVE_PAYMENT_INSTANCE",
    "MAKE_PAYMENT",
    "REFUND_PAYMENT",
    "REFUND_TRANSACTION",
    "CANCEL_TRANSACTION",
    "SELF_TEST",
    "UNDEF",
];

/// Functions of the block that belong to a provider and describe themselves when called with nil.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Belongings {
    pub triggers: Vec<String>,
    pub measures: Vec<String>,
}

/// Reads the descriptor of an entry point of the kind `api`, in capitals.
///
/// # Errors
/// What is wrong with it, to be said of the function.
pub(crate) fn read(function: &str, api: &str, fields: &Fields) -> Result<(Point, Belongings), String> {
    let mut belongings = Belongings::default();
    let kind = if api.starts_with("BILLING") {
        PointKind::Billing(BillingPoint {
            permitted: words(fields, "permittedPCT")?,
            values: values(fields, "configuredValues")?,
        })
    } else if api.starts_with("MEASURE") {
        PointKind::Measure(MeasurePoint {
            associated_type: upper(fields, "associatedType").unwrap_or_else(|| "SERVER".to_owned()),
            values: values(fields, "measuredValues")?,
            provider_type: None,
        })
    } else if api.starts_with("CONFIG") {
        belongings.triggers = words(fields, "triggerFunctions")?;
        belongings.measures = words(fields, "measurementFunctions")?;
        PointKind::ConfigProvider(ConfigPoint {
            provider_type: provider_type(fields)?,
            provider_group: text(fields, "providerGroup").unwrap_or_default(),
            resources: tables(fields, "resourceConfigs")?.into_iter().map(resource).collect::<Result<_, _>>()?,
        })
    } else if api.starts_with("PLUGGABLE") {
        belongings.triggers = words(fields, "triggerFunctions")?;
        belongings.measures = words(fields, "measurementFunctions")?;
        PointKind::PluggableProvider(Box::new(PluggablePoint {
            provider_type: provider_type(fields)?,
            provider_group: text(fields, "providerGroup").unwrap_or_default(),
            icon: text(fields, "providerIcon").unwrap_or_default(),
            create: execution(fields, "createFunction")?,
            modify: execution(fields, "modifyFunction")?,
            delete: execution(fields, "deleteFunction")?,
            advertise: execution(fields, "advertiseFunction")?,
            components: components(fields)?,
            actions: actions(fields)?,
        }))
    } else if api.starts_with("PAYMENT") {
        PointKind::PaymentProvider(payment(fields)?)
    } else {
        let own = execution(fields, "executionFunction")?;
        let levels = match get(fields, "invocationLevel") {
            None | Some(Value::Null) => own.iter().flat_map(|own| own.levels.iter().copied()).collect(),
            said => levels(said)?,
        };
        PointKind::Report(ReportPoint {
            execution_function: own.map(|own| own.function),
            values: values(fields, "inputValues")?,
            levels,
            charts: words(fields, "supportedReportChartTypes")?,
        })
    };
    let point = Point {
        function: function.to_owned(),
        reference: text(fields, "ref").or_else(|| text(fields, "fdlPaymentRef")).unwrap_or_else(|| function.to_owned()),
        name: text(fields, "name").unwrap_or_else(|| function.to_owned()),
        description: text(fields, "description").unwrap_or_default(),
        kind,
    };
    Ok((point, belongings))
}

fn payment(fields: &Fields) -> Result<PaymentPoint, String> {
    let mut functions = BTreeMap::new();
    // Either a table from the function's name to ours, or fields such as `makePaymentFunction`.
    if let Some(Value::Object(named)) = get(fields, "paymentFunctions").or_else(|| get(fields, "functions")) {
        for (name, function) in named {
            let known = PAYMENT_FUNCTIONS.iter().find(|known| squeezed(known) == squeezed(name));
            let known = known.ok_or_else(|| format!("names the unknown payment function `{name}`"))?;
            functions.insert((*known).to_owned(), function_name(function, name)?);
        }
    }
    for known in PAYMENT_FUNCTIONS {
        let wanted = squeezed(known);
        let found = fields.iter().find(|(name, _)| {
            let name = squeezed(name);
            name == wanted || name.strip_suffix("function") == Some(&wanted)
        });
        if let Some((name, function)) = found.filter(|(_, function)| !function.is_null()) {
            functions.insert(known.to_owned(), function_name(function, name)?);
        }
    }
    if !functions.contains_key("MAKE_PAYMENT") {
        return Err("names no function for MAKE_PAYMENT in `paymentFunctions`".to_owned());
    }
    Ok(PaymentPoint {
        method_values: values(fields, "pmConfigurableList")?,
        instance_values: values(fields, "pmiConfigurableList")?,
        functions,
    })
}

/// A name without what its spellings differ in.
fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn function_name(value: &Value, of: &str) -> Result<String, String> {
    let name = match value {
        Value::Object(fields) => text(fields, "executionFunction"),
        other => as_text(other),
    };
    name.ok_or_else(|| format!("has a `{of}` that names no function"))
}

fn resource(fields: &Fields) -> Result<ResourceConfig, String> {
    let resource_type = upper(fields, "associatedResourceType")
        .ok_or_else(|| "has a resource config without `associatedResourceType`".to_owned())?;
    Ok(ResourceConfig {
        resource_type,
        // An older published version misspells it.
        use_with_billing: flag(fields, "useWithBilling") || flag(fields, "userWithBilling"),
        components: components(fields)?,
    })
}

fn components(fields: &Fields) -> Result<Vec<Component>, String> {
    let read = |fields: &Fields| -> Result<Component, String> {
        Ok(Component {
            name: text(fields, "name").or_else(|| text(fields, "resourceName")).unwrap_or_default(),
            reference: text(fields, "referenceField").unwrap_or_default(),
            optional: flag(fields, "optional") || flag(fields, "isOptional"),
            values: values(fields, "configurableList")?,
            actions: actions(fields)?,
        })
    };
    tables(fields, "productComponentTypes")?.into_iter().map(read).collect()
}

fn actions(fields: &Fields) -> Result<Vec<Action>, String> {
    let read = |fields: &Fields| -> Result<Action, String> {
        let key = text(fields, "key").ok_or_else(|| "has an action without `key`".to_owned())?;
        let function = text(fields, "executionFunction");
        Ok(Action {
            name: text(fields, "name").unwrap_or_else(|| key.clone()),
            description: text(fields, "description").unwrap_or_default(),
            return_type: upper(fields, "returnType").unwrap_or_else(|| "STRING".to_owned()),
            function: function.ok_or_else(|| format!("has an action `{key}` without `executionFunction`"))?,
            #[allow(clippy::cast_possible_truncation)] // saturates, and the order of such extremes is all the same
            order: get(fields, "order").and_then(as_number).unwrap_or_default() as i64,
            // What gives content is waited for unless the script says otherwise.
            synchronous: get(fields, "synchronous").and_then(as_flag).unwrap_or(true),
            icon: text(fields, "icon").unwrap_or_default(),
            levels: levels(get(fields, "invocationLevels"))?,
            parameters: values(fields, "parameters")?,
            available: get(fields, "available").and_then(as_flag).unwrap_or(true),
            invocation: upper(fields, "invocationType").unwrap_or_else(|| "INSTANCE".to_owned()),
            key,
        })
    };
    let mut actions: Vec<Action> =
        tables(fields, "actionFunctions")?.into_iter().map(read).collect::<Result<_, _>>()?;
    actions.sort_by_key(|action| action.order);
    match (1..actions.len()).find(|at| actions[..*at].iter().any(|action| action.key == actions[*at].key)) {
        Some(at) => Err(format!("has two actions with the key `{}`", actions[at].key)),
        None => Ok(actions),
    }
}

fn execution(fields: &Fields, name: &str) -> Result<Option<Execution>, String> {
    let Some(value) = get(fields, name).filter(|value| !value.is_null()) else { return Ok(None) };
    let levels = match value {
        Value::Object(fields) => levels(get(fields, "invocationLevel"))?,
        _ => Vec::new(),
    };
    Ok(Some(Execution { function: function_name(value, name)?, levels }))
}

fn levels(value: Option<&Value>) -> Result<Vec<Level>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let words = match value {
        Value::Array(words) => words.iter().filter_map(as_text).collect(),
        other => Vec::from_iter(as_text(other)),
    };
    let read = |word: String| match word.trim().to_uppercase().as_str() {
        "OPEN" => Ok(Level::Open),
        "CUSTOMER" => Ok(Level::Customer),
        "BE" => Ok(Level::BillingEntity),
        "MBE" => Ok(Level::Provider),
        other => Err(format!("has the unknown invocation level `{other}`; known are OPEN, CUSTOMER, BE, MBE")),
    };
    words.into_iter().map(read).collect()
}

fn values(fields: &Fields, name: &str) -> Result<Vec<ValueDef>, String> {
    let values: Vec<ValueDef> = tables(fields, name)?.into_iter().map(value).collect();
    match form_problem(&values) {
        Some(problem) => Err(format!("{problem} in `{name}`")),
        None => Ok(values),
    }
}

/// Reads a value definition as scripts write it, in a descriptor or in a dialogue.
pub(crate) fn value(fields: &Fields) -> ValueDef {
    let key = text(fields, "key").unwrap_or_default();
    let validator = match get(fields, "validator") {
        Some(Value::Object(rule)) => Some(Validator {
            kind: upper(rule, "validatorType").unwrap_or_default(),
            // Scripts also write the other by mistake.
            rule: text(rule, "validateString").or_else(|| text(rule, "validatorString")).unwrap_or_default(),
            error: text(rule, "errorMessage"),
            multiple: flag(rule, "allowsMultipleValues"),
            filter: conditions(get(rule, "searchFilter")),
            labels: BTreeMap::new(),
        }),
        _ => None,
    };
    ValueDef {
        name: text(fields, "name").unwrap_or_else(|| key.clone()),
        description: text(fields, "description").unwrap_or_default(),
        required: flag(fields, "required"),
        read_only: flag(fields, "readOnly"),
        hidden: flag(fields, "hidden"),
        default_value: text(fields, "defaultValue"),
        default_text: text(fields, "defaultText"),
        value: text(fields, "value"),
        measure_type: upper(fields, "measureType"),
        data_content: text(fields, "dataContent"),
        recheck_on_change: flag(fields, "recheckOnChange"),
        remembered: flag(fields, "remembered"),
        validator,
        key,
    }
}

/// The conditions of a `SearchFilter`, as the bean or as a table with its properties; those without a field say nothing.
fn conditions(filter: Option<&Value>) -> Vec<FilterCondition> {
    let conditions = filter.and_then(Value::as_object).map(|filter| tables(filter, "filterConditions"));
    let read = |fields: &Fields| {
        Some(FilterCondition {
            field: text(fields, "field")?,
            condition: upper(fields, "condition").unwrap_or_else(|| "IS_EQUAL_TO".to_owned()),
            values: words(fields, "value").unwrap_or_default(),
        })
    };
    conditions.and_then(Result::ok).unwrap_or_default().into_iter().filter_map(read).collect()
}

fn provider_type(fields: &Fields) -> Result<String, String> {
    let word = text(fields, "providerType").unwrap_or_default().trim().to_uppercase();
    match provider_type_problem(&word) {
        Some(problem) => Err(problem),
        None => Ok(word),
    }
}

/// The tables in a list; an absent list is empty.
fn tables<'a>(fields: &'a Fields, name: &str) -> Result<Vec<&'a Fields>, String> {
    let wrong = || format!("has a `{name}` that is not a list of tables");
    match get(fields, name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_object().ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

/// The texts in a list, or the one text; an absent list is empty.
pub(super) fn words(fields: &Fields, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("has a `{name}` that is not a list of texts");
    match get(fields, name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| as_text(item).ok_or_else(wrong)).collect(),
        Some(other) => as_text(other).map(|word| vec![word]).ok_or_else(wrong),
    }
}

fn text(fields: &Fields, name: &str) -> Option<String> {
    match get(fields, name)? {
        Value::Bool(flag) => Some(flag.to_string()),
        other => as_text(other),
    }
}

fn upper(fields: &Fields, name: &str) -> Option<String> {
    text(fields, name).map(|word| word.trim().to_uppercase())
}

fn flag(fields: &Fields, name: &str) -> bool {
    get(fields, name).and_then(as_flag).unwrap_or(false)
}

fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(word) => word.trim().to_lowercase().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn point(api: &str, descriptor: Value) -> Result<(Point, Belongings), String> {
        read("f", api, descriptor.as_object().unwrap())
    }

    #[test]
    fn a_configuration_provider_is_read_with_its_forms_and_actions() {
        let (point, belongings) = point(
            "CONFIG_PROVIDER",
            json!({
                "ref": "backup_provider", "name": "#__BACKUP", "providerType": "backup", "providerGroup": "FCO_EXTENSION",
                "measurementFunctions": ["measure_backup"], "triggerFunctions": ["on_create"],
                "resourceConfigs": [{
                    "associatedResourceType": "server", "userWithBilling": true,
                    "productComponentTypes": [{
                        "resourceName": "Backup", "referenceField": "SETTINGS",
                        "configurableList": [{
                            "key": "enabled", "required": true, "defaultValue": "FALSE",
                            "validator": {"validatorType": "ENUM", "validatorString": "TRUE,FALSE"},
                        }],
                        "actionFunctions": [
                            {"key": "b", "executionFunction": "do_b", "order": 2, "returnType": "url_popup"},
                            {"key": "a", "executionFunction": "do_a", "order": "1", "synchronous": false,
                                "invocationLevels": ["BE", "mbe"]},
                        ],
                    }],
                }],
            }),
        )
        .unwrap();
        assert_eq!(
            belongings,
            Belongings { triggers: vec!["on_create".into()], measures: vec!["measure_backup".into()] }
        );
        let PointKind::ConfigProvider(provider) = point.kind else { panic!("{point:?}") };
        assert_eq!(provider.provider_type, "BACKUP");
        let config = &provider.resources[0];
        assert!(config.use_with_billing && config.resource_type == "SERVER");
        let component = &config.components[0];
        assert_eq!((component.name.as_str(), component.values[0].check("maybe").is_err()), ("Backup", true));
        let actions: Vec<_> = component.actions.iter().map(|a| (a.key.as_str(), a.synchronous)).collect();
        assert_eq!(actions, [("a", false), ("b", true)]);
        assert_eq!(component.actions[0].levels, [Level::BillingEntity, Level::Provider]);
        assert_eq!(component.actions[1].return_type, "URL_POPUP");
    }

    #[test]
    fn payment_functions_are_found_in_every_spelling() {
        for descriptor in [
            json!({"paymentFunctions": {"MAKE_PAYMENT": "pay", "selfTest": "probe"}}),
            json!({"makePaymentFunction": "pay", "selfTest": {"executionFunction": "probe"}}),
        ] {
            let (point, _) = point("PAYMENT_PROVIDER", descriptor).unwrap();
            let PointKind::PaymentProvider(provider) = point.kind else { panic!("{point:?}") };
            let functions: Vec<_> = provider.functions.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(functions, [("MAKE_PAYMENT", "pay"), ("SELF_TEST", "probe")]);
        }
    }

    #[test]
    fn what_is_wrong_with_a_descriptor_is_named() {
        for (api, descriptor, words) in [
            ("CONFIG_PROVIDER", json!({}), "providerType"),
            ("CONFIG_PROVIDER", json!({"providerType": "A", "resourceConfigs": [{}]}), "associatedResourceType"),
            ("BILLING", json!({"configuredValues": [{"name": "x"}]}), "`key`"),
            ("BILLING", json!({"configuredValues": "x"}), "configuredValues"),
            ("PLUGGABLE_PROVIDER", json!({"providerType": "A", "createFunction": {}}), "createFunction"),
            (
                "PLUGGABLE_PROVIDER",
                json!({"providerType": "A", "actionFunctions": [{"key": "k"}]}),
                "executionFunction",
            ),
            ("PAYMENT_PROVIDER", json!({}), "MAKE_PAYMENT"),
            ("REPORT", json!({"invocationLevel": "KING"}), "KING"),
        ] {
            let problem = point(api, descriptor.clone()).unwrap_err();
            assert!(problem.contains(words), "{descriptor}: {problem}");
        }
    }
}
