//! What a script is told when a field or a value of its query cannot mean what its author meant. The original's fields are not
//! all known here, so such a query is carried out; but it must not find nothing without a word.

use super::{Condition, Filter, Opposite, Segment, Test, compare::truth, related, row::Object};
use crate::{
    Bean, date, error,
    meter::Meter,
    schema::{self, BeanType, Type},
};
use std::collections::BTreeSet;

/// How many beans are looked at for a property that the reference does not know.
const LOOKED_AT: usize = 100;

/// Notes in the run's log what conditions, and what the fields of orders, groups and columns, ask that these beans never have.
pub(crate) fn tell(filter: &Filter, further: &[Vec<Segment>], beans: &[Bean]) {
    let Some((meter, first)) = Meter::current().zip(beans.first()) else { return };
    let Some(kind) = schema::bean(&first.kind).filter(|_| beans.iter().all(|bean| bean.kind == first.kind)) else {
        return;
    };
    let fits =
        |path: &[Segment]| end(kind, path).or_else(|doubt| if found(beans, path) { Ok(Type::Any) } else { Err(doubt) });
    let conditions = filter.conditions.iter().filter_map(|condition| match fits(&condition.path) {
        Ok(kind) => condition.unreadable(&kind),
        Err(doubt) => Some(doubt),
    });
    // Once each, though a field be grouped by and answered with.
    let doubts: BTreeSet<String> = conditions.chain(further.iter().filter_map(|path| fits(path).err())).collect();
    doubts.iter().for_each(|doubt| meter.note(doubt));
}

/// The type of what a path leads to by the reference, or which property that does not know.
fn end(mut kind: &'static BeanType, mut path: &[Segment]) -> Result<Type, String> {
    // `COUNT(*)`, and a row's column that it is put in order by.
    if path.first().is_some_and(|first| first.name.contains(['*', '('])) {
        return Ok(Type::Any);
    }
    while let [first, rest @ ..] = path {
        let known = kind.properties.get(&first.name).map(|property| property.kind.clone());
        let leads = match related::kind(&first.name, known.clone().unwrap_or(Type::Any)) {
            Type::List(element) => *element,
            other => other,
        };
        kind = match leads {
            Type::Bean(name) if !rest.is_empty() => schema::bean(name).ok_or_else(|| unknown(kind, first))?,
            _ if says(kind, first, rest) => return Ok(Type::Text),
            _ if known.is_none() => return Err(unknown(kind, first)),
            Type::Text | Type::Number | Type::Bool | Type::Date | Type::Enum(_) if !rest.is_empty() => {
                return Err(format!("`{}` of a {} has no properties", error::shown(&first.name), kind.name));
            }
            end => return Ok(end),
        };
        path = rest;
    }
    Ok(Type::Any)
}

/// Whether a bean has it nevertheless: not all that beans say is in the reference, and what stands within that not at all.
fn found(beans: &[Bean], path: &[Segment]) -> bool {
    let field = joined(path);
    let beyond = |object: Object<'_>, first: &Segment| {
        let known = object.kind.is_some_and(|kind| kind.properties.contains_key(&first.name));
        !known && related::kind(&first.name, Type::Any) == Type::Any && object.property(&first.name).0.is_some()
    };
    let has = |bean: &Bean| path.first().is_some_and(|first| beyond(Object::of(bean), first));
    beans.iter().take(LOOKED_AT).any(|bean| has(bean) || !super::values(bean, &field).is_empty())
}

/// Whether a bean says itself what is asked of a relation, as [`Object::of_relation`](super::row::Object::of_relation) finds it.
fn says(kind: &BeanType, relation: &Segment, rest: &[Segment]) -> bool {
    let known = |ending: &str| kind.properties.contains_key(&format!("{}{ending}", relation.name));
    match rest {
        [property] if property.name == "resourceuuid" => known("uuid"),
        [property] if property.name == "resourcename" => known("name"),
        _ => false,
    }
}

fn joined(path: &[Segment]) -> String {
    path.iter().map(|segment| segment.name.as_str()).collect::<Vec<_>>().join(".")
}

fn unknown(kind: &BeanType, property: &Segment) -> String {
    format!("a {} has no property `{}`", kind.name, error::shown(&property.name))
}

impl Condition {
    /// What is wrong with a value that is compared with a property of a type. Text tests compare nothing.
    fn unreadable(&self, kind: &Type) -> Option<String> {
        let text = matches!(
            self.test,
            Test::Starts
                | Test::Ends
                | Test::Contains
                | Test::Not(Opposite::Starts | Opposite::Ends | Opposite::Contains)
        );
        let readable = |value: &&String| match kind {
            Type::Date => date::parse_any(value).is_some(),
            // It may be a time in seconds, which filters may also write as a date.
            Type::Number => value.trim().parse::<f64>().is_ok() || date::parse_any(value).is_some(),
            Type::Bool => truth(value).is_some(),
            Type::Enum(name) => schema::enumeration(name).is_none_or(|known| known.value(value).is_some()),
            _ => true,
        };
        let value = self.values.iter().find(|value| !text && !readable(value))?;
        let what = match kind {
            Type::Date => "date",
            Type::Number => "number",
            Type::Enum(name) => name,
            _ => "boolean",
        };
        let (value, field) = (error::shown(value), joined(&self.path));
        Some(format!("`{value}` is no {what}, and is compared with `{}`", error::shown(&field)))
    }
}
