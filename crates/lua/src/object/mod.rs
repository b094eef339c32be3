//! The objects of the language: beans, enum constants, dates, lists, maps and iterators, as one Lua type.

mod bean;
mod charge;
mod collection;
mod graph;
mod held;
mod method;
mod namecall;
mod node;
mod quick;
mod value;

pub(crate) use bean::BeanRef;
pub(crate) use charge::{Charge, Copies, OBJECT_BYTES, discarded, share, with_room};
pub(crate) use collection::{IterRef, ListRef, MapRef};
pub(crate) use graph::{JSON_BYTES, Writer};
pub(crate) use held::with;
pub(crate) use value::{EnumConst, Val, ms_number};

use crate::xml::{Attribute, Node};
use charge::Tally;
use mlua::{IntoLua, Lua, LuaString, MultiValue, Result, Value as Lv};
use serde_json::Value;

/// Anything of the language that is not a plain Lua value.
#[derive(Clone)]
pub(crate) enum Object {
    Bean(BeanRef),
    Enum(EnumConst),
    Date(i64),
    List(ListRef),
    Map(MapRef),
    Iter(IterRef),
    /// A node of an XML document, the document itself among them.
    Node(Node),
    /// An attribute in one.
    Attribute(Attribute),
}

impl Object {
    /// What it is called in messages.
    pub fn kind(&self) -> std::rc::Rc<str> {
        match self {
            Self::Bean(bean) => bean.kind(),
            Self::Enum(constant) => constant.kind.into(),
            Self::Date(_) => "Date".into(),
            Self::List(_) => "List".into(),
            Self::Map(_) => "Map".into(),
            Self::Iter(_) => "Iterator".into(),
            Self::Node(node) => if node.is_document() { "Document" } else { "Node" }.into(),
            Self::Attribute(_) => "Attribute".into(),
        }
    }

    pub fn into_val(self) -> Val {
        match self {
            Self::Bean(bean) => Val::Bean(bean),
            Self::Enum(constant) => Val::Enum(constant),
            Self::Date(ms) => Val::Date(ms),
            Self::List(list) => Val::List(list),
            Self::Map(map) => Val::Map(map),
            Self::Node(node) => Val::Node(node),
            Self::Attribute(attribute) => Val::Attribute(attribute),
            // An iterator is a place, not a value.
            Self::Iter(_) => Val::Nil,
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bean(a), Self::Bean(b)) => a.same(b),
            (Self::Enum(a), Self::Enum(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::List(a), Self::List(b)) => a.same(b),
            (Self::Map(a), Self::Map(b)) => a.same(b),
            (Self::Iter(a), Self::Iter(b)) => a.same(b),
            (Self::Node(a), Self::Node(b)) => a.same(b),
            (Self::Attribute(a), Self::Attribute(b)) => a.same(b),
            _ => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Enum(constant) => constant.name.to_string(),
            Self::Date(ms) => crate::date::format(*ms, "EEE MMM dd HH:mm:ss z yyyy"),
            Self::Iter(_) => "Iterator".to_owned(),
            Self::Node(node) => node.to_xml().unwrap_or_else(|_| node.name()),
            Self::Attribute(attribute) => attribute.value(),
            other => {
                let json = other.clone().into_val().to_json(false);
                json.and_then(|json| crate::json::text(&json, false)).unwrap_or_else(|_| other.kind().to_string())
            }
        }
    }
}

impl IntoLua for Object {
    fn into_lua(self, lua: &Lua) -> Result<Lv> {
        held::make(lua, self)
    }
}

impl IntoLua for BeanRef {
    fn into_lua(self, lua: &Lua) -> Result<Lv> {
        Object::Bean(self).into_lua(lua)
    }
}

/// Teaches a Lua state about [`Object`]; `limit` bounds what objects may hold outside its heap.
pub(crate) fn register(lua: &Lua, limit: usize) -> Result<()> {
    lua.set_app_data(Tally::new(limit));
    let dispatch = lua.create_function(|lua, (name, object, a, b, c): (LuaString, Lv, Lv, Lv, Lv)| {
        method::call(lua, &taken(&object)?, &name.to_str()?, [&a, &b, &c])
    })?;
    let meta = lua.create_table_with_capacity(0, 10)?;
    // A table to look at for scripts that print what an object can do, and nothing in it to tamper with.
    let (shown, none) = (lua.create_table()?, lua.create_table()?);
    none.set_readonly(true);
    shown.raw_set("__index", none)?;
    shown.set_readonly(true);
    meta.raw_set("__metatable", shown)?;
    meta.raw_set("__type", "userdata")?;
    meta.raw_set("__namecall", namecall::handler(lua, dispatch)?)?;
    meta.raw_set(
        "__index",
        lua.create_function(|lua, (object, key): (Lv, Lv)| {
            let object = taken(&object)?;
            match key {
                Lv::String(name) if method::exists(&object, &name.to_str()?) => {
                    bind(lua, object, name.to_string_lossy())
                }
                _ => Ok(Lv::Nil),
            }
        })?,
    )?;
    meta.raw_set(
        "__eq",
        lua.create_function(|_, (a, b): (Lv, Lv)| {
            let a = taken(&a)?;
            Ok(with(&b, |b| a.same(b)).unwrap_or(false))
        })?,
    )?;
    meta.raw_set("__tostring", lua.create_function(|_, object: Lv| Ok(taken(&object)?.text()))?)?;
    meta.raw_set(
        "__concat",
        lua.create_function(|_, (a, b): (Lv, Lv)| Ok(format!("{}{}", operand(&a)?, operand(&b)?)))?,
    )?;
    meta.raw_set(
        "__len",
        lua.create_function(|_, object: Lv| match taken(&object)? {
            Object::List(list) => Ok(list.len()),
            Object::Map(map) => Ok(map.len()),
            other => Err(mlua::Error::runtime(format!("a {} has no length", other.kind()))),
        })?,
    )?;
    for (order, less) in [("__lt", true), ("__le", false)] {
        let compare = lua.create_function(move |_, (a, b): (Lv, Lv)| {
            let date = |value: &Lv| with(value, |object| if let Object::Date(ms) = object { Some(*ms) } else { None });
            match (date(&a).flatten(), date(&b).flatten()) {
                (Some(a), Some(b)) => Ok(if less { a < b } else { a <= b }),
                _ => Err(mlua::Error::runtime("attempt to compare two objects that have no order")),
            }
        })?;
        meta.raw_set(order, compare)?;
    }
    held::register(lua, &meta)
}

/// The object that a metamethod was called with. What is behind it is shared, so it is not looked at while scripts run.
fn taken(value: &Lv) -> Result<Object> {
    with(value, Object::clone).ok_or_else(|| mlua::Error::runtime("an object expected"))
}

/// A method for dotted calls: bound to its object, and not confused by getting that object as first argument.
fn bind(lua: &Lua, object: Object, name: String) -> Result<Lv> {
    let function = lua.create_function(move |lua, mut args: MultiValue| {
        if args.front().is_some_and(|first| with(first, |first| first.same(&object)).unwrap_or(false)) {
            args.pop_front();
        }
        let mut next = || args.pop_front().unwrap_or(Lv::Nil);
        let (a, b, c) = (next(), next(), next());
        method::call(lua, &object, &name, [&a, &b, &c])
    })?;
    Ok(Lv::Function(function))
}

fn operand(value: &Lv) -> Result<String> {
    match value {
        Lv::UserData(_) => {
            with(value, Object::text).ok_or_else(|| mlua::Error::runtime("attempt to concatenate a userdata"))
        }
        other => match Val::from_lua(other, &crate::schema::Type::Text)? {
            Val::Text(text) => Ok(text.to_string()),
            _ => Err(mlua::Error::runtime("attempt to concatenate a nil value")),
        },
    }
}

/// The object in a Lua value as JSON, if it is one.
pub(crate) fn write(value: &Lv, writer: &mut Writer) -> Result<Option<Value>> {
    // Not looked at any more while it is written: tables that it holds may hold it.
    with(value, Object::clone).map(|object| object.into_val().write(writer)).transpose()
}
