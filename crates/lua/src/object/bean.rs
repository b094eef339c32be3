//! Beans: typed properties behind getters and setters, by one mechanism for all kinds.

use super::{
    Val,
    charge::Charge,
    graph::{self, Identity, Writer},
    value::EnumConst,
};
use crate::{
    Bean, Properties, json,
    schema::{self, BeanType, Type},
};
use mlua::{Lua, Result, Value as Lv};
use serde_json::{Map, Value};
use std::{borrow::Cow, cell::RefCell, rc::Rc};

/// What a property that was set takes beside its name and value.
const LIVE: usize = 64;

/// A bean that Lua and its other holders share.
#[derive(Clone)]
pub(crate) struct BeanRef(Rc<RefCell<Data>>);

struct Data {
    kind: Rc<str>,
    schema: Option<&'static BeanType>,
    /// Properties nobody changed or took apart yet.
    rest: Properties,
    live: Vec<Live>,
    charge: Charge,
}

/// A property that was set, or a list, map or bean that a script holds and may change.
struct Live {
    name: String,
    value: Val,
    came: Came,
}

/// How a property came to be live.
enum Came {
    /// A setter set it.
    Set,
    /// A script asked for it. It had so many parts then; none: it only came to be, empty, because a script asked.
    Asked(Option<usize>),
}

impl Live {
    /// Whether it is nothing but what a script asked for and left empty.
    fn is_blank(&self) -> bool {
        matches!(self.came, Came::Asked(None)) && self.value.parts() == Some(0)
    }

    /// Whether a script has set it, or put something into it or taken something out. What a part of it was changed to, the
    /// part tells.
    fn is_set(&self) -> bool {
        match self.came {
            Came::Set => true,
            Came::Asked(had) => self.value.parts().is_some_and(|parts| parts != had.unwrap_or(0)),
        }
    }
}

impl BeanRef {
    pub fn from_bean(bean: Bean) -> Self {
        Self::new(&bean.kind, bean.properties, Charge::default())
    }

    /// One with nothing set.
    pub fn empty(kind: &str) -> Self {
        Self::new(kind, Properties::default(), Charge::default())
    }

    /// Takes what it holds from the charge of what it came with.
    pub fn from_json(kind: &str, mut json: Map<String, Value>, charge: &mut Charge) -> Self {
        json.remove("@bean");
        json.remove("@set");
        let charge = charge.split(json::weight_of(&json));
        Self::new(kind, json.into(), charge)
    }

    fn new(kind: &str, rest: Properties, charge: Charge) -> Self {
        let (kind, schema) = (kind.into(), schema::bean(kind));
        Self(Rc::new(RefCell::new(Data { kind, schema, rest, live: Vec::new(), charge })))
    }

    pub fn kind(&self) -> Rc<str> {
        self.0.borrow().kind.clone()
    }

    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// # Errors
    /// When it grew too large or too deep to be written.
    pub fn to_bean(&self) -> Result<Bean> {
        let properties = match Val::Bean(self.clone()).to_json(false)? {
            Value::Object(properties) => properties,
            _ => Map::new(),
        };
        Ok(Bean { kind: self.kind().to_string().into(), properties: properties.into() })
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<Value> {
        let data = self.0.borrow();
        let mut fields = Map::new();
        for (name, value) in data.rest.each() {
            writer.room.take(name.len() + crate::json::weight(&value))?;
            fields.insert(name.into_owned(), value.into_owned());
        }
        for live in data.live.iter().filter(|live| !live.is_blank()) {
            writer.room.take(live.name.len())?;
            fields.insert(live.name.clone(), live.value.write(writer)?);
        }
        if writer.tagged {
            fields.insert("@bean".to_owned(), Value::String(data.kind.to_string()));
            let set = data.live.iter().filter(|live| live.is_set()).map(|live| live.name.as_str());
            let set: Vec<Value> = set.map(Value::from).collect();
            if !set.is_empty() {
                writer.room.take(crate::json::weight(&Value::Array(set.clone())))?;
                fields.insert("@set".to_owned(), Value::Array(set));
            }
        }
        Ok(Value::Object(fields))
    }

    pub(super) fn identity(&self) -> Identity {
        Rc::as_ptr(&self.0).cast()
    }

    pub(super) fn children(&self, open: &mut Vec<Val>) {
        let data = self.0.borrow();
        open.extend(data.live.iter().map(|live| &live.value).filter(|v| v.identity().is_some()).cloned());
    }

    /// A property by its name in lower case. Lists, maps and beans are live: changing them changes this bean.
    pub fn get(&self, key: &str) -> Val {
        let mut data = self.0.borrow_mut();
        let data = &mut *data;
        let (name, kind) = data.property(key);
        if let Some(live) = data.live.iter().find(|live| live.name == name) {
            return live.value.clone();
        }
        let (value, there) = match data.rest.lend(&name) {
            Some(Cow::Owned(parts @ (Value::Array(_) | Value::Object(_)))) => {
                (Val::from_json(parts, &kind, &mut data.charge), true)
            }
            Some(value) if !value.is_null() => return scalar(&value, kind),
            _ => match kind {
                Type::List(element) => (Val::List(super::ListRef::new(*element, Vec::new())), false),
                Type::Map(element) => (Val::Map(super::MapRef::new(*element)), false),
                _ => return Val::Nil,
            },
        };
        let came = Came::Asked(value.parts().filter(|_| there));
        data.live.push(Live { name: name.into_owned(), value: value.clone(), came });
        value
    }

    /// Sets a property by its name in lower case; `written` is the name as the setter spells it.
    ///
    /// # Errors
    /// `INVALID_INPUT` with the property's name for a value of another type.
    pub fn set(&self, lua: &Lua, key: &str, written: &str, value: &Lv) -> Result<()> {
        let identity = self.identity();
        let mut data = self.0.borrow_mut();
        let data = &mut *data;
        let (name, kind) = data.property(key);
        let name = if name == key { written.to_owned() } else { name.into_owned() };
        let value = Val::from_lua(value, &kind)
            .map_err(|error| mlua::Error::runtime(format!("{}.{name}: {}", data.kind, crate::error::text(&error))))?;
        graph::refuse_circle(&value, identity)?;
        data.charge.grow(lua, value.take_in(lua)? + LIVE + name.len())?;
        match data.live.iter_mut().find(|live| live.name == name) {
            Some(live) => {
                data.charge.shrink(live.value.held() + LIVE + name.len());
                live.value = value;
                live.came = Came::Set;
            }
            None => data.live.push(Live { name, value, came: Came::Set }),
        }
        Ok(())
    }

    /// Sets a property from this side, by its exact name.
    pub fn put(&self, name: &str, value: Val) {
        let mut data = self.0.borrow_mut();
        data.live.retain(|live| live.name != name);
        data.live.push(Live { name: name.to_owned(), value, came: Came::Set });
    }

    /// Names of the properties without parts that a setter has set, also to what they were.
    pub fn set_by_script(&self) -> Vec<String> {
        let plain = |live: &&Live| !matches!(live.value, Val::List(_) | Val::Map(_) | Val::Bean(_));
        self.0.borrow().live.iter().filter(plain).map(|live| live.name.clone()).collect()
    }

    /// Puts memory that came with the bean on the account.
    pub fn charge(&self, lua: &Lua, bytes: usize) -> Result<()> {
        self.0.borrow_mut().charge.grow(lua, bytes)
    }

    pub fn has(&self, key: &str) -> bool {
        let data = self.0.borrow();
        data.schema.is_some_and(|schema| schema.properties.contains_key(key))
            || data.live.iter().any(|live| live.name.eq_ignore_ascii_case(key))
            || data.rest.name(key).is_some()
    }
}

impl Data {
    /// The name and type of a property; one that the reference does not know is found by its name alone.
    fn property(&self, key: &str) -> (Cow<'static, str>, Type) {
        if let Some(property) = self.schema.and_then(|schema| schema.properties.get(key)) {
            return (property.name.into(), property.kind.clone());
        }
        let live = self.live.iter().find(|live| live.name.eq_ignore_ascii_case(key));
        let name = live.map(|live| live.name.clone().into()).or_else(|| self.rest.name(key));
        (name.unwrap_or_else(|| key.to_owned().into()), Type::Any)
    }
}

/// A property without parts.
fn scalar(value: &Value, kind: Type) -> Val {
    match (value, kind) {
        (Value::String(text), Type::Enum(kind)) => Val::Enum(EnumConst { kind, name: text.as_str().into() }),
        (Value::String(text), Type::Text | Type::Any) => Val::text(text),
        (value, kind) => Val::from_json(value.clone(), &kind, &mut Charge::default()),
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        graph::bury(self.live.drain(..).map(|live| live.value).collect());
    }
}
