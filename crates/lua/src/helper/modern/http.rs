//! `http`: one request, one answer. A request that gets no answer raises, so that the run is tried again.

use crate::{
    helper::{
        Module,
        exchange::{HEADER_BYTES, Request, URL_BYTES, credentials, send},
    },
    json,
    object::Copies,
    room::Room,
    shard::Shard,
};
use mlua::{Error, Lua, LuaString, Result, Table, Value as Lv};
use reqwest::Method;
use std::rc::Rc;

/// Longest form: it is encoded outside the limits of the run.
const FORM_BYTES: usize = 2 << 20;

/// Methods with a function of their own.
const METHODS: [(&str, Method); 6] = [
    ("get", Method::GET),
    ("head", Method::HEAD),
    ("post", Method::POST),
    ("put", Method::PUT),
    ("patch", Method::PATCH),
    ("delete", Method::DELETE),
];

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    for (name, method) in METHODS {
        let shard = shard.clone();
        module.waiting(name, move |lua, (url, options): (String, Option<Table>)| {
            perform(lua, shard.clone(), method.clone(), url, options)
        })?;
    }
    let shard = shard.clone();
    module.waiting("request", move |lua, options: Table| {
        let shard = shard.clone();
        async move {
            let method = options.get::<Option<String>>("method")?.unwrap_or_else(|| "GET".to_owned()).to_uppercase();
            let method = Method::from_bytes(method.as_bytes())
                .map_err(|_| Error::runtime(format!("http.request: `{method}` is no method")))?;
            let url: Option<String> = options.get("url")?;
            let url = url.ok_or_else(|| Error::runtime("http.request: `url` is missing"))?;
            perform(lua, shard, method, url, Some(options)).await
        }
    })?;
    Ok(module.table)
}

async fn perform(lua: Lua, shard: Rc<Shard>, method: Method, url: String, options: Option<Table>) -> Result<Table> {
    if url.len() > URL_BYTES {
        return Err(Error::runtime(format!("http: a URL has more than {URL_BYTES} bytes")));
    }
    let mut request = Request { url: Some(url), verify: true, ..Request::default() };
    let mut body = None;
    let mut copies = Copies::default();
    if let Some(options) = options {
        if let Some(headers) = options.get::<Option<Table>>("headers")? {
            request.headers = Room::new("the header of a request", HEADER_BYTES).pairs(&headers)?;
        }
        if let Some(auth) = options.get::<Option<Table>>("auth")? {
            request.auth = Some(credentials(&auth.get("user")?, &auth.get("password")?)?);
        }
        request.verify = options.get::<Option<bool>>("verify")?.unwrap_or(true);
        let plain = options.get::<Option<LuaString>>("body")?;
        copies.take(plain.as_ref().map_or(0, |text| text.as_bytes().len()))?;
        body = plain.map(|text| text.as_bytes().to_vec());
        let (data, form) = (options.get::<Lv>("json")?, options.get::<Option<Table>>("form")?);
        if usize::from(body.is_some()) + usize::from(!data.is_nil()) + usize::from(form.is_some()) > 1 {
            return Err(Error::runtime("http: give one of `body`, `json` and `form`"));
        }
        if !data.is_nil() {
            body = Some(json::text(&json::from_lua(&data)?, false)?.into_bytes());
            request.default_header("Content-Type", "application/json");
        }
        if let Some(form) = form {
            let mut pairs = Room::new("a form", FORM_BYTES).pairs(&form)?;
            // In a fixed order, so that a repeated run sends the same.
            pairs.sort_unstable();
            let text = reqwest::Url::parse_with_params("form:", &pairs).map_err(|e| Error::runtime(e.to_string()))?;
            body = Some(text.query().unwrap_or_default().as_bytes().to_vec());
            request.default_header("Content-Type", "application/x-www-form-urlencoded");
        }
    }
    let answer = send(&shard, &request, method, body).await?;
    let answer = answer.map_err(|(_, reason)| Error::runtime(format!("http: {reason}")))?;
    let module = Module::new(&lua)?;
    module.table.raw_set("status", answer.status)?;
    module.table.raw_set("ok", (200..300).contains(&answer.status))?;
    let headers = lua.create_table()?;
    for (name, value) in answer.fields() {
        headers.raw_set(name, lua.create_string(value)?)?;
    }
    module.table.raw_set("headers", headers)?;
    let body = lua.create_string(&answer.body)?;
    module.table.raw_set("body", &body)?;
    module.function("json", move |lua, ()| json::decode(lua, &body.as_bytes()))?;
    Ok(module.table)
}
