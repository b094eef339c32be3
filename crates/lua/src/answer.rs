//! What functions that are no triggers return (`fdl.md` 1.5), read leniently.

use crate::{Exit, Outcome, descriptor};
use serde::Serialize;
use serde_json::{Map, Value};
use sutler_model::{Nanos, ValueDef};

/// What an action, a provider's function or a report answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// What kind of content it is: `STRING`, `URL`, `DIALOGUE` and so on; empty: none was given.
    pub return_type: String,
    /// The content.
    pub content: Value,
}

/// A dialogue that a console shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Dialogue {
    /// Its title.
    pub title: String,
    /// Text above its values.
    pub message: String,
    /// The name of an icon; empty: none.
    pub icon: String,
    /// Its values.
    pub values: Vec<ValueDef>,
}

/// Something measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Which of the function's values.
    pub key: String,
    /// How much.
    pub value: f64,
}

/// Something to charge, or to give back when negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    /// Units to take; positive, where scripts write negative ones.
    pub units: Option<Nanos>,
    /// An amount in the plan's currency.
    pub amount: Option<Nanos>,
    /// What for.
    pub description: String,
}

impl Answer {
    /// Reads the end of a run.
    ///
    /// # Errors
    /// The script's error code (which may be empty) and text, or why the run failed.
    pub fn read(outcome: &Outcome) -> Result<Self, (String, String)> {
        match &outcome.exit {
            Exit::Failed(error) => return Err((String::new(), error.to_string())),
            Exit::Stopped(limit) => return Err((String::new(), limit.to_string())),
            Exit::Success | Exit::Continue | Exit::Refused(_) => {}
        }
        let Value::Object(fields) = &outcome.returned else {
            return Ok(Self { return_type: String::new(), content: outcome.returned.clone() });
        };
        let failed = text(fields, "success").is_some_and(|word| word.eq_ignore_ascii_case("false"));
        if let Exit::Refused(reason) = &outcome.exit {
            let words = ["errorString", "errorMessage", "reason", "message"].into_iter().find_map(|n| text(fields, n));
            return Err((text(fields, "errorCode").unwrap_or_default(), words.unwrap_or_else(|| reason.clone())));
        }
        if failed {
            let words = text(fields, "errorString").unwrap_or_else(|| "the provider refused".to_owned());
            return Err((text(fields, "errorCode").unwrap_or_default(), words));
        }
        let return_type = text(fields, "returnType").unwrap_or_default().to_uppercase();
        let mut content = fields.get("returnContent").cloned().unwrap_or_default();
        // What `Utils` makes for these is JSON in a text.
        if ["DIALOGUE", "FUNCTION", "URL", "URL_POPUP"].contains(&return_type.as_str())
            && let Some(read @ Value::Object(_)) = content.as_str().and_then(|text| serde_json::from_str(text).ok())
        {
            content = read;
        }
        Ok(Self { return_type, content })
    }

    /// The address that a browser would be sent to, where it is not one of the web: a script of another scheme would run
    /// with the rights of whoever looks.
    pub fn bad_url(&self) -> Option<&str> {
        if !self.return_type.starts_with("URL") {
            return None;
        }
        let url = self.content.as_str().or_else(|| self.content.get("url")?.as_str())?.trim();
        let lower = url.to_lowercase();
        let web = ["https://", "http://"].iter().any(|scheme| lower.starts_with(scheme))
            || (url.starts_with('/') && !url.starts_with("//"));
        (!web).then_some(url)
    }

    /// Whether it says no: a `BOOLEAN` that is not true.
    pub fn is_no(&self) -> bool {
        let word = match &self.content {
            Value::Bool(flag) => return self.return_type == "BOOLEAN" && !flag,
            Value::String(word) => word.trim(),
            _ => return false,
        };
        self.return_type == "BOOLEAN" && word.eq_ignore_ascii_case("false")
    }

    /// The content as a dialogue, where it is one.
    pub fn dialogue(&self) -> Option<Dialogue> {
        let fields = self.content.as_object().filter(|_| self.return_type == "DIALOGUE")?;
        let values = fields.get("values").and_then(Value::as_array);
        Some(Dialogue {
            title: text(fields, "title").unwrap_or_default(),
            message: text(fields, "message").unwrap_or_default(),
            icon: text(fields, "icon").unwrap_or_default(),
            values: values.into_iter().flatten().filter_map(Value::as_object).map(descriptor::value).collect(),
        })
    }
}

impl Measured {
    /// Reads what a measurement function returned: an array of `{ key, value }`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(returned: &Value) -> Result<Vec<Self>, String> {
        let items = list(returned)?;
        let read = |item: &Value| {
            let fields = item.as_object().ok_or("returned something measured that is no table")?;
            let key = text(fields, "key").ok_or("returned something measured without `key`")?;
            let value = fields.get("value").and_then(|value| match value {
                Value::Number(number) => number.as_f64(),
                Value::String(word) => word.trim().parse().ok(),
                _ => None,
            });
            match value.filter(|value: &f64| value.is_finite()) {
                Some(value) => Ok(Self { key, value }),
                None => Err(format!("returned a `value` for `{key}` that is not a number")),
            }
        };
        items.iter().map(read).collect()
    }
}

impl Charge {
    /// Reads what a billing method returned: an array of `{ units, description }` or `{ charge, description }`, or nothing.
    ///
    /// Amounts are read from the decimal text of the script's number, so what a script writes as `0.1` is exactly that;
    /// places beyond the ninth are cut by rounding half to even.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(returned: &Value) -> Result<Vec<Self>, String> {
        let items = match returned {
            Value::Object(_) => std::slice::from_ref(returned),
            other => list(other)?,
        };
        let read = |item: &Value| {
            let fields = item.as_object().ok_or("returned a charge that is no table")?;
            let amount = |name: &str| match fields.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => {
                    exact(value).map(Some).ok_or_else(|| format!("returned a `{name}` that is not an amount"))
                }
            };
            let (units, amount) = (amount("units")?, amount("charge")?);
            if units.is_none() && amount.is_none() {
                return Err("returned a charge with neither `units` nor `charge`".to_owned());
            }
            // Units charged are negative in the language.
            let units = units.map(|units| Nanos(-units.0));
            Ok(Self { units, amount, description: text(fields, "description").unwrap_or_default() })
        };
        items.iter().map(read).collect()
    }
}

/// A number or decimal text as an exact amount.
fn exact(value: &Value) -> Option<Nanos> {
    let text = match value {
        Value::Number(number) => number.as_f64().filter(|n| n.abs() < 1e15).map(|n| format!("{n:.9}"))?,
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    text.parse().ok()
}

fn list(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        Value::Object(fields) if fields.is_empty() => Ok(&[]),
        _ => Err("returned neither a list nor nothing".to_owned()),
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
