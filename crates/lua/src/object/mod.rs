//! The objects of the language: beans, enum constants, dates, lists, maps and iterators, as one Lua type.

mod bean;
mod charge;
mod collection;
mod graph;
mod method;
mod namecall;
mod node;
mod value;

pub(crate) use bean::BeanRef;
pub(crate) use charge::{Charge, OBJECT_BYTES, share};
pub(crate) use collection::{IterRef, ListRef, MapRef};
pub(crate) use graph::{JSON_BYTES, Writer};
pub(crate) use value::{EnumConst, Val, ms_number};

use crate::xml::Node;
use charge::Tally;
use mlua::{
    AnyUserData, IntoLua, Lua, MetaMethod, MultiValue, Result, UserDataFields, UserDataMethods, UserDataRef,
    Value as Lv,
};
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
            _ => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Enum(constant) => constant.name.to_string(),
            Self::Date(ms) => crate::date::format(*ms, "EEE MMM dd HH:mm:ss z yyyy"),
            Self::Iter(_) => "Iterator".to_owned(),
            Self::Node(node) => node.to_xml().unwrap_or_else(|_| node.name()),
            other => {
                let json = other.clone().into_val().to_json(false);
                json.and_then(|json| crate::json::text(&json, false)).unwrap_or_else(|_| other.kind().to_string())
            }
        }
    }
}

impl IntoLua for Object {
    fn into_lua(self, lua: &Lua) -> Result<Lv> {
        Ok(Lv::UserData(lua.create_any_userdata(self)?))
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
    let dispatch =
        lua.create_function(|lua, (name, object, a, b): (mlua::LuaString, UserDataRef<Object>, Lv, Lv)| {
            method::call(lua, &object, &name.to_str()?, &a, &b)
        })?;
    let namecall = namecall::handler(lua, dispatch)?;
    lua.register_userdata_type::<Object>(|registry| {
        registry.add_meta_field("__namecall", namecall);
        registry.add_meta_field("__type", "userdata");
        registry.add_meta_method(MetaMethod::Index, |lua, object: &Object, key: Lv| match key {
            Lv::String(name) if method::exists(object, &name.to_str()?) => {
                bind(lua, object.clone(), name.to_string_lossy())
            }
            _ => Ok(Lv::Nil),
        });
        registry.add_meta_method(MetaMethod::Eq, |_, object: &Object, other: Lv| {
            Ok(with(&other, |other| object.same(other)).unwrap_or(false))
        });
        registry.add_meta_method(MetaMethod::ToString, |_, object: &Object, ()| Ok(object.text()));
        registry.add_meta_function(MetaMethod::Concat, |_, (a, b): (Lv, Lv)| {
            Ok(format!("{}{}", operand(&a)?, operand(&b)?))
        });
        registry.add_meta_method(MetaMethod::Len, |_, object: &Object, ()| match object {
            Object::List(list) => Ok(list.len()),
            Object::Map(map) => Ok(map.len()),
            other => Err(mlua::Error::runtime(format!("a {} has no length", other.kind()))),
        });
        for (order, less) in [(MetaMethod::Lt, true), (MetaMethod::Le, false)] {
            registry.add_meta_function(order, move |_, (a, b): (Lv, Lv)| {
                let date =
                    |value: &Lv| with(value, |object| if let Object::Date(ms) = object { Some(*ms) } else { None });
                match (date(&a).flatten(), date(&b).flatten()) {
                    (Some(a), Some(b)) => Ok(if less { a < b } else { a <= b }),
                    _ => Err(mlua::Error::runtime("attempt to compare two objects that have no order")),
                }
            });
        }
    })
}

/// A method for dotted calls: bound to its object, and not confused by getting that object as first argument.
fn bind(lua: &Lua, object: Object, name: String) -> Result<Lv> {
    let function = lua.create_function(move |lua, mut args: MultiValue| {
        if args.front().is_some_and(|first| with(first, |first| first.same(&object)).unwrap_or(false)) {
            args.pop_front();
        }
        let a = args.pop_front().unwrap_or(Lv::Nil);
        let b = args.pop_front().unwrap_or(Lv::Nil);
        method::call(lua, &object, &name, &a, &b)
    })?;
    Ok(Lv::Function(function))
}

/// Looks at the object in a Lua value, if it is one.
pub(crate) fn with<T>(value: &Lv, look: impl FnOnce(&Object) -> T) -> Option<T> {
    match value {
        Lv::UserData(data) => data.borrow::<Object>().ok().map(|object| look(&object)),
        _ => None,
    }
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

/// The object in a userdata as JSON, if it is one.
pub(crate) fn write(data: &AnyUserData, writer: &mut Writer) -> Result<Option<Value>> {
    // Not borrowed any more while it is written: tables that it holds may hold it.
    let object = data.borrow::<Object>().ok().map(|object| object.clone());
    object.map(|object| object.into_val().write(writer)).transpose()
}
