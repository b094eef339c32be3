//! What the files of the nouns share.

use super::{Api, problem::Problem, reach::Reach};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IntoDeserializer, value::Error},
};
use sutler_actors::Caller;
use sutler_model::{
    ApiKey, BillingEntityId, Blob, Customer, CustomerId, Disk, FieldError, Invoice, Job, KeyKind, PaymentInstance,
    ResourceKey, Scope, Server, Transaction, User,
};
use sutler_store::Record;
use uuid::Uuid;

/// What handlers answer.
pub type Answer = Result<axum::response::Response, Problem>;

/// A record of one customer or of one billing entity's staff.
pub trait Owned: Record {
    /// Whose; none for a seller's own.
    fn customer(&self) -> Option<CustomerId>;
    /// The seller.
    fn entity(&self) -> BillingEntityId;
}

macro_rules! owned {
    ($($record:ty => |$r:ident| $customer:expr),* $(,)?) => {$(
        impl Owned for $record {
            fn customer(&self) -> Option<CustomerId> {
                let $r = self;
                $customer
            }
            fn entity(&self) -> BillingEntityId {
                self.billing_entity_id
            }
        }
    )*};
}

owned! {
    Server => |r| Some(r.customer_id),
    Disk => |r| Some(r.customer_id),
    Job => |r| r.customer_id,
    Invoice => |r| Some(r.customer_id),
    PaymentInstance => |r| Some(r.customer_id),
    Transaction => |r| r.customer_id,
    Customer => |r| Some(r.id),
    User => |r| r.customer_id,
    ApiKey => |r| r.customer_id,
    Blob => |r| r.customer_id,
}

/// The record `id`, if the caller may see it.
///
/// # Errors
/// Not found, whether it does not exist or lies beyond the tenant border.
pub async fn find<R: Owned>(api: &Api, caller: &Caller, id: impl Into<Uuid>) -> Result<R, Problem> {
    let id = id.into();
    let reach = Reach::of(caller, api.store());
    let found: Option<R> = api.store().get(id).await?;
    found.filter(|r| reach.covers(r.customer(), r.entity())).ok_or_else(|| Problem::not_found(R::NOUN, id))
}

/// Leaves out the keys that a customer is not to see: those between the seller and its scripts.
pub fn hide_keys(keys: &mut Vec<ResourceKey>, caller: &Caller) {
    if matches!(caller.scope, Scope::Customer(_)) {
        keys.retain(|key| matches!(key.kind, KeyKind::User | KeyKind::System));
    }
}

/// The words of a comma-separated filter, each of which must be one of `T`'s.
///
/// # Errors
/// Names the parameter and the words there are.
pub fn words<T: DeserializeOwned>(field: &str, text: &str) -> Result<Vec<String>, Problem> {
    let mut words = Vec::new();
    for word in text.split(',').map(str::trim) {
        let deserializer = IntoDeserializer::<Error>::into_deserializer(word);
        T::deserialize(deserializer).map_err(|error| Problem::malformed(field, error.to_string()))?;
        words.push(word.to_owned());
    }
    Ok(words)
}

/// Names as the index holds them.
pub fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// Resolves when the program is told to stop, or has.
pub async fn told(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// One wrong field.
pub fn wrong(field: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![FieldError::new(field, detail)])
}

/// For fields where `null` says something else than leaving them out.
///
/// # Errors
/// Those of `T`.
pub fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// For fields that are true unless said otherwise.
pub fn yes() -> bool {
    true
}
