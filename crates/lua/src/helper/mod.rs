//! The globals and helper objects that scripts find beside the language.

mod api;
mod connection;
mod cookies;
mod data;
mod data_store;
mod dates;
mod email;
mod exchange;
mod hashes;
mod http;
mod json;
mod members;
mod modern;
mod module;
mod platform;
mod syslog;
mod translate;
mod utils;
mod widget;
mod xml;

pub(crate) use exchange::URL_BYTES;

use crate::{
    dialect::{self, number_text},
    error,
    meter::Meter,
    object::{BeanRef, Copies, EnumConst, ListRef, MapRef, OBJECT_BYTES, Object},
    schema::{self, Type},
    shard::Shard,
};
pub(crate) use data::Overlay;
pub(crate) use members::member;
use mlua::{IntoLua, Lua, Result, Table, Value as Lv};
use module::Module;
use std::rc::Rc;
pub use translate::platform_text;

/// Puts the globals into `base`. All but `new` come to be when a script first names them: most blocks use few, and every
/// function takes memory in every loaded block.
pub(crate) fn install(lua: &Lua, base: &Table, shard: &Rc<Shard>) -> Result<()> {
    let made = lua.create_table()?;
    let host = shard.clone();
    let globals = lua.create_function(move |lua, (base, name): (Table, Lv)| {
        let Lv::String(name) = name else { return Ok(Lv::Nil) };
        let value = match &*name.to_str()? {
            "adminAPI" => Lv::Table(api::create(lua, &host, false)?),
            "userAPI" => Lv::Table(api::create(lua, &host, true)?),
            "syslog" => Lv::Table(syslog::create(lua, &host)?),
            "dataStore" => Lv::Table(data_store::create(lua, &host)?),
            "translate" => Lv::Table(translate::create(lua)?),
            "convert_mtype" => Lv::Function(lua.create_function(|_, (from, to): (Lv, Lv)| utils::factor(&from, &to))?),
            // Of the language's own, which are there by themselves then.
            name if let Some(value) = dialect::late(lua, &base, name)? => return Ok(value),
            name => match modern::create(lua, &host, name)? {
                Some(table) => Lv::Table(table),
                None => return Ok(Lv::Nil),
            },
        };
        base.raw_set(name, &value)?;
        Ok(value)
    })?;
    let meta = lua.create_table()?;
    meta.raw_set("__index", globals)?;
    base.set_metatable(Some(meta))?;
    let shard = shard.clone();
    let new = lua.create_function(move |lua, (name, value): (mlua::LuaString, Lv)| {
        create(lua, &shard, &made, &name.to_str()?, &value)
    })?;
    base.raw_set("new", new)
}

/// Longest text that one line of a log is made of, bytes: more than a run may log.
const LOG_BYTES: usize = 256 << 10;
/// Texts up to this length are copied without a look at the account, bytes.
const LARGE: usize = 64 << 10;
/// Longest name of an enum's constant, bytes.
const CONSTANT_BYTES: usize = 256;

/// `new(TYPE [, VALUE])`.
fn create(lua: &Lua, shard: &Rc<Shard>, made: &Table, name: &str, value: &Lv) -> Result<Lv> {
    match name {
        "List" | "ArrayList" => {
            let list = ListRef::new(Type::Any, Vec::new());
            list.charge(lua, OBJECT_BYTES)?;
            return Object::List(list).into_lua(lua);
        }
        "Map" | "HashMap" => {
            let map = MapRef::new(Type::Any);
            map.charge(lua, OBJECT_BYTES)?;
            return Object::Map(map).into_lua(lua);
        }
        // Any version is the one there is.
        "AdminAPI" | "adminAPI" => return api::create(lua, shard, false).map(Lv::Table),
        "UserAPI" | "userAPI" => return api::create(lua, shard, true).map(Lv::Table),
        _ => {}
    }
    if !value.is_nil()
        && let Some(kind) = schema::enumeration(name)
    {
        return constant(kind, value)?.into_lua(lua);
    }
    if let Some(bean) = schema::bean(name) {
        let bean = BeanRef::empty(bean.name);
        bean.charge(lua, OBJECT_BYTES)?;
        return bean.into_lua(lua);
    }
    if schema::enumeration(name).is_some() {
        return Err(mlua::Error::runtime(format!("new(\"{name}\"): the name of a {name} is missing")));
    }
    if let Lv::Table(helper) = made.raw_get(name)? {
        return Ok(Lv::Table(helper));
    }
    let helper = match name {
        "JSON" => json::create(lua)?,
        "syslog" => syslog::create(lua, shard)?,
        "simplehttp" => http::create(lua, shard)?,
        "Utils" => utils::create(lua)?,
        "FDLDateHelper" => dates::create(lua)?,
        "FDLHashHelper" => hashes::create(lua)?,
        "FDLCustomWidgetHelper" => widget::create(lua, shard)?,
        "FDLXMLHelper" => xml::create(lua)?,
        "FDLEmailHelper" => email::create(lua, shard)?,
        _ => return Err(mlua::Error::runtime(format!("new(\"{}\"): there is no such type", error::shown(name)))),
    };
    made.raw_set(name, &helper)?;
    Ok(Lv::Table(helper))
}

fn constant(kind: &'static schema::EnumType, value: &Lv) -> Result<Object> {
    let Lv::String(text) = value else {
        return Err(mlua::Error::runtime(format!(
            "new(\"{}\"): a text expected, got {}",
            kind.name,
            value.type_name()
        )));
    };
    let text = text.to_string_lossy();
    if text.len() > CONSTANT_BYTES {
        return Err(mlua::Error::runtime(format!("new(\"{}\"): no {} has a name that long", kind.name, kind.name)));
    }
    let known = kind.value(&text);
    if known.is_none()
        && let Some(meter) = Meter::current()
    {
        // Later versions of the original know more values; such a constant equals nothing that happens here.
        meter.note(&format!("{} has no value {}", kind.name, error::shown(&text)));
    }
    Ok(Object::Enum(EnumConst { kind: kind.name, name: known.unwrap_or(&text).into() }))
}

/// The text of an argument that may be a text, a number, an enum constant or a date.
///
/// One that there is no room for ends the run.
pub(crate) fn text_of(value: &Lv) -> Option<String> {
    match value {
        Lv::String(text) => {
            let bytes = text.as_bytes().len();
            let _room = if bytes > LARGE { Copies::of(bytes).ok()? } else { Copies::default() };
            Some(text.to_string_lossy())
        }
        Lv::Number(n) => Some(number_text(*n)),
        Lv::Integer(n) => Some(n.to_string()),
        Lv::Boolean(b) => Some(b.to_string()),
        _ => crate::object::with(value, |object| match object {
            Object::Enum(constant) => Some(constant.name.to_string()),
            Object::Date(ms) => Some(ms.to_string()),
            _ => None,
        })
        .flatten(),
    }
}

/// What a log may take of a text: no more is copied.
fn loggable(value: &Lv) -> Option<String> {
    match value {
        Lv::String(text) => {
            let bytes = text.as_bytes();
            Some(String::from_utf8_lossy(&bytes[..bytes.len().min(LOG_BYTES)]).into_owned())
        }
        other => text_of(other),
    }
}

/// The run in progress, if it may reach outside.
fn acting() -> Result<(Rc<Meter>, crate::Who)> {
    let meter = Meter::current().ok_or_else(|| mlua::Error::runtime("nothing outside can be reached here"))?;
    meter.check()?;
    let who = meter.who.clone();
    let who = who.ok_or_else(|| mlua::Error::runtime("nothing outside can be reached while a block registers"))?;
    Ok((meter, who))
}

/// The run in progress, about to change something outside: to send a request or to call an operation that may write. Every
/// helper that does so goes through here.
pub(crate) async fn reaching_out(shard: &Shard) -> Result<(Rc<Meter>, crate::Who)> {
    let (meter, who) = acting()?;
    if meter.first_reach() {
        shard.host.reaches_out(&who).await.map_err(api::raise)?;
    }
    Ok((meter, who))
}
