//! What each kind of object answers to.

use super::{BeanRef, JSON_BYTES, ListRef, Object, Val, ms_number, node};
use crate::{error, json, meter::Meter, room::Room, schema::Type};
use mlua::{IntoLua, Lua, Result, Value as Lv};

/// Calls a method.
///
/// # Errors
/// For a method that does not exist, and what the method itself raises.
pub(super) fn call(lua: &Lua, object: &Object, name: &str, args: [&Lv; 3]) -> Result<Lv> {
    let [a, b, _] = args;
    let common = match name {
        "toString" => Some(Val::text(&object.text())),
        "equals" => Some(Val::Bool(super::with(a, |other| object.same(other)).unwrap_or(false))),
        _ => None,
    };
    let value = match (common, object) {
        (Some(value), _) => Some(value),
        (None, Object::Bean(bean)) => self::bean(lua, bean, name, a, b)?,
        (None, Object::Enum(constant)) => match name {
            "name" => Some(Val::Text(constant.name.clone())),
            "ordinal" => constant.place().map(number),
            "compareTo" => Some(compared(
                constant.place(),
                super::with(a, |other| match other {
                    Object::Enum(other) if other.kind == constant.kind => other.place(),
                    _ => None,
                }),
                constant.kind,
            )?),
            _ => None,
        },
        (None, Object::Date(ms)) => {
            let order = || {
                let other = super::with(a, |other| if let Object::Date(other) = other { Some(*other) } else { None });
                compared(Some(*ms), other, "Date")
            };
            match name {
                "getTime" => Some(Val::Num(ms_number(*ms))),
                "compareTo" => Some(order()?),
                "before" => Some(Val::Bool(matches!(order()?, Val::Num(n) if n < 0.0))),
                "after" => Some(Val::Bool(matches!(order()?, Val::Num(n) if n > 0.0))),
                _ => None,
            }
        }
        (None, Object::List(list)) => self::list(lua, list, name, a, b)?,
        (None, Object::Map(map)) => self::map(lua, map, name, a, b)?,
        (None, Object::Iter(iter)) => match name {
            "hasNext" => Some(Val::Bool(iter.has_next())),
            "next" => {
                // A loop over many beans is the longest work a script does between two safe points.
                Meter::check_current()?;
                Some(iter.next()?)
            }
            "iterator" => return object.clone().into_lua(lua),
            _ => None,
        },
        (None, Object::Node(node)) => node::call(lua, node, name, args)?,
        (None, Object::Attribute(attribute)) => node::call_attribute(lua, attribute, name, a, b)?,
    };
    match value {
        Some(value) => value.into_lua(lua),
        None if name == "iterator" => match object {
            Object::List(list) => Object::Iter(list.iterator()).into_lua(lua),
            Object::Map(map) => Object::Iter(map.keys(lua)?.iterator()).into_lua(lua),
            _ => Err(unknown(object, name)),
        },
        None => Err(unknown(object, name)),
    }
}

/// What most calls without arguments answer: those that read something and cannot fail. None: [`call`] has to be asked.
pub(super) fn asked(object: &Object, name: &str) -> Option<Val> {
    match (object, name) {
        (Object::Bean(_), "getProviderValues") => None,
        (Object::Bean(bean), _) => {
            let (verb, property) = split(name)?;
            let mut room = [0; NAME_BYTES];
            let key = room.get_mut(..property.len())?;
            key.copy_from_slice(property.as_bytes());
            key.make_ascii_lowercase();
            let key = str::from_utf8(key).ok()?;
            match verb {
                Verb::Get => Some(bean.get(key)),
                Verb::Is => Some(flag(bean, key)),
                Verb::Set => None,
            }
        }
        (Object::Enum(constant), "name") => Some(Val::Text(constant.name.clone())),
        (Object::Date(ms), "getTime") => Some(Val::Num(ms_number(*ms))),
        (Object::List(list), "size") => Some(number(list.len())),
        (Object::List(list), "isEmpty") => Some(Val::Bool(list.len() == 0)),
        (Object::Map(map), "size") => Some(number(map.len())),
        (Object::Map(map), "isEmpty") => Some(Val::Bool(map.len() == 0)),
        (Object::Iter(iter), "hasNext") => Some(Val::Bool(iter.has_next())),
        _ => None,
    }
}

/// Longer than the name of any property of the language, bytes.
const NAME_BYTES: usize = 64;

/// Whether `object.name` is a method, for dotted calls.
pub(super) fn exists(object: &Object, name: &str) -> bool {
    match object {
        Object::Bean(bean) => {
            accessor(name).is_some_and(|(verb, key)| verb != Verb::Is || bean.has(&key))
                || ["toString", "toJSONString", "equals", "addCondition", "removeCondition", "addCloudInitData"]
                    .contains(&name)
        }
        Object::Enum(_) => ["toString", "name", "ordinal", "compareTo", "equals"].contains(&name),
        Object::Date(_) => ["toString", "getTime", "compareTo", "before", "after", "equals"].contains(&name),
        Object::List(_) => LIST.contains(&name),
        Object::Map(_) => MAP.contains(&name),
        Object::Iter(_) => ["hasNext", "next", "iterator"].contains(&name),
        Object::Node(_) => node::exists(name),
        Object::Attribute(_) => node::exists_on_attribute(name),
    }
}

const LIST: [&str; 20] = [
    "size",
    "get",
    "iterator",
    "add",
    "addAll",
    "set",
    "remove",
    "contains",
    "indexOf",
    "isEmpty",
    "clear",
    "toString",
    "equals",
    "getFirst",
    "getLast",
    "toArray",
    "subList",
    "getLength",
    "item",
    "getNamedItem",
];
const MAP: [&str; 16] = [
    "get",
    "getOrDefault",
    "put",
    "remove",
    "containsKey",
    "containsValue",
    "size",
    "isEmpty",
    "keySet",
    "entrySet",
    "values",
    "putAll",
    "clear",
    "iterator",
    "toString",
    "equals",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get,
    Set,
    Is,
}

/// Splits `getResourceUUID` into its verb and the property's name in lower case.
fn accessor(method: &str) -> Option<(Verb, String)> {
    split(method).map(|(verb, name)| (verb, name.to_ascii_lowercase()))
}

/// The same with the name as it is written.
fn split(method: &str) -> Option<(Verb, &str)> {
    let (verb, name) = if let Some(name) = method.strip_prefix("get") {
        (Verb::Get, name)
    } else if let Some(name) = method.strip_prefix("set") {
        (Verb::Set, name)
    } else {
        (Verb::Is, method.strip_prefix("is")?)
    };
    (!name.is_empty()).then_some((verb, name))
}

fn bean(lua: &Lua, bean: &BeanRef, name: &str, a: &Lv, b: &Lv) -> Result<Option<Val>> {
    match name {
        "toJSONString" => return Ok(Some(Val::text(&json::text(&Val::Bean(bean.clone()).to_json(false)?, false)?))),
        // One provider's values, or all of them by provider.
        "getProviderValues" => {
            let Val::Map(providers) = bean.get("providers") else { return Ok(Some(Val::Nil)) };
            return Ok(Some(if a.is_nil() { Val::Map(providers) } else { providers.get_or_create(a)? }));
        }
        "addCondition" => {
            let Val::List(conditions) = bean.get("filterconditions") else { return Ok(None) };
            if super::with(a, |object| matches!(object, Object::Bean(_))) == Some(true) {
                conditions.push(lua, a)?;
                return Ok(Some(Val::Nil));
            }
            return Err(mlua::Error::runtime("INVALID_INPUT: addCondition expects a FilterCondition"));
        }
        "removeCondition" => {
            let Val::List(conditions) = bean.get("filterconditions") else { return Ok(None) };
            let Val::Text(field) = Val::from_lua(a, &Type::Text)? else { return Ok(Some(Val::Nil)) };
            conditions.retain(|item| match item {
                Val::Bean(condition) => {
                    !matches!(condition.get("field"), Val::Text(name) if name.eq_ignore_ascii_case(&field))
                }
                _ => true,
            });
            return Ok(Some(Val::Nil));
        }
        "addCloudInitData" => {
            let Val::List(data) = bean.get("cloudinitdata") else { return Ok(None) };
            data.push(lua, a)?;
            return Ok(Some(Val::Nil));
        }
        _ => {}
    }
    let Some((verb, key)) = accessor(name) else { return Ok(None) };
    Ok(Some(match verb {
        Verb::Set => {
            let mut written = name["set".len()..].to_owned();
            // `setFoo` sets `foo`; `setURL` sets `URL`.
            if !written[1..].starts_with(|c: char| c.is_ascii_uppercase()) {
                written[..1].make_ascii_lowercase();
            }
            bean.set(lua, &key, &written, a)?;
            Val::Nil
        }
        Verb::Get => {
            let value = bean.get(&key);
            // `getResourceValues("key")` in one step, as `getProviderValues("type")` allows.
            match (&value, b, a) {
                (Val::Map(map), Lv::Nil, Lv::String(_)) => map.get(a)?,
                _ => value,
            }
        }
        Verb::Is => flag(bean, &key),
    }))
}

/// An unset flag is false, as in Java.
fn flag(bean: &BeanRef, key: &str) -> Val {
    match bean.get(key) {
        Val::Nil => Val::Bool(false),
        value => value,
    }
}

fn list(lua: &Lua, list: &ListRef, name: &str, a: &Lv, b: &Lv) -> Result<Option<Val>> {
    Ok(Some(match name {
        // What the DOM calls it for lists of nodes, whose end is nil and no error.
        "size" | "getLength" => number(list.len()),
        "item" => list.get(a).unwrap_or(Val::Nil),
        // And for those of attributes.
        "getNamedItem" => list.attribute(a).unwrap_or(Val::Nil),
        "isEmpty" => Val::Bool(list.len() == 0),
        "get" => list.get(a)?,
        "getFirst" => list.get(&Lv::Number(0.0))?,
        "getLast" => list.items().pop().ok_or_else(|| mlua::Error::runtime("NoSuchElementException"))?,
        "add" if b.is_nil() => {
            list.push(lua, a)?;
            Val::Bool(true)
        }
        "add" => {
            list.insert(lua, a, b)?;
            Val::Nil
        }
        "addAll" => {
            let items = match super::with(a, Clone::clone) {
                Some(Object::List(other)) => other.items(),
                _ => match a {
                    Lv::Table(table) => {
                        ListRef::from_table(table, &Type::Any, &mut Room::new("the list", JSON_BYTES))?.items()
                    }
                    _ => return Err(mlua::Error::runtime("INVALID_INPUT: addAll expects a list")),
                },
            };
            for item in items {
                Meter::check_current()?;
                list.push(lua, &item.into_lua(lua)?)?;
            }
            Val::Bool(true)
        }
        "set" => list.replace(lua, a, b)?,
        "remove" => list.remove(a)?,
        "contains" => Val::Bool(list.index_of(a).is_some()),
        "indexOf" => list.index_of(a).map_or(Val::Num(-1.0), number),
        "subList" => Val::List(list.between(lua, a, b)?),
        "toArray" => Val::Lua(Lv::Table(lua.create_sequence_from(list.items())?)),
        "clear" => {
            list.clear();
            Val::Nil
        }
        _ => return Ok(None),
    }))
}

fn map(lua: &Lua, map: &super::MapRef, name: &str, a: &Lv, b: &Lv) -> Result<Option<Val>> {
    Ok(Some(match name {
        "get" => map.get(a)?,
        "getOrDefault" => match map.get(a)? {
            Val::Nil => Val::from_lua(b, &Type::Any)?,
            value => value,
        },
        "put" => map.put(lua, a, b)?,
        "remove" => map.remove(a)?,
        "containsKey" => Val::Bool(map.contains_key(a)?),
        "containsValue" => Val::Bool(map.contains_value(a)),
        "size" => number(map.len()),
        "isEmpty" => Val::Bool(map.len() == 0),
        "keySet" => Val::List(map.keys(lua)?),
        "entrySet" => Val::List(map.entries(lua)?),
        "values" => Val::List(map.values(lua)?),
        "putAll" => {
            match super::with(a, Clone::clone) {
                Some(Object::Map(other)) => map.put_all(lua, &other)?,
                // A table stands for a map here as it does for a list in `addAll`.
                _ => match a {
                    Lv::Table(table) => {
                        for pair in table.pairs::<Lv, Lv>() {
                            Meter::check_current()?;
                            let (key, value) = pair?;
                            map.put(lua, &key, &value)?;
                        }
                    }
                    _ => return Err(mlua::Error::runtime("INVALID_INPUT: putAll expects a map or a table")),
                },
            }
            Val::Nil
        }
        "clear" => {
            map.clear();
            Val::Nil
        }
        _ => return Ok(None),
    }))
}

/// -1, 0 or 1, as Java compares.
///
/// # Errors
/// When the other is of another type.
fn compared<T: Ord>(own: Option<T>, other: Option<Option<T>>, kind: &str) -> Result<Val> {
    match (own, other.flatten()) {
        (Some(own), Some(other)) => Ok(Val::Num(f64::from(own.cmp(&other) as i8))),
        _ => Err(mlua::Error::runtime(format!("INVALID_INPUT: compareTo expects a {kind}"))),
    }
}

#[allow(clippy::cast_precision_loss)] // no list is that long
fn number(n: usize) -> Val {
    Val::Num(n as f64)
}

fn unknown(object: &Object, name: &str) -> mlua::Error {
    mlua::Error::runtime(format!("a {} has no method `{}`", object.kind(), error::shown(name)))
}
