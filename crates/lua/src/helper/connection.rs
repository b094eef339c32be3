//! A `simplehttp` connection: its settings, its cookies, its last answer.

use super::{module::Module, reaching_out, text_of};
use crate::{
    OutboundCall,
    egress::Refused,
    entry,
    meter::Meter,
    object::{Charge, Copies},
    peer,
    room::Room,
    shard::Shard,
};
use mlua::{Function, Lua, LuaString, Result, Table, Value as Lv};
use reqwest::{
    Method, Url,
    header::{COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

/// Most that the header of a request may hold.
pub(super) const HEADER_BYTES: usize = 256 << 10;

/// Longest URL, and longest name and password together.
pub(crate) const URL_BYTES: usize = 64 << 10;

/// The numbers scripts see for a failure, as libcurl has them.
mod code {
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

#[derive(Default)]
struct State {
    next: Request,
    charge: Charge,
    keep_cookies: bool,
    cookies: BTreeMap<String, String>,
    status: u16,
    answer_headers: Vec<(String, String)>,
    error: (u16, String),
}

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>, options: Option<&Table>) -> Result<Table> {
    let mut state = State { next: Request { verify: true, ..Request::default() }, ..State::default() };
    if let Some(options) = options {
        state.next.url = url_text(&options.get("url")?)?;
        state.account(lua)?;
        state.keep_cookies = truthy(&options.get("enable_cookie")?).unwrap_or(false);
        state.next.verify = truthy(&options.get("ssl_verify")?).unwrap_or(true);
    }
    let state = Rc::new(RefCell::new(state));
    let module = Module::new(lua)?;
    let own = |state: &Rc<RefCell<State>>| state.clone();

    let s = own(&state);
    module.function("setURL", move |lua, url: Lv| {
        let mut state = s.borrow_mut();
        state.next.url = url_text(&url)?;
        state.account(lua)
    })?;
    let s = own(&state);
    module.function("setRequestHeaders", move |lua, headers: Table| {
        let mut state = s.borrow_mut();
        // What was set before counts as well, so that no loop adds up more.
        let mut room = Room::new("the header of a request", HEADER_BYTES);
        state.next.headers.iter().try_for_each(|(name, value)| room.take(name.len() + value.len()))?;
        for (name, value) in room.pairs(&headers)? {
            let headers = &mut state.next.headers;
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            headers.push((name, value));
        }
        state.account(lua)
    })?;
    let s = own(&state);
    module.function("clearRequestHeaders", move |lua, ()| {
        let mut state = s.borrow_mut();
        state.next.headers.clear();
        state.account(lua)
    })?;
    let s = own(&state);
    module.function("setBasicAuth", move |lua, (user, password): (Lv, Lv)| {
        let mut state = s.borrow_mut();
        state.next.auth = Some(credentials(&user, &password)?);
        state.account(lua)
    })?;
    for (name, method, body) in [
        ("get", Method::GET, false),
        ("delete", Method::DELETE, false),
        ("head", Method::HEAD, false),
        ("post", Method::POST, true),
        ("put", Method::PUT, true),
        ("patch", Method::PATCH, true),
    ] {
        let (s, shard) = (own(&state), shard.clone());
        if body {
            module.waiting(name, move |_, (body, callback): (Option<LuaString>, Option<Function>)| {
                let (s, shard, method) = (s.clone(), shard.clone(), method.clone());
                async move {
                    let _copy = Copies::of(body.as_ref().map_or(0, |body| body.as_bytes().len()))?;
                    let body = body.map(|body| body.as_bytes().to_vec()).unwrap_or_default();
                    perform(shard, s, method, Some(body), callback).await
                }
            })?;
        } else {
            module.waiting(name, move |_, callback: Option<Function>| {
                perform(shard.clone(), s.clone(), method.clone(), None, callback)
            })?;
        }
    }
    let s = own(&state);
    module.function("getLastError", move |_, ()| Ok(s.borrow().error.clone()))?;
    let s = own(&state);
    module.function("getHTTPStatusCode", move |_, ()| Ok(s.borrow().status))?;
    let s = own(&state);
    module.function("getResponseHeaders", move |lua, ()| {
        let state = s.borrow();
        lua.create_table_from(state.answer_headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    })?;
    module.function("disconnect", |_, ()| Ok(()))?;
    Ok(module.table)
}

/// A URL as scripts give it; anything but a text is none.
fn url_text(value: &Lv) -> Result<Option<String>> {
    match value {
        Lv::String(_) => Room::new("a URL", URL_BYTES).text(value),
        _ => Ok(None),
    }
}

/// A user's name and password, which are empty where nothing is given.
pub(super) fn credentials(user: &Lv, password: &Lv) -> Result<(String, String)> {
    let mut room = Room::new("a name and password", URL_BYTES);
    Ok((room.text(user)?.unwrap_or_default(), room.text(password)?.unwrap_or_default()))
}

fn truthy(value: &Lv) -> Option<bool> {
    match value {
        Lv::Nil => None,
        Lv::Boolean(b) => Some(*b),
        other => text_of(other).map(|text| !matches!(text.as_str(), "0" | "false" | "FALSE" | "")),
    }
}

/// What came back.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Sends a request and gives the callback the whole body in one piece, if there is one. True if an answer came.
async fn perform(
    shard: Rc<Shard>,
    state: Rc<RefCell<State>>,
    method: Method,
    body: Option<Vec<u8>>,
    callback: Option<Function>,
) -> Result<bool> {
    let request = state.borrow().request();
    let body = match send(&shard, &request, method, body).await? {
        Ok(answer) => {
            state.borrow_mut().answered(&answer);
            answer.body
        }
        Err((code, reason)) => {
            let mut state = state.borrow_mut();
            state.status = 0;
            state.answer_headers.clear();
            state.error = (code, reason);
            return Ok(false);
        }
    };
    if let (Some(callback), false) = (callback, body.is_empty()) {
        let lua = callback.weak_lua().upgrade();
        let piece = lua.create_string(body)?;
        entry::call::<Lv>(&callback, piece).await?;
    }
    Ok(true)
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
    let mut ready = client.request(method, url).headers(request.headers());
    if let Some((user, password)) = &request.auth {
        ready = ready.basic_auth(user, Some(password));
    }
    if let Some(body) = body {
        ready = ready.body(body);
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
        let mut answer = client.execute(ready).await.map_err(failure)?;
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

impl Request {
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
        if let Some(url) = self.url.as_deref().and_then(|url| Url::parse(url.trim()).ok()) {
            secrets.extend(url.password().map(str::to_owned));
            secrets.extend(url.query_pairs().filter(|(name, _)| telling(name)).map(|(_, value)| value.into_owned()));
        }
        secrets
    }

    /// The headers to send; one that HTTP does not allow is left out.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.trim().as_bytes()), HeaderValue::from_str(value.trim()))
            {
                headers.insert(name, value);
            }
        }
        headers
    }
}

impl State {
    /// Puts what is set on the state's account.
    fn account(&mut self, lua: &Lua) -> Result<()> {
        let pairs = self.next.headers.iter().chain(&self.next.auth);
        let held: usize = pairs.map(|(name, value)| 64 + name.len() + value.len()).sum();
        self.charge.become_of(lua, held + self.next.url.as_ref().map_or(0, String::len))
    }

    /// The next request, with the cookies kept.
    fn request(&self) -> Request {
        let mut request = self.next.clone();
        if self.keep_cookies && !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.default_header(COOKIE.as_str(), &cookies.join("; "));
        }
        request
    }

    fn answered(&mut self, answer: &Answer) {
        self.status = answer.status;
        self.error = (0, String::new());
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        if self.keep_cookies {
            for value in answer.headers.get_all(SET_COOKIE) {
                let value = text(value);
                if let Some((name, value)) = value.split(';').next().and_then(|pair| pair.split_once('=')) {
                    self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
                }
            }
        }
        // hyper keeps names in lower case; scripts look them up as senders usually spell them, so both are there.
        self.answer_headers = answer
            .headers
            .iter()
            .flat_map(|(name, value)| [(name.to_string(), text(value)), (usual(name.as_str()), text(value))])
            .collect();
    }
}

/// `content-type` as `Content-Type`.
fn usual(name: &str) -> String {
    let mut up = true;
    name.chars()
        .map(|c| {
            let c = if up { c.to_ascii_uppercase() } else { c };
            up = c == '-';
            c
        })
        .collect()
}
