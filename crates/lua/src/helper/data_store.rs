//! `dataStore`: a provider's private maps, one for each resource.

use super::{Module, data::request, text_of};
use crate::{
    data::DataAction,
    json,
    object::{Object, Val, with},
    schema::Type,
    shard::Shard,
};
use mlua::{Error, Lua, Result, Table, Value as Lv};
use serde_json::{Map, Value};
use std::rc::Rc;
use sutler_model::DataSpace;

/// Under what the single map of the earlier form is kept: no UUID.
const SINGLE: &str = "";

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let host = shard.clone();
    module.waiting("getPrivateDataMap", move |lua, uuid: Lv| {
        let host = host.clone();
        async move {
            let key = key("getPrivateDataMap", &uuid)?;
            let found = read(&host, key).await?;
            found.map(|map| Val::answered(&lua, Value::Object(map), &any_map())).transpose()
        }
    })?;
    let host = shard.clone();
    module.waiting("resetPrivateDataMap", move |_, (uuid, map): (Lv, Lv)| {
        let host = host.clone();
        async move {
            let key = key("resetPrivateDataMap", &uuid)?;
            // As text from here on: what the script does to its map afterwards stays with the script.
            let value = copied(&map)?;
            let action = DataAction::Set { key, value, ttl_s: None };
            request(&host, "dataStore.resetPrivateDataMap", DataSpace::Private, action).await.map(|_| ())
        }
    })?;
    let host = shard.clone();
    module.waiting("get", move |lua, name: Lv| {
        let host = host.clone();
        async move {
            let name = key("get", &name)?;
            if let Some(value) = read(&host, SINGLE.to_owned()).await?.and_then(|mut map| map.remove(&name)) {
                return Val::answered(&lua, value, &Type::Any).map(Some);
            }
            let found = read(&host, name).await?;
            found.map(|map| Val::answered(&lua, Value::Object(map), &any_map())).transpose()
        }
    })?;
    let host = shard.clone();
    module.waiting("put", move |_, (name, value): (Lv, Lv)| {
        let host = host.clone();
        async move {
            let name = key("put", &name)?;
            let mut map = read(&host, SINGLE.to_owned()).await?.unwrap_or_default();
            match json::from_lua(&value)? {
                Value::Null => drop(map.remove(&name)),
                value => drop(map.insert(name, value)),
            }
            let action = DataAction::Set { key: SINGLE.to_owned(), value: Some(Value::Object(map)), ttl_s: None };
            request(&host, "dataStore.put", DataSpace::Private, action).await.map(|_| ())
        }
    })?;
    Ok(module.table)
}

fn any_map() -> Type {
    Type::Map(Box::new(Type::Any))
}

fn key(method: &str, value: &Lv) -> Result<String> {
    text_of(value).filter(|text| !text.trim().is_empty()).ok_or_else(|| {
        Error::runtime(format!("INVALID_INPUT: dataStore.{method}: a UUID expected, got {}", value.type_name()))
    })
}

async fn read(shard: &Shard, key: String) -> Result<Option<Map<String, Value>>> {
    match request(shard, "dataStore.get", DataSpace::Private, DataAction::Get { key }).await? {
        Value::Object(map) => Ok(Some(map)),
        _ => Ok(None),
    }
}

/// A Map or a table as JSON; none for nil.
fn copied(map: &Lv) -> Result<Option<Value>> {
    if map.is_nil() {
        return Ok(None);
    }
    let is_map = matches!(map, Lv::Table(_)) || with(map, |object| matches!(object, Object::Map(_))) == Some(true);
    match json::from_lua(map)? {
        value @ Value::Object(_) => Ok(Some(value)),
        // An empty table.
        Value::Array(items) if is_map && items.is_empty() => Ok(Some(Value::Object(Map::new()))),
        _ => Err(Error::runtime("INVALID_INPUT: dataStore.resetPrivateDataMap: a Map or nil expected")),
    }
}
