//! The tenant border of reads: which records a caller may see at all.
//!
//! A record beyond it is "not found" in every read, exactly like one that does not exist.

use std::collections::BTreeSet;
use sutler_actors::Caller;
use sutler_model::{BillingEntity, BillingEntityId, CustomerId, Noun, Scope};
use sutler_store::{Error, Field, Filter, Record, Snapshot, Store};
use uuid::Uuid;

/// How far a caller sees.
#[derive(Clone, Debug)]
pub enum Reach {
    /// The whole installation.
    All,
    /// These billing entities and their customers.
    Entities(BTreeSet<BillingEntityId>),
    /// One customer.
    Customer(CustomerId),
}

impl Reach {
    /// The reach of `caller` now. From the in-memory index, so it costs no read.
    pub fn of(caller: &Caller, store: &Store) -> Self {
        match caller.scope {
            Scope::Provider => Self::All,
            Scope::Customer(id) => Self::Customer(id),
            Scope::Entity(id) => Self::Entities(below(store, id)),
        }
    }

    /// Narrows `filter` to records of customers and entities within reach.
    pub fn narrow<R: Record>(&self, filter: Filter<R>) -> Filter<R> {
        match self {
            Self::All => filter,
            Self::Customer(id) => filter.is(Field::Customer, id.0.as_bytes()),
            Self::Entities(ids) => filter.any(Field::BillingEntity, ids.iter().map(|id| *id.0.as_bytes())),
        }
    }

    /// Whether a record of this customer and entity is within reach.
    pub fn covers(&self, customer: Option<CustomerId>, entity: BillingEntityId) -> bool {
        match self {
            Self::All => true,
            Self::Customer(id) => customer == Some(*id),
            Self::Entities(ids) => ids.contains(&entity),
        }
    }

    /// Whether what `owner` owns is within reach. `entity_of` finds a customer's seller.
    pub fn covers_owner(&self, owner: Scope, entity_of: impl FnOnce(CustomerId) -> Option<BillingEntityId>) -> bool {
        match (self, owner) {
            (Self::All, _) => true,
            (Self::Customer(id), Scope::Customer(owner)) => *id == owner,
            (Self::Entities(ids), Scope::Entity(owner)) => ids.contains(&owner),
            (Self::Entities(ids), Scope::Customer(owner)) => entity_of(owner).is_some_and(|e| ids.contains(&e)),
            _ => false,
        }
    }
}

/// `root` and every billing entity under it: each is indexed under all of its path.
fn below(store: &Store, root: BillingEntityId) -> BTreeSet<BillingEntityId> {
    store
        .index()
        .ids(Noun::BillingEntity, Field::BillingEntity, root.0.as_bytes())
        .into_iter()
        .map(BillingEntityId)
        .collect()
}

/// The billing entity `id` and those above it, root first: whose images its customers are offered.
pub fn above(snapshot: &Snapshot, id: BillingEntityId) -> Result<Vec<BillingEntityId>, Error> {
    Ok(snapshot.get::<BillingEntity>(id)?.map(|entity| entity.path).unwrap_or_default())
}

/// The index's form of an id.
pub fn key(id: impl Into<Uuid>) -> [u8; 16] {
    *id.into().as_bytes()
}
