//! Settings and actions that scripts add to records, pluggable resources' actions, and reports.

use super::{
    client::Query,
    error::Error,
    output::{Column, Format, cell, harmless, lines, note, table},
    session::Session,
};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// Commands of `provider`.
#[derive(clap::Subcommand, Debug)]
pub enum Provider {
    /// List the settings that scripts add to a server, customer or billing entity
    List {
        /// Its name or id
        resource: String,
    },
    /// List what scripts' actions can be done with a server, customer or billing entity
    Actions {
        /// Its name or id
        resource: String,
    },
    /// Set values of a provider on a server, customer or billing entity; what is left out stays
    Set {
        /// Its name or id
        resource: String,
        /// The provider's type
        provider: String,
        /// Each value
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        values: Vec<(String, String)>,
    },
    /// Have a provider do something with a server, customer or billing entity
    Act {
        /// Its name or id
        resource: String,
        /// The provider's type
        provider: String,
        /// The action
        action: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Have a provider do something that is done with no resource (a static action)
    Invoke {
        /// The provider's type
        provider: String,
        /// The action
        action: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// List what was measured of a resource
    Measurements {
        /// Its name or id; of one that is gone its id
        resource: String,
    },
}

/// Commands of `report`.
#[derive(clap::Subcommand, Debug)]
pub enum Report {
    /// List the reports that you may have made
    List,
    /// Have a report made
    Make {
        /// The block: its id, as the list shows it, or its name where you see it
        script: String,
        /// Its function
        function: String,
        #[command(flatten)]
        asked: Asked,
    },
}

/// Commands on a pluggable resource beside those of the table.
#[derive(clap::Subcommand, Debug)]
pub enum Pluggable {
    /// List the kinds of resource that scripts add
    Kinds,
    /// Have its provider do something with a resource
    Act {
        /// Its name or id
        resource: String,
        /// The action
        action: String,
        #[command(flatten)]
        asked: Asked,
    },
}

/// What an action or a report is asked with.
#[derive(clap::Args, Debug)]
pub struct Asked {
    /// What it asks for
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
}

impl Asked {
    /// Sends it to a function below `path` under the name that the values have there, and prints what came back.
    async fn send(self, session: &Session, path: &str, function: &str, name: &str) -> Result<(), Error> {
        let path = format!("{path}/{}", word(function)?);
        let request =
            session.client.request(Method::POST, &path, &Query::new()).json(&json!({ name: map(self.values) }));
        let answer = session.client.send(request).await?.body;
        if session.format != Format::Table {
            return session.format.record(&answer);
        }
        if answer["return_type"].is_null() {
            let run = answer["run_id"].as_str().unwrap_or("");
            note(&format!("it goes on; `sutler run show {run}` tells how it went"));
            return Ok(());
        }
        if answer["dialogue"].is_object() {
            return lines(&dialogue(&answer["dialogue"]));
        }
        match &answer["content"] {
            Value::String(text) => lines(&format!("{}\n", harmless(text))),
            Value::Null => {
                note("done");
                Ok(())
            }
            content => session.format.record(content),
        }
    }
}

const VALUES: &[Column] = &[
    Column { title: "PROVIDER", at: "provider" },
    Column { title: "KEY", at: "key" },
    Column { title: "NAME", at: "name" },
    Column { title: "VALUE", at: "value" },
    Column { title: "READ ONLY", at: "read_only" },
    Column { title: "MUST BE", at: "must_be" },
];
const ACTIONS: &[Column] = &[
    Column { title: "PROVIDER", at: "provider" },
    Column { title: "ACTION", at: "key" },
    Column { title: "NAME", at: "name" },
    Column { title: "ANSWERS", at: "return_type" },
];
const MEASUREMENTS: &[Column] = &[
    Column { title: "AT", at: "at" },
    Column { title: "FUNCTION", at: "function" },
    Column { title: "VALUES", at: "values" },
];
const KINDS: &[Column] = &[
    Column { title: "TYPE", at: "provider.provider_type" },
    Column { title: "NAME", at: "name" },
    Column { title: "GROUP", at: "provider.provider_group" },
    Column { title: "YOU MAY MAKE ONE", at: "can_create" },
];
const REPORTS: &[Column] = &[
    Column { title: "SCRIPT", at: "script_id" },
    Column { title: "FUNCTION", at: "function" },
    Column { title: "NAME", at: "name" },
    Column { title: "DESCRIPTION", at: "description" },
];

/// Runs a command of `provider`.
///
/// # Errors
/// Those of the request.
pub async fn provider(session: &Session, command: Provider) -> Result<(), Error> {
    match command {
        Provider::List { resource } => {
            let resource = named(session, &resource, PROVIDED).await?;
            let mut found = parts(session, &resource, "values").await?;
            if session.format == Format::Table {
                found.iter_mut().for_each(|value| value["must_be"] = must_be(value).into());
            }
            session.format.list(VALUES, &found)
        }
        Provider::Actions { resource } => {
            let resource = named(session, &resource, PROVIDED).await?;
            session.format.list(ACTIONS, &parts(session, &resource, "actions").await?)
        }
        Provider::Set { resource, provider, values } => {
            let resource = named(session, &resource, PROVIDED).await?;
            let path = format!("resources/{resource}/providers/{}", word(&provider)?);
            let request = session.client.request(Method::PATCH, &path, &Query::new());
            session.client.send(request.json(&json!({ "values": map(values) }))).await?;
            note(&format!("the settings of {provider} are set"));
            Ok(())
        }
        Provider::Act { resource, provider, action, asked } => {
            let resource = named(session, &resource, PROVIDED).await?;
            let path = format!("resources/{resource}/providers/{}/actions", word(&provider)?);
            asked.send(session, &path, &action, "parameters").await
        }
        Provider::Invoke { provider, action, asked } => {
            asked.send(session, &format!("providers/{}/actions", word(&provider)?), &action, "parameters").await
        }
        Provider::Measurements { resource } => {
            let resource = named(session, &resource, MEASURED).await?;
            let path = format!("resources/{resource}/measurements");
            let (mut found, _) = session.client.list(&path, &Query::new(), usize::MAX).await?;
            if session.format == Format::Table {
                found.iter_mut().for_each(|one| one["values"] = measured(&one["values"]).into());
            }
            session.format.list(MEASUREMENTS, &found)
        }
    }
}

/// Runs a command of `report`.
///
/// # Errors
/// Those of the request.
pub async fn report(session: &Session, command: Report) -> Result<(), Error> {
    match command {
        Report::List => {
            let body = session.client.get("reports").await?;
            session.format.list(REPORTS, items(&body))
        }
        Report::Make { script, function, asked } => {
            let script = session.id_of("trigger", &script).await?;
            asked.send(session, &format!("reports/{script}"), &function, "values").await
        }
    }
}

/// Runs a command of `pluggable-resource` that the table does not have; `id` is the resource's.
///
/// # Errors
/// Those of the request.
pub async fn pluggable(session: &Session, command: Pluggable, id: Option<String>) -> Result<(), Error> {
    match (command, id) {
        (Pluggable::Act { action, asked, .. }, Some(id)) => {
            asked.send(session, &format!("pluggable-resources/{id}/actions"), &action, "parameters").await
        }
        _ => {
            let body = session.client.get("pluggable-providers").await?;
            session.format.list(KINDS, items(&body))
        }
    }
}

/// What providers add settings and actions to, and what measurement functions look at.
const PROVIDED: &[&str] = &["server", "customer", "billing-entity"];
const MEASURED: &[&str] = &["server", "disk", "customer", "billing-entity", "pluggable-resource", "image", "user"];

/// The id of what has this name, of whichever of these nouns it is.
async fn named(session: &Session, text: &str, nouns: &[&str]) -> Result<String, Error> {
    if uuid::Uuid::try_parse(text).is_ok() {
        return Ok(text.to_owned());
    }
    let mut found = Vec::new();
    for noun in nouns {
        match session.id_of(noun, text).await {
            Ok(id) => found.push((*noun, id)),
            // Nor is there one for who may not list them.
            Err(Error::NotFound(_)) => {}
            Err(Error::Problem(problem)) if problem.status == 403 => {}
            Err(error) => return Err(error),
        }
    }
    match &found[..] {
        [(_, id)] => Ok(id.clone()),
        [] => Err(Error::NotFound(format!("there is no {} `{text}`", nouns.join(", ").replace('-', " ")))),
        several => {
            let list: String = several.iter().map(|(noun, id)| format!("\n  {id}  ({noun})")).collect();
            Err(Error::Usage(format!("several are called `{text}`; use the id of one:{list}")))
        }
    }
}

/// What a value must be, in a few words.
fn must_be(value: &Value) -> String {
    let validator = &value["validator"];
    let (kind, rule) = (validator["kind"].as_str().unwrap_or(""), validator["rule"].as_str().unwrap_or(""));
    match kind {
        "ENUM" => {
            let label = |word: &str| match validator["labels"][word].as_str() {
                Some(label) => format!("{word} ({label})"),
                None => word.to_owned(),
            };
            rule.split(',').map(|word| label(word.trim())).collect::<Vec<_>>().join(", ")
        }
        "" => String::new(),
        kind => format!("{kind} {rule}").trim().to_owned(),
    }
}

/// What was measured, by key: `stored 2.5 GB`.
pub fn measured(values: &Value) -> String {
    let one = |(key, value): (&String, &Value)| {
        let text = format!("{key} {} {}", cell(&value["value"]), value["unit"].as_str().unwrap_or(""));
        text.trim().to_owned()
    };
    values.as_object().map(|values| values.iter().map(one).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

/// A dialogue for people.
fn dialogue(dialogue: &Value) -> String {
    let heading = ["title", "message"].into_iter().filter_map(|part| dialogue[part].as_str());
    let mut text: String =
        heading.filter(|text| !text.is_empty()).map(|text| format!("{}\n", harmless(text))).collect();
    let values = dialogue["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = values.iter().filter(|value| value["hidden"] != true);
    let rows: Vec<Vec<String>> = shown.map(|value| vec![cell(&value["name"]), cell(&value["value"])]).collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table(vec!["NAME".to_owned(), "VALUE".to_owned()], rows, None));
    }
    text
}

/// The values or actions of all providers of a record, each with its provider.
async fn parts(session: &Session, resource: &str, part: &str) -> Result<Vec<Value>, Error> {
    let body = session.client.get(&format!("resources/{resource}/providers")).await?;
    let mut all = Vec::new();
    for form in items(&body) {
        for each in form[part].as_array().map(Vec::as_slice).unwrap_or_default() {
            let mut each = each.clone();
            each["provider"] = form["provider_type"].clone();
            all.push(each);
        }
    }
    Ok(all)
}

fn items(body: &Value) -> &[Value] {
    body["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn map(pairs: Vec<(String, String)>) -> Map<String, Value> {
    pairs.into_iter().map(|(key, value)| (key, Value::from(value))).collect()
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

/// A word that goes into a path as it is.
fn word(text: &str) -> Result<&str, Error> {
    match !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        true => Ok(text),
        false => Err(Error::Usage(format!("`{text}` must be letters, digits, `_` and `-`"))),
    }
}
