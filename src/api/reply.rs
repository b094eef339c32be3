//! Answers that are not errors: bodies, entity tags and places.

use super::problem::Problem;
use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sutler_model::Job;

/// A JSON body.
pub fn ok(body: &impl Serialize) -> Result<Response, Problem> {
    Ok(json(serde_json::to_vec(body).map_err(|e| Problem::internal(&e))?))
}

/// A JSON body that is already text.
pub fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(body)).into_response()
}

/// A record with its entity tag.
pub fn versioned(version: u64, body: &impl Serialize) -> Result<Response, Problem> {
    let mut response = ok(body)?;
    response.headers_mut().extend([(header::ETAG, etag(version))]);
    Ok(response)
}

/// A record that has just come to be, and where it is.
pub fn created(place: &str, version: u64, body: &impl Serialize) -> Result<Response, Problem> {
    let mut response = versioned(version, body)?;
    *response.status_mut() = StatusCode::CREATED;
    locate(&mut response, place);
    Ok(response)
}

/// A job that was accepted, and where to follow it.
pub fn accepted(job: &Job, body: &impl Serialize) -> Result<Response, Problem> {
    let mut response = versioned(job.version, body)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    locate(&mut response, &format!("/api/v1/jobs/{}", job.id));
    Ok(response)
}

/// Done, nothing to say.
pub fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Turns a fresh answer into "you have it already" when the caller's copy is of this version.
pub fn unless_known(request: &HeaderMap, version: u64, answer: Result<Response, Problem>) -> Result<Response, Problem> {
    let tag = format!("\"{version}\"");
    let known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|v| v.trim().trim_start_matches("W/"))
        .any(|v| v == tag || v == "*");
    if !known {
        return answer;
    }
    Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(version))]).into_response())
}

/// Plain JSON of a small value.
pub fn plain(value: serde_json::Value) -> Response {
    Json(value).into_response()
}

fn etag(version: u64) -> HeaderValue {
    // Digits and quotes are always a valid header value.
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

fn locate(response: &mut Response, place: &str) {
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
}
