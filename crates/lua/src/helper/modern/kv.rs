//! `kv`: what the script keeps, under keys of its own choice.

use crate::{
    data::{DataAction, LIST_MAX},
    helper::{Module, data::request},
    json,
    shard::Shard,
};
use mlua::{Error, Lua, Result, Table, Value as Lv};
use serde_json::Value;
use std::rc::Rc;
use sutler_model::DataSpace;

/// Longest time to live, seconds: ten years.
const TTL_MAX: f64 = 315_360_000.0;

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let host = shard.clone();
    module.waiting("get", move |lua, (key, default): (String, Lv)| {
        let host = host.clone();
        async move {
            match request(&host, "kv.get", DataSpace::Kv, DataAction::Get { key }).await? {
                Value::Null => Ok(default),
                value => json::decode(&lua, value.to_string().as_bytes()),
            }
        }
    })?;
    let host = shard.clone();
    module.waiting("set", move |_, (key, value, options): (String, Lv, Option<Table>)| {
        let host = host.clone();
        async move {
            let value = written("kv.set", &value)?;
            let value = value.ok_or_else(|| Error::runtime("kv.set: there is no value; kv.delete(key) deletes"))?;
            let action = DataAction::Set { key, value: Some(value), ttl_s: ttl("kv.set", options)? };
            request(&host, "kv.set", DataSpace::Kv, action).await.map(|_| ())
        }
    })?;
    let host = shard.clone();
    module.waiting("delete", move |_, key: String| {
        let host = host.clone();
        async move {
            let action = DataAction::Set { key, value: None, ttl_s: None };
            request(&host, "kv.delete", DataSpace::Kv, action).await.map(|was| was == Value::Bool(true))
        }
    })?;
    let host = shard.clone();
    module.waiting("incr", move |_, (key, by): (String, Option<f64>)| {
        let host = host.clone();
        async move {
            let action = DataAction::Add { key, by: by.unwrap_or(1.0) };
            Ok(request(&host, "kv.incr", DataSpace::Kv, action).await?.as_f64())
        }
    })?;
    let host = shard.clone();
    module.waiting("cas", move |_, (key, expected, value, options): (String, Lv, Lv, Option<Table>)| {
        let host = host.clone();
        async move {
            let (expected, value) = (written("kv.cas", &expected)?, written("kv.cas", &value)?);
            let action = DataAction::Swap { key, expected, value, ttl_s: ttl("kv.cas", options)? };
            request(&host, "kv.cas", DataSpace::Kv, action).await.map(|done| done == Value::Bool(true))
        }
    })?;
    let host = shard.clone();
    module.waiting("list", move |lua, (prefix, options): (Option<String>, Option<Table>)| {
        let host = host.clone();
        async move { list(&lua, &host, prefix.unwrap_or_default(), options).await }
    })?;
    Ok(module.table)
}

/// An array of `{ key, value }`, and whether there are more.
async fn list(lua: &Lua, shard: &Shard, prefix: String, options: Option<Table>) -> Result<(Table, bool)> {
    let (mut after, mut limit) = (None, LIST_MAX);
    if let Some(options) = options {
        after = options.get("after")?;
        limit = options.get::<Option<usize>>("limit")?.unwrap_or(limit);
    }
    let action = DataAction::List { prefix, after, limit };
    let Value::Array(items) = request(shard, "kv.list", DataSpace::Kv, action).await? else {
        return Ok((lua.create_table()?, false));
    };
    let (found, mut more) = (lua.create_table()?, false);
    for item in items {
        match item.as_array().map(Vec::as_slice) {
            Some([Value::String(key), value]) => {
                let pair = lua.create_table()?;
                pair.raw_set("key", key.as_str())?;
                pair.raw_set("value", json::decode(lua, value.to_string().as_bytes())?)?;
                found.raw_push(pair)?;
            }
            _ => more = item == Value::Bool(true),
        }
    }
    Ok((found, more))
}

/// A value as it is kept; none for nil.
fn written(name: &str, value: &Lv) -> Result<Option<Value>> {
    match value {
        Lv::Nil => Ok(None),
        Lv::Function(_) | Lv::Thread(_) => {
            Err(Error::runtime(format!("{name}: a {} cannot be kept", value.type_name())))
        }
        value => json::from_lua(value).map(Some).map(|value| value.filter(|value| !value.is_null())),
    }
}

/// `ttl` in the options, seconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked
fn ttl(name: &str, options: Option<Table>) -> Result<Option<u64>> {
    let Some(options) = options else { return Ok(None) };
    match options.get::<Option<f64>>("ttl")? {
        None => Ok(None),
        Some(ttl) if (1.0..=TTL_MAX).contains(&ttl) => Ok(Some(ttl as u64)),
        Some(_) => Err(Error::runtime(format!("{name}: `ttl` is in seconds, 1 to {TTL_MAX}"))),
    }
}
