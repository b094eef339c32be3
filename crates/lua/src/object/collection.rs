//! Lists, maps and iterators as Java has them: zero-based, live, shared.

use super::{
    BeanRef, Val,
    charge::{Charge, OBJECT_BYTES},
    graph::{self, Identity, Writer},
};
use crate::{json, meter::Meter, room::Room, schema::Type};
use mlua::{Lua, Result, Table, Value as Lv};
use serde_json::{Map, Value};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

/// What an entry of a map takes beside key and value.
const ENTRY: usize = 64;

/// A shared list.
#[derive(Clone)]
pub(crate) struct ListRef(Rc<RefCell<ListData>>);

struct ListData {
    items: Vec<Val>,
    element: Type,
    charge: Charge,
}

/// A shared map from text to values.
#[derive(Clone)]
pub(crate) struct MapRef(Rc<RefCell<MapData>>);

struct MapData {
    entries: BTreeMap<Rc<str>, Val>,
    value: Type,
    charge: Charge,
}

/// A place in a list.
#[derive(Clone)]
pub(crate) struct IterRef {
    list: ListRef,
    at: Rc<Cell<usize>>,
}

impl ListRef {
    pub fn new(element: Type, items: Vec<Val>) -> Self {
        Self(Rc::new(RefCell::new(ListData { items, element, charge: Charge::default() })))
    }

    /// One that a script has asked for, on the state's account before it is made.
    ///
    /// # Errors
    /// When the account is full, and those of the items.
    pub fn made(lua: &Lua, element: Type, items: impl ExactSizeIterator<Item = Result<Val>>) -> Result<Self> {
        let mut charge = Charge::default();
        charge.grow(lua, OBJECT_BYTES + items.len() * Val::Nil.held())?;
        let checked = |item| Meter::check_current().and(item);
        let items = items.map(checked).collect::<Result<_>>()?;
        Ok(Self(Rc::new(RefCell::new(ListData { items, element, charge }))))
    }

    /// Takes what it holds from the charge of what it came with.
    pub fn from_json(items: Vec<Value>, element: &Type, charge: &mut Charge) -> Self {
        let mut charge = charge.split(items.iter().map(json::weight).sum());
        let items = items.into_iter().map(|item| Val::from_json(item, element, &mut charge)).collect();
        Self(Rc::new(RefCell::new(ListData { items, element: element.clone(), charge })))
    }

    pub fn from_table(table: &Table, element: &Type, room: &mut Room) -> Result<Self> {
        let items = (1..=table.raw_len())
            .map(|index| Val::within(&table.raw_get(index)?, element, room))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::new(element.clone(), items))
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<Value> {
        self.0.borrow().items.iter().map(|item| item.write(writer)).collect::<Result<_>>().map(Value::Array)
    }

    pub(super) fn identity(&self) -> Identity {
        Rc::as_ptr(&self.0).cast()
    }

    pub(super) fn children(&self, open: &mut Vec<Val>) {
        open.extend(self.0.borrow().items.iter().filter(|item| item.identity().is_some()).cloned());
    }

    /// Reads a value that is to stand in this list.
    fn read(&self, value: &Lv) -> Result<Val> {
        let value = Val::from_lua(value, &self.0.borrow().element)?;
        graph::refuse_circle(&value, self.identity())?;
        Ok(value)
    }

    /// Becomes a list of `element`, when a bean takes one that was of anything.
    pub(super) fn hold(&self, element: &Type) {
        let mut data = self.0.borrow_mut();
        if data.element == Type::Any && *element != Type::Any {
            data.element = element.clone();
            data.items.iter_mut().for_each(|item| *item = item.fitted(element));
        }
    }

    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub fn len(&self) -> usize {
        self.0.borrow().items.len()
    }

    pub fn items(&self) -> Vec<Val> {
        self.0.borrow().items.clone()
    }

    pub fn charge(&self, lua: &Lua, bytes: usize) -> Result<()> {
        self.0.borrow_mut().charge.grow(lua, bytes)
    }

    /// Puts a list on the account that nobody but the asker holds yet.
    pub(super) fn charge_new(&self, lua: &Lua) -> Result<()> {
        if Rc::strong_count(&self.0) > 1 {
            return Ok(());
        }
        let held = self.0.borrow().items.iter().map(|item| item.take_in(lua)).sum::<Result<usize>>()?;
        self.charge(lua, OBJECT_BYTES + held)
    }

    /// # Errors
    /// `IndexOutOfBoundsException`, as in Java.
    pub fn get(&self, index: &Lv) -> Result<Val> {
        let data = self.0.borrow();
        let index = place(index, data.items.len())?;
        Ok(data.items[index].clone())
    }

    /// The attribute of that name among its items.
    pub fn attribute(&self, name: &Lv) -> Option<Val> {
        let name = name.as_string()?.to_string_lossy();
        let named = |item: &&Val| matches!(item, Val::Attribute(attribute) if *attribute.name == *name);
        self.0.borrow().items.iter().find(named).cloned()
    }

    pub fn push(&self, lua: &Lua, value: &Lv) -> Result<()> {
        let value = self.read(value)?;
        let mut data = self.0.borrow_mut();
        data.charge.grow(lua, value.take_in(lua)?)?;
        data.items.push(value);
        Ok(())
    }

    pub fn insert(&self, lua: &Lua, index: &Lv, value: &Lv) -> Result<()> {
        let value = self.read(value)?;
        let mut data = self.0.borrow_mut();
        let index = place(index, data.items.len() + 1)?;
        data.charge.grow(lua, value.take_in(lua)?)?;
        data.items.insert(index, value);
        Ok(())
    }

    pub fn replace(&self, lua: &Lua, index: &Lv, value: &Lv) -> Result<Val> {
        let value = self.read(value)?;
        let mut data = self.0.borrow_mut();
        let index = place(index, data.items.len())?;
        data.charge.grow(lua, value.take_in(lua)?)?;
        let before = std::mem::replace(&mut data.items[index], value);
        data.charge.shrink(before.held());
        Ok(before)
    }

    /// Removes by index, or, for anything but a number, the first equal element.
    pub fn remove(&self, what: &Lv) -> Result<Val> {
        let mut data = self.0.borrow_mut();
        let index = match what {
            Lv::Integer(_) | Lv::Number(_) => place(what, data.items.len())?,
            _ => match position(&data.items, what) {
                Some(index) => index,
                None => return Ok(Val::Bool(false)),
            },
        };
        let item = data.items.remove(index);
        data.charge.shrink(item.held());
        Ok(if matches!(what, Lv::Integer(_) | Lv::Number(_)) { item } else { Val::Bool(true) })
    }

    /// Keeps the elements for which `keep` holds.
    pub fn retain(&self, keep: impl Fn(&Val) -> bool) {
        self.0.borrow_mut().items.retain(keep);
    }

    pub fn index_of(&self, what: &Lv) -> Option<usize> {
        position(&self.0.borrow().items, what)
    }

    /// Those from one index to before another, as a list of their own: a copy, unlike Java's view.
    ///
    /// # Errors
    /// `IndexOutOfBoundsException`, as in Java.
    pub fn between(&self, lua: &Lua, from: &Lv, to: &Lv) -> Result<Self> {
        let data = self.0.borrow();
        let (from, to) = (place(from, data.items.len() + 1)?, place(to, data.items.len() + 1)?);
        if from > to {
            return Err(mlua::Error::runtime(format!("IllegalArgumentException: fromIndex({from}) > toIndex({to})")));
        }
        Self::made(lua, data.element.clone(), data.items[from..to].iter().cloned().map(Ok))
    }

    pub fn clear(&self) {
        let mut data = self.0.borrow_mut();
        data.charge.shrink(usize::MAX);
        let items = std::mem::take(&mut data.items);
        drop(data);
        graph::bury(items);
    }

    pub fn iterator(&self) -> IterRef {
        IterRef { list: self.clone(), at: Rc::default() }
    }
}

impl IterRef {
    pub fn has_next(&self) -> bool {
        self.at.get() < self.list.len()
    }

    /// # Errors
    /// `NoSuchElementException`, as in Java.
    pub fn next(&self) -> Result<Val> {
        let at = self.at.get();
        let item = self.list.0.borrow().items.get(at).cloned();
        self.at.set(at + 1);
        item.ok_or_else(|| mlua::Error::runtime("NoSuchElementException"))
    }

    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.at, &other.at)
    }
}

impl MapRef {
    pub fn new(value: Type) -> Self {
        let data = MapData { entries: BTreeMap::new(), value, charge: Charge::default() };
        Self(Rc::new(RefCell::new(data)))
    }

    /// Takes what it holds from the charge of what it came with.
    pub fn from_json(fields: Map<String, Value>, value: &Type, charge: &mut Charge) -> Self {
        let mut charge = charge.split(json::weight_of(&fields));
        let entries = fields.into_iter().map(|(key, item)| (key.into(), Val::from_json(item, value, &mut charge)));
        let entries = entries.collect();
        Self(Rc::new(RefCell::new(MapData { entries, value: value.clone(), charge })))
    }

    pub fn from_table(table: &Table, value: &Type, room: &mut Room) -> Result<Self> {
        let map = Self::new(value.clone());
        for pair in table.pairs::<Lv, Lv>() {
            let (key, item) = pair?;
            let item = Val::within(&item, value, room)?;
            room.text(&key)?;
            map.0.borrow_mut().entries.insert(key_text(&key)?, item);
        }
        Ok(map)
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<Value> {
        let data = self.0.borrow();
        let mut fields = Map::new();
        for (key, item) in &data.entries {
            writer.room.take(key.len())?;
            fields.insert(key.to_string(), item.write(writer)?);
        }
        Ok(Value::Object(fields))
    }

    pub(super) fn identity(&self) -> Identity {
        Rc::as_ptr(&self.0).cast()
    }

    pub(super) fn children(&self, open: &mut Vec<Val>) {
        open.extend(self.0.borrow().entries.values().filter(|item| item.identity().is_some()).cloned());
    }

    /// Becomes a map to `value`, when a bean takes one that was to anything.
    pub(super) fn hold(&self, value: &Type) {
        let mut data = self.0.borrow_mut();
        if data.value == Type::Any && *value != Type::Any {
            data.value = value.clone();
            data.entries.values_mut().for_each(|item| *item = item.fitted(value));
        }
    }

    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub fn len(&self) -> usize {
        self.0.borrow().entries.len()
    }

    pub fn charge(&self, lua: &Lua, bytes: usize) -> Result<()> {
        self.0.borrow_mut().charge.grow(lua, bytes)
    }

    /// Puts a map on the account that nobody but the asker holds yet.
    pub(super) fn charge_new(&self, lua: &Lua) -> Result<()> {
        if Rc::strong_count(&self.0) > 1 {
            return Ok(());
        }
        let held = |(key, value): (&Rc<str>, &Val)| Ok(ENTRY + key.len() + value.take_in(lua)?);
        let held = self.0.borrow().entries.iter().map(held).sum::<Result<usize>>()?;
        self.charge(lua, OBJECT_BYTES + held)
    }

    pub fn get(&self, key: &Lv) -> Result<Val> {
        let key = key_text(key)?;
        Ok(self.0.borrow().entries.get(&key).cloned().unwrap_or(Val::Nil))
    }

    /// The value under a key, made first if it is a list or map and missing.
    pub fn get_or_create(&self, key: &Lv) -> Result<Val> {
        let found = self.get(key)?;
        if !matches!(found, Val::Nil) {
            return Ok(found);
        }
        let mut data = self.0.borrow_mut();
        let value = match &data.value {
            Type::Map(value) => Val::Map(Self::new((**value).clone())),
            Type::List(element) => Val::List(ListRef::new((**element).clone(), Vec::new())),
            _ => return Ok(Val::Nil),
        };
        data.entries.insert(key_text(key)?, value.clone());
        Ok(value)
    }

    pub fn put(&self, lua: &Lua, key: &Lv, value: &Lv) -> Result<Val> {
        let key = key_text(key)?;
        let value = Val::from_lua(value, &self.0.borrow().value)?;
        graph::refuse_circle(&value, self.identity())?;
        let mut data = self.0.borrow_mut();
        data.charge.grow(lua, ENTRY + value.take_in(lua)? + key.len())?;
        let length = key.len();
        let before = data.entries.insert(key, value);
        if let Some(before) = &before {
            data.charge.shrink(ENTRY + before.held() + length);
        }
        Ok(before.unwrap_or(Val::Nil))
    }

    pub fn remove(&self, key: &Lv) -> Result<Val> {
        let key = key_text(key)?;
        let mut data = self.0.borrow_mut();
        let before = data.entries.remove(&key);
        if let Some(before) = &before {
            data.charge.shrink(ENTRY + before.held() + key.len());
        }
        Ok(before.unwrap_or(Val::Nil))
    }

    pub fn put_all(&self, lua: &Lua, other: &Self) -> Result<()> {
        let entries: Vec<_> = other.0.borrow().entries.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        for (_, value) in &entries {
            graph::refuse_circle(value, self.identity())?;
        }
        let mut data = self.0.borrow_mut();
        for (key, value) in entries {
            Meter::check_current()?;
            data.charge.grow(lua, ENTRY + value.take_in(lua)? + key.len())?;
            data.entries.insert(key, value);
        }
        Ok(())
    }

    pub fn clear(&self) {
        let mut data = self.0.borrow_mut();
        data.charge.shrink(usize::MAX);
        let entries = std::mem::take(&mut data.entries);
        drop(data);
        graph::bury(entries.into_values().collect());
    }

    pub fn contains_key(&self, key: &Lv) -> Result<bool> {
        let key = key_text(key)?;
        Ok(self.0.borrow().entries.contains_key(&key))
    }

    pub fn contains_value(&self, what: &Lv) -> bool {
        position(self.0.borrow().entries.values(), what).is_some()
    }

    /// # Errors
    /// When the account is full, as of the next two.
    pub fn keys(&self, lua: &Lua) -> Result<ListRef> {
        ListRef::made(lua, Type::Any, self.0.borrow().entries.keys().cloned().map(|key| Ok(Val::Text(key))))
    }

    /// Beans with `getKey` and `getValue`; lists and maps in them are live.
    pub fn entries(&self, lua: &Lua) -> Result<ListRef> {
        let data = self.0.borrow();
        let entry = |(key, value): (&Rc<str>, &Val)| {
            let entry = BeanRef::empty("Entry");
            entry.charge(lua, OBJECT_BYTES)?;
            entry.put("key", Val::Text(key.clone()));
            entry.put("value", value.clone());
            Ok(Val::Bean(entry))
        };
        ListRef::made(lua, Type::Any, data.entries.iter().map(entry))
    }

    pub fn values(&self, lua: &Lua) -> Result<ListRef> {
        let data = self.0.borrow();
        ListRef::made(lua, data.value.clone(), data.entries.values().cloned().map(Ok))
    }
}

impl Drop for ListData {
    fn drop(&mut self) {
        graph::bury(std::mem::take(&mut self.items));
    }
}

impl Drop for MapData {
    fn drop(&mut self) {
        graph::bury(std::mem::take(&mut self.entries).into_values().collect());
    }
}

/// An index below `length`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn place(index: &Lv, length: usize) -> Result<usize> {
    let number = match index {
        Lv::Integer(n) => *n as f64,
        Lv::Number(n) => *n,
        Lv::String(text) => text.to_string_lossy().trim().parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    };
    if number >= 0.0 && number < length as f64 {
        Ok(number as usize)
    } else {
        Err(mlua::Error::runtime(format!("IndexOutOfBoundsException: Index: {number}, Size: {length}")))
    }
}

fn key_text(key: &Lv) -> Result<Rc<str>> {
    match Val::from_lua(key, &Type::Text)? {
        Val::Text(text) => Ok(text),
        _ => Ok("null".into()),
    }
}

/// Where what a script looks for stands, which is read once for all elements.
fn position<'a>(items: impl IntoIterator<Item = &'a Val>, what: &Lv) -> Option<usize> {
    let what = Val::from_lua(what, &Type::Any).ok()?;
    items.into_iter().position(|item| equal(item, &what))
}

/// Whether an element equals what a script looks for.
fn equal(item: &Val, what: &Val) -> bool {
    match (item, what) {
        (Val::Nil, Val::Nil) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        #[allow(clippy::float_cmp)] // as Lua compares
        (Val::Num(a), Val::Num(b)) => a == b,
        (Val::Text(a), Val::Text(b)) => a == b,
        (Val::Enum(a), Val::Enum(b)) => a == b,
        (Val::Date(a), Val::Date(b)) => a == b,
        (Val::Bean(a), Val::Bean(b)) => a.same(b),
        (Val::List(a), Val::List(b)) => a.same(b),
        (Val::Map(a), Val::Map(b)) => a.same(b),
        (Val::Node(a), Val::Node(b)) => a.same(b),
        (Val::Attribute(a), Val::Attribute(b)) => a.same(b),
        (Val::Lua(a), Val::Lua(b)) => a == b,
        _ => false,
    }
}
