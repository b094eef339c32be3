//! One request under the egress policy, and what came back.

use super::reaching_out;
use crate::{OutboundCall, egress::Refused, meter::Meter, peer, room::Room, shard::Shard};
use mlua::{Result, Value as Lv};
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING},
};
use std::time::{Duration, Instant};

/// Most that the header of a request may hold.
pub(super) const HEADER_BYTES: usize = 256 << 10;

/// Longest URL, and longest name and password together.
pub(crate) const URL_BYTES: usize = 64 << 10;

/// The numbers scripts see for a failure, as libcurl has them.
pub(super) mod code {
    pub const MALFORMED_URL: u16 = 3;
    pub const RESOLVE: u16 = 6;
    pub const CONNECT: u16 = 7;
    pub const ANSWER: u16 = 23;
    pub const TIMEOUT: u16 = 28;
    pub const REFUSED: u16 = 42;
    pub const OTHER: u16 = 56;
}

/// What a request is made of, besides its method and body.
#[derive(Clone, Default)]
pub(super) struct Request {
    pub url: Option<String>,
    pub headers: Vec<(String, String)>,
    pub auth: Option<(String, String)>,
    pub verify: bool,
}

/// A user's name and password, which are empty where nothing is given.
pub(super) fn credentials(user: &Lv, password: &Lv) -> Result<(String, String)> {
    let mut room = Room::new("a name and password", URL_BYTES);
    Ok((room.text(user)?.unwrap_or_default(), room.text(password)?.unwrap_or_default()))
}

/// What came back.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Sends a request under the run's egress policy and notes it in the run. The inner error has a number and words.
///
/// # Errors
/// Where nothing outside may be reached.
pub(super) async fn send(
    shard: &Shard,
    request: &Request,
    method: Method,
    body: Option<Vec<u8>>,
) -> Result<std::result::Result<Answer, (u16, String)>> {
    let (meter, _) = reaching_out(shard).await?;
    if let Some(reason) = peer::exhausted(&meter, &shard.egress) {
        return Ok(Err((code::REFUSED, reason)));
    }
    let mut call = OutboundCall {
        method: method.to_string(),
        url: String::new(),
        status: None,
        error: None,
        sent_bytes: body.as_ref().map_or(0, |body| body.len() as u64),
        received_bytes: 0,
        duration_us: 0,
    };
    let started = Instant::now();
    for secret in request.secrets() {
        meter.keep_secret(&secret);
    }
    let ended = exchange(shard, request, &meter, method, body, &mut call).await;
    call.duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    match &ended {
        Ok(_) if meter.rehearses() => call.error = Some("not sent, for this is a rehearsal".to_owned()),
        Ok(answer) => {
            call.status = Some(answer.status);
            call.received_bytes = answer.body.len() as u64;
        }
        Err((_, reason)) => call.error = Some(meter.masked(reason.clone())),
    }
    meter.record(call);
    Ok(ended)
}

async fn exchange(
    shard: &Shard,
    request: &Request,
    meter: &Meter,
    method: Method,
    body: Option<Vec<u8>>,
    call: &mut OutboundCall,
) -> std::result::Result<Answer, (u16, String)> {
    let text = request.url.as_deref().ok_or((code::MALFORMED_URL, "no URL is set".to_owned()))?;
    // What is no URL may still hold a password, so it is not repeated.
    let url = Url::parse(text.trim()).map_err(|e| (code::MALFORMED_URL, format!("this is not a URL: {e}")))?;
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // These fail only for URLs without a host, which are refused below.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    call.url = shown.to_string();
    if !matches!(url.scheme(), "http" | "https") {
        return Err((code::MALFORMED_URL, format!("`{}` is not a scheme for requests", url.scheme())));
    }
    let host = url.host_str().ok_or((code::MALFORMED_URL, "the URL has no host".to_owned()))?;
    let port = url.port_or_known_default().unwrap_or(0);
    let egress = &shard.egress;
    let gate = egress.gate(host, port).map_err(|refused| (code::REFUSED, refused.0))?;
    peer::one_more(meter, egress).map_err(|reason| (code::REFUSED, reason))?;
    let client = shard.clients.to(&gate, request.verify).map_err(|reason| (code::OTHER, reason))?;
    let takes_body = body.is_some() || [Method::POST, Method::PUT, Method::PATCH].contains(&method);
    let headers = request.headers();
    // One that the script set itself counts.
    let auth = request.auth.as_ref().filter(|_| !headers.contains_key(AUTHORIZATION));
    let mut ready = client.request(method, url).headers(headers);
    if let Some((user, password)) = auth {
        ready = ready.basic_auth(user, Some(password));
    }
    match body.filter(|body| !body.is_empty()) {
        Some(body) => ready = ready.body(body),
        // Else nothing is said of it, and servers refuse what is to have one.
        None if takes_body => ready = ready.header(CONTENT_LENGTH, 0),
        None => {}
    }
    let ready = ready.build().map_err(|e| (code::MALFORMED_URL, e.to_string()))?;
    if meter.rehearses() {
        return Ok(Answer { status: 200, headers: HeaderMap::new(), body: b"{}".to_vec() });
    }
    let limit = Duration::from_millis(egress.timeout_ms);
    let work = async {
        if egress.proxy.is_some() {
            // The proxy connects, so this look-up is all that can be known of where to.
            gate.addresses().await.map_err(|error| match error.downcast::<Refused>() {
                Ok(refused) => (code::REFUSED, refused.0),
                Err(error) => (code::RESOLVE, error.to_string()),
            })?;
        }
        let mut answer = client.send(ready).await.map_err(failure)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > egress.response_bytes {
                return Err((code::ANSWER, format!("the answer is longer than {} bytes", egress.response_bytes)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body })
    };
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err((code::TIMEOUT, format!("no answer within {} ms", egress.timeout_ms))))
}

/// The number and words for what went wrong, causes included.
fn failure(error: reqwest::Error) -> (u16, String) {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    let (mut resolving, mut refused) = (false, false);
    while let Some(inner) = cause {
        let text = inner.to_string();
        resolving |= text.contains("dns error");
        refused |= inner.is::<Refused>();
        if !words.ends_with(&text) {
            words = format!("{words}: {text}");
        }
        cause = inner.source();
    }
    let code = if error.is_timeout() {
        code::TIMEOUT
    } else if refused {
        code::REFUSED
    } else if resolving {
        code::RESOLVE
    } else if error.is_connect() {
        code::CONNECT
    } else {
        code::OTHER
    };
    (code, words)
}

impl Answer {
    /// Its headers by name, in lower case; the values of one that is there several times are joined.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        self.headers.keys().map(|name| {
            let values: Vec<&[u8]> = self.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            (name.as_str(), values.join(&b", "[..]))
        })
    }
}

impl Request {
    /// Its URL, if it is one.
    pub fn parsed(&self) -> Option<Url> {
        Url::parse(self.url.as_deref()?.trim()).ok()
    }

    /// Sets a header unless it is set.
    pub fn default_header(&mut self, name: &str, value: &str) {
        if !self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// What must not be seen in the run's record: passwords, and what goes by a name that says so.
    fn secrets(&self) -> Vec<String> {
        let telling = |name: &str| {
            let name = name.to_ascii_lowercase();
            ["auth", "token", "key", "secret", "password", "cookie", "signature"].iter().any(|word| name.contains(word))
        };
        let mut secrets: Vec<String> = self.auth.iter().map(|(_, password)| password.clone()).collect();
        for (name, value) in self.headers.iter().filter(|(name, _)| telling(name)) {
            // `Bearer` and the like are no secret, and without them the rest is found wherever it stands.
            let credential = if name.eq_ignore_ascii_case("authorization") { value.split_once(' ') } else { None };
            secrets.push(credential.map_or(value.trim(), |(_, rest)| rest.trim()).to_owned());
        }
        if let Some(url) = self.parsed() {
            secrets.extend(url.password().map(str::to_owned));
            secrets.extend(url.query_pairs().filter(|(name, _)| telling(name)).map(|(_, value)| value.into_owned()));
        }
        secrets
    }

    /// The headers to send; one that HTTP does not allow is left out, and so is what says how long the body is, which
    /// follows from the body alone.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.trim().as_bytes()), HeaderValue::from_str(value.trim()))
                && ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name)
            {
                headers.insert(name, value);
            }
        }
        headers
    }
}
