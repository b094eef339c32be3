//! The one error body, `application/problem+json` (RFC 9457), and the only place that turns errors into status codes.
//!
//! Handlers answer `Result<_, Problem>`. The outermost middleware renders a problem, because only there is the
//! request id known for every way a request can fail.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::time::Duration;
use sutler_actors::Error;
use sutler_model::{FieldError, JobId, Noun, Permission};
use utoipa::ToSchema;

/// What went wrong, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Problem)]
#[schema(example = json!({
    "type": "invalid", "title": "The request is not valid", "status": 422,
    "detail": "cpu: is 0; must be from 1 to 128 vCPUs", "request_id": "0198c5e8a4d27c3e9f0b6a1d2c3e4f50",
    "errors": [{"field": "cpu", "detail": "is 0; must be from 1 to 128 vCPUs"}]
}))]
pub struct Body {
    /// A stable word for the kind of problem; programs compare this.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind in words.
    pub title: &'static str,
    /// The HTTP status code.
    pub status: u16,
    /// What is wrong with this request, and the way out.
    pub detail: String,
    /// Names this request in logs and in the change feed.
    pub request_id: String,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The job concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// An error on its way to the caller. Boxed, for it travels in every handler's answer and is rarely there.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem(Box<Body>);

impl std::ops::Deref for Problem {
    type Target = Body;
    fn deref(&self) -> &Body {
        &self.0
    }
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Body {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            request_id: String::new(),
            errors: Vec::new(),
            job_id: None,
            headers: Vec::new(),
        }))
    }

    fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.0.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// Names the job concerned.
    pub fn with_job(mut self, job: Option<JobId>) -> Self {
        self.0.job_id = job;
        self
    }

    fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// The request cannot be understood: syntax, query, header or path.
    pub fn malformed(field: &str, detail: impl Into<String>) -> Self {
        let error = FieldError::new(field, detail);
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be understood", error.to_string())
            .with_errors(vec![error])
    }

    /// Understood, and wrong in these fields.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The request is not valid", detail).with_errors(errors)
    }

    /// No valid credential. `detail` never tells which part was wrong.
    pub fn unauthenticated(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Sign in first", detail)
            .with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"sutler\"")
    }

    /// Signed in, and not allowed.
    pub fn forbidden(permission: Permission) -> Self {
        let word = serde_json::to_value(permission).ok().and_then(|v| v.as_str().map(str::to_owned));
        let word = word.unwrap_or_else(|| format!("{permission:?}"));
        let detail = format!("This needs the permission `{word}`; ask an administrator for it, or use another key.");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// No such record, or none the caller may see: both look the same.
    pub fn not_found(noun: Noun, id: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", format!("There is no {noun} `{id}`."))
    }

    /// No such address.
    pub fn no_route(path: &str) -> Self {
        let shown: String = path.chars().take(200).collect();
        let detail = format!("There is nothing at `{shown}`; the API is described at /api/v1/openapi.json.");
        Self::new(StatusCode::NOT_FOUND, "no_route", "No such address", detail)
    }

    /// The address exists, not with this method. The router adds `Allow`.
    pub fn wrong_method(method: &str) -> Self {
        let detail = format!("{method} is not possible here; the Allow header lists what is.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "Method not allowed", detail)
    }

    /// The body is not declared as JSON.
    pub fn wrong_media_type() -> Self {
        let detail = "Send the body as JSON, with the header `Content-Type: application/json`.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_media_type", "Unsupported media type", detail)
    }

    /// The body is longer than `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("The body is longer than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Request too large", detail)
    }

    /// The body did not arrive in time.
    pub fn slow_body() -> Self {
        let detail = "The body did not arrive in time; send it again.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "Request timed out", detail)
    }

    /// The record is not at the version in `If-Match`.
    pub fn stale(noun: Noun, id: impl std::fmt::Display, found: u64) -> Self {
        let detail = format!("The {noun} `{id}` has changed and is at version {found}; read it again and retry.");
        Self::new(StatusCode::PRECONDITION_FAILED, "stale", "The record has changed", detail)
            .with_header(header::ETAG, &format!("\"{found}\""))
    }

    /// Too many requests; come back after `wait`.
    pub fn rate_limited(wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let detail = format!("Too many requests; try again in {seconds} s.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests", detail)
            .with_header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// Too much is going on; come back after `seconds`.
    pub fn busy(detail: impl Into<String>, seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy", detail)
            .with_header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// Not possible now: the record's state, a lost race, an outcome that cannot be repeated.
    pub fn conflict(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, "Not possible now", detail)
    }

    /// Feed entries that were asked for are gone.
    pub fn trimmed(asked: u64, oldest: u64) -> Self {
        let detail = format!(
            "Events before {oldest} are no longer kept, and {asked} was asked for. Read the records anew, then follow \
             from {oldest}."
        );
        Self::new(StatusCode::GONE, "events_trimmed", "Events are gone", detail)
    }

    /// The program does not serve: the store cannot commit.
    pub fn unhealthy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "Not able to commit", detail)
    }

    /// A WebSocket was expected.
    pub fn upgrade_required() -> Self {
        let detail = "This address speaks WebSocket; send an Upgrade request over HTTP/1.1.";
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", "WebSocket expected", detail)
            .with_header(header::UPGRADE, "websocket")
            .with_header(header::CONNECTION, "upgrade")
    }

    /// Our fault. The cause goes to the log and not to the caller.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            chain.push_str(": ");
            chain.push_str(&inner.to_string());
            cause = inner.source();
        }
        tracing::error!(error = %chain, "request failed");
        Self::bug()
    }

    /// Our fault, already logged.
    pub fn bug() -> Self {
        let detail = "Something went wrong on our side. Give the request id to your provider.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// A plain problem for an error status that came without one.
    pub fn of_status(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self::new(status, "http", title, format!("{title}."))
    }

    /// The body and headers, with the request id filled in.
    pub fn render(mut self, request_id: &str) -> Response {
        request_id.clone_into(&mut self.0.request_id);
        let body = serde_json::to_vec(&*self).unwrap_or_default();
        let mut response = Response::new(body.into());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.0.headers);
        response
    }
}

impl IntoResponse for Problem {
    /// An empty response that carries the problem to the outermost middleware.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotFound { noun, id } => Self::not_found(noun, id),
            Error::Gone { noun, id } => Self::not_found(noun, id),
            Error::Forbidden(permission) => Self::forbidden(permission),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::Stale { .. } => Self::conflict("stale", text),
            Error::Taken { field, .. } => {
                Self::conflict("taken", &text).with_errors(vec![FieldError::new(field, "is already in use")])
            }
            Error::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "key_reused",
                "Idempotency key reused",
                "This Idempotency-Key was already used with another request; take a new one for each new request.",
            ),
            Error::State { .. } => Self::conflict("state", text),
            Error::Quota { .. } => Self::conflict("quota", text),
            Error::Suspended => Self::new(StatusCode::FORBIDDEN, "suspended", "Customer suspended", text),
            Error::ImagePermission { .. } => {
                Self::new(StatusCode::FORBIDDEN, "image_permission", "Not allowed by the image", text)
            }
            Error::Refused { .. } => Self::new(StatusCode::FORBIDDEN, "refused", "Refused by a trigger", text),
            Error::Busy { detail, retry_after_s } => Self::busy(detail, retry_after_s),
            Error::Quarantined { kind, id, .. } => {
                // The reason is a panic's text: for the log and the operator's list, not for a customer.
                let detail = format!("The {kind} `{id}` is out of service until an operator releases it.");
                Self::conflict("needs_operator", detail)
            }
            Error::Script { line, message } => {
                let field = line.map_or_else(|| "source".to_owned(), |line| format!("source:{line}"));
                Self::invalid(vec![FieldError::new(field, message)])
            }
            Error::Store(error) => error.into(),
            Error::Driver(error) => error.into(),
        }
    }
}

impl From<sutler_store::Error> for Problem {
    fn from(error: sutler_store::Error) -> Self {
        use sutler_store::Error as S;
        match error {
            S::Conflict { .. } | S::Taken { .. } => Error::from(error).into(),
            S::BadCursor => Self::malformed("cursor", "is not one this API handed out; begin again without it"),
            S::Trimmed { asked, oldest } => Self::trimmed(asked, oldest),
            S::DiskFull { .. } => {
                tracing::error!(%error, "write refused");
                Self::busy("The provider's storage is nearly full; reading goes on, writing waits.", 60)
            }
            S::Stopped(_) => {
                tracing::error!(%error, "write refused");
                Self::busy("The program is stopping; try again in a moment.", 5)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<sutler_drivers::Error> for Problem {
    fn from(error: sutler_drivers::Error) -> Self {
        use sutler_drivers::Error as D;
        match error {
            D::NotAnImage(detail) => Self::invalid(vec![FieldError::new("file", detail)]),
            D::NoSpace { .. } => {
                tracing::error!(%error, "driver call failed");
                Self::busy("There is no storage space left; ask your provider.", 60)
            }
            D::Transient { .. } | D::Deadline { .. } | D::Disconnected { .. } => {
                tracing::warn!(%error, "driver call failed");
                Self::busy("The node does not answer now; try again in a moment.", 10)
            }
            D::Permanent { .. } => Self::internal(&error),
        }
    }
}
