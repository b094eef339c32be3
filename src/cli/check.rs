//! `trigger check`: what a server would say to a source, without a server.

use super::{
    error::Error,
    field::read_text,
    output::{Format, cell, lines, note},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use sutler_lua::{Api, Bean, Egress, Host, HostError, Limits, Runtime, Who, options_of, strange_options};

/// Compiles a source and runs its `register()` under the limits of a server.
///
/// # Errors
/// [`Error::Usage`] with file and line, for a source that a server would refuse.
pub async fn check(format: Format, file: &str) -> Result<(), Error> {
    let source = read_text(file).map_err(Error::Usage)?;
    let runtime = Runtime::new(1, Arc::new(Nobody), Egress::default());
    let found = runtime.register(&source, Limits::default()).await.map_err(|e| {
        let line = e.line.map(|l| format!(":{l}")).unwrap_or_default();
        Error::Usage(format!("{file}{line}: {}", e.message))
    })?;
    for entry in &found.entries {
        for option in strange_options(entry) {
            let kind = serde_json::to_value(entry.trigger_type).map(|kind| cell(&kind)).unwrap_or_default();
            let known = options_of(entry.trigger_type).unwrap_or_default();
            let has = if known.is_empty() { "it has none but ANY".to_owned() } else { near(option, &known) };
            note(&format!(
                "{file}: `{}` will never run for {option}: that is no option of {kind}; {has}",
                entry.function
            ));
        }
    }
    for text in &found.notes {
        note(&format!("{file}: {text}"));
    }
    let entries: Vec<Value> = found.entries.iter().filter_map(|e| serde_json::to_value(e).ok()).collect();
    let points: Vec<Value> = found.points.iter().filter_map(|p| serde_json::to_value(p).ok()).collect();
    if format != Format::Table {
        return format.value(&json!({"file": file, "entries": entries, "points": points}));
    }
    if entries.is_empty() && points.is_empty() {
        note(&format!("{file}: compiles, and registers nothing"));
        return Ok(());
    }
    let entry =
        |e: &Value| format!("{}  {}  {}\n", cell(&e["function"]), cell(&e["trigger_type"]), cell(&e["options"]));
    let point = |p: &Value| format!("{}  {}\n", cell(&p["function"]), cell(&p["api"]).to_uppercase());
    let all = entries.iter().map(entry).chain(points.iter().map(point));
    lines(&all.collect::<String>())
}

/// Those of the options that the strange one may stand for: with the same beginning, else all.
fn near(strange: &str, known: &[&str]) -> String {
    let begin: String = strange.chars().take(3).collect();
    let near: Vec<&str> = known.iter().copied().filter(|option| option.starts_with(&begin)).collect();
    let list = if near.is_empty() { known } else { &near };
    format!("there are {}", list.join(", "))
}

/// Nothing is there: registering reaches nothing outside.
struct Nobody;

#[async_trait]
impl Host for Nobody {
    async fn list(&self, _: &Who, _: &Api, _: &str, _: &[(String, Vec<String>)]) -> Result<Vec<Bean>, HostError> {
        Ok(Vec::new())
    }

    async fn get(&self, _: &Who, _: &Api, _: &str, _: bool) -> Result<Option<Bean>, HostError> {
        Ok(None)
    }

    async fn call(&self, _: &Who, _: Api, operation: &str, _: Vec<Value>, _: u32) -> Result<Value, HostError> {
        Err(HostError::Unsupported(operation.to_owned()))
    }
}
