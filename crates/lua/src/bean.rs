//! Objects as scripts know them, for whoever makes them and reads what scripts left of them.

use crate::json;
use serde_json::{Map, Value};
use std::{borrow::Cow, fmt, sync::Arc};

/// An object as scripts know it: a kind and its properties.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bean {
    /// The bean's name in the language: `Server`, `Job`, `Customer`.
    pub kind: Cow<'static, str>,
    /// What it says of itself.
    pub properties: Properties,
}

impl Bean {
    /// A bean without properties.
    pub fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: kind.into(), properties: Properties::default() }
    }

    /// The same bean with a property set.
    #[must_use]
    pub fn with(mut self, property: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.properties.insert(property, value);
        self
    }

    /// A property's text, if it has one.
    pub fn text(&self, property: &str) -> Option<String> {
        match self.properties.get(property)?.into_owned() {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Properties that follow from something that is kept as it was, each made when somebody asks for it: a script reads a few
/// of forty.
pub trait Source: fmt::Debug + Send + Sync {
    /// A property by its exact name; none where there is none, or it is null. Always the same.
    fn get(&self, name: &str) -> Option<Value>;
    /// All that are there.
    fn all(&self) -> Vec<(&'static str, Value)>;
}

/// Properties by their names in the language. Enum values as text, dates as whole milliseconds, beans as objects, lists as
/// arrays; an absent property and `null` both read as nil.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    /// Those that were set; null hides one of the source.
    set: Vec<(Cow<'static, str>, Value)>,
    /// All others.
    source: Option<Arc<dyn Source>>,
}

impl Properties {
    /// Those of a source.
    pub fn of(source: Arc<dyn Source>) -> Self {
        Self { set: Vec::new(), source: Some(source) }
    }

    /// A property by its exact name.
    pub fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        match self.set.iter().find(|(set, _)| set == name) {
            Some((_, value)) => Some(value).filter(|value| !value.is_null()).map(Cow::Borrowed),
            None => self.source.as_ref()?.get(name).map(Cow::Owned),
        }
    }

    /// Sets a property.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.set.iter_mut().find(|(set, _)| *set == name) {
            Some((_, old)) => *old = value,
            None => self.set.push((name, value)),
        }
    }

    /// Takes a property away.
    pub fn remove(&mut self, name: &'static str) -> Option<Value> {
        let value = self.get(name)?.into_owned();
        self.insert(name, Value::Null);
        Some(value)
    }

    /// A property for one who keeps it from now on, if it is a list, map or bean.
    pub(crate) fn lend(&mut self, name: &str) -> Option<Cow<'_, Value>> {
        match self.set.iter_mut().find(|(set, _)| set == name) {
            Some((_, value @ (Value::Array(_) | Value::Object(_)))) => Some(Cow::Owned(std::mem::take(value))),
            Some((_, value)) => Some(Cow::Borrowed(value)),
            None => self.source.as_ref()?.get(name).map(Cow::Owned),
        }
    }

    /// The name that a key means in any letter case.
    pub(crate) fn name(&self, key: &str) -> Option<Cow<'static, str>> {
        let set = self.set.iter().map(|(name, _)| name);
        set.clone().find(|name| name.eq_ignore_ascii_case(key)).cloned().or_else(|| {
            let all = self.source.as_ref()?.all();
            all.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(name, _)| Cow::Borrowed(name))
        })
    }

    /// Makes all of them now.
    pub fn make(&mut self) {
        if let Some(source) = self.source.take() {
            let mut all = source.all();
            all.retain(|(name, _)| self.set.iter().all(|(set, _)| set != name));
            self.set.extend(all.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)));
        }
    }

    /// All of them, in no particular order.
    pub fn each(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, Value>)> {
        let set = self.set.iter().filter(|(_, value)| !value.is_null());
        let set = set.map(|(name, value)| (Cow::Borrowed(name.as_ref()), Cow::Borrowed(value)));
        let all = self.source.iter().flat_map(|source| source.all());
        let unset = all.filter(|(name, _)| self.set.iter().all(|(set, _)| set != name));
        set.chain(unset.map(|(name, value)| (Cow::Borrowed(name), Cow::Owned(value))))
    }

    /// All of them as a JSON object.
    pub fn to_map(&self) -> Map<String, Value> {
        self.clone().into()
    }

    /// About how much memory they take when they are made.
    pub(crate) fn weight(&self) -> usize {
        let (count, held) = self
            .each()
            .fold((0, 0), |(count, held), (name, value)| (count + 1, held + json::member_weight(&name, &value)));
        json::members_weight(count, held)
    }
}

impl From<Map<String, Value>> for Properties {
    fn from(map: Map<String, Value>) -> Self {
        Self { set: map.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect(), source: None }
    }
}

impl From<Properties> for Map<String, Value> {
    fn from(mut properties: Properties) -> Self {
        properties.make();
        let there = properties.set.into_iter().filter(|(_, value)| !value.is_null());
        there.map(|(name, value)| (name.into_owned(), value)).collect()
    }
}

impl From<Properties> for Value {
    fn from(properties: Properties) -> Self {
        Self::Object(properties.into())
    }
}

impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        self.to_map() == other.to_map()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug)]
    struct Two;

    impl Source for Two {
        fn get(&self, name: &str) -> Option<Value> {
            match name {
                "resourceName" => Some("web".into()),
                "cpu" => Some(2.into()),
                _ => None,
            }
        }

        fn all(&self) -> Vec<(&'static str, Value)> {
            ["resourceName", "cpu"].into_iter().filter_map(|name| Some((name, self.get(name)?))).collect()
        }
    }

    #[test]
    fn what_is_set_stands_before_what_follows_and_what_is_taken_away_is_gone() {
        let mut properties = Properties::of(Arc::new(Two));
        assert_eq!(properties.get("cpu").as_deref(), Some(&json!(2)));
        properties.insert("cpu", 4);
        properties.insert("ram", 512);
        assert_eq!(properties.remove("resourceName"), Some("web".into()));
        assert_eq!(properties.get("resourceName"), None);
        assert_eq!(Value::Object(properties.to_map()), json!({"cpu": 4, "ram": 512}));
        assert_eq!(properties.each().count(), 2);
        let before = properties.clone();
        properties.make();
        assert_eq!(properties, before);
        assert_eq!(properties.name("CPU").as_deref(), Some("cpu"));
    }
}
