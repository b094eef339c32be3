//! Commands made from the table of nouns: `sutler NOUN list|show|create|update|delete|…`.

use super::{
    client::Query,
    error::Error,
    field::{Field, Kind, put},
    nouns::{AT, Action, Noun, Request, Verb},
    output::note,
    session::{Session, Write},
    terminal,
};
use clap::{Arg, ArgAction, ArgMatches, Command};
use reqwest::Method;
use serde_json::{Value, json};

/// The commands of a noun.
pub fn command(noun: &'static Noun) -> Command {
    let mut command = Command::new(noun.name).about(noun.about).subcommand_required(true).arg_required_else_help(true);
    for verb in noun.verbs {
        let word = noun.name.replace('-', " ");
        let sub = Command::new(verb.word());
        command = command.subcommand(match verb {
            Verb::List => sub.about(format!("List every {word} you may see")).args(list_args(noun)),
            Verb::Show => sub.about(format!("Show one {word}")).arg(which(noun)),
            Verb::Create => {
                let sub = sub.about(format!("Create {}", a(&word))).args(noun.create.iter().map(Field::arg));
                sub.args(secret_args(noun, true)).args(write_args(noun))
            }
            Verb::Update => {
                let sub = sub.about(format!("Change {}; what is left out stays", a(&word))).arg(which(noun));
                sub.args(noun.update.iter().map(Field::arg)).args(secret_args(noun, false))
            }
            Verb::Delete(_) => {
                let sub = sub.about(format!("Remove {} for good", a(&word))).arg(which(noun)).args(cascade_arg(noun));
                let job = deletes_by_job(noun);
                sub.args(job.then(|| AT.arg())).args(wait_args(job)).arg(key_arg())
            }
        });
    }
    for action in noun.actions {
        let sub = Command::new(action.verb).about(action.about).arg(which(noun));
        command = command.subcommand(sub.args(action.fields.iter().map(Field::arg)).args(write_args(noun)));
    }
    command
}

/// A noun with its article.
pub fn a(word: &str) -> String {
    format!("{} {word}", if word.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" })
}

/// Runs a command of [`command`]; false when it is not one of these.
///
/// # Errors
/// Those of the request.
pub async fn run(session: &Session, noun: &'static Noun, verb: &str, given: &ArgMatches) -> Result<bool, Error> {
    if let Some(action) = noun.actions.iter().find(|a| a.verb == verb) {
        act(session, noun, action, given).await?;
        return Ok(true);
    }
    let Some(verb) = noun.verbs.iter().find(|v| v.word() == verb) else { return Ok(false) };
    match verb {
        Verb::List => list(session, noun, noun.path, given).await?,
        Verb::Show => {
            let id = chosen(session, noun, given).await?;
            session.format.record(&session.client.get(&format!("{}/{id}", noun.path)).await?)?;
        }
        Verb::Create => create(session, noun, given).await?,
        Verb::Update => update(session, noun, given).await?,
        Verb::Delete(_) => {
            let id = chosen(session, noun, given).await?;
            let mut query = Query::new();
            if given.try_get_one::<bool>("cascade").ok().flatten() == Some(&true) {
                query.push(("cascade".to_owned(), "true".to_owned()));
            }
            if deletes_by_job(noun)
                && let Some(at) = AT.value(given)
            {
                query.push((AT.at.to_owned(), at.as_str().unwrap_or_default().to_owned()));
            }
            let request = session.client.request(Method::DELETE, &format!("{}/{id}", noun.path), &query);
            session.write(request, &format!("the {} `{id}` is gone", noun.name), &write(noun, given)).await?;
        }
    }
    Ok(true)
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show => "show",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete(word) => word,
        }
    }
}

/// Prints the records at `path` that the command line asks for.
///
/// # Errors
/// Those of the request.
pub async fn list(session: &Session, noun: &Noun, path: &str, given: &ArgMatches) -> Result<(), Error> {
    let mut query = Query::new();
    for field in noun.filters {
        if let Some(value) = field.value(given) {
            let value = resolved(session, field, value).await?;
            query.push((field.at.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
    }
    if given.get_flag("newest-first") {
        query.push(("order".to_owned(), "desc".to_owned()));
    }
    let limit = given.get_one::<u64>("limit").map_or(usize::MAX, |n| usize::try_from(*n).unwrap_or(usize::MAX));
    let (records, more) = session.client.list(path, &query, limit).await?;
    session.format.list(noun.columns, &records)?;
    if more {
        note("there are more; raise --limit to see them");
    }
    Ok(())
}

/// Options of every list of this noun.
pub fn list_args(noun: &'static Noun) -> impl Iterator<Item = Arg> {
    let common = [
        Arg::new("limit")
            .long("limit")
            .value_name("N")
            .value_parser(clap::value_parser!(u64).range(1..))
            .help("At most this many; default: all"),
        Arg::new("newest-first").long("newest-first").action(ArgAction::SetTrue).help("Newest first"),
    ];
    noun.filters.iter().map(Field::arg).chain(common)
}

/// The argument that says which record.
pub fn which(noun: &Noun) -> Arg {
    let help = if noun.named_by.is_some() { "Its name or id" } else { "Its id" };
    let title = noun.name.to_uppercase().replace('-', "_");
    Arg::new("which").value_name(title).required(true).help(help)
}

/// The id of the record that the command line names.
///
/// # Errors
/// As [`Session::id`].
pub async fn chosen(session: &Session, noun: &Noun, given: &ArgMatches) -> Result<String, Error> {
    session.id(noun, given.get_one::<String>("which").map_or("", String::as_str)).await
}

/// Options of every write: whether to wait where it makes a job, and how to repeat it safely.
fn write_args(noun: &Noun) -> Vec<Arg> {
    let mut args = wait_args(makes_jobs(noun));
    args.push(key_arg());
    args
}

/// Whether every write of the noun makes a job.
fn makes_jobs(noun: &Noun) -> bool {
    matches!(noun.name, "server" | "image" | "job")
}

/// Whether the noun's records are deleted by a job, and so at a later time too.
fn deletes_by_job(noun: &Noun) -> bool {
    matches!(noun.name, "server" | "customer")
}

fn key_arg() -> Arg {
    Arg::new("idempotency-key")
        .long("idempotency-key")
        .value_name("KEY")
        .help("Repeating the command with the same key does nothing twice; default: a random one")
}

/// A customer is deleted with what it has only when that is said.
fn cascade_arg(noun: &Noun) -> Option<Arg> {
    let arg = Arg::new("cascade").long("cascade").action(ArgAction::SetTrue);
    (noun.name == "customer").then(|| arg.help("Delete its servers too; without it a customer that has servers stays"))
}

fn wait_args(jobs: bool) -> Vec<Arg> {
    if !jobs {
        return Vec::new();
    }
    let wait = Arg::new("wait").long("wait").action(ArgAction::SetTrue).overrides_with("no-wait");
    let no_wait = Arg::new("no-wait").long("no-wait").action(ArgAction::SetTrue).overrides_with("wait");
    vec![
        wait.help("Come back when the job has ended (the default)"),
        no_wait.help("Come back at once and print the job"),
    ]
}

fn write(noun: &Noun, given: &ArgMatches) -> Write {
    Write {
        // The one action on jobs.
        cancels: noun.name == "job",
        no_wait: given.try_get_one::<bool>("no-wait").ok().flatten().copied().unwrap_or(false),
        idempotency_key: given.try_get_one::<String>("idempotency-key").ok().flatten().cloned(),
    }
}

/// Users have a password, which is never an option's value: other users see command lines.
fn secret_args(noun: &Noun, new: bool) -> Option<Arg> {
    let help = if new {
        "Read the password from the standard input instead of asking"
    } else {
        "Read a new password from the standard input"
    };
    let arg = Arg::new("password-stdin").long("password-stdin").action(ArgAction::SetTrue).help(help);
    (noun.name == "user").then_some(arg)
}

async fn create(session: &Session, noun: &Noun, given: &ArgMatches) -> Result<(), Error> {
    let mut body = (noun.create_base)();
    fill(session, noun.create, given, &mut body).await?;
    (noun.settle)(&mut body);
    if noun.name == "user" {
        let stdin = given.get_flag("password-stdin");
        body["password"] = json!(if stdin { terminal::password_from_stdin()? } else { new_password()? });
    }
    let request = session.client.request(Method::POST, noun.path, &Query::new()).json(&body);
    session.write(request, "created", &write(noun, given)).await
}

fn new_password() -> Result<String, Error> {
    let password = terminal::ask_password("password")?;
    if terminal::ask_password("password again")? != password {
        return Err(Error::Usage("the two passwords differ".to_owned()));
    }
    Ok(password)
}

async fn update(session: &Session, noun: &Noun, given: &ArgMatches) -> Result<(), Error> {
    let mut changes = json!({});
    fill(session, noun.update, given, &mut changes).await?;
    if given.try_get_one::<bool>("password-stdin").ok().flatten() == Some(&true) {
        changes["password"] = json!(terminal::password_from_stdin()?);
    }
    if changes == json!({}) {
        return Err(Error::Usage(format!("nothing to change; `sutler {} update --help` lists what can be", noun.name)));
    }
    let path = format!("{}/{}", noun.path, chosen(session, noun, given).await?);
    let current = session.client.get(&path).await?;
    complete(&mut changes, &current);
    session.write(session.patch(&path, &current["version"], &changes), "changed", &write(noun, given)).await
}

async fn act(session: &Session, noun: &Noun, action: &Action, given: &ArgMatches) -> Result<(), Error> {
    let path = format!("{}/{}", noun.path, chosen(session, noun, given).await?);
    let (request, done) = match action.request {
        Request::Post(place, body) => {
            let mut body = body();
            fill(session, action.fields, given, &mut body).await?;
            let request = session.client.request(Method::POST, &format!("{path}/{place}"), &Query::new());
            (request.json(&body), action.verb)
        }
        Request::Patch(body) => {
            let current = session.client.get(&path).await?;
            (session.patch(&path, &current["version"], &body()), action.verb)
        }
    };
    session.write(request, &format!("{done}: done"), &write(noun, given)).await
}

/// Puts what the command line gives into a body.
async fn fill(session: &Session, fields: &[Field], given: &ArgMatches, body: &mut Value) -> Result<(), Error> {
    for field in fields {
        if let Some(value) = field.value(given) {
            put(body, field.at, resolved(session, field, value).await?);
        }
    }
    Ok(())
}

/// A reference as an id, anything else as it is.
async fn resolved(session: &Session, field: &Field, value: Value) -> Result<Value, Error> {
    match (&field.kind, value.as_str()) {
        (Kind::Ref(noun), Some(text)) => Ok(json!(session.id_of(noun, text).await?)),
        _ => Ok(value),
    }
}

/// Fills up objects of which only some fields are changed: the API replaces them whole.
fn complete(changes: &mut Value, current: &Value) {
    let Value::Object(changes) = changes else { return };
    for (field, change) in changes {
        if let (Value::Object(change), Value::Object(current)) = (change, &current[field.as_str()]) {
            for (name, value) in current {
                change.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::nouns::{NOUNS, find};

    #[test]
    fn the_table_makes_valid_commands() {
        for noun in NOUNS {
            command(noun).debug_assert();
            let fields = noun.filters.iter().chain(noun.create).chain(noun.update);
            for field in fields.chain(noun.actions.iter().flat_map(|a| a.fields)) {
                if let Kind::Ref(to) = field.kind {
                    assert!(find(to).is_some(), "{} refers to {to}", noun.name);
                }
            }
        }
    }

    #[test]
    fn partial_objects_are_completed_from_the_record() {
        let mut changes = json!({"quota": {"cpus": 9}, "name": "x"});
        complete(&mut changes, &json!({"quota": {"cpus": 1, "servers": 2}, "name": "y", "keys": []}));
        assert_eq!(changes, json!({"quota": {"cpus": 9, "servers": 2}, "name": "x"}));
    }
}
