//! How a value stands to the text of a filter.

use crate::{date, dialect::number_text, schema::Type};
use serde_json::Value;
use std::cmp::Ordering;

/// A property as the texts that a part of one may be of: a date is written in each of the ways in which filters write it.
pub(super) fn texts(value: &Value, kind: &Type) -> Vec<String> {
    let date = || match value {
        Value::Number(ms) => ms.as_i64(),
        Value::String(text) => date::parse_any(text).map(|(from, _)| from),
        _ => None,
    };
    match (kind, date()) {
        (Type::Date, Some(ms)) => ["yyyy-MM-dd'T'HH:mm:ssZ", "yyyy-MM-dd HH:mm:ssZ", "yyyy-MM-ddHH:mm:ssZ"]
            .map(|pattern| date::format(ms, pattern))
            .into(),
        _ => vec![scalar_text(value)],
    }
}

/// Compares a property with the text of a filter.
pub(super) fn compare(value: &Value, kind: &Type, wanted: &str) -> Option<Ordering> {
    if *kind == Type::Date {
        let ms = match value {
            Value::Number(n) => n.as_i64()?,
            Value::String(text) => date::parse_any(text)?.0,
            _ => return None,
        };
        // A text names a span, a day or a second, and every moment within is equal to it.
        let (from, to) = date::parse_any(wanted)?;
        return Some(if ms < from {
            Ordering::Less
        } else if ms >= to {
            Ordering::Greater
        } else {
            Ordering::Equal
        });
    }
    match value {
        Value::Number(n) => {
            let n = n.as_f64()?;
            let wanted = wanted.trim();
            // A number property may hold a time in seconds, which filters may also write as a date.
            match wanted.parse::<f64>() {
                Ok(wanted) => n.partial_cmp(&wanted),
                Err(_) => {
                    let (from, to) = date::parse_any(wanted)?;
                    compare_span(n, from, to)
                }
            }
        }
        Value::Bool(b) => truth(wanted).map(|wanted| b.cmp(&wanted)),
        Value::String(text) if matches!(kind, Type::Enum(_)) && text.eq_ignore_ascii_case(wanted.trim()) => {
            Some(Ordering::Equal)
        }
        Value::String(text) => match (text.parse::<f64>(), wanted.parse::<f64>()) {
            // Equal texts are equal even where their numbers are not.
            (Ok(a), Ok(b)) if text != wanted => {
                a.partial_cmp(&b).filter(|order| *order != Ordering::Equal).or(Some(text.as_str().cmp(wanted)))
            }
            _ => Some(text.as_str().cmp(wanted)),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn truth(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss)] // times of day and year are far below 2^53
fn compare_span(seconds: f64, from: i64, to: i64) -> Option<Ordering> {
    let ms = seconds * 1000.0;
    if ms < from as f64 {
        Some(Ordering::Less)
    } else if ms >= to as f64 {
        Some(Ordering::Greater)
    } else {
        Some(Ordering::Equal)
    }
}

/// A value as filters and query rows write it.
pub(crate) fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => number_text(n.as_f64().unwrap_or_default()),
        Value::Bool(b) => b.to_string(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
