//! Lists of beans, narrowed by the indexes of the store.

use super::{Platform, Sight, absent, failed, views};
use crate::scripts::{
    beans::{ALL, Beans, Described, PLAN_TYPES},
    occasion::{Tree, within},
    words,
};
use std::sync::Arc;
use sutler_lua::{Bean, HostError};
use sutler_model::{
    BillingEntity, Blob, Customer, Disk, Image, Invoice, Job, JobState, Noun, PaymentInstance, PaymentMethod, Plan,
    PluggableResource, Scope, Server, ServerState, Timestamp, Transaction, User,
};
use sutler_store::{Error as StoreError, Field, Filter, Snapshot, Store};
use uuid::Uuid;

/// Most beans one list answers: what a script's memory limit holds anyway.
const BEANS_MAX: usize = 20_000;

/// A script's equality conditions: field in small letters, and the values of which one must match.
pub(in crate::scripts) type Equal = Arc<[(String, Vec<String>)]>;

/// Beans of a resource type within sight. Conditions only narrow; the runtime checks each of them again.
pub(super) async fn list(
    platform: &Platform,
    sight: Sight,
    resource_type: &str,
    equal: &[(String, Vec<String>)],
) -> Result<Vec<Bean>, HostError> {
    within_sight(&platform.store, &platform.tree, sight, resource_type, equal.into()).await
}

/// All beans of a resource type within a scope.
pub(in crate::scripts) async fn all(
    store: &Store,
    tree: &Tree,
    scope: Scope,
    resource_type: &str,
) -> Result<Vec<Bean>, HostError> {
    within_sight(store, tree, Sight::of(scope), resource_type, Equal::default()).await
}

/// Those of them that equality conditions leave, as far as an index tells.
pub(in crate::scripts) async fn equal_to(
    store: &Store,
    tree: &Tree,
    scope: Scope,
    resource_type: &str,
    equal: Equal,
) -> Result<Vec<Bean>, HostError> {
    within_sight(store, tree, Sight::of(scope), resource_type, equal).await
}

async fn within_sight(
    store: &Store,
    tree: &Tree,
    sight: Sight,
    resource_type: &str,
    equal: Equal,
) -> Result<Vec<Bean>, HostError> {
    let kinds: &[Noun] = match resource_type {
        "SERVER" => &[Noun::Server],
        "CUSTOMER" => &[Noun::Customer],
        "USER" => &[Noun::User],
        "BILLING_ENTITY" => &[Noun::BillingEntity],
        "JOB" => &[Noun::Job],
        "DISK" => &[Noun::Disk],
        "IMAGE" => &[Noun::Image],
        "INVOICE" => &[Noun::Invoice],
        "PLUGGABLE_RESOURCE" => &[Noun::PluggableResource],
        "PAYMENT_METHOD" => &[Noun::PaymentMethod],
        "PAYMENT_METHOD_INSTANCE" => &[Noun::PaymentInstance],
        "TRANSACTION" => &[Noun::Transaction],
        "BLOB" => &[Noun::Blob],
        "PRODUCTOFFER" => &[Noun::Plan],
        "ANY" | "" => {
            &[Noun::Customer, Noun::BillingEntity, Noun::User, Noun::Image, Noun::Server, Noun::Disk, Noun::Invoice]
        }
        // No records of their own, or none at all.
        _ => &[],
    };
    if let (true, Some(nouns)) = (kinds.is_empty(), absent::resources(resource_type)) {
        return Err(HostError::Absent {
            nouns: nouns.to_owned(),
            operation: format!("a list of resources of the type {resource_type}"),
        });
    }
    // All sellers below a reseller, from the index.
    let sellers = match sight.reach {
        Scope::Entity(id) => store.index().ids(Noun::BillingEntity, Field::BillingEntity, id.0.as_bytes()),
        _ => Vec::new(),
    };
    let (tree, kind, now) = (tree.clone(), resource_type.to_owned(), store.now());
    let read = store.read(move |snapshot| {
        let search = Search { snapshot, tree: &tree, sight, now, sellers: &sellers, equal: &equal };
        if kinds.is_empty() {
            // Of what they follow from only the owner is known beforehand.
            let owner = |name: &str| matches!(name, "customeruuid" | "billingentityuuid");
            let equal: Vec<_> = equal.iter().filter(|(name, _)| owner(name)).cloned().collect();
            return views::list(&Search { equal: &equal, ..search }, &kind);
        }
        let mut beans = if kind == "CUSTOMER" { views::operators(&search)? } else { Vec::new() };
        for kind in kinds {
            match kind {
                Noun::Server => search.collect::<Server>(&mut beans)?,
                Noun::Customer => search.collect::<Customer>(&mut beans)?,
                Noun::User => search.collect::<User>(&mut beans)?,
                Noun::BillingEntity => search.collect::<BillingEntity>(&mut beans)?,
                Noun::Job => search.collect::<Job>(&mut beans)?,
                Noun::Disk => search.collect::<Disk>(&mut beans)?,
                Noun::Image => search.collect::<Image>(&mut beans)?,
                Noun::PluggableResource => search.collect::<PluggableResource>(&mut beans)?,
                Noun::PaymentMethod => search.collect::<PaymentMethod>(&mut beans)?,
                Noun::PaymentInstance => search.collect::<PaymentInstance>(&mut beans)?,
                Noun::Transaction => search.collect::<Transaction>(&mut beans)?,
                Noun::Blob => search.collect::<Blob>(&mut beans)?,
                Noun::Plan => {
                    search.collect::<Plan>(&mut beans)?;
                    // Each is the offer of all there is, and so of what was asked for.
                    let asked = search.values("productassociatedtype").unwrap_or_default();
                    let meant = |kind: &&str| asked.iter().any(|word| word.trim().eq_ignore_ascii_case(kind));
                    if let Some(kind) = PLAN_TYPES.into_iter().find(meant) {
                        beans.iter_mut().for_each(|bean| bean.properties.insert("productAssociatedType", kind));
                    }
                }
                _ => search.collect::<Invoice>(&mut beans)?,
            }
        }
        Ok(Some(beans))
    });
    let beans = read.await.map_err(failed)?.ok_or_else(|| {
        let detail = format!("there are no resources of the type {resource_type}");
        HostError::refused("INVALID_RESOURCE_TYPE", detail)
    })?;
    if beans.len() > BEANS_MAX {
        return Err(HostError::Failed(format!("more than {BEANS_MAX} resources match; add a condition to the filter")));
    }
    Ok(beans)
}

/// Records within sight.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub snapshot: &'a Snapshot,
    pub tree: &'a Tree,
    pub sight: Sight,
    pub now: Timestamp,
    sellers: &'a [Uuid],
    equal: &'a [(String, Vec<String>)],
}

impl Search<'_> {
    fn collect<R: Described>(&self, beans: &mut Vec<Bean>) -> Result<(), StoreError> {
        let maker = Beans::new(self.snapshot, self.sight.viewer, ALL);
        self.each(|record: R| {
            // Here, where nothing waits for it, rather than among the script's own work.
            let mut bean = maker.bean(record)?;
            bean.properties.make();
            beans.push(bean);
            Ok(beans.len())
        })
    }

    /// Hands each record that the conditions leave to `take`, which answers how many beans there are by then; too many are
    /// the end.
    pub fn each<R: Described>(&self, mut take: impl FnMut(R) -> Result<usize, StoreError>) -> Result<(), StoreError> {
        let sees = |record: &R| sees(self.snapshot, self.tree, self.sight.reach, record);
        if let Some(ids) = self.values("resourceuuid") {
            for id in ids.iter().filter_map(|id| id.parse::<Uuid>().ok()) {
                if let Some(record) = self.snapshot.get::<R>(id)?
                    && sees(&record)?
                {
                    take(record)?;
                }
            }
            return Ok(());
        }
        for record in self.snapshot.records(self.filter::<R>()) {
            let record = record?;
            if sees(&record)? && take(record)? > BEANS_MAX {
                break;
            }
        }
        Ok(())
    }

    /// The values of which a field must have one, where a condition says so.
    pub fn values(&self, field: &str) -> Option<&[String]> {
        self.equal.iter().find(|(name, _)| name == field).map(|(_, values)| values.as_slice())
    }

    /// What the index can narrow down; never more than the conditions say.
    fn filter<R: Described>(&self) -> Filter<R> {
        let mut filter = Filter::new();
        let ids = |values: &[String]| -> Vec<[u8; 16]> {
            values.iter().filter_map(|value| value.parse::<Uuid>().ok()).map(Uuid::into_bytes).collect()
        };
        match self.sight.reach {
            Scope::Provider => {}
            // Images of sellers above are offered too, and customers are their own.
            _ if matches!(R::NOUN, Noun::Image) => {}
            // What its seller offers to be paid by; see `sees`.
            Scope::Customer(_) if matches!(R::NOUN, Noun::PaymentMethod | Noun::Plan) => {}
            Scope::Entity(id) if R::NOUN == Noun::BillingEntity => {
                filter = filter.is(Field::BillingEntity, id.0.as_bytes())
            }
            Scope::Entity(_) => filter = filter.any(Field::BillingEntity, self.sellers.iter().map(Uuid::as_bytes)),
            Scope::Customer(id) if matches!(R::NOUN, Noun::Customer | Noun::BillingEntity) => {
                filter = filter.when(move |record: &R| record.id() == id.0);
            }
            Scope::Customer(id) => filter = filter.is(Field::Customer, id.0.as_bytes()),
        }
        // A seller's own customer is in no index.
        let operator = |value: &String| value.parse::<Uuid>().is_ok_and(|id| id.get_version_num() == 5);
        if let Some(values) = self.values("customeruuid")
            && !matches!(R::NOUN, Noun::Customer | Noun::BillingEntity)
            && !(matches!(R::NOUN, Noun::Job | Noun::Image) && values.iter().any(operator))
        {
            filter = filter.any(Field::Customer, ids(values));
        }
        if let Some(values) = self.values("billingentityuuid") {
            filter = filter.any(Field::BillingEntity, ids(values));
        }
        if let (Some(values), Noun::Disk) = (self.values("serveruuid"), R::NOUN) {
            filter = filter.any(Field::Subject, ids(values));
        }
        if let (Some(values), Noun::Job) = (self.values("itemuuid"), R::NOUN) {
            filter = filter.any(Field::Subject, ids(values));
        }
        if let (Some(values), Noun::Job) = (self.values("parentjobuuid"), R::NOUN) {
            filter = filter.any(Field::Parent, ids(values));
        }
        if let (
            Some(values),
            Noun::Server | Noun::Customer | Noun::BillingEntity | Noun::User | Noun::Disk | Noun::Image,
        ) = (self.values("resourcekey.name"), R::NOUN)
        {
            filter = filter.any(Field::Key, values);
        }
        if let Some(values) = self.values("status") {
            let wanted = |status: &str| values.iter().any(|value| value.eq_ignore_ascii_case(status));
            filter = match R::NOUN {
                Noun::Server => {
                    let states = ServerState::ALL.into_iter().filter(|state| wanted(words::server_status(*state)));
                    filter.any(Field::State, states.map(ServerState::name))
                }
                Noun::Job => {
                    let states = JOB_STATES.into_iter().filter(|state| wanted(words::job_status(*state)));
                    filter.any(Field::State, states.map(JobState::name))
                }
                _ => filter,
            };
        }
        filter
    }
}

const JOB_STATES: [JobState; 8] = [
    JobState::NotStarted,
    JobState::InProgress,
    JobState::Waiting,
    JobState::Undoing,
    JobState::Successful,
    JobState::Failed,
    JobState::Cancelled,
    JobState::NeedsOperator,
];

/// Whether a scope reaches a record. An image is also seen by those it is offered to, and payment methods and plans by the
/// customers of their seller.
pub(super) fn sees<R: Described>(
    snapshot: &Snapshot,
    tree: &Tree,
    scope: Scope,
    record: &R,
) -> Result<bool, StoreError> {
    let (seller, customer) = (record.billing_entity(), record.customer());
    if within(snapshot, tree, scope, seller, customer)? {
        return Ok(true);
    }
    if let (Noun::PaymentMethod | Noun::Plan, Scope::Customer(id)) = (R::NOUN, scope) {
        return Ok(snapshot.get::<Customer>(id)?.is_some_and(|customer| customer.billing_entity_id == seller));
    }
    if R::NOUN != Noun::Image || customer.is_some() {
        return Ok(false);
    }
    let above = match scope {
        Scope::Provider => return Ok(true),
        Scope::Entity(id) => Some(id),
        Scope::Customer(id) => snapshot.get::<Customer>(id)?.map(|customer| customer.billing_entity_id),
    };
    Ok(match above {
        Some(id) => tree.path(snapshot, id)?.contains(&seller),
        None => false,
    })
}
