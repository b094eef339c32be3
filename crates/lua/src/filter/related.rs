//! Paths through relations: what conditions, orders, groups and columns ask of the resources that a bean names by UUID.

use super::{Segment, path, row::Object};
use crate::{
    Api, Bean, Host, Who, json,
    meter::Meter,
    object::JSON_BYTES,
    room::Room,
    schema::{self, Type},
};
use mlua::{Error, Result};
use serde_json::{Map, Value};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::Pin,
};

/// Boxed, for it goes on through the relations of what it finds.
type Joining<'a> = Pin<Box<dyn Future<Output = Result<Joined>> + 'a>>;

/// What was put into beans of the resources that they are related to.
pub(crate) struct Joined {
    properties: Vec<&'static str>,
    /// On the block's account while it is in them: what is asked may be large, and each bean has its copy.
    room: Room,
}

/// Most relations that one path goes through.
const STEPS: usize = 4;

/// A relation as a property, the type of resource it leads to, and the bean of that.
const RELATIONS: [(&str, &str, &str); 9] = [
    ("customer", "CUSTOMER", "Customer"),
    ("server", "SERVER", "Server"),
    ("image", "IMAGE", "Image"),
    ("user", "USER", "User"),
    ("billingEntity", "BILLING_ENTITY", "BillingEntity"),
    ("vdc", "VDC", "VDC"),
    ("cluster", "CLUSTER", "Cluster"),
    ("parentJob", "JOB", "Job"),
    ("paymentMethod", "PAYMENT_METHOD", "PaymentMethod"),
];

/// The type of what a relation leads to, where the bean itself does not say it.
pub(super) fn kind(relation: &str, known: Type) -> Type {
    match RELATIONS.iter().find(|(property, ..)| property.eq_ignore_ascii_case(relation)) {
        Some((.., bean)) if known == Type::Any && schema::bean(bean).is_some() => Type::Bean(bean),
        _ => known,
    }
}

/// The names of a field; none where it is no field.
pub(crate) fn steps(field: &str) -> Vec<Segment> {
    path(field).unwrap_or_default()
}

/// Puts into beans what paths ask of their relations, and no more than that. What is out of the reach of who asks is missing, as
/// anything that is not there.
pub(crate) fn join<'a, H: Host + ?Sized>(
    host: &'a H,
    who: &'a Who,
    api: &'a Api,
    beans: &'a mut [Bean],
    paths: Vec<&'a [Segment]>,
) -> Joining<'a> {
    Box::pin(async move {
        let mut joined =
            Joined { properties: Vec::new(), room: Room::new("what is asked of related resources", JSON_BYTES) };
        for (property, resource_type, _) in RELATIONS {
            let through = |path: &&[Segment]| {
                (2..=STEPS + 1).contains(&path.len()) && path[0].name.eq_ignore_ascii_case(property)
            };
            let through: Vec<&[Segment]> = paths.iter().copied().filter(through).collect();
            let Some(named) = named(beans, &through) else { continue };
            let equal = [("resourceuuid".to_owned(), named.into_iter().collect::<Vec<_>>())];
            let mut found = host.list(who, api, resource_type, &equal).await.map_err(Error::runtime)?;
            let wanted: Vec<&[Segment]> = through.iter().map(|path| &path[1..]).collect();
            let _further = join(host, who, api, &mut found, wanted.clone()).await?;
            let found: HashMap<String, Map<String, Value>> =
                found.iter().filter_map(|bean| Some((bean.text("resourceUUID")?, asked(bean, &wanted)))).collect();
            for bean in beans.iter_mut() {
                Meter::check_current()?;
                if let Some(related) = uuid(bean, &through[0][0].name).and_then(|uuid| found.get(&uuid)) {
                    joined.room.take(json::weight_of(related))?;
                    bean.properties.insert(property, related.clone());
                }
            }
            joined.properties.push(property);
        }
        Ok(joined)
    })
}

impl Joined {
    /// Takes out again what was put in, so that a script gets the beans as they are.
    pub fn part(self, beans: &mut [Bean]) {
        for bean in beans {
            for property in &self.properties {
                bean.properties.remove(property);
            }
        }
    }
}

/// The UUIDs of those that beans are related to by a relation that all of the paths go through. None where there are no paths, or
/// where they ask for nothing that the beans do not say themselves.
fn named(beans: &[Bean], through: &[&[Segment]]) -> Option<BTreeSet<String>> {
    let first = beans.first().map(Object::of)?;
    let relation = &through.first()?[0].name;
    let said = |path: &&[Segment]| first.of_relation(&path[0], &path[1..]).is_some();
    if through.iter().all(said) || first.property(relation).0.is_some() {
        return None;
    }
    let named: BTreeSet<String> = beans.iter().filter_map(|bean| uuid(bean, relation)).collect();
    (!named.is_empty()).then_some(named)
}

fn uuid(bean: &Bean, relation: &str) -> Option<String> {
    match Object::of(bean).property(&format!("{relation}uuid")).0.map(Cow::into_owned) {
        Some(Value::String(uuid)) => Some(uuid),
        _ => None,
    }
}

/// What paths ask of a bean.
fn asked(bean: &Bean, wanted: &[&[Segment]]) -> Map<String, Value> {
    let value = |rest: &&[Segment]| {
        let name = &rest.first()?.name;
        Some((name.clone(), Object::of(bean).property(name).0?.into_owned()))
    };
    wanted.iter().filter_map(value).collect()
}
