//! Waiting for jobs, with a progress bar on a terminal and a line per step elsewhere.

use super::{
    client::Client,
    error::Error,
    output::{at, cell, note},
};
use serde_json::Value;
use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// First pause between two looks; a simulated job is done by then.
const SOON: Duration = Duration::from_millis(50);
/// Longest pause between two looks.
const LATER: Duration = Duration::from_secs(1);
/// How long a server that does not answer is looked for: enough for its restart, in which jobs go on.
const PATIENCE: Duration = Duration::from_secs(60);
/// Width of the bar, characters.
const BAR: usize = 24;

/// Follows a job to its end and returns it.
///
/// # Errors
/// [`Error::Job`] when it did not end in the `wanted` state; [`Error::Interrupted`] on Ctrl-C, and the job goes on.
pub async fn watch(client: &Client, id: &str, wanted: &str) -> Result<Value, Error> {
    tokio::select! {
        ended = follow(client, id) => outcome(ended?, wanted),
        _ = tokio::signal::ctrl_c() => {
            Err(Error::Interrupted(format!("\nnot waiting any longer; the job goes on: sutler job watch {id}")))
        }
    }
}

async fn follow(client: &Client, id: &str) -> Result<Value, Error> {
    let path = format!("jobs/{id}");
    let mut progress = Progress::default();
    let mut pause = SOON;
    let mut heard = Instant::now();
    loop {
        match client.get(&path).await {
            Ok(job) => {
                heard = Instant::now();
                progress.show(&job);
                if job["finished"] == Value::Bool(true) {
                    progress.end();
                    return Ok(job);
                }
            }
            Err(error) if error.passes() && heard.elapsed() < PATIENCE => {}
            Err(error) => {
                progress.end();
                return Err(error);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LATER);
    }
}

/// A finished job, as an error unless it ended as wanted.
fn outcome(job: Value, wanted: &str) -> Result<Value, Error> {
    if job["state"] == wanted {
        return Ok(job);
    }
    let message = job["error"]["message"].as_str().map(|m| format!(": {m}")).unwrap_or_default();
    let mut text = format!(
        "job {} ({} {}) ended as {}{message}",
        title(&job, "id"),
        title(&job, "kind"),
        title(&job, "item_name"),
        title(&job, "state")
    );
    if let Some(operator) = job["error"]["operator_message"].as_str() {
        text.push_str(&format!("\nfor the operator: {operator}"));
    }
    Err(Error::Job(text))
}

fn title(job: &Value, field: &str) -> String {
    cell(at(job, field))
}

/// What is shown of a job under way. Only on the standard error, so that output can be piped.
#[derive(Default)]
struct Progress {
    shown: String,
}

impl Progress {
    fn show(&mut self, job: &Value) {
        let mut err = io::stderr();
        if err.is_terminal() {
            let width = self.shown.chars().count();
            self.shown = bar(job);
            // The end of a longer line before is wiped with blanks.
            let _ = write!(err, "\r{:width$}", self.shown).and_then(|()| err.flush());
            return;
        }
        let line = format!("{} {}: {}", title(job, "kind"), title(job, "item_name"), stage(job));
        if line != self.shown {
            note(&line);
            self.shown = line;
        }
    }

    fn end(&mut self) {
        if io::stderr().is_terminal() && !self.shown.is_empty() {
            note("");
        }
    }
}

/// `create_server web-1 [########················]  33 % define_domain`
fn bar(job: &Value) -> String {
    let percent = job["progress_percent"].as_u64().unwrap_or(0).min(100);
    let full = usize::try_from(percent).unwrap_or(0) * BAR / 100;
    format!(
        "{} {} [{}{}] {percent:3} % {}",
        title(job, "kind"),
        title(job, "item_name"),
        "#".repeat(full),
        "·".repeat(BAR - full),
        stage(job)
    )
}

/// The step it is at, or the state it ended in.
fn stage(job: &Value) -> String {
    let state = title(job, "state");
    match job["current"]["step"].as_str() {
        Some(step) if state == "in_progress" => step.to_owned(),
        Some(_) if state == "not_started" => state,
        Some(step) => format!("{step} ({state})"),
        None => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bar_shows_how_far_and_at_which_step() {
        let job = json!({"kind": "create_server", "item_name": "web-1", "state": "in_progress", "progress_percent": 50,
            "current": {"step": "define_domain"}});
        assert_eq!(bar(&job), "create_server web-1 [############············]  50 % define_domain");
        assert_eq!(stage(&json!({"state": "not_started", "current": {"step": "x"}})), "not_started");
        assert_eq!(stage(&json!({"state": "undoing", "current": {"step": "x"}})), "x (undoing)");
        assert_eq!(stage(&json!({"state": "successful", "current": null})), "successful");
        assert!(bar(&json!({"progress_percent": 900})).contains("100 %"));
    }

    #[test]
    fn a_failed_job_is_an_error_with_its_reason() {
        let job = json!({"id": "1", "kind": "create_server", "item_name": "web-1", "state": "failed",
            "error": {"message": "no node has room", "operator_message": "n1: 0 MiB free"}});
        let error = outcome(job, "successful").unwrap_err();
        assert_eq!(error.code(), 6);
        assert_eq!(
            error.to_string(),
            "job 1 (create_server web-1) ended as failed: no node has room\nfor the operator: n1: 0 MiB free"
        );
    }
}
