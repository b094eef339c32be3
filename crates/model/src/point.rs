//! What code blocks register beside triggers: providers of settings, resources and payments, billing methods, measurement
//! functions and reports; and the definitions of the values that people fill in for them.

use crate::FieldError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most values one form may hold.
pub const VALUES_MAX: usize = 200;
/// Longest value, bytes.
pub const VALUE_BYTES: usize = 64 * 1024;

/// Most memory a compiled expression may take: it is a script's word.
const REGEX_BYTES: usize = 1 << 20;

/// An entry point of a code block that is no trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Point {
    /// The global function that described it.
    pub function: String,
    /// The descriptor's reference; unique within the block.
    pub reference: String,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: PointKind,
}

/// What an entry point is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "api", rename_all = "snake_case")]
pub enum PointKind {
    /// Charges for a component of a plan.
    Billing(BillingPoint),
    /// Measures resources.
    Measure(MeasurePoint),
    /// Adds settings and actions to resources.
    ConfigProvider(ConfigPoint),
    /// Adds a kind of resource.
    PluggableProvider(Box<PluggablePoint>),
    /// Takes payments.
    PaymentProvider(PaymentPoint),
    /// Makes a report.
    Report(ReportPoint),
}

impl PointKind {
    /// The word scripts use for it.
    pub const fn api(&self) -> &'static str {
        match self {
            Self::Billing(_) => "BILLING",
            Self::Measure(_) => "MEASURE",
            Self::ConfigProvider(_) => "CONFIG_PROVIDER",
            Self::PluggableProvider(_) => "PLUGGABLE_PROVIDER",
            Self::PaymentProvider(_) => "PAYMENT_PROVIDER",
            Self::Report(_) => "REPORT",
        }
    }
}

impl Point {
    /// The global functions that it names, each with what for.
    pub fn functions(&self) -> Vec<(String, &str)> {
        match &self.kind {
            PointKind::Billing(_) | PointKind::Measure(_) => Vec::new(),
            PointKind::Report(report) => {
                let own = report.execution_function.as_deref();
                own.map(|function| ("as `executionFunction`".to_owned(), function)).into_iter().collect()
            }
            PointKind::ConfigProvider(provider) => {
                let parts = provider.resources.iter().flat_map(|resource| &resource.components);
                parts.flat_map(|part| &part.actions).map(Action::named).collect()
            }
            PointKind::PluggableProvider(provider) => {
                let own = [
                    ("createFunction", &provider.create),
                    ("modifyFunction", &provider.modify),
                    ("deleteFunction", &provider.delete),
                    ("advertiseFunction", &provider.advertise),
                ];
                let own = own.into_iter().filter_map(|(what, execution)| Some((what, execution.as_ref()?)));
                let own = own.map(|(what, execution)| (format!("as `{what}`"), execution.function.as_str()));
                own.chain(provider.all_actions().map(Action::named)).collect()
            }
            PointKind::PaymentProvider(provider) => {
                provider.functions.iter().map(|(what, function)| (format!("for {what}"), function.as_str())).collect()
            }
        }
    }
}

impl Action {
    fn named(&self) -> (String, &str) {
        (format!("for the action `{}`", self.key), &self.function)
    }
}

/// A billing method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BillingPoint {
    /// References of the components it may charge for; empty: any.
    pub permitted: Vec<String>,
    /// What a plan fills in for it.
    pub values: Vec<ValueDef>,
}

/// A measurement function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeasurePoint {
    /// The type of resource it measures, in the language's words: `SERVER`.
    pub associated_type: String,
    /// What it measures.
    pub values: Vec<ValueDef>,
    /// The provider it belongs to, whose settings a resource must have; none: it measures all of the type.
    pub provider_type: Option<String>,
}

/// A configuration provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigPoint {
    /// Its unique name, in capitals; the key of its settings on every resource.
    pub provider_type: String,
    /// Where a console puts it.
    pub provider_group: String,
    /// What it adds, for each type of resource.
    pub resources: Vec<ResourceConfig>,
}

impl ConfigPoint {
    /// The types of resource that it adds something to.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(|resource| resource.resource_type.as_str())
    }
}

/// What a configuration provider adds to a type of resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceConfig {
    /// In the language's words: `SERVER`, `CUSTOMER`, `BILLING_ENTITY`.
    pub resource_type: String,
    /// Whether only resources have it whose plan contains one of the components.
    pub use_with_billing: bool,
    /// Its parts.
    pub components: Vec<Component>,
}

/// A part of a provider: a form of settings, and actions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Component {
    /// Display name.
    pub name: String,
    /// How plans and billing methods refer to it, after the provider's type and `_`.
    pub reference: String,
    /// Whether a resource may do without it.
    pub optional: bool,
    /// Its settings.
    pub values: Vec<ValueDef>,
    /// What can be done with it.
    pub actions: Vec<Action>,
}

/// A pluggable resource provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PluggablePoint {
    /// Its unique name, in capitals; the type of its resources.
    pub provider_type: String,
    /// Where a console puts it; `SKYLINE_CUSTOM_WIDGET` marks dashboard widgets.
    pub provider_group: String,
    /// The name of an icon.
    pub icon: String,
    /// Runs when one is made; none: none can be made.
    pub create: Option<Execution>,
    /// Runs when one changes.
    pub modify: Option<Execution>,
    /// Runs when one is deleted.
    pub delete: Option<Execution>,
    /// Runs when one shows itself.
    pub advertise: Option<Execution>,
    /// Its forms.
    pub components: Vec<Component>,
    /// What can be done with one.
    pub actions: Vec<Action>,
}

impl PluggablePoint {
    /// All that can be done with one: its own actions and those of its parts.
    pub fn all_actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().chain(self.components.iter().flat_map(|component| &component.actions))
    }
}

/// A function that a provider runs, and who may have it run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Execution {
    /// The global function.
    pub function: String,
    /// Who may; empty: whoever may work with the resource.
    pub levels: Vec<Level>,
}

/// Who may invoke something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Whoever sees the resource.
    Open = 0,
    /// The customer's people, and those above.
    Customer = 1,
    /// The seller's people, and those above.
    BillingEntity = 2,
    /// The provider's people.
    Provider = 3,
}

/// Something people can have done with a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Action {
    /// Its name in requests.
    pub key: String,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// What comes back, in the language's words: `FUNCTION`, `DIALOGUE`, `STRING`, `URL`, `URL_POPUP`, `NUMBER`, `BOOLEAN`, `UUID`.
    pub return_type: String,
    /// The global function that does it.
    pub function: String,
    /// Lower stands first.
    pub order: i64,
    /// Whether the caller waits for what comes back.
    pub synchronous: bool,
    /// The name of an icon.
    pub icon: String,
    /// Who may; empty: whoever may change the resource.
    pub levels: Vec<Level>,
    /// What it asks for first.
    pub parameters: Vec<ValueDef>,
    /// Whether it can be had at all; one that cannot is neither shown nor done.
    #[serde(default = "yes")]
    pub available: bool,
    /// In the language's words: `INSTANCE`, done with a resource, or `STATIC`, which can be done with none.
    #[serde(default)]
    pub invocation: String,
}

const fn yes() -> bool {
    true
}

/// A payment provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentPoint {
    /// What a seller fills in once, to be paid this way.
    pub method_values: Vec<ValueDef>,
    /// What a customer fills in, to pay this way.
    pub instance_values: Vec<ValueDef>,
    /// The global function for each of the language's payment functions: `MAKE_PAYMENT` and so on.
    pub functions: BTreeMap<String, String>,
}

/// A report method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportPoint {
    /// The function that makes it; none: the one that describes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_function: Option<String>,
    /// What it asks for first.
    pub values: Vec<ValueDef>,
    /// Who may have it made; empty: whoever reads billing.
    pub levels: Vec<Level>,
    /// How it may be drawn: `COLUMN`, `LINE`, `BAR`, `PIE`, `AREA`.
    pub charts: Vec<String>,
}

/// A value that people fill in, or that a function measures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ValueDef {
    /// Its name in requests and in the script.
    pub key: String,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// Whether it must be there.
    pub required: bool,
    /// Whether only scripts set it.
    pub read_only: bool,
    /// Whether a form leaves it out.
    pub hidden: bool,
    /// What it is unless given.
    pub default_value: Option<String>,
    /// What a form shows in an empty field.
    pub default_text: Option<String>,
    /// What it is now, in dialogues.
    pub value: Option<String>,
    /// Its unit, in the language's words: `GB`, `HOUR`.
    pub measure_type: Option<String>,
    /// A hint for a form's editor.
    pub data_content: Option<String>,
    /// Whether a form asks again when it changes.
    pub recheck_on_change: bool,
    /// Whether a browser may complete it.
    pub remembered: bool,
    /// What it must be.
    pub validator: Option<Validator>,
}

/// What a value must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Validator {
    /// In the language's words: `ENUM`, `REGEX`, `NUMERIC_INT` and so on.
    pub kind: String,
    /// The list, expression or range.
    pub rule: String,
    /// What to say when it is not.
    pub error: Option<String>,
    /// Whether several values, parted by commas, are allowed.
    pub multiple: bool,
    /// What the resource that a `RESOURCE` names must be besides; all of it must hold.
    #[serde(default)]
    pub filter: Vec<FilterCondition>,
    /// What the words of an `ENUM` read as, where that is not the word itself.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A condition of the language's filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FilterCondition {
    /// The property, through relations with dots.
    pub field: String,
    /// In the language's words: `IS_EQUAL_TO`, `STARTS_WITH` and so on.
    pub condition: String,
    /// What it is held against.
    pub values: Vec<String>,
}

impl ValueDef {
    /// Whether what it holds is never shown again.
    pub fn is_secret(&self) -> bool {
        self.validator.as_ref().is_some_and(|validator| validator.kind == "PASSWORD")
    }

    /// What is wrong with a text for this value; `RESOURCE` and `DATE` are held by others against the store and the language.
    ///
    /// # Errors
    /// What it must be instead; the script's own words where it gave some.
    pub fn check(&self, text: &str) -> Result<(), String> {
        if text.len() > VALUE_BYTES {
            return Err(format!("is longer than {VALUE_BYTES} bytes"));
        }
        let Some(validator) = &self.validator else { return Ok(()) };
        if text.is_empty() && !self.required {
            return Ok(());
        }
        for part in validator.parts(text) {
            validator.check(part).map_err(|detail| validator.error.clone().unwrap_or(detail))?;
        }
        Ok(())
    }
}

impl Validator {
    /// The values in a text.
    pub fn parts<'t>(&self, text: &'t str) -> Vec<&'t str> {
        if self.multiple { text.split(',').map(str::trim).collect() } else { vec![text] }
    }

    /// The type of resource and the property of it that a `RESOURCE` asks for (`SERVER.resourceName`); without a type any
    /// resource, by its UUID.
    pub fn resource(&self) -> (String, &str) {
        let (kind, field) = self.rule.trim().split_once('.').unwrap_or((self.rule.trim(), ""));
        (kind.trim().to_uppercase(), if field.trim().is_empty() { "resourceUUID" } else { field.trim() })
    }

    fn check(&self, text: &str) -> Result<(), String> {
        match self.kind.as_str() {
            "ENUM" => {
                let known: Vec<&str> = self.rule.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
                match known.is_empty() || known.contains(&text) {
                    true => Ok(()),
                    false => Err(format!("is `{}`; must be one of {}", shown(text), known.join(", "))),
                }
            }
            "REGEX" => {
                match regex::RegexBuilder::new(&format!("^(?:{})$", self.rule)).size_limit(REGEX_BYTES).build() {
                    Ok(rule) if !rule.is_match(text) => Err(format!("does not match `{}`", self.rule)),
                    // An expression of another dialect than ours cannot be held against anything.
                    Ok(_) | Err(_) => Ok(()),
                }
            }
            "NUMERIC_INT" => {
                let number: i64 =
                    text.trim().parse().map_err(|_| format!("is `{}`; must be a whole number", shown(text)))?;
                #[allow(clippy::cast_precision_loss)] // a range in a form is far below what a double counts exactly
                self.within(number as f64)
            }
            "NUMERIC_DOUBLE" => {
                let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                self.within(number.ok_or_else(|| format!("is `{}`; must be a number", shown(text)))?)
            }
            "BOOLEAN" => match text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
                true => Ok(()),
                false => Err(format!("is `{}`; must be true or false", shown(text))),
            },
            "HEX_COLOUR" => {
                let digits = text.strip_prefix('#').unwrap_or(text);
                match matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    true => Ok(()),
                    false => Err(format!("is `{}`; must be a colour such as #3366ff", shown(text))),
                }
            }
            _ => Ok(()),
        }
    }

    /// Holds a number against a range such as `10-200`; either end may be missing.
    fn within(&self, number: f64) -> Result<(), String> {
        let rule = self.rule.trim();
        // A sign at the start belongs to the number.
        let Some(at) = rule.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| at) else { return Ok(()) };
        let end = |text: &str| text.trim().parse::<f64>().ok();
        let (low, high) = (end(&rule[..at]), end(&rule[at + 1..]));
        match low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
            true => Err(format!("is {number}; must be within {rule}")),
            false => Ok(()),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Takes what people filled in into the values that were there. What is read-only stays, and defaults fill what is missing.
///
/// # Errors
/// Every key that the form does not have, that cannot be set, that is missing or wrong.
pub fn fill(
    definitions: &[ValueDef],
    before: &BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
    field: &str,
) -> Result<BTreeMap<String, String>, Vec<FieldError>> {
    let mut values = before.clone();
    let mut problems = Vec::new();
    let mut wrong = |key: &str, detail: String| problems.push(FieldError::new(format!("{field}.{key}"), detail));
    for (key, text) in given {
        match definitions.iter().find(|definition| definition.key == *key) {
            None => {
                let known: Vec<&str> = definitions.iter().map(|definition| definition.key.as_str()).collect();
                wrong(key, format!("is not asked for; known are {}", known.join(", ")));
            }
            Some(definition) if definition.read_only && before.get(key) != Some(text) => {
                wrong(key, "is set by its provider only".to_owned());
            }
            Some(definition) => match definition.check(text) {
                Ok(()) => {
                    values.insert(key.clone(), text.clone());
                }
                Err(detail) => wrong(key, detail),
            },
        }
    }
    for definition in definitions {
        if !values.contains_key(&definition.key)
            && let Some(text) = &definition.default_value
        {
            values.insert(definition.key.clone(), text.clone());
        }
        let empty = values.get(&definition.key).is_none_or(String::is_empty);
        // What was given and is wrong has been told.
        let told = given.get(&definition.key).is_some_and(|text| !text.is_empty());
        if definition.required && !definition.read_only && empty && !told {
            wrong(&definition.key, "is missing".to_owned());
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// What is wrong with a form itself, in the descriptor of a block.
pub fn form_problem(definitions: &[ValueDef]) -> Option<String> {
    if definitions.len() > VALUES_MAX {
        return Some(format!("has more than {VALUES_MAX} values"));
    }
    let empty = definitions.iter().any(|definition| definition.key.is_empty());
    if empty {
        return Some("has a value without `key`".to_owned());
    }
    let twice = (1..definitions.len()).find(|at| definitions[..*at].iter().any(|d| d.key == definitions[*at].key));
    twice.map(|at| format!("has two values with the key `{}`", definitions[at].key))
}

/// What is wrong with a provider's type, in the descriptor of a block.
pub fn provider_type_problem(word: &str) -> Option<String> {
    let ok = !word.is_empty()
        && word.len() <= 100
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    (!ok).then(|| "has a `providerType` that is not 1 to 100 letters, digits, `_` and `-`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, kind: &str, rule: &str) -> ValueDef {
        let validator = Validator { kind: kind.into(), rule: rule.into(), error: None, ..Validator::default() };
        ValueDef { key: key.into(), validator: Some(validator), ..ValueDef::default() }
    }

    #[test]
    fn values_are_held_against_their_validators() {
        for (kind, rule, good, bad) in [
            ("ENUM", "TRUE, FALSE", "TRUE", "true-ish"),
            ("REGEX", "https?://.+", "https://a.example", "ftp://a.example"),
            ("NUMERIC_INT", "10-200", "200", "201"),
            ("NUMERIC_INT", "", "-7", "seven"),
            ("NUMERIC_DOUBLE", "0-1", "0.5", "1.5"),
            ("NUMERIC_INT", "-5-5", "-5", "-6"),
            ("BOOLEAN", "", "False", "no"),
            ("HEX_COLOUR", "", "#3366ff", "#36ff"),
        ] {
            let definition = value("k", kind, rule);
            assert_eq!(definition.check(good), Ok(()), "{kind} {good}");
            assert!(definition.check(bad).is_err(), "{kind} {bad}");
        }
        let own = ValueDef {
            validator: Some(Validator {
                error: Some("a web address, please".into()),
                ..value("k", "REGEX", "x").validator.unwrap()
            }),
            ..ValueDef::default()
        };
        assert_eq!(own.check("y"), Err("a web address, please".to_owned()));
    }

    #[test]
    fn a_form_names_every_value_that_is_wrong_and_fills_in_defaults() {
        let definitions = [
            ValueDef { required: true, ..value("url", "REGEX", "https://.+") },
            ValueDef { read_only: true, ..value("id", "", "") },
            ValueDef { default_value: Some("2".into()), ..value("every", "ENUM", "2,4,6") },
        ];
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let filled = fill(&definitions, &map(&[("id", "7")]), &map(&[("url", "https://x")]), "values");
        assert_eq!(filled, Ok(map(&[("id", "7"), ("url", "https://x"), ("every", "2")])));
        let wrong = fill(&definitions, &map(&[]), &map(&[("id", "8"), ("every", "3"), ("colour", "red")]), "values");
        let fields: Vec<String> = wrong.unwrap_err().into_iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["values.colour", "values.every", "values.id", "values.url"]);
        let wrong = fill(&definitions, &map(&[]), &map(&[("url", "ftp://x")]), "values").unwrap_err();
        assert_eq!(wrong.len(), 1, "what is wrong is not missing too: {wrong:?}");
    }

    #[test]
    fn a_form_with_a_doubtful_key_is_refused() {
        assert_eq!(form_problem(&[value("a", "", ""), value("b", "", "")]), None);
        assert!(form_problem(&[value("a", "", ""), value("a", "", "")]).is_some_and(|p| p.contains("`a`")));
        assert!(form_problem(&[value("", "", "")]).is_some());
    }
}
