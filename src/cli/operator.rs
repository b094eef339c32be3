//! What operators do: quarantines, and faults in simulated mode.

use super::{
    client::Query,
    error::Error,
    output::{Column, note},
    session::Session,
};
use reqwest::Method;
use serde_json::json;

/// Commands of `quarantine`.
#[derive(clap::Subcommand, Debug)]
pub enum Quarantine {
    /// List what is out of service because it kept failing
    List,
    /// Take something back into service
    Release {
        /// Its kind, as the list shows it: `server`, `customer` …
        kind: String,
        /// Its id
        id: uuid::Uuid,
    },
}

/// Commands of `simulate`.
#[derive(clap::Subcommand, Debug)]
pub enum Simulate {
    /// Make the next calls of the simulated drivers fail or wait
    Fault {
        /// The driver call, such as `start` or `ensure_disk`; `*` for any
        #[arg(long)]
        call: String,
        /// How many calls
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        times: u32,
        /// How they fail; none: they only wait
        #[arg(long, value_parser = ["transient", "permanent", "no_space", "deadline", "disconnected"])]
        error: Option<String>,
        /// How long they wait first, milliseconds
        #[arg(long, default_value_t = 0, value_name = "MS")]
        delay_ms: u64,
    },
}

const COLUMNS: &[Column] = &[
    Column { title: "KIND", at: "kind" },
    Column { title: "ID", at: "id" },
    Column { title: "SINCE", at: "since" },
    Column { title: "RESTARTS", at: "restarts" },
    Column { title: "REASON", at: "reason" },
];

/// Runs a command of `quarantine`.
///
/// # Errors
/// Those of the request.
pub async fn quarantine(session: &Session, command: Quarantine) -> Result<(), Error> {
    match command {
        Quarantine::List => {
            let body = session.client.get("quarantines").await?;
            session.format.list(COLUMNS, body["items"].as_array().map(Vec::as_slice).unwrap_or_default())
        }
        Quarantine::Release { kind, id } => {
            // Ids of people go into the path as they are: a kind is one word.
            if !kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                return Err(Error::Usage(format!("`{kind}` is not a kind; `sutler quarantine list` shows them")));
            }
            let path = format!("quarantines/{kind}/{id}/release");
            session.client.send(session.client.request(Method::POST, &path, &Query::new())).await?;
            note(&format!("{kind} {id} is back in service when next addressed"));
            Ok(())
        }
    }
}

/// Runs a command of `simulate`.
///
/// # Errors
/// Those of the request; a server with real drivers answers with a conflict.
pub async fn simulate(session: &Session, command: Simulate) -> Result<(), Error> {
    let Simulate::Fault { call, times, error, delay_ms } = command;
    let body = json!({"call": call, "times": times, "error": error, "delay_ms": delay_ms});
    session.client.send(session.client.request(Method::POST, "simulation/faults", &Query::new()).json(&body)).await?;
    note(&format!("the next {times} calls of `{call}` are set"));
    Ok(())
}
