//! What handlers take out of a request: bodies, queries, ids and the headers with meaning.

use super::{Api, problem::Problem, reply};
use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
    response::Response,
};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, str::FromStr, sync::Arc};
use sutler_actors::{Caller, Error, Idempotency};
use sutler_model::{FieldError, Noun};
use sutler_store::Record;
use uuid::Uuid;

/// The signed-in caller; the authentication middleware put it there.
pub struct Who(pub Caller);

impl FromRequestParts<Arc<Api>> for Who {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(|| Problem::unauthenticated("Sign in first."))
    }
}

/// The id in the path.
pub struct Id<I>(pub I);

impl<I: FromStr + Send> FromRequestParts<Arc<Api>> for Id<I> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let bad = || Problem::malformed("id", "must be a UUID such as 0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50");
        let Path(text) = Path::<String>::from_request_parts(parts, api).await.map_err(|_| bad())?;
        text.parse().map(Self).map_err(|_| bad())
    }
}

/// A JSON body and the fingerprint of the request around it.
pub struct Input<T> {
    /// The body.
    pub value: T,
    /// The caller's idempotency key, with the fingerprint.
    pub key: Option<Idempotency>,
}

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Input<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Problem::wrong_media_type());
        }
        let bytes = read_body(body, api).await?;
        let key = idempotency(&parts, &bytes)?;
        Ok(Self { value: parse_json(&bytes)?, key })
    }
}

/// The idempotency key of a request without a body.
pub struct Key(pub Option<Idempotency>);

impl FromRequestParts<Arc<Api>> for Key {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        idempotency(parts, b"").map(Self)
    }
}

/// The query, as `T`; unknown and repeated parameters are refused.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        parse_params(query(parts)?, &[]).map(Self)
    }
}

/// The query's parameters; a repeated one is refused.
pub fn query(parts: &Parts) -> Result<BTreeMap<String, String>, Problem> {
    let mut params = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        if params.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(Problem::malformed(&name, "is given more than once"));
        }
    }
    Ok(params)
}

/// `params` as `T`; `also` names parameters that were taken out before, for the list of those allowed.
pub fn parse_params<T: DeserializeOwned>(params: BTreeMap<String, String>, also: &[&str]) -> Result<T, Problem> {
    let given: Vec<_> = params.into_iter().collect();
    let read = |pairs: &[(String, String)]| {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        serde_urlencoded::from_str::<T>(&text)
    };
    read(&given).map_err(|error| {
        let text = error.to_string();
        if let Some(name) = quoted_after(&text, "unknown field ") {
            let allowed: Vec<_> =
                quoted(&text).into_iter().skip(1).chain(also.iter().map(|a| (*a).to_owned())).collect();
            return Problem::malformed(&name, format!("is not a parameter here; there are: {}", allowed.join(", ")));
        }
        if let Some(name) = quoted_after(&text, "missing field ") {
            return Problem::malformed(&name, "is required");
        }
        // Values carry no position in serde; the wrong one is the first that fails by itself.
        let wrong = given
            .iter()
            .find(|one| read(std::slice::from_ref(one)).is_err_and(|e| !e.to_string().starts_with("missing field")));
        Problem::malformed(wrong.map_or("query", |(name, _)| name), text)
    })
}

/// The caller's condition on the record's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No condition, or `*`: whatever is there.
    Any,
    /// One of these versions; empty when only weak or foreign tags were given, which never match.
    Versions(Vec<u64>),
}

impl FromRequestParts<Arc<Api>> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        Self::parse(&parts.headers)
    }
}

impl IfMatch {
    fn parse(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut versions = Vec::new();
        let mut given = false;
        for value in headers.get_all(header::IF_MATCH) {
            given = true;
            let text = value.to_str().unwrap_or_default();
            for tag in text.split(',').map(str::trim) {
                let inner = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"').and_then(|t| t.strip_suffix('"'));
                match inner {
                    _ if tag == "*" => return Ok(Self::Any),
                    Some(inner) if !tag.starts_with("W/") => versions.extend(inner.parse::<u64>()),
                    Some(_) => {}
                    None => {
                        let detail = "must be an entity tag in quotes such as \"3\", a list of them, or *";
                        return Err(Problem::malformed("If-Match", detail));
                    }
                }
            }
        }
        Ok(if given { Self::Versions(versions) } else { Self::Any })
    }

    /// The version an operation must demand. `present` is the record's version now; when it is none of those given, one
    /// that cannot hold is demanded, so that the operation itself tells a stale record from one out of reach.
    pub fn demand(&self, present: Option<u64>) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Versions(versions) => {
                let holds = present.filter(|v| versions.contains(v));
                Some(holds.or(versions.first().copied()).unwrap_or(0))
            }
        }
    }

    /// Has an operation change a record at the version that the caller demands, and answers with it as `view` has it.
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn change<R: Record, V: Serialize>(
        &self,
        api: &Api,
        id: impl Into<Uuid>,
        operation: impl AsyncFnOnce(Option<u64>) -> Result<R, Error>,
        view: impl FnOnce(R) -> V,
    ) -> Result<Response, Problem> {
        let demand = self.demand(api.store().index().version(R::NOUN, id.into()));
        let record = operation(demand).await.map_err(|error| self.problem(error))?;
        reply::versioned(record.version(), &view(record))
    }

    /// The same for one that deletes a record at once.
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn delete(
        &self,
        api: &Api,
        (noun, id): (Noun, Uuid),
        operation: impl AsyncFnOnce(Option<u64>) -> Result<(), Error>,
    ) -> Result<Response, Problem> {
        let demand = self.demand(api.store().index().version(noun, id));
        operation(demand).await.map_err(|error| self.problem(error))?;
        Ok(reply::done())
    }

    /// The problem behind an operation's error: a version that no longer holds is a failed precondition when the
    /// caller set one, and a lost race otherwise.
    pub fn problem(&self, error: Error) -> Problem {
        match (self, error) {
            (Self::Versions(_), Error::Stale { noun, id, found }) => Problem::stale(noun, id, found),
            (_, error) => error.into(),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

/// The whole body, within the size and time allowed.
async fn read_body(body: Body, api: &Api) -> Result<Vec<u8>, Problem> {
    let limit = api.limits.body_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(Problem::too_large(limit));
    }
    let read = async {
        let mut bytes = Vec::new();
        let mut stream = body.into_data_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Problem::malformed("body", "broke off; send it again"))?;
            if bytes.len() + chunk.len() > limit {
                return Err(Problem::too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(api.limits.body_timeout, read).await.unwrap_or_else(|_| Err(Problem::slow_body()))
}

fn idempotency(parts: &Parts, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let Some(value) = parts.headers.get("idempotency-key") else { return Ok(None) };
    let mut hash = Sha256::new();
    // What is asked for in a query is as much of the request as what is in the body.
    let query = parts.uri.query().filter(|query| !query.is_empty()).map(str::as_bytes);
    for part in [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), body].into_iter().chain(query) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let request_hash = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let key = Idempotency { key: value.to_str().unwrap_or_default().to_owned(), request_hash };
    key.check().map_err(|_| {
        Problem::malformed(
            "Idempotency-Key",
            format!("must be 1 to {} visible ASCII characters", Idempotency::KEY_BYTES),
        )
    })?;
    Ok(Some(key))
}

/// `bytes` as `T`; an error names the field, and the place when it is not JSON at all.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Derived types would take a list for their fields in order; the API's bodies are objects.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid(vec![FieldError::new("body", "is a list; must be an object")]));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json);
    let value = parsed.map_err(|error| {
        // `parts[0].size` becomes `parts.0.size`, as everywhere else.
        let path = error.path().to_string().replace('[', ".").replace(']', "");
        json_problem(path.trim_start_matches('.'), error.inner())
    })?;
    json.end().map_err(|error| json_problem("", &error))?;
    Ok(value)
}

fn json_problem(path: &str, error: &serde_json::Error) -> Problem {
    let full = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = full.strip_suffix(&place).unwrap_or(&full);
    if !error.is_data() {
        let detail = format!("is not JSON: {text} (line {}, column {})", error.line(), error.column());
        return Problem::malformed("body", detail);
    }
    let place = format!("(line {}, column {})", error.line(), error.column());
    let parent = path;
    let child = |name: &str| {
        // The path ends with the field's own name when the error arose from its key.
        if parent.is_empty() || parent == name || parent.ends_with(&format!(".{name}")) {
            if parent.is_empty() { name.to_owned() } else { parent.to_owned() }
        } else {
            format!("{parent}.{name}")
        }
    };
    let (field, detail) = if let Some(name) = quoted_after(text, "unknown field ") {
        let allowed = quoted(text).into_iter().skip(1).collect::<Vec<_>>().join(", ");
        let allowed = if allowed.is_empty() { "none are allowed".to_owned() } else { format!("there are: {allowed}") };
        (child(&name), format!("is not a field here; {allowed} {place}"))
    } else if let Some(name) = quoted_after(text, "duplicate field ") {
        (child(&name), format!("is given more than once {place}"))
    } else if let Some(name) = quoted_after(text, "missing field ") {
        let name = if parent.is_empty() { name } else { format!("{parent}.{name}") };
        (name, "is required".to_owned())
    } else {
        let field = if parent.is_empty() { "body" } else { parent };
        (field.to_owned(), format!("{text} {place}"))
    };
    Problem::invalid(vec![FieldError::new(field, detail)])
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn quoted_after(text: &str, start: &str) -> Option<String> {
    text.strip_prefix(start).and_then(|rest| quoted(rest).into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use uuid::Uuid;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        name: String,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Part {
        size: u32,
    }

    #[test]
    fn bodies_that_are_wrong_name_the_field_and_the_place() {
        for (body, status, field, detail) in [
            ("{\"name\":", 400, "body", "line 1, column 8"),
            ("{\"name\":\"a\"} x", 400, "body", "line 1, column 14"),
            ("", 400, "body", "EOF"),
            ("{\"name\":1}", 422, "name", "invalid type: integer"),
            ("{}", 422, "name", "is required"),
            ("{\"name\":\"a\",\"nam\":1}", 422, "nam", "there are: name, parts"),
            ("{\"name\":\"a\",\n\"parts\":[{\"size\":1},{\"size\":-1}]}", 422, "parts.1.size", "line 2"),
            ("{\"name\":\"a\",\"parts\":[{}]}", 422, "parts.0.size", "is required"),
            ("{\"name\":\"a\",\"parts\":[{\"size\":1,\"sise\":2}]}", 422, "parts.0.sise", "there are: size"),
            ("{\"name\":\"a\",\"name\":\"b\"}", 422, "name", "more than once"),
            ("[]", 422, "body", "must be an object"),
            ("7", 422, "body", "invalid type"),
        ] {
            let problem = parse_json::<Sample>(body.as_bytes()).unwrap_err();
            assert_eq!((problem.status, problem.errors[0].field.as_str()), (status, field), "{body}: {problem:?}");
            assert!(problem.errors[0].detail.contains(detail), "{body}: {problem:?}");
        }
    }

    #[test]
    fn conditions_follow_rfc_9110() {
        let parse = |text: &str| IfMatch::parse(&HeaderMap::from_iter([(header::IF_MATCH, text.parse().unwrap())]));
        assert_eq!(parse("*").unwrap(), IfMatch::Any);
        assert_eq!(parse("\"3\", \"4\"").unwrap(), IfMatch::Versions(vec![3, 4]));
        assert_eq!(parse("W/\"3\"").unwrap(), IfMatch::Versions(vec![]));
        assert!(parse("3").is_err());
        assert_eq!(IfMatch::parse(&HeaderMap::new()).unwrap(), IfMatch::Any);
        assert_eq!(IfMatch::Any.demand(Some(4)), None);
        assert_eq!(IfMatch::Versions(vec![3, 4]).demand(Some(4)), Some(4));
        assert_eq!(IfMatch::Versions(vec![3]).demand(Some(4)), Some(3));
        assert_eq!(IfMatch::Versions(vec![]).demand(Some(4)), Some(0));
        let stale = || Error::Stale { noun: sutler_model::Noun::Server, id: Uuid::nil(), found: 4 };
        assert_eq!(IfMatch::Versions(vec![3]).problem(stale()).status, 412);
        assert_eq!(IfMatch::Any.problem(stale()).status, 409);
    }

    #[test]
    fn queries_that_are_wrong_name_the_parameter() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Query {
            id: Option<Uuid>,
            state: Option<sutler_model::ServerState>,
        }
        let parse = |pairs: &[(&str, &str)]| {
            let params = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            parse_params::<Query>(params, &["limit"])
        };
        assert!(parse(&[("state", "running")]).is_ok());
        let unknown = parse(&[("stat", "running")]).unwrap_err();
        assert_eq!(unknown.errors[0].field, "stat");
        assert!(unknown.errors[0].detail.contains("id, state, limit"), "{unknown:?}");
        let wrong = parse(&[("id", "00000000-0000-0000-0000-000000000000"), ("state", "walking")]).unwrap_err();
        assert_eq!(wrong.errors[0].field, "state");
        assert!(wrong.errors[0].detail.contains("running"), "{wrong:?}");
    }
}
