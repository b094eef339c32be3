//! How a command fails, and the exit code that says so.

use serde_json::Value;
use std::{fmt, io, process::ExitCode};

/// A failed command. Each variant has its own exit code, listed in `docs/reference/cli.md`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anything without a code of its own.
    #[error("{0}")]
    Failed(String),
    /// The command line, or the input it sends, is wrong.
    #[error("{0}")]
    Usage(String),
    /// No record of that name or id.
    #[error("{0}")]
    NotFound(String),
    /// Not signed in.
    #[error("{0}")]
    SignedOut(String),
    /// The server answered with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The job that was started, or watched, did not succeed.
    #[error("{0}")]
    Job(String),
    /// No answer, or none that can be trusted.
    #[error("{0}")]
    Unreachable(String),
    /// Ctrl-C.
    #[error("{0}")]
    Interrupted(String),
    /// Nobody reads our output any more, as in `sutler server list | head -1`: not a failure of ours.
    #[error("the output was closed")]
    OutputClosed,
}

/// An `application/problem+json` body.
#[derive(Debug, Default)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// The stable word for its kind.
    pub kind: String,
    /// What is wrong and the way out.
    pub detail: String,
    /// Field and detail of each wrong field.
    pub fields: Vec<(String, String)>,
    /// Names the request in the server's log.
    pub request_id: String,
    /// The job concerned.
    pub job_id: Option<String>,
}

impl Problem {
    /// Reads a body, which may also be none of ours (a proxy's page): then the status speaks.
    pub fn read(status: u16, body: &Value, request_id: &str) -> Self {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let mut detail = text("detail");
        if detail.is_empty() {
            detail = format!("the server answered with status {status}");
        }
        let fields = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let field = |e: &Value, key: &str| e[key].as_str().unwrap_or_default().to_owned();
        let told = text("request_id");
        Self {
            status,
            kind: text("type"),
            detail,
            fields: fields.map(|e| (field(e, "field"), field(e, "detail"))).collect(),
            request_id: if told.is_empty() { request_id.to_owned() } else { told },
            job_id: body["job_id"].as_str().map(str::to_owned),
        }
    }

    fn code(&self) -> u8 {
        match self.status {
            400 | 422 => 2,
            404 | 410 => 3,
            401 | 403 => 4,
            409 | 412 => 5,
            502 | 504 => 7,
            _ => 1,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The detail of a request that is wrong in its fields only strings the fields together.
        let strung = self.fields.iter().map(|(field, detail)| format!("{field}: {detail}")).collect::<Vec<_>>();
        if strung.is_empty() || strung.join("; ") != self.detail {
            f.write_str(&self.detail)?;
        } else {
            f.write_str("the request is not valid")?;
        }
        for line in strung {
            write!(f, "\n  {line}")?;
        }
        if let Some(job) = &self.job_id {
            write!(f, "\njob {job}")?;
        }
        if self.kind == "unauthenticated" {
            f.write_str("\nsign in with `sutler login`, or set SUTLER_TOKEN")?;
        }
        if !self.request_id.is_empty() {
            write!(f, "\nrequest id {}", self.request_id)?;
        }
        Ok(())
    }
}

impl Error {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::SignedOut(_) => 4,
            Self::Problem(problem) => problem.code(),
            Self::Job(_) => 6,
            Self::Unreachable(_) => 7,
            // 128 + SIGINT, as shells report it.
            Self::Interrupted(_) => 130,
        }
    }

    /// Whether it may be over in a moment: a server that restarts, or asks to come back.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 502..=504),
            _ => false,
        }
    }

    /// What was attempted, and the error with all its causes.
    pub fn because(attempted: impl fmt::Display, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(format!("{attempted}: {}", chain(error)))
    }
}

/// An error's text with those of its causes; a cause already told is not told twice.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text
}

impl From<io::Error> for Error {
    /// For writing to the standard output, the one place where `?` meets an I/O error.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::because("writing the output", &error),
        }
    }
}

impl From<Error> for ExitCode {
    fn from(error: Error) -> Self {
        if !matches!(error, Error::OutputClosed) {
            super::output::note(&format!("error: {error}"));
        }
        ExitCode::from(error.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_shows_its_fields_and_its_request() {
        let body = json!({
            "type": "invalid", "status": 422, "detail": "cpu: is 0; name: is empty", "request_id": "r-1",
            "errors": [{"field": "cpu", "detail": "is 0"}, {"field": "name", "detail": "is empty"}],
        });
        let problem = Problem::read(422, &body, "header-id");
        assert_eq!(problem.to_string(), "the request is not valid\n  cpu: is 0\n  name: is empty\nrequest id r-1");
        assert_eq!(Error::Problem(problem.into()).code(), 2);
    }

    #[test]
    fn a_body_that_is_not_ours_still_says_something() {
        let problem = Problem::read(502, &json!("<html>"), "");
        assert_eq!(problem.to_string(), "the server answered with status 502");
        assert_eq!(Error::Problem(problem.into()).code(), 7);
    }
}
