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
    /// Make the next calls of the simulated drivers, or the next jobs of a kind, fail or wait
    Fault {
        /// The driver call, such as `start` or `ensure_disk`; `*` for any
        #[arg(long, required_unless_present = "job", conflicts_with = "job")]
        call: Option<String>,
        /// The kind of job, such as `create_server`
        #[arg(long)]
        job: Option<String>,
        /// The step of such jobs [default: their first]
        #[arg(long, requires = "job")]
        step: Option<String>,
        /// How many calls or steps
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        times: u32,
        /// How they fail; none: they only wait
        #[arg(long, value_parser = ["transient", "permanent", "no_space", "deadline", "disconnected"])]
        error: Option<String>,
        /// How long they wait first, milliseconds
        #[arg(long, default_value_t = 0, value_name = "MS")]
        delay_ms: u64,
    },
    /// List the faults that are still to be suffered
    Faults,
    /// Take back all faults that were not suffered yet
    Clear,
}

const COLUMNS: &[Column] = &[
    Column { title: "KIND", at: "kind" },
    Column { title: "ID", at: "id" },
    Column { title: "SINCE", at: "since" },
    Column { title: "REASON", at: "reason" },
];

const FAULTS: &str = "simulation/faults";
const FAULT_COLUMNS: &[Column] = &[
    Column { title: "CALL", at: "call" },
    Column { title: "JOB", at: "job" },
    Column { title: "STEP", at: "step" },
    Column { title: "TIMES", at: "times" },
    Column { title: "ERROR", at: "error" },
    Column { title: "DELAY MS", at: "delay_ms" },
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
    match command {
        Simulate::Fault { call, job, step, times, error, delay_ms } => {
            let body = json!({"call": call, "job": job, "step": step, "times": times, "error": error,
                              "delay_ms": delay_ms});
            let request = session.client.request(Method::POST, FAULTS, &Query::new()).json(&body);
            session.client.send(request).await?;
            match (call, job) {
                (Some(call), _) => note(&format!("the next {times} calls of `{call}` are set")),
                (None, job) => note(&format!("the next {times} jobs `{}` are set", job.unwrap_or_default())),
            }
            Ok(())
        }
        Simulate::Faults => {
            let body = session.client.get(FAULTS).await?;
            session.format.list(FAULT_COLUMNS, body["items"].as_array().map(Vec::as_slice).unwrap_or_default())
        }
        Simulate::Clear => {
            session.client.send(session.client.request(Method::DELETE, FAULTS, &Query::new())).await?;
            note("nothing fails on order any more");
            Ok(())
        }
    }
}
