//! Triggers: loading sources, reading logs.

use super::{
    client::Query,
    error::Error,
    events,
    field::{self, read_text},
    output::{Column, Format, at, cell, harmless, lines},
    package,
    session::{Session, Write},
};
use reqwest::{Method, header};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use sutler_model::Timestamp;

/// Commands of `trigger` beside those of the table.
#[derive(clap::Subcommand, Debug)]
pub enum Trigger {
    /// Load a Lua source: a new trigger, or a new source for the one of this name; of a folder all its sources (*.lua), their
    /// translations (translations/*.json) and blobs (_skyline/blobs/*)
    Load {
        /// The Lua file, `-` for the standard input, or the folder of a package
        file: String,
        /// Its name; default: the file's, without its ending
        #[arg(long)]
        name: Option<String>,
        /// Whose it is: `provider`, `billing-entity:NAME` or `customer:NAME`; default: what you reach. Only when new
        #[arg(long)]
        owner: Option<String>,
        /// Load it, and let it run later (`trigger enable`)
        #[arg(long)]
        disabled: bool,
        /// Let an event pass when a PRE entry fails, instead of refusing it
        #[arg(long)]
        fail_open: bool,
        /// Only make a new one: fail when the name is taken
        #[arg(long)]
        new: bool,
    },
    /// List the revisions of a trigger, oldest first
    Versions {
        /// Name or id of the trigger
        trigger: String,
    },
    /// Show what changed from one revision of a trigger to another
    Diff {
        /// Name or id of the trigger
        trigger: String,
        /// The newer revision; default: the newest
        #[arg(long, value_name = "N")]
        to: Option<u32>,
        /// The older revision; default: the one before
        #[arg(long, value_name = "N")]
        from: Option<u32>,
    },
    /// Vouch for a revision of a trigger; where signatures are required, this puts the newest one in force
    Sign {
        /// Name or id of the trigger
        trigger: String,
        /// The revision; default: the newest
        #[arg(long, value_name = "N")]
        revision: Option<u32>,
    },
    /// Put an older revision of a trigger in force
    Rollback {
        /// Name or id of the trigger
        trigger: String,
        /// The revision; default: the one before that in force
        #[arg(long, value_name = "N")]
        to: Option<u32>,
    },
    /// Run a trigger over a past event without effects, and show what it would do
    Test {
        /// Name or id of the trigger
        trigger: String,
        /// A Lua file to run in place of its newest text, `-` for the standard input
        #[arg(long)]
        file: Option<String>,
        /// Which of its functions; may be left out where there is one
        #[arg(long)]
        function: Option<String>,
        /// The event's place in the feed, as `seq` of a run; default: the last that fits
        #[arg(long, value_name = "N")]
        seq: Option<u64>,
    },
    /// Run a trigger over a past period without effects, and report what it would have done
    Replay {
        /// Name or id of the trigger
        trigger: String,
        /// Events from here on, such as 2026-11-01
        #[arg(long, value_parser = field::time, value_name = "TIME")]
        from: Timestamp,
        /// Events before here; default: until now
        #[arg(long, value_parser = field::time, value_name = "TIME")]
        to: Option<Timestamp>,
        /// A Lua file to run in place of its newest text, `-` for the standard input
        #[arg(long)]
        file: Option<String>,
    },
    /// List the runs of a trigger, newest first
    Runs {
        /// Name or id of the trigger
        trigger: String,
        /// Only those in this state; `dead` lists dead letters
        #[arg(long, value_parser = ["pending", "running", "retrying", "succeeded", "refused", "dead", "skipped"])]
        state: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Print what the last runs of a trigger printed and returned, oldest first
    Logs {
        /// Name or id of the trigger
        trigger: String,
        /// How many runs back
        #[arg(long, default_value_t = 10, value_name = "N")]
        limit: usize,
        /// Go on with each try as it ends, until Ctrl-C
        #[arg(long, short)]
        follow: bool,
        /// With --follow: end after this many tries
        #[arg(long, value_name = "N", requires = "follow", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// Run a scheduled entry of a trigger now
    Run {
        /// Name or id of the trigger
        trigger: String,
        /// Which of its functions; may be left out where one is scheduled
        #[arg(long)]
        function: Option<String>,
        /// The time it is told; default: now
        #[arg(long, value_parser = field::time, value_name = "TIME")]
        at: Option<Timestamp>,
    },
    /// Try a dead run again
    Retry {
        /// Id of the run
        run: String,
    },
    /// Pass over a run that holds others back
    Skip {
        /// Id of the run
        run: String,
    },
    /// Print the texts of a trigger's package
    Translations {
        /// Name or id of the trigger
        trigger: String,
        /// Only those in this language
        #[arg(long)]
        language: Option<String>,
    },
    /// Show how the runs of a trigger went, and its last error
    Stats {
        /// Name or id of the trigger
        trigger: String,
    },
}

/// Runs a command of `trigger`.
///
/// # Errors
/// Those of the request; a source that does not compile is a problem that names the line.
pub async fn run(session: &Session, command: Trigger) -> Result<(), Error> {
    match command {
        Trigger::Load { file, name, owner, disabled, fail_open, new } => {
            if Path::new(&file).is_dir() {
                if name.is_some() || new {
                    return Err(Error::Usage(
                        "--name and --new are for one source; those of a folder have theirs".to_owned(),
                    ));
                }
                let owner = match owner {
                    Some(owner) => Some(scope(session, &owner).await?),
                    None => None,
                };
                return package::load(session, Path::new(&file), &package::Options { owner, disabled, fail_open })
                    .await;
            }
            let source = read_text(&file).map_err(Error::Usage)?;
            let stem = || Path::new(&file).file_stem().map(|s| s.to_string_lossy().into_owned());
            let name = match name.or_else(|| stem().filter(|_| file != "-")) {
                Some(name) => name,
                None => return Err(Error::Usage("--name is needed for a source from the standard input".to_owned())),
            };
            let present = if new { Err(Error::NotFound(String::new())) } else { session.id_of("trigger", &name).await };
            match present {
                Ok(id) => replace(session, &id, &source, disabled, fail_open).await,
                Err(Error::NotFound(_)) => {
                    let mut body =
                        json!({"name": name, "source": source, "enabled": !disabled, "fail_open": fail_open});
                    if let Some(owner) = owner {
                        body["owner"] = scope(session, &owner).await?;
                    }
                    let request = session.client.request(Method::POST, "triggers", &Query::new()).json(&body);
                    loaded(session, &session.post(request, &Write::default()).await?.body, "loaded")
                }
                Err(error) => Err(error),
            }
        }
        Trigger::Versions { trigger } => {
            let id = session.id_of("trigger", &trigger).await?;
            let path = format!("triggers/{id}/revisions");
            let (revisions, _) = session.client.list(&path, &Query::new(), usize::MAX).await?;
            session.format.list(REVISION_COLUMNS, &revisions)
        }
        Trigger::Diff { trigger, to, from } => {
            let current = current(session, &trigger).await?;
            let to = to.map_or_else(|| current["latest_revision"].clone(), Value::from);
            let query: Query = from.map(|n| ("from".to_owned(), n.to_string())).into_iter().collect();
            let path = format!("triggers/{}/revisions/{to}/diff", cell(&current["id"]));
            let answer = session.client.send(session.client.request(Method::GET, &path, &query)).await?;
            if session.format != Format::Table {
                return session.format.value(&answer.body);
            }
            lines(&harmless(answer.body["diff"].as_str().unwrap_or_default()))
        }
        Trigger::Sign { trigger, revision } => {
            let current = current(session, &trigger).await?;
            let number = revision.map_or_else(|| current["latest_revision"].clone(), Value::from);
            let path = format!("triggers/{}/revisions/{number}/sign", cell(&current["id"]));
            session.write(session.client.request(Method::POST, &path, &Query::new()), "signed", &Write::default()).await
        }
        Trigger::Rollback { trigger, to } => {
            let current = current(session, &trigger).await?;
            let in_force = current["revision"].as_u64().unwrap_or_default();
            let number = to.map_or(in_force.saturating_sub(1), u64::from);
            if number == 0 {
                return Err(Error::Usage(format!("`{trigger}` has no revision before the one in force")));
            }
            let path = format!("triggers/{}/revisions/{number}/activate", cell(&current["id"]));
            let request = session.client.request(Method::POST, &path, &Query::new());
            let request = request.header(header::IF_MATCH, format!("\"{}\"", current["version"]));
            loaded(session, &session.client.send(request).await?.body, &format!("back to revision {number}"))
        }
        Trigger::Test { trigger, file, function, seq } => {
            let id = session.id_of("trigger", &trigger).await?;
            let mut body = json!({"function": function, "seq": seq});
            staged(&mut body, file)?;
            let path = format!("triggers/{id}/test");
            let request = session.client.request(Method::POST, &path, &Query::new()).json(&body);
            let run = session.client.send(request).await?.body;
            if session.format != Format::Table {
                return session.format.value(&run);
            }
            lines(&rehearsal(&run))
        }
        Trigger::Replay { trigger, from, to, file } => {
            let id = session.id_of("trigger", &trigger).await?;
            let mut body = json!({"from": from, "to": to, "limit": REPLAY_PART});
            staged(&mut body, file)?;
            let path = format!("triggers/{id}/replay");
            let mut whole = json!({"succeeded": 0, "refused": 0, "failed": 0, "items": []});
            loop {
                let request = session.client.request(Method::POST, &path, &Query::new()).json(&body);
                let mut part = session.client.send(request).await?.body;
                let items = std::mem::take(&mut part["items"]);
                if session.format == Format::Table {
                    items.as_array().into_iter().flatten().try_for_each(|run| lines(&rehearsal(run)))?;
                } else if let (Some(all), Value::Array(items)) = (whole["items"].as_array_mut(), items) {
                    all.extend(items);
                }
                for verdict in VERDICTS {
                    let count = |value: &Value| value[verdict].as_u64().unwrap_or_default();
                    whole[verdict] = json!(count(&whole) + count(&part));
                }
                if part["next_seq"].is_null() {
                    break;
                }
                body["from_seq"] = part["next_seq"].take();
            }
            if session.format != Format::Table {
                return session.format.value(&whole);
            }
            let counts = VERDICTS.map(|verdict| format!("{verdict} {}", whole[verdict])).join(", ");
            lines(&format!("would have {counts}\n"))
        }
        Trigger::Runs { trigger, state, limit } => {
            let runs = last_runs(session, &trigger, state, limit).await?;
            session.format.list(super::nouns::RUN_COLUMNS, &runs)
        }
        Trigger::Run { trigger, function, at } => {
            let id = session.id_of("trigger", &trigger).await?;
            let request = session.client.request(Method::POST, &format!("triggers/{id}/run"), &Query::new());
            let request = request.json(&json!({"function": function, "at": at}));
            let run = session.client.send(request).await?.body;
            session.format.record(&ended(session, &run["id"]).await?)
        }
        Trigger::Retry { run } => again(session, &run, "retry").await,
        Trigger::Skip { run } => again(session, &run, "skip").await,
        Trigger::Translations { trigger, language } => {
            let current = current(session, &trigger).await?;
            let mut texts = current["translations"].clone();
            if let (Some(language), Value::Object(all)) = (&language, &mut texts) {
                all.retain(|name, _| name == language);
            }
            if session.format != Format::Table {
                return session.format.value(&texts);
            }
            for (language, texts) in texts.as_object().into_iter().flatten() {
                for (key, text) in texts.as_object().into_iter().flatten() {
                    lines(&harmless(&format!("{language}  {key}  {}\n", cell(text))))?;
                }
            }
            Ok(())
        }
        Trigger::Stats { trigger } => {
            let id = session.id_of("trigger", &trigger).await?;
            session.format.record(&session.client.get(&format!("triggers/{id}/statistics")).await?)
        }
        Trigger::Logs { trigger, limit, follow: true, count } => follow(session, &trigger, limit, count).await,
        Trigger::Logs { trigger, limit, .. } => {
            let runs = last_runs(session, &trigger, None, limit).await?;
            let mut whole = Vec::new();
            for run in runs.iter().rev() {
                whole.push(session.client.get(&format!("runs/{}", cell(&run["id"]))).await?);
            }
            if session.format != Format::Table {
                return session.format.value(&Value::Array(whole));
            }
            whole.iter().try_for_each(|run| lines(&log(run)))
        }
    }
}

/// What can be done with a run by its id.
async fn again(session: &Session, run: &str, what: &str) -> Result<(), Error> {
    let id = session.id_of("run", run).await?;
    let request = session.client.request(Method::POST, &format!("runs/{id}/{what}"), &Query::new()).json(&json!({}));
    session.write(request, &format!("{what}: done"), &Write::default()).await
}

/// How often a run that goes on is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until a run is over, or is to be tried again.
async fn ended(session: &Session, id: &Value) -> Result<Value, Error> {
    loop {
        let run = session.client.get(&format!("runs/{}", cell(id))).await?;
        if run["state"] != "pending" {
            return Ok(run);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Prints the last tries of a trigger's runs, and each further one as it ends.
async fn follow(session: &Session, trigger: &str, limit: usize, count: Option<u64>) -> Result<(), Error> {
    let id = session.id_of("trigger", trigger).await?;
    let print = |run: &Value| match session.format {
        Format::Table => lines(&log(run)),
        _ => session.format.value(run),
    };
    let mut left = count;
    for run in last_runs(session, &id, None, limit).await?.iter().rev() {
        print(&session.client.get(&format!("runs/{}", cell(&run["id"]))).await?)?;
    }
    let query = vec![("noun".to_owned(), "script_run".to_owned())];
    events::each(session, query, async |event| {
        for change in event["changes"].as_array().into_iter().flatten() {
            let run = match session.client.get(&format!("runs/{}", cell(&change["id"]))).await {
                Err(Error::Problem(problem)) if problem.status == 404 => continue,
                run => run?,
            };
            if run["script_id"] != id.as_str() || run["state"] == "pending" {
                continue;
            }
            print(&run)?;
            left = left.map(|left| left - 1);
            if left == Some(0) {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}

/// Runs asked for at once.
const REPLAY_PART: usize = 200;
/// How runs without effects end.
const VERDICTS: [&str; 3] = ["succeeded", "refused", "failed"];

/// Puts a file's text in place of the trigger's own.
fn staged(body: &mut Value, file: Option<String>) -> Result<(), Error> {
    if let Some(file) = file {
        body["source"] = json!(read_text(&file).map_err(Error::Usage)?);
    }
    Ok(())
}

/// What a run without effects would have done.
fn rehearsal(run: &Value) -> String {
    let field = |path: &str| cell(at(run, path));
    let mut text = format!(
        "== {}  {}  {}  {}  event {}\n",
        field("at"),
        field("function"),
        field("option"),
        field("verdict"),
        field("seq")
    );
    let list = |name: &str| run[name].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    printed(&mut text, run);
    for change in list("changes") {
        let (old, new) = (&change["old"], &change["new"]);
        text.push_str(&harmless(&format!("would set {}: {old} -> {new}\n", cell(&change["property"]))));
    }
    for write in list("writes") {
        text.push_str(&harmless(&format!("would call {}{}\n", cell(&write["operation"]), write["args"])));
    }
    for request in list("requests") {
        let (method, url) = (cell(&request["method"]), cell(&request["url"]));
        text.push_str(&format!("would send {method} {url}, {} B\n", cell(&request["sent_bytes"])));
    }
    text
}

/// What a list of revisions shows.
const REVISION_COLUMNS: &[Column] = &[
    Column { title: "NUMBER", at: "number" },
    Column { title: "VERSION", at: "info.VERSION" },
    Column { title: "UPLOADED", at: "created_at" },
    Column { title: "BY", at: "created_by" },
    Column { title: "SIGNED", at: "signature.at" },
    Column { title: "SIGNED_BY", at: "signature.by" },
];

/// A trigger as it is now.
async fn current(session: &Session, trigger: &str) -> Result<Value, Error> {
    let id = session.id_of("trigger", trigger).await?;
    session.client.get(&format!("triggers/{id}")).await
}

/// A new source for a trigger that is there; options that were not given stay as they are.
async fn replace(session: &Session, id: &str, source: &str, disabled: bool, fail_open: bool) -> Result<(), Error> {
    let path = format!("triggers/{id}");
    let current = session.client.get(&path).await?;
    let mut body = json!({"source": source});
    if disabled {
        body["enabled"] = json!(false);
    }
    if fail_open {
        body["fail_open"] = json!(true);
    }
    let answer = session.client.send(session.patch(&path, &current["version"], &body)).await?;
    loaded(session, &answer.body, "loaded anew")
}

/// Says what a source registered; long sources are not printed back.
pub fn loaded(session: &Session, trigger: &Value, how: &str) -> Result<(), Error> {
    if session.format != Format::Table {
        return session.format.record(trigger);
    }
    let mut text = format!("{how}: {} ({})\n", cell(&trigger["name"]), cell(&trigger["id"]));
    if trigger["revision"] != trigger["latest_revision"] {
        let (latest, in_force) = (cell(&trigger["latest_revision"]), cell(&trigger["revision"]));
        text.push_str(&format!("  revision {latest} awaits its signature; in force: {in_force}\n"));
    }
    for entry in trigger["entries"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let options = cell(&entry["options"]);
        text.push_str(&format!("  {}  {}  {options}\n", cell(&entry["function"]), cell(&entry["trigger_type"])));
    }
    for point in trigger["points"].as_array().map(Vec::as_slice).unwrap_or_default() {
        text.push_str(&format!("  {}  {}\n", cell(&point["function"]), cell(&point["api"]).to_uppercase()));
    }
    lines(&text)
}

/// Whose a trigger is, as the API takes it.
async fn scope(session: &Session, text: &str) -> Result<Value, Error> {
    match text.split_once(':') {
        None if text == "provider" => Ok(json!({"kind": "provider"})),
        Some(("billing-entity", name)) => {
            Ok(json!({"kind": "entity", "id": session.id_of("billing-entity", name).await?}))
        }
        Some(("customer", name)) => Ok(json!({"kind": "customer", "id": session.id_of("customer", name).await?})),
        _ => Err(Error::Usage(format!("--owner `{text}`: must be provider, billing-entity:NAME or customer:NAME"))),
    }
}

/// The last runs, newest first. A run's id is derived from its event rather than from the time, so the API's order (by id)
/// is not it.
async fn last_runs(session: &Session, trigger: &str, state: Option<String>, limit: usize) -> Result<Vec<Value>, Error> {
    let id = session.id_of("trigger", trigger).await?;
    let query: Query = state.map(|s| ("state".to_owned(), s)).into_iter().collect();
    let (mut runs, _) = session.client.list(&format!("triggers/{id}/runs"), &query, usize::MAX).await?;
    // RFC 3339 in UTC with milliseconds: the order of texts is the order of times.
    runs.sort_by(|a, b| b["created_at"].as_str().cmp(&a["created_at"].as_str()));
    runs.truncate(limit);
    Ok(runs)
}

/// A run's head, what it printed and what came of it.
fn log(run: &Value) -> String {
    let field = |path: &str| cell(at(run, path));
    let mut text = format!(
        "== {}  {}  {}  {}  run {}\n",
        field("created_at"),
        field("function"),
        field("option"),
        field("state"),
        field("id")
    );
    printed(&mut text, run);
    text
}

/// What a run printed and returned.
fn printed(text: &mut String, run: &Value) {
    if let Some(printed) = run["log"].as_str().filter(|l| !l.is_empty()) {
        text.push_str(&harmless(printed));
        if !printed.ends_with('\n') {
            text.push('\n');
        }
    }
    if let Some(result) = run["result"].as_str().filter(|r| !r.is_empty()) {
        text.push_str(&format!("-> {}\n", harmless(result)));
    }
}
