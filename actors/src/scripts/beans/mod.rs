//! Our records as beans of the language, and the changes that scripts made to a bean back into the record.
//!
//! Each noun has one table of properties ([`Property`]): its name in the language (`fdl.md` 4.2–4.4), how it is read, and
//! how it is set where a script may set it before the record is stored. All beans are made and read back by these tables.
//! A bean holds its record, and what it tells of other records; what follows from its own record is made when a script asks
//! for it ([`Told`]). Keys of billing entities, of the system and of placement are shown to sellers only.

mod account;
mod contact;
mod customer;
mod definitions;
mod goods;
mod items;
mod job;
mod ledger;
mod metadata;
mod operator;
mod payments;
mod place;
mod pluggable;
mod server;
mod told;

pub(crate) use contact::take as take_contact;
pub(crate) use definitions::{actions, components, forms, levels, provider_data};
pub(crate) use goods::{PLAN_TYPES, permission_of};
pub(crate) use job::unrecorded_job;
pub(crate) use ledger::Posting;
pub(crate) use metadata::{SYSTEM_METADATA, metadata_part, metadata_patch};
pub(crate) use operator::{customer_of, operator_id, seller_of_operator};
pub(crate) use payments::{payment_of, provider_id};
pub(crate) use place::{WHOSE, derived, origin_of};

use super::words;
pub(crate) use pluggable::point_id;
use serde_json::{Map, Value, json};
pub(crate) use server::{nics, providers};
use std::{
    cell::RefCell,
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};
use sutler_lua::{Bean, Properties};
use sutler_model::{
    BillingEntity, BillingEntityId, Customer, CustomerId, FieldError, Image, ImageId, KeyKind, Nanos, Noun, Point,
    ResourceKey, ResourceMetadata, Scope, ScriptId, Server, Timestamp,
};
use sutler_store::{Error, Field, Filter, Order, PageRequest, Record, Snapshot};
use told::{OfOwner, Read, Told};
use uuid::Uuid;

/// One property of a bean.
pub(crate) struct Property<R> {
    name: &'static str,
    get: Get<R>,
    set: Option<Set<R>>,
}

/// How a property is read.
enum Get<R> {
    /// From the record alone, by a viewer: when somebody asks.
    Own(fn(&R, Scope) -> Value),
    /// From other records too, which may change: when the bean is made.
    Read(fn(&R, &Beans<'_>) -> Result<Value, Error>),
    /// The same of what is large as a value.
    Held(fn(&R, &Beans<'_>) -> Result<Option<Read>, Error>),
}

/// Sets a property for a script of a scope. The error says what would be right.
type Set<R> = fn(&mut R, &Value, Scope) -> Result<(), String>;

impl<R> Property<R> {
    /// A property that follows from the record alone and that scripts may only read.
    const fn new(name: &'static str, get: fn(&R, Scope) -> Value) -> Self {
        Self { name, get: Get::Own(get), set: None }
    }

    /// The same of one that other records tell.
    const fn read(name: &'static str, get: fn(&R, &Beans<'_>) -> Result<Value, Error>) -> Self {
        Self { name, get: Get::Read(get), set: None }
    }

    /// The same of one whose value is made only when somebody asks.
    const fn held(name: &'static str, get: fn(&R, &Beans<'_>) -> Result<Option<Read>, Error>) -> Self {
        Self { name, get: Get::Held(get), set: None }
    }

    /// The same property, which scripts may also set before the record is stored.
    const fn or_set(mut self, set: Set<R>) -> Self {
        self.set = Some(set);
        self
    }
}

/// A record that scripts see as a bean.
pub(crate) trait Described: Record {
    /// The bean's name in the language.
    const KIND: &'static str;
    /// Whether it stands in its customer's place and is of its offer (VirtualResource, `fdl.md` 4.2).
    const PLACED: bool = false;
    /// The properties of Resource (`fdl.md` 4.2) that follow from the methods below.
    const RESOURCE: &'static [Property<Self>] = &[
        Property::new("resourceUUID", |r, _| r.id().to_string().into()),
        Property::new("resourceName", |r, _| r.label().into()),
        Property::new("resourceType", |_, _| words::resource_type(Self::NOUN).into()),
        Property::new("resourceState", |r, _| r.resource_state().into()),
        Property::new("resourceCreateDate", |r, _| r.created_at().0.into()),
        Property::new("lastModifiedTime", |r, _| r.modified_at().0.into()),
        Property::new("resourceKey", keys),
        Property::new("billingEntityUUID", |r, _| r.billing_entity().to_string().into()),
        Property::new("customerUUID", |r, _| match r.customer() {
            Some(customer) => customer.to_string().into(),
            None if is_sellers(r) => operator_id(r.billing_entity()).to_string().into(),
            None => Value::Null,
        }),
    ];
    /// Adds what follows from what was read.
    fn finish(_read: &mut Vec<(&'static str, Read)>) {}
    /// What is its own.
    fn properties() -> &'static [Property<Self>];
    /// Its display name.
    fn label(&self) -> String;
    /// When it came to be.
    fn created_at(&self) -> Timestamp;
    /// When it is known to have changed last.
    fn modified_at(&self) -> Timestamp {
        self.created_at()
    }
    /// ResourceState.
    fn resource_state(&self) -> &'static str {
        "ACTIVE"
    }
    /// Whose it is.
    fn customer(&self) -> Option<CustomerId>;
    /// The seller of whose it is.
    fn billing_entity(&self) -> BillingEntityId;
    /// Its keys.
    fn keys(&self) -> &[ResourceKey] {
        &[]
    }
    /// What its owner keeps on it for programs; none where nothing can be kept.
    fn metadata(&self) -> Option<&ResourceMetadata> {
        None
    }
    /// The same, to be set; none where nothing is kept.
    fn metadata_mut(&mut self) -> Option<&mut Option<Box<ResourceMetadata>>> {
        None
    }
    /// What is kept for one run of it.
    fn runtime_metadata(&self) -> Option<&ResourceMetadata> {
        None
    }
}

/// The methods of [`Described`] that say something of a record, each as an expression of it.
macro_rules! described {
    ($($method:ident: |$record:tt| $value:expr;)*) => {$(described!(@$method $record $value);)*};
    (@label $record:tt $value:expr) => {described!(@as (label: String) $record $value);};
    (@created_at $record:tt $value:expr) => {
        described!(@as (created_at: sutler_model::Timestamp) $record $value);
    };
    (@modified_at $record:tt $value:expr) => {
        described!(@as (modified_at: sutler_model::Timestamp) $record $value);
    };
    (@resource_state $record:tt $value:expr) => {described!(@as (resource_state: &'static str) $record $value);};
    (@customer $record:tt $value:expr) => {
        described!(@as (customer: Option<sutler_model::CustomerId>) $record $value);
    };
    (@billing_entity $record:tt $value:expr) => {
        described!(@as (billing_entity: sutler_model::BillingEntityId) $record $value);
    };
    (@keys $record:tt $value:expr) => {described!(@as (keys: &[sutler_model::ResourceKey]) $record $value);};
    (@metadata $record:tt $value:expr) => {
        described!(@as (metadata: Option<&sutler_model::ResourceMetadata>) $record $value);
    };
    (@metadata_mut $record:tt $value:expr) => {
        fn metadata_mut(&mut self) -> Option<&mut Option<Box<sutler_model::ResourceMetadata>>> {
            let $record = self;
            Some($value)
        }
    };
    (@runtime_metadata $record:tt $value:expr) => {
        described!(@as (runtime_metadata: Option<&sutler_model::ResourceMetadata>) $record $value);
    };
    (@as ($method:ident: $type:ty) $record:tt $value:expr) => {
        fn $method(&self) -> $type {
            let $record = self;
            $value
        }
    };
}
use described;

/// With what a script asks for comes all that stands within it.
pub(crate) const ALL: usize = 1000;
/// With every event come only the first few, usually all, so that a customer of a thousand users does not make each of
/// its events expensive.
pub(crate) const FEW: usize = 25;

/// Makes beans for one viewer from one snapshot.
pub(crate) struct Beans<'a> {
    snapshot: &'a Snapshot,
    viewer: Scope,
    /// How many disks of a server and users of a customer come along.
    children: usize,
    names: RefCell<HashMap<Uuid, Option<String>>>,
    /// What is the same for all that somebody has.
    of_owners: RefCell<HashMap<Owner, OfOwner>>,
    /// Customers that were asked for.
    customers: RefCell<HashMap<Uuid, Option<Bean>>>,
    /// Images of servers.
    images: RefCell<HashMap<ImageId, Option<Image>>>,
    /// Providers of pluggable resources, by script and type.
    providers: RefCell<HashMap<(ScriptId, String), Option<Point>>>,
    /// The one cluster, read once.
    cluster: RefCell<Option<Option<(Uuid, String)>>>,
}

impl<'a> Beans<'a> {
    /// For scripts of `viewer`.
    pub(crate) fn new(snapshot: &'a Snapshot, viewer: Scope, children: usize) -> Self {
        Self {
            snapshot,
            viewer,
            children,
            names: RefCell::default(),
            of_owners: RefCell::default(),
            customers: RefCell::default(),
            images: RefCell::default(),
            providers: RefCell::default(),
            cluster: RefCell::default(),
        }
    }

    /// What they are made from.
    pub(crate) fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// Whom they are for.
    pub(crate) fn viewer(&self) -> Scope {
        self.viewer
    }

    /// A customer's bean, made once for all that are told of it; none when it is gone.
    pub(crate) fn customer(&self, id: CustomerId) -> Result<Option<Bean>, Error> {
        if let Some(known) = self.customers.borrow().get(&id.0) {
            return Ok(known.clone());
        }
        let customer = self.snapshot.get::<Customer>(id)?;
        let bean = customer.map(|customer| self.bean(customer)).transpose()?;
        self.customers.borrow_mut().insert(id.0, bean.clone());
        Ok(bean)
    }

    /// The bean of a record.
    pub(crate) fn bean<R: Described>(&self, record: R) -> Result<Bean, Error> {
        let mut read = Vec::new();
        for (name, metadata) in
            [("resourceMetadata", record.metadata()), ("runtimeMetadata", record.runtime_metadata())]
        {
            if let Some(metadata) = metadata {
                read.push((name, Read::Value(self.metadata(&record, metadata)?)));
            }
        }
        for property in R::properties() {
            let found = match property.get {
                Get::Own(_) => None,
                Get::Read(get) => Some(get(&record, self)?).filter(|value| !value.is_null()).map(Read::Value),
                Get::Held(get) => get(&record, self)?,
            };
            read.extend(found.map(|found| (property.name, found)));
        }
        R::finish(&mut read);
        let of_owner = self.of_owner(&record)?;
        let told = Told { record, viewer: self.viewer, read, of_owner };
        Ok(Bean { kind: R::KIND.into(), properties: Properties::of(Arc::new(told)) })
    }

    /// What a record's bean tells of whose it is: names, and the place and offer of what is placed.
    fn of_owner<R: Described>(&self, record: &R) -> Result<OfOwner, Error> {
        let (seller, customer) = (record.billing_entity(), record.customer());
        let owner = Owner { seller, customer, placed: R::PLACED, sellers: is_sellers(record) };
        if let Some(known) = self.of_owners.borrow().get(&owner) {
            return Ok(known.clone());
        }
        let seller = self.name_of::<BillingEntity>(seller.into())?;
        let mut told = vec![("billingEntityName", seller.clone())];
        if let Some(customer) = customer {
            told.push(("customerName", self.name_of::<Customer>(customer.into())?));
            if R::PLACED {
                self.place(customer, &mut told)?;
            }
        } else if owner.sellers {
            told.push(("customerName", seller));
        }
        told.retain(|(_, value)| !value.is_null());
        let told: OfOwner = told.into();
        self.of_owners.borrow_mut().insert(owner, told.clone());
        Ok(told)
    }

    /// Whether the viewer's reach holds the record, rather than that it is offered something of another's.
    fn owns<R: Described>(&self, record: &R) -> Result<bool, Error> {
        let seller = self.snapshot.get::<BillingEntity>(record.billing_entity())?;
        Ok(seller.is_some_and(|seller| self.viewer.covers(&seller.path, record.customer())))
    }

    /// A record's metadata: all for its owner and the sellers above, what is public for those it is offered to.
    fn metadata<R: Described>(&self, record: &R, metadata: &ResourceMetadata) -> Result<Value, Error> {
        let owns = self.owns(record)?;
        let mut bean = Map::new();
        bean.insert("resourceUUID".to_owned(), record.id().to_string().into());
        for (name, text) in metadata.parts() {
            if !text.is_empty() && (owns || name == "public") {
                bean.insert(format!("{name}Metadata"), text.into());
            }
        }
        Ok(bean.into())
    }

    /// A record's display name, read once for all beans made together; null when it is gone.
    fn name_of<R: Described>(&self, id: Uuid) -> Result<Value, Error> {
        let known = self.names.borrow().get(&id).cloned();
        let name = match known {
            Some(name) => name,
            None => {
                let name = self.snapshot.get::<R>(id)?.map(|record| record.label());
                self.names.borrow_mut().insert(id, name.clone());
                name
            }
        };
        Ok(name.map_or(Value::Null, Value::from))
    }

    /// A customer's display name.
    pub(crate) fn customer_name(&self, id: Uuid) -> Result<Value, Error> {
        self.name_of::<Customer>(id)
    }

    /// What the image of a server lets its customer do.
    fn image_permission(&self, server: &Server) -> Result<Option<Read>, Error> {
        let mut images = self.images.borrow_mut();
        let image = match images.entry(server.image_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(self.snapshot.get::<Image>(server.image_id)?),
        };
        Ok(image.as_ref().map(|image| Read::Permission(image.permission_of(server.customer_id))))
    }

    /// Beans of all records with `value` in `field`, to stand within another bean.
    fn within<R: Described>(&self, field: Field, value: Uuid) -> Result<Option<Read>, Error> {
        if self.children == 0 {
            return Ok(None);
        }
        let page = PageRequest { cursor: None, limit: self.children, order: Order::Ascending };
        let found = self.snapshot.page(&Filter::<R>::new().is(field, value.as_bytes()), &page)?;
        let beans: Result<Vec<Bean>, Error> = found.items.into_iter().map(|record| self.bean(record)).collect();
        Ok(Some(Read::Beans(beans?)))
    }
}

/// Of whom beans are told the same.
#[derive(PartialEq, Eq, Hash)]
struct Owner {
    seller: BillingEntityId,
    customer: Option<CustomerId>,
    placed: bool,
    sellers: bool,
}

/// Whether a record is its seller's own, which is that customer's in the language.
fn is_sellers<R: Described>(record: &R) -> bool {
    matches!(R::NOUN, Noun::Job | Noun::Image) && record.customer().is_none()
}

/// A record's keys that the viewer may see.
fn keys<R: Described>(record: &R, viewer: Scope) -> Value {
    let id = record.id().to_string();
    (record.keys().iter())
        .filter(|key| may_see(viewer, key.kind))
        .map(|key| {
            let kind = words::key_type(key.kind);
            json!({
                "name": key.name, "value": key.value, "type": kind, "weight": amount(key.weight),
                "extraFlag": u8::from(key.sticky), "resourceUUID": id,
            })
        })
        .collect()
}

/// Takes what a script changed on a bean into the record it was made from. Answers the names of changed properties that
/// cannot be set and were left alone.
///
/// # Errors
/// Every property that was set to something it cannot be.
pub(crate) fn apply<R: Described>(
    before: &Bean,
    after: &Bean,
    record: &mut R,
    viewer: Scope,
) -> Result<Vec<String>, Vec<FieldError>> {
    let (mut ignored, mut problems) = (Vec::new(), Vec::new());
    // A script may have set very many.
    let (before, after) = (before.properties.to_map(), after.properties.to_map());
    let names: HashSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let value = after.get(name).unwrap_or(&Value::Null);
        if same(before.get(name).unwrap_or(&Value::Null), value) {
            continue;
        }
        if name == "resourceMetadata"
            && let Some(kept) = record.metadata_mut()
        {
            problems.extend(metadata::set(kept, value));
            continue;
        }
        match R::properties().iter().find(|property| property.name == *name).and_then(|property| property.set) {
            Some(set) => problems.extend(set(record, value, viewer).err().map(|detail| FieldError::new(name, detail))),
            None => ignored.push(name.clone()),
        }
    }
    ignored.sort();
    problems.sort_by(|a, b| a.field.cmp(&b.field));
    if problems.is_empty() { Ok(ignored) } else { Err(problems) }
}

/// Whether two values are the same to a script: 2 and 2.0 are, and so are nothing and an empty list or map.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a
            .keys()
            .chain(b.keys())
            .all(|name| same(a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null))),
        _ => a == b || (is_nothing(a) && is_nothing(b)),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        _ => false,
    }
}

/// Customers see and set only their own keys.
pub(crate) fn may_see(viewer: Scope, kind: KeyKind) -> bool {
    !matches!(viewer, Scope::Customer(_)) || kind == KeyKind::User
}

/// A key as a script gives it. Without a type it is the customer's: the most harmless of the kinds.
pub(crate) fn key(value: &Value, viewer: Scope) -> Result<ResourceKey, String> {
    let name = value.get("name").and_then(Value::as_str).ok_or("a key needs a name")?.to_owned();
    let kind = match value.get("type").and_then(Value::as_str) {
        None => KeyKind::User,
        Some(word) => words::key_kind(word).ok_or_else(|| format!("keys of the type {word} are not kept here"))?,
    };
    if !may_see(viewer, kind) {
        return Err("a customer's script may set only keys of the type USER_KEY".to_owned());
    }
    let given = |name: &str| value.get(name).filter(|value| !value.is_null());
    let weight = given("weight").map_or(Ok(Nanos::ZERO), nanos).map_err(|detail| format!("a key's weight {detail}"))?;
    Ok(ResourceKey {
        name,
        value: text(value.get("value").unwrap_or(&Value::Null)),
        kind,
        weight,
        sticky: given("extraFlag").is_some_and(|flag| flag.as_f64() != Some(0.0)),
    })
}

/// Replaces the keys that the viewer may set, and keeps the others. A script may give those back as they are: it sees what its
/// owner sees, also where it acts for somebody with lesser rights.
fn set_keys(keys: &mut Vec<ResourceKey>, value: &Value, viewer: Scope) -> Result<(), String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut new: Vec<ResourceKey> = keys.iter().filter(|key| !may_see(viewer, key.kind)).cloned().collect();
    let kept = new.len();
    for item in items {
        if key(item, Scope::Provider).is_ok_and(|given| new[..kept].contains(&given)) {
            continue;
        }
        new.push(key(item, viewer)?);
    }
    *keys = new;
    Ok(())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A decimal number as a script gives it.
fn nanos(value: &Value) -> Result<Nanos, String> {
    let decimal = match value.as_f64() {
        Some(number) => format!("{number:.9}"),
        None => text(value),
    };
    decimal.parse().map_err(|e: sutler_model::money::Error| e.to_string())
}

fn set_name(name: &mut String, value: &Value) -> Result<(), String> {
    *name = value.as_str().ok_or("must be a text")?.to_owned();
    Ok(())
}

/// A whole number, zero or more.
pub(crate) fn whole(value: &Value) -> Result<u64, String> {
    let wrong = || format!("is {}; must be a whole number, zero or more", text(value));
    match value.as_u64() {
        Some(number) => Ok(number),
        // The language has one type of number; 2 and 2.0 are the same there. 2^53 bounds what it counts exactly.
        None => match value.as_f64() {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some(number) if number >= 0.0 && number.fract() == 0.0 && number < 9_007_199_254_740_992.0 => {
                Ok(number as u64)
            }
            _ => Err(wrong()),
        },
    }
}

/// An amount as the language's only number, for reading; what is set goes through decimal text.
#[allow(clippy::cast_precision_loss)]
fn amount(nanos: Nanos) -> Value {
    Value::from(nanos.0 as f64 / 1e9)
}

fn date(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| Value::from(at.0))
}

fn id(id: Option<impl ToString>) -> Value {
    id.map_or(Value::Null, |id| Value::from(id.to_string()))
}

/// Only what is left when a record is gone before its event is taken up.
pub(crate) fn remains(
    kind: &'static str,
    id: Uuid,
    customer: Option<CustomerId>,
    seller: Option<BillingEntityId>,
) -> Bean {
    let mut bean = Bean::new(kind).with("resourceUUID", id.to_string()).with("resourceState", "DELETED");
    for (name, id) in [("customerUUID", customer.map(Uuid::from)), ("billingEntityUUID", seller.map(Uuid::from))] {
        if let Some(id) = id {
            bean = bean.with(name, id.to_string());
        }
    }
    bean
}

#[cfg(test)]
mod tests;
