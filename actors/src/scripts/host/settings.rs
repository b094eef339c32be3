//! Settings of configuration providers, set by scripts.

use super::{Args, Platform, failed, refusal};
use crate::{
    Caller, Error,
    ops::{Provided, missing},
    scripts::{beans::providers, occasion::within},
};
use serde_json::{Value, json};
use sutler_lua::HostError;
use sutler_model::{BillingEntity, Customer, Noun, Server};
use sutler_store::{ChangeSet, Error as StoreError};
use uuid::Uuid;

/// Tries against others who change the same record.
const TRIES: usize = 20;

/// `updateConfigurationProviderValues(UUID, provider type, Map or nil)`: the values in the map are all there are
/// afterwards. What is read-only for people is what scripts set here; no PRE trigger is asked about a provider's own work.
pub(super) async fn update(platform: &Platform, caller: &Caller, args: &Args<'_>) -> Result<Value, HostError> {
    let (id, provider) = (args.id(0)?, args.text(1)?.to_uppercase());
    let given = providers(&json!({ provider.clone(): args.get(2) }));
    let given = given.map_err(|detail| HostError::refused("INVALID_VALUE_INPUT", format!("the map {detail}")))?;
    let values = given.get(&provider).cloned().unwrap_or_default();
    let index = platform.store.index();
    let is = |noun| index.version(noun, id).is_some();
    if is(Noun::Server) {
        set::<Server>(platform, caller, id, &provider, values).await
    } else if is(Noun::Customer) {
        set::<Customer>(platform, caller, id, &provider, values).await
    } else {
        set::<BillingEntity>(platform, caller, id, &provider, values).await
    }
}

async fn set<R: Provided>(
    platform: &Platform,
    caller: &Caller,
    id: Uuid,
    provider: &str,
    values: std::collections::BTreeMap<String, String>,
) -> Result<Value, HostError> {
    caller.must(R::PERMISSIONS[1]).map_err(refusal)?;
    for _ in 0..TRIES {
        let (scope, tree) = (caller.scope, platform.tree.clone());
        let read = platform.store.read(move |snapshot| {
            let Some(record) = snapshot.get::<R>(id)? else { return Ok(None) };
            // A billing entity lies within itself.
            let seller = if R::NOUN == Noun::BillingEntity { id.into() } else { record.seller() };
            let seen = within(snapshot, &tree, scope, seller, record.customer())?;
            Ok(seen.then_some(record))
        });
        let old = read.await.map_err(failed)?.ok_or_else(|| refusal(missing(R::NOUN, id)))?;
        let mut new = old.clone();
        let settings = new.settings();
        match values.is_empty() {
            true => settings.remove(provider),
            false => settings.insert(provider.to_owned(), values.clone()),
        };
        if new.settings() == old.clone().settings() {
            return Ok(Value::Null);
        }
        let mut set = ChangeSet::new(caller.cause.clone());
        set.update(&old, &mut new);
        match platform.store.commit(set).await {
            Ok(_) => return Ok(Value::Null),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let busy = "others keep changing this resource".to_owned();
    Err(refusal(Error::Busy { detail: busy, retry_after_s: 1 }))
}
