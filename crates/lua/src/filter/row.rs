//! What conditions look at: a bean, or an object that stands within one.

use super::Segment;
use crate::{
    Bean, Properties,
    schema::{self, Type},
};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// An object among the rows, and its bean type where that is known.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub fields: Fields<'a>,
    pub kind: Option<&'static schema::BeanType>,
}

#[derive(Clone, Copy)]
pub(super) enum Fields<'a> {
    Bean(&'a Properties),
    /// What stands within a bean.
    Map(&'a Map<String, Value>),
}

impl<'a> Object<'a> {
    pub fn of(bean: &'a Bean) -> Self {
        Self { fields: Fields::Bean(&bean.properties), kind: schema::bean(&bean.kind) }
    }

    /// What a bean says itself of somebody it is related to: `customer.resourceName` is its `customerName`, and
    /// `image.resourceUUID` its `imageUUID`. None where the related object stands in the bean and says it.
    pub fn of_relation(&self, relation: &Segment, rest: &[Segment]) -> Option<(Option<Cow<'a, Value>>, Type)> {
        let [property] = rest else { return None };
        let ending = match property.name.as_str() {
            "resourceuuid" => "uuid",
            "resourcename" => "name",
            _ => return None,
        };
        let within = match self.property(&relation.name).0.as_deref() {
            Some(Value::Object(fields)) => {
                Object { fields: Fields::Map(fields), kind: None }.property(&property.name).0.is_some()
            }
            Some(Value::Array(_)) => true,
            _ => false,
        };
        let name = format!("{}{ending}", relation.name);
        let known = self.kind.is_some_and(|kind| kind.properties.contains_key(name.as_str()));
        let (value, kind) = self.property(&name);
        (!within && (known || value.is_some())).then_some((value, kind))
    }

    pub fn property(&self, name: &str) -> (Option<Cow<'a, Value>>, Type) {
        let known = self.kind.and_then(|kind| kind.properties.get(name));
        let value = known.and_then(|property| self.fields.get(property.name));
        let value = value.or_else(|| self.fields.find(name));
        (value, known.map_or(Type::Any, |property| property.kind.clone()))
    }
}

impl<'a> Fields<'a> {
    fn get(self, name: &str) -> Option<Cow<'a, Value>> {
        match self {
            Self::Bean(properties) => properties.get(name),
            Self::Map(map) => map.get(name).map(Cow::Borrowed),
        }
    }

    /// By the name in lower case.
    fn find(self, name: &str) -> Option<Cow<'a, Value>> {
        match self {
            Self::Bean(properties) => properties.get(&properties.name(name)?),
            Self::Map(map) => {
                map.iter().find(|(key, _)| key.to_lowercase() == name).map(|(_, value)| Cow::Borrowed(value))
            }
        }
    }
}
