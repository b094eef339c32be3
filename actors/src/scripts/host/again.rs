//! Calls that an earlier try of the run has made: they are not made again. What they answered follows from what they did
//! ([`CallMade`]) and from what is there now.

use super::{Platform, Sight, ask::Ask, done::Done, failed, find, keys::tagged, payments, refusal};
use crate::scripts::beans::customer_of;
use serde_json::Value;
use sutler_lua::{Bean, HostError};
use sutler_model::{Cause, CustomerId, Job, Noun, Scope, Transaction};
use sutler_store::{CallMade, Op};
use uuid::Uuid;

/// What the call that is the cause has done in an earlier try; none for one that did nothing, or was another at that place.
///
/// # Errors
/// `Failed`.
pub(super) async fn made(platform: &Platform, cause: &Cause) -> Result<Option<CallMade>, HostError> {
    let Some((maker, call)) = cause.call() else { return Ok(None) };
    let number = call.number;
    let made = platform.store.read(move |snapshot| snapshot.call(maker, number)).await.map_err(failed)?;
    Ok(made.filter(|made| (&made.operation, made.about) == (&call.operation, call.about)))
}

/// The answer to a call that was made; none for one that a crash cut off before it had done all, and that may be made again.
///
/// # Errors
/// What its provider refused; `Failed`.
pub(super) async fn answer(ask: &Ask<'_>, made: &CallMade) -> Result<Option<Value>, HostError> {
    let store = &ask.platform.store;
    if let Some(id) = made.first(Noun::Job)
        && let Some(job) = store.get::<Job>(id).await.map_err(failed)?
    {
        return ask.answer(job).await.map(Some);
    }
    if let Some(id) = made.first(Noun::Transaction)
        && let Some(transaction) = store.get::<Transaction>(id).await.map_err(failed)?
    {
        return Ok(Some(tagged(payments::job(&transaction))));
    }
    let new = ask.new_id();
    let main = made.changes.iter().find(|change| Some(change.id) == made.about || change.id == new);
    let Some(main) = main.or(made.changes.first()) else { return Ok(None) };
    let operation = ask.args.operation;
    match main.noun {
        // It is disabled first, and then deleted.
        Noun::Script if operation.starts_with("delete") && made.deleted(main.id).is_none() => return Ok(None),
        Noun::PluggableResource => {
            let asked = ask.platform.system()?.provider_outcome(main.id.into(), main.op, operation).await;
            asked.map_err(refusal)?.map_err(|refused| HostError::Failed(refused.message))?;
        }
        _ => {}
    }
    match operation {
        "lockUser" | "unlockUser" | "updateMetadata" | "publishImage" | "publishResource" | "revokeImage"
        | "revokeResource" => Ok(Some(Value::Bool(true))),
        "updateConfigurationProviderValues" => Ok(Some(Value::Null)),
        "addKey" | "modifyKey" | "removeKey" | "setUserKeys" | "updateCustomer" | "updateUser" | "createBlob" => {
            let found = record(ask, main.id, true).await?;
            Ok(found.map(tagged))
        }
        _ => {
            let found = if main.op == Op::Deleted { None } else { record(ask, main.id, false).await? };
            let text = |name| found.as_ref().and_then(|bean: &Bean| bean.text(name));
            let customer = match main.noun {
                Noun::Customer => Some(CustomerId(main.id)),
                Noun::Script => None,
                _ => found.as_ref().and_then(customer_of),
            };
            let name = text("resourceName").unwrap_or_default();
            ask.done(&Done { noun: main.noun, id: main.id, name: &name, customer }).map(Some)
        }
    }
}

/// The bean of what the call was about, as the script sees it.
async fn record(ask: &Ask<'_>, id: Uuid, children: bool) -> Result<Option<Bean>, HostError> {
    let (tree, sight) = (ask.platform.tree.clone(), Sight { reach: Scope::Provider, viewer: ask.who.owner });
    ask.platform.store.read(move |snapshot| find(snapshot, &tree, sight, id, children)).await.map_err(failed)
}
