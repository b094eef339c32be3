//! A record's bean, which makes its properties when they are asked for.

use super::{Described, Get, Property, goods};
use serde_json::Value;
use std::{fmt, sync::Arc};
use sutler_lua::{Bean, Source};
use sutler_model::{ImagePermission, Scope};

/// What beans tell of whose their records are, none of it null.
pub(super) type OfOwner = Arc<[(&'static str, Value)]>;

/// What was read with a record for one of its properties.
pub(crate) enum Read {
    Value(Value),
    Permission(ImagePermission),
    Beans(Vec<Bean>),
}

impl Read {
    fn make(&self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Permission(permission) => goods::permission(*permission),
            Self::Beans(beans) => beans.iter().map(|bean| Value::Object(bean.properties.to_map())).collect(),
        }
    }
}

/// A record as it was at the moment its bean is of, and what was read with it.
pub(super) struct Told<R> {
    pub record: R,
    pub viewer: Scope,
    /// What other records told; nothing of it is null. It stands before what the record tells.
    pub read: Vec<(&'static str, Read)>,
    /// The same of whose it is, shared with other beans.
    pub of_owner: OfOwner,
}

impl<R: Described> Told<R> {
    fn make(&self, property: &Property<R>) -> Option<Value> {
        match property.get {
            Get::Own(get) => Some(get(&self.record, self.viewer)).filter(|value| !value.is_null()),
            Get::Read(_) | Get::Held(_) => None,
        }
    }
}

/// The tables of a kind of record. What is the noun's own stands before what is every resource's.
fn tables<R: Described>() -> impl Iterator<Item = &'static Property<R>> {
    R::properties().iter().chain(R::RESOURCE)
}

impl<R: Described> Source for Told<R> {
    fn get(&self, name: &str) -> Option<Value> {
        if let Some((_, read)) = self.read.iter().find(|(read, _)| *read == name) {
            return Some(read.make());
        }
        if let Some((_, value)) = self.of_owner.iter().find(|(told, _)| *told == name) {
            return Some(value.clone());
        }
        tables::<R>().filter(|property| property.name == name).find_map(|property| self.make(property))
    }

    fn all(&self) -> Vec<(&'static str, Value)> {
        let mut all: Vec<(&'static str, Value)> = self.read.iter().map(|(name, read)| (*name, read.make())).collect();
        all.extend(self.of_owner.iter().cloned());
        for property in tables::<R>() {
            if all.iter().all(|(name, _)| *name != property.name)
                && let Some(value) = self.make(property)
            {
                all.push((property.name, value));
            }
        }
        all
    }
}

impl<R: Described> fmt::Debug for Told<R> {
    // Records hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", R::KIND, self.record.id())
    }
}
