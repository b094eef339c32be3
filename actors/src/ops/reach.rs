//! Over whom a caller's rights reach. What lies beyond is not found, exactly like what does not exist.

use crate::{Caller, Error, System};
use sutler_model::{BillingEntity, BillingEntityId, Customer, CustomerId, KeyKind, Noun, ResourceKey};
use sutler_store::Record;
use uuid::Uuid;

impl System {
    /// A record by id, whoever asks.
    pub(crate) async fn find<R: Record>(&self, id: impl Into<Uuid>) -> Result<R, Error> {
        let id = id.into();
        self.store().get::<R>(id).await?.ok_or_else(|| missing(R::NOUN, id))
    }

    /// Refuses as not found what is not within the caller's reach.
    pub(crate) async fn reach(
        &self,
        caller: &Caller,
        entity: BillingEntityId,
        customer: Option<CustomerId>,
        (noun, id): (Noun, Uuid),
    ) -> Result<(), Error> {
        use sutler_model::Scope;
        let covered = match caller.scope {
            Scope::Provider => true,
            Scope::Customer(own) => customer == Some(own),
            Scope::Entity(_) => caller.scope.covers(&self.path(entity).await?, customer),
        };
        if covered { Ok(()) } else { Err(missing(noun, id)) }
    }

    /// A billing entity within the caller's reach.
    pub(crate) async fn entity(&self, caller: &Caller, id: BillingEntityId) -> Result<BillingEntity, Error> {
        let entity: BillingEntity = self.find(id).await?;
        if caller.scope.covers(&entity.path, None) { Ok(entity) } else { Err(missing(Noun::BillingEntity, id.into())) }
    }

    /// A customer within the caller's reach.
    pub(crate) async fn customer(&self, caller: &Caller, id: CustomerId) -> Result<Customer, Error> {
        let customer: Customer = self.find(id).await?;
        self.reach(caller, customer.billing_entity_id, Some(id), (Noun::Customer, id.into())).await?;
        Ok(customer)
    }

    /// The path of a billing entity, from the provider down.
    pub(crate) async fn path(&self, id: BillingEntityId) -> Result<Vec<BillingEntityId>, Error> {
        Ok(self.find::<BillingEntity>(id).await?.path)
    }
}

/// The one answer for what does not exist and for what is out of reach.
pub(crate) fn missing(noun: Noun, id: Uuid) -> Error {
    Error::NotFound { noun, id: id.to_string() }
}

/// Refuses when the caller read another version than there is.
pub(crate) fn unchanged<R: Record>(record: &R, if_match: Option<u64>) -> Result<(), Error> {
    match if_match {
        Some(version) if version != record.version() => {
            Err(Error::Stale { noun: R::NOUN, id: record.id(), found: record.version() })
        }
        _ => Ok(()),
    }
}

/// Refuses when anything is wrong with the request.
pub(crate) fn valid(problems: impl IntoIterator<Item = sutler_model::FieldError>) -> Result<(), Error> {
    let problems: Vec<_> = problems.into_iter().collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
}

/// The keys a caller sets, with those that are not theirs kept: customers neither see nor change their seller's keys.
pub(crate) fn merged_keys(caller: &Caller, old: &[ResourceKey], asked: &[ResourceKey]) -> Vec<ResourceKey> {
    if !caller.role.is_customer() {
        return asked.to_vec();
    }
    let theirs = |key: &&ResourceKey| key.kind == KeyKind::User;
    old.iter().filter(|key| !theirs(key)).chain(asked.iter().filter(theirs)).cloned().collect()
}
