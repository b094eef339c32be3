//! A `simplehttp` connection: its settings, its cookies, its last answer.

use super::{
    cookies::Jar,
    exchange::{Answer, HEADER_BYTES, Request, URL_BYTES, code, credentials, send},
    module::Module,
    text_of,
};
use crate::{
    dialect,
    object::{Charge, Copies},
    room::Room,
    shard::Shard,
};
use mlua::{Function, Lua, LuaString, Result, Table, Value as Lv};
use reqwest::{
    Method,
    header::{COOKIE, SET_COOKIE},
};
use std::{cell::RefCell, rc::Rc};

#[derive(Default)]
struct State {
    next: Request,
    charge: Charge,
    keep_cookies: bool,
    cookies: Jar,
    status: u16,
    /// By name, in lower case.
    answer_headers: Vec<(String, Vec<u8>)>,
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
    let s = own(&state);
    let turned_down = lua.create_function(move |_, ()| {
        s.borrow_mut().error = (code::ANSWER, "the callback returned false".to_owned());
        Ok(())
    })?;
    let requesting = dialect::requesting(lua)?;
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
            module.waiting(name, move |lua, (body, callback): (Option<LuaString>, Option<Function>)| {
                let (s, shard, method) = (s.clone(), shard.clone(), method.clone());
                async move {
                    let _copy = Copies::of(body.as_ref().map_or(0, |body| body.as_bytes().len()))?;
                    let body = body.map(|body| body.as_bytes().to_vec()).unwrap_or_default();
                    perform(lua, shard, s, method, Some(body), callback).await
                }
            })?;
        } else {
            module.waiting(name, move |lua, callback: Option<Function>| {
                perform(lua, shard.clone(), s.clone(), method.clone(), None, callback)
            })?;
        }
        let request: Function = module.table.raw_get(name)?;
        module.table.raw_set(name, requesting.call::<Function>((request, &turned_down))?)?;
    }
    let s = own(&state);
    module.function("getLastError", move |_, ()| Ok(s.borrow().error.clone()))?;
    let s = own(&state);
    module.function("getHTTPStatusCode", move |_, ()| Ok(s.borrow().status))?;
    let s = own(&state);
    module.function("getResponseHeaders", move |lua, ()| {
        let state = s.borrow();
        headers_table(lua, &state.answer_headers)
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

fn truthy(value: &Lv) -> Option<bool> {
    match value {
        Lv::Nil => None,
        Lv::Boolean(b) => Some(*b),
        other => text_of(other).map(|text| !matches!(text.as_str(), "0" | "false" | "FALSE" | "")),
    }
}

/// Sends a request. Answers whether an answer came, and the callback with the whole body in one piece, if there is one.
async fn perform(
    lua: Lua,
    shard: Rc<Shard>,
    state: Rc<RefCell<State>>,
    method: Method,
    body: Option<Vec<u8>>,
    callback: Option<Function>,
) -> Result<(bool, Option<Function>, Option<LuaString>)> {
    let request = state.borrow().request(&method);
    let body = match send(&shard, &request, method, body).await? {
        Ok(answer) => {
            state.borrow_mut().answered(&lua, &request, &answer)?;
            answer.body
        }
        Err((code, reason)) => {
            let mut state = state.borrow_mut();
            state.status = 0;
            state.answer_headers.clear();
            state.error = (code, reason);
            return Ok((false, None, None));
        }
    };
    let Some(callback) = callback.filter(|_| !body.is_empty()) else { return Ok((true, None, None)) };
    Ok((true, Some(callback), Some(lua.create_string(body)?)))
}

impl State {
    /// Puts what is set and what is kept on the state's account.
    fn account(&mut self, lua: &Lua) -> Result<()> {
        let set = self.next.headers.iter().chain(&self.next.auth).map(|(name, value)| name.len() + value.len());
        let got = self.answer_headers.iter().map(|(name, value)| name.len() + value.len());
        let held: usize = set.chain(got).map(|bytes| 64 + bytes).sum();
        self.charge.become_of(lua, held + self.next.url.as_ref().map_or(0, String::len) + self.cookies.weight())
    }

    /// The next request, with the cookies kept.
    fn request(&self, method: &Method) -> Request {
        let mut request = self.next.clone();
        if let Some(cookies) = request.parsed().and_then(|url| self.cookies.header(&url)) {
            request.default_header(COOKIE.as_str(), &cookies);
        }
        if *method == Method::POST {
            // As libcurl says of what is posted.
            request.default_header("Content-Type", "application/x-www-form-urlencoded");
        }
        request
    }

    fn answered(&mut self, lua: &Lua, request: &Request, answer: &Answer) -> Result<()> {
        self.status = answer.status;
        self.error = (0, String::new());
        if let Some(url) = request.parsed().filter(|_| self.keep_cookies) {
            for line in answer.headers.get_all(SET_COOKIE) {
                self.cookies.set(&url, &String::from_utf8_lossy(line.as_bytes()));
            }
        }
        self.answer_headers = answer.fields().map(|(name, value)| (name.to_owned(), value)).collect();
        self.account(lua)
    }
}

/// Headers as a table. Scripts look them up as their senders usually spell them, and find them in any letter case.
fn headers_table(lua: &Lua, headers: &[(String, Vec<u8>)]) -> Result<Table> {
    let table = lua.create_table()?;
    for (name, value) in headers {
        let value = lua.create_string(value)?;
        table.raw_set(usual(name), &value)?;
        table.raw_set(name.as_str(), value)?;
    }
    let meta = lua.create_table()?;
    let find = lua.create_function(|_, (headers, name): (Table, Lv)| match name.as_string() {
        Some(name) => headers.raw_get::<Lv>(name.to_string_lossy().to_ascii_lowercase()),
        None => Ok(Lv::Nil),
    })?;
    meta.raw_set("__index", find)?;
    table.set_metatable(Some(meta))?;
    Ok(table)
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
