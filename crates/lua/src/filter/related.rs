//! Paths through relations: what conditions, orders, groups and columns ask of the resources that a bean names by UUID.

use super::{Segment, path, row::Object};
use crate::{
    Api, Bean, Host, HostError, Who,
    meter::Meter,
    schema::{self, Type},
};
use serde_json::{Map, Value};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::Pin,
};

/// Boxed, for it goes on through the relations of what it finds.
type Joining<'a> = Pin<Box<dyn Future<Output = Result<Vec<&'static str>, HostError>> + 'a>>;

/// Most relations that one path goes through.
const STEPS: usize = 4;

/// A relation's name in lower case and as a property, the type of resource it leads to, and the bean of that.
const RELATIONS: [(&str, &str, &str, &str); 9] = [
    ("customer", "customer", "CUSTOMER", "Customer"),
    ("server", "server", "SERVER", "Server"),
    ("image", "image", "IMAGE", "Image"),
    ("user", "user", "USER", "User"),
    ("billingentity", "billingEntity", "BILLING_ENTITY", "BillingEntity"),
    ("vdc", "vdc", "VDC", "VDC"),
    ("cluster", "cluster", "CLUSTER", "Cluster"),
    ("parentjob", "parentJob", "JOB", "Job"),
    ("paymentmethod", "paymentMethod", "PAYMENT_METHOD", "PaymentMethod"),
];

/// The type of what a relation leads to, where the bean itself does not say it.
pub(super) fn kind(relation: &str, known: Type) -> Type {
    match RELATIONS.iter().find(|(name, ..)| *name == relation) {
        Some((.., bean)) if known == Type::Any && schema::bean(bean).is_some() => Type::Bean(bean),
        _ => known,
    }
}

/// The names of a field, in lower case; none where it is no field.
pub(crate) fn steps(field: &str) -> Vec<String> {
    path(field).unwrap_or_default().into_iter().map(|segment| segment.name).collect()
}

/// Puts into beans what paths ask of their relations, and no more than that; answers the properties that were put in.
/// What is out of the reach of who asks is missing, as anything that is not there.
pub(crate) fn join<'a, H: Host + ?Sized>(
    host: &'a H,
    who: &'a Who,
    api: &'a Api,
    beans: &'a mut [Bean],
    paths: Vec<Vec<String>>,
) -> Joining<'a> {
    Box::pin(async move {
        let mut joined = Vec::new();
        for (relation, property, resource_type, _) in RELATIONS {
            let through = paths.iter().filter(|path| (2..=STEPS + 1).contains(&path.len()) && path[0] == relation);
            let wanted: Vec<Vec<String>> = through.map(|path| path[1..].to_vec()).collect();
            let Some(named) = named(beans, relation, &wanted) else { continue };
            let equal = [("resourceuuid".to_owned(), named.iter().cloned().collect::<Vec<_>>())];
            let mut found = host.list(who, api, resource_type, &equal).await?;
            join(host, who, api, &mut found, wanted.clone()).await?;
            let found: HashMap<String, Map<String, Value>> =
                found.iter().filter_map(|bean| Some((bean.text("resourceUUID")?, asked(bean, &wanted)))).collect();
            for bean in beans.iter_mut() {
                if Meter::current().is_some_and(|meter| meter.stopped().is_some()) {
                    break;
                }
                if let Some(related) = uuid(bean, relation).and_then(|uuid| found.get(&uuid)) {
                    bean.properties.insert(property, related.clone());
                }
            }
            joined.push(property);
        }
        Ok(joined)
    })
}

/// Takes out again what was put in, so that a script gets the beans as they are.
pub(crate) fn part(beans: &mut [Bean], joined: &[&'static str]) {
    for bean in beans {
        for property in joined {
            bean.properties.remove(property);
        }
    }
}

/// The UUIDs of those that beans are related to. None where the paths ask for nothing that the beans do not say themselves.
fn named(beans: &[Bean], relation: &str, wanted: &[Vec<String>]) -> Option<BTreeSet<String>> {
    let first = beans.first().map(Object::of)?;
    let segment = |name: &String| Segment { name: name.clone(), row: None };
    let said = |rest: &Vec<String>| {
        let rest: Vec<Segment> = rest.iter().map(segment).collect();
        first.of_relation(&segment(&relation.to_owned()), &rest).is_some()
    };
    if wanted.iter().all(said) || first.property(relation).0.is_some() {
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
fn asked(bean: &Bean, wanted: &[Vec<String>]) -> Map<String, Value> {
    let value = |rest: &Vec<String>| {
        let name = rest.first()?;
        Some((name.clone(), Object::of(bean).property(name).0?.into_owned()))
    };
    wanted.iter().filter_map(value).collect()
}
