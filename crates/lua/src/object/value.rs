//! Values inside beans, lists and maps, and their way to and from Lua and JSON.

use super::{
    BeanRef, ListRef, MapRef, Object,
    charge::{Charge, OBJECT_BYTES},
    graph::{Identity, JSON_BYTES, Writer},
};
use crate::{
    dialect::number_text,
    json,
    room::Room,
    schema::{self, Type},
    xml::{Attribute, Node},
};
use mlua::{IntoLua, Lua, Result, Value as Lv};
use serde_json::Value;
use std::rc::Rc;

/// What a shared text takes beside its bytes.
const TEXT: usize = 24;

/// A constant of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnumConst {
    pub kind: &'static str,
    pub name: Rc<str>,
}

impl EnumConst {
    /// The constant that a word means, in any letter case; one that the enum does not have equals nothing else.
    fn of(kind: &'static str, word: &str) -> Self {
        let known = schema::enumeration(kind).and_then(|kind| kind.value(word));
        Self { kind, name: known.unwrap_or(word).into() }
    }

    /// Its place among the constants of its enum, if it is one of them.
    pub fn place(&self) -> Option<usize> {
        let kind = crate::schema::enumeration(self.kind)?;
        kind.values.iter().position(|value| **value == *self.name)
    }
}

/// Any value of the language.
#[derive(Clone)]
pub(crate) enum Val {
    Nil,
    Bool(bool),
    Num(f64),
    Text(Rc<str>),
    Enum(EnumConst),
    Date(i64),
    Bean(BeanRef),
    List(ListRef),
    Map(MapRef),
    Node(Node),
    Attribute(Attribute),
    /// A table or function that a script keeps in a list or map.
    Lua(Lv),
}

impl Val {
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// Reads what came from the host as a value of `kind`, on the state's account.
    ///
    /// # Errors
    /// When the account is full.
    pub fn answered(lua: &Lua, json: Value, kind: &Type) -> Result<Self> {
        let mut charge = Charge::default();
        charge.grow(lua, OBJECT_BYTES + json::weight(&json))?;
        Ok(Self::from_json(json, kind, &mut charge))
    }

    /// Reads JSON as a value of `kind`. JSON that does not fit keeps its own type. Each object that comes to be takes its part of
    /// the charge along, for scripts may keep any of them and let go of the rest.
    pub fn from_json(json: Value, kind: &Type, charge: &mut Charge) -> Self {
        match (json, kind) {
            (Value::Null, _) => Self::Nil,
            (Value::Bool(b), _) => Self::Bool(b),
            (Value::String(name), Type::Enum(kind)) => Self::Enum(EnumConst { kind, name: name.into() }),
            (Value::String(text), Type::Number) => text.trim().parse().map_or_else(|_| Self::text(&text), Self::Num),
            (Value::String(text), Type::Date) => {
                crate::date::parse_any(&text).map_or_else(|| Self::text(&text), |(from, _)| Self::Date(from))
            }
            (Value::String(text), _) => Self::Text(text.into()),
            (Value::Number(n), Type::Date) => Self::Date(n.as_i64().unwrap_or_default()),
            (Value::Number(n), Type::Text) => Self::Text(number_text(n.as_f64().unwrap_or_default()).into()),
            (Value::Number(n), _) => Self::Num(n.as_f64().unwrap_or_default()),
            (Value::Array(items), Type::List(element)) => Self::List(ListRef::from_json(items, element, charge)),
            (Value::Array(items), _) => Self::List(ListRef::from_json(items, &Type::Any, charge)),
            (Value::Object(fields), Type::Map(value)) => Self::Map(MapRef::from_json(fields, value, charge)),
            (Value::Object(fields), Type::Bean(kind)) => Self::Bean(BeanRef::from_json(kind, fields, charge)),
            (Value::Object(mut fields), _) => match fields.remove("@bean") {
                Some(Value::String(kind)) => Self::Bean(BeanRef::from_json(&kind, fields, charge)),
                _ => Self::Map(MapRef::from_json(fields, &Type::Any, charge)),
            },
        }
    }

    /// The value as JSON; `tagged` beans name their kind.
    ///
    /// # Errors
    /// When it is nested too deeply or grows too large.
    pub fn to_json(&self, tagged: bool) -> Result<Value> {
        self.write(&mut Writer::new(tagged))
    }

    pub fn write(&self, writer: &mut Writer) -> Result<Value> {
        writer.room.take(self.weight())?;
        Ok(match self {
            Self::Nil => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Num(n) => json::number(*n),
            Self::Text(text) => Value::String(text.to_string()),
            Self::Enum(constant) => Value::String(constant.name.to_string()),
            Self::Date(ms) => Value::from(*ms),
            Self::Attribute(attribute) => Value::String(attribute.value()),
            Self::Bean(bean) => writer.nested(|writer| bean.write(writer))?,
            Self::List(list) => writer.nested(|writer| list.write(writer))?,
            Self::Map(map) => writer.nested(|writer| map.write(writer))?,
            Self::Node(node) => {
                let xml = node.to_xml().map_err(mlua::Error::runtime)?;
                writer.room.take(xml.len())?;
                Value::String(xml)
            }
            Self::Lua(value) => {
                // Beans in a plain table are plain objects.
                let tagged = std::mem::take(&mut writer.tagged);
                let written = json::write(value, writer);
                writer.tagged = tagged;
                written?.unwrap_or_default()
            }
        })
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        match self {
            Self::Bean(bean) => Some(bean.identity()),
            Self::List(list) => Some(list.identity()),
            Self::Map(map) => Some(map.identity()),
            _ => None,
        }
    }

    /// Adds the objects it holds to `open`.
    pub(super) fn children(&self, open: &mut Vec<Val>) {
        match self {
            Self::Bean(bean) => bean.children(open),
            Self::List(list) => list.children(open),
            Self::Map(map) => map.children(open),
            _ => {}
        }
    }

    /// Reads what a script passed where a value of `kind` belongs.
    ///
    /// # Errors
    /// Says what was expected and what came.
    pub fn from_lua(value: &Lv, kind: &Type) -> Result<Self> {
        Self::within(value, kind, &mut Room::new("the value", JSON_BYTES))
    }

    /// The same for one of several values that are copied together.
    ///
    /// # Errors
    /// As above, and when they are too much.
    pub fn within(value: &Lv, kind: &Type, room: &mut Room) -> Result<Self> {
        room.take(if let Lv::String(text) = value { text.as_bytes().len() } else { 0 })?;
        let wrong = |expected: &str| {
            Err(mlua::Error::runtime(format!("INVALID_INPUT: {expected} expected, got {}", value.type_name())))
        };
        let object = match value {
            Lv::Nil => return Ok(Self::Nil),
            other => super::with(other, Object::clone),
        };
        Ok(match (kind, value, object) {
            (Type::Text, Lv::String(text), _) => Self::Text(text.to_string_lossy().into()),
            (Type::Text, Lv::Number(n), _) => Self::Text(number_text(*n).into()),
            #[allow(clippy::cast_precision_loss)]
            (Type::Text, Lv::Integer(n), _) => Self::Text(number_text(*n as f64).into()),
            (Type::Text, Lv::Boolean(b), _) => Self::text(if *b { "true" } else { "false" }),
            (Type::Text, _, Some(Object::Enum(constant))) => Self::Text(constant.name),
            (Type::Text, _, Some(Object::Date(ms))) => Self::Text(ms.to_string().into()),
            (Type::Text, ..) => return wrong("a text"),
            (Type::Number, Lv::String(text), _) => match text.to_string_lossy().trim().parse() {
                Ok(n) => Self::Num(n),
                Err(_) => return wrong("a number"),
            },
            (Type::Number | Type::Any, Lv::Number(n), _) => Self::Num(*n),
            #[allow(clippy::cast_precision_loss)]
            (Type::Number | Type::Any, Lv::Integer(n), _) => Self::Num(*n as f64),
            (Type::Number, _, Some(Object::Date(ms))) => Self::Num(ms_number(ms)),
            (Type::Number, ..) => return wrong("a number"),
            (Type::Bool | Type::Any, Lv::Boolean(b), _) => Self::Bool(*b),
            (Type::Bool, Lv::String(text), _) => Self::Bool(text.to_string_lossy().eq_ignore_ascii_case("true")),
            (Type::Bool, ..) => return wrong("a boolean"),
            (Type::Date, _, Some(Object::Date(ms))) => Self::Date(ms),
            #[allow(clippy::cast_possible_truncation)] // saturates
            (Type::Date, Lv::Number(ms), _) => Self::Date(*ms as i64),
            (Type::Date, Lv::Integer(ms), _) => Self::Date(*ms),
            (Type::Date, Lv::String(text), _) => match crate::date::parse_any(&text.to_string_lossy()) {
                Some((from, _)) => Self::Date(from),
                None => return wrong("a date"),
            },
            (Type::Date, ..) => return wrong("a date"),
            (Type::Enum(_), _, Some(Object::Enum(constant))) => Self::Enum(constant),
            (Type::Enum(kind), Lv::String(text), _) => Self::Enum(EnumConst::of(kind, &text.to_string_lossy())),
            (Type::Enum(kind), ..) => return wrong(kind),
            (Type::List(element), _, Some(Object::List(list))) => {
                list.hold(element);
                Self::List(list)
            }
            (Type::List(element), Lv::Table(table), _) => Self::List(ListRef::from_table(table, element, room)?),
            // One value where a list belongs is a list of one.
            (Type::List(element), ..) => {
                let one = Self::within(value, element, room)?;
                Self::List(ListRef::new((**element).clone(), vec![one]))
            }
            (Type::Map(element), _, Some(Object::Map(map))) => {
                map.hold(element);
                Self::Map(map)
            }
            (Type::Map(element), Lv::Table(table), _) => Self::Map(MapRef::from_table(table, element, room)?),
            (Type::Map(_), ..) => return wrong("a map"),
            (Type::Bean(_), _, Some(Object::Bean(bean))) => Self::Bean(bean),
            (Type::Bean(kind), ..) => return wrong(kind),
            (Type::Any, Lv::String(text), _) => Self::Text(text.to_string_lossy().into()),
            (Type::Any, _, Some(object)) => object.into_val(),
            (Type::Any, ..) => Self::Lua(value.clone()),
        })
    }

    /// What a script has put into a list or map of its own, where a value of `kind` belongs.
    pub(super) fn fitted(&self, kind: &Type) -> Self {
        match (self, kind) {
            (Self::Text(word), Type::Enum(kind)) => Self::Enum(EnumConst::of(kind, word)),
            (Self::Enum(constant), Type::Text) => Self::Text(constant.name.clone()),
            (Self::Lua(value), kind) => Self::from_lua(value, kind).unwrap_or_else(|_| self.clone()),
            (Self::List(list), Type::List(element)) => {
                list.hold(element);
                self.clone()
            }
            (Self::Map(map), Type::Map(element)) => {
                map.hold(element);
                self.clone()
            }
            (Self::Text(_) | Self::Num(_) | Self::Bool(_), Type::Text | Type::Number | Type::Bool | Type::Date) => {
                match (self, kind) {
                    (Self::Bool(flag), Type::Text) => Self::text(if *flag { "true" } else { "false" }),
                    (Self::Text(word), Type::Bool) => Self::Bool(word.eq_ignore_ascii_case("true")),
                    _ => self
                        .to_json(false)
                        .map_or_else(|_| self.clone(), |json| Self::from_json(json, kind, &mut Charge::default())),
                }
            }
            _ => self.clone(),
        }
    }

    /// How many values a list or map has; none for anything else.
    pub(super) fn parts(&self) -> Option<usize> {
        match self {
            Self::List(list) => Some(list.len()),
            Self::Map(map) => Some(map.len()),
            _ => None,
        }
    }

    /// Roughly the memory the value itself takes on this side of the fence.
    pub fn weight(&self) -> usize {
        32 + match self {
            Self::Text(text) => text.len(),
            Self::Lua(_) => 128,
            _ => 0,
        }
    }

    /// Memory that holding it takes: a place among others, of which there are up to twice as many as are used, and its text.
    pub fn held(&self) -> usize {
        2 * size_of::<Self>()
            + match self {
                Self::Text(text) => TEXT + text.len(),
                Self::Enum(constant) => TEXT + constant.name.len(),
                Self::Attribute(attribute) => TEXT + attribute.name.len(),
                Self::Lua(_) => 128,
                _ => 0,
            }
    }

    /// The same for one that is to be held; a list or map that came to be with it, of a table, goes on its own account.
    ///
    /// # Errors
    /// When the account is full.
    pub fn take_in(&self, lua: &Lua) -> Result<usize> {
        match self {
            Self::List(list) => list.charge_new(lua)?,
            Self::Map(map) => map.charge_new(lua)?,
            _ => {}
        }
        Ok(self.held())
    }
}

impl IntoLua for Val {
    fn into_lua(self, lua: &Lua) -> Result<Lv> {
        match self {
            Self::Nil => Ok(Lv::Nil),
            Self::Bool(b) => Ok(Lv::Boolean(b)),
            Self::Num(n) => Ok(Lv::Number(n)),
            Self::Text(text) => Ok(Lv::String(lua.create_string(text.as_bytes())?)),
            Self::Enum(constant) => Object::Enum(constant).into_lua(lua),
            Self::Date(ms) => Object::Date(ms).into_lua(lua),
            Self::Bean(bean) => Object::Bean(bean).into_lua(lua),
            Self::List(list) => Object::List(list).into_lua(lua),
            Self::Map(map) => Object::Map(map).into_lua(lua),
            Self::Node(node) => Object::Node(node).into_lua(lua),
            Self::Attribute(attribute) => Object::Attribute(attribute).into_lua(lua),
            Self::Lua(value) => Ok(value),
        }
    }
}

/// Milliseconds as the number a script calculates with; exact until the year 287396.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn ms_number(ms: i64) -> f64 {
    ms as f64
}
