//! Operations that change something outside the record itself.

use super::{Args, Platform, failed, keys::tagged, list::sees, refusal};
use crate::{
    Caller, CustomerPatch, Error, Idempotency, ServerAction,
    ops::missing,
    scripts::beans::{ALL, Beans, Described, apply},
};
use serde_json::Value;
use sutler_lua::{Bean, HostError, Who};
use sutler_model::{Customer, CustomerId, Job, JobId, JobInput, Noun, ServerId};
use sutler_store::{Field, Filter, Order, PageRequest};
use uuid::Uuid;

/// Does the operation under an idempotency key.
pub(super) async fn write(
    platform: &Platform,
    caller: &Caller,
    who: &Who,
    args: &Args<'_>,
    key: Idempotency,
) -> Result<Value, HostError> {
    match args.operation {
        "changeServerStatus" => {
            args.now(4)?;
            let id = ServerId(args.id(0)?);
            let safe = args.flag(2);
            let action = match args.text(1)? {
                "RUNNING" => ServerAction::Start,
                "STOPPED" => ServerAction::Stop { force: !safe },
                "REBOOTING" => ServerAction::Reboot { force: !safe },
                other => {
                    let detail = format!("a server can be asked for RUNNING, STOPPED or REBOOTING, not for {other}");
                    return Err(HostError::refused("INVALID_SERVER_STATUS", detail));
                }
            };
            let job = platform.system()?.act_on_server(caller, id, action, None, Some(key)).await;
            answer(platform, who, job.map_err(refusal)?).await
        }
        "deleteResource" => {
            args.now(2)?;
            delete(platform, caller, who, args.id(0)?, key).await
        }
        "cancelJob" => {
            let job = platform.system()?.cancel_job(caller, JobId(args.id(0)?)).await;
            answer(platform, who, job.map_err(refusal)?).await
        }
        _ => update_customer(platform, caller, who, args).await,
    }
}

async fn answer<R: Described>(platform: &Platform, who: &Who, record: R) -> Result<Value, HostError> {
    let owner = who.owner;
    let bean = platform.store.read(move |snapshot| Beans::new(snapshot, owner, ALL).bean(&record)).await;
    Ok(tagged(bean.map_err(failed)?))
}

/// Servers can be deleted. Asking again for one that is gone gives the job that deleted it.
async fn delete(
    platform: &Platform,
    caller: &Caller,
    who: &Who,
    id: Uuid,
    key: Idempotency,
) -> Result<Value, HostError> {
    let job = platform.system()?.act_on_server(caller, ServerId(id), ServerAction::Delete, None, Some(key)).await;
    match job {
        Ok(job) => answer(platform, who, job).await,
        Err(Error::NotFound { .. }) => {
            let (scope, tree) = (caller.scope, platform.tree.clone());
            let read = platform.store.read(move |snapshot| {
                let filter = Filter::<Job>::new()
                    .is(Field::Subject, id.as_bytes())
                    .when(|job| matches!(job.input, JobInput::DeleteServer { .. }));
                let page = PageRequest { cursor: None, limit: 1, order: Order::Descending };
                let Some(job) = snapshot.page(&filter, &page)?.items.pop() else { return Ok(None) };
                Ok(sees(snapshot, &tree, scope, &job)?.then_some(job))
            });
            match read.await.map_err(failed)? {
                Some(job) => answer(platform, who, job).await,
                None if platform.store.index().version(Noun::Server, id).is_none() && is_other(platform, id) => {
                    Err(HostError::Unsupported("deleteResource of anything but a server".to_owned()))
                }
                None => Err(refusal(missing(Noun::Server, id))),
            }
        }
        Err(error) => Err(refusal(error)),
    }
}

fn is_other(platform: &Platform, id: Uuid) -> bool {
    let nouns = [Noun::Customer, Noun::User, Noun::Image, Noun::Disk, Noun::BillingEntity];
    nouns.into_iter().any(|noun| platform.store.index().version(noun, id).is_some())
}

/// `updateCustomer(Customer)`: name, status, keys, limits and warning level.
async fn update_customer(platform: &Platform, caller: &Caller, who: &Who, args: &Args<'_>) -> Result<Value, HostError> {
    let Value::Object(properties) = args.get(0) else { return Err(args.wrong(0, "a Customer")) };
    let mut after = Bean { kind: "Customer".to_owned(), properties: properties.clone() };
    after.properties.remove("@bean");
    let id = after.text("resourceUUID").and_then(|id| id.parse().ok()).map(CustomerId);
    let id = id.ok_or_else(|| HostError::refused("NO_CUSTOMER_FOUND", "the customer has no UUID"))?;
    let system = platform.system()?;
    let mut customer = system.customer(caller, id).await.map_err(refusal)?;
    let (old, owner) = (customer.clone(), caller.scope);
    let seen = old.clone();
    let read = platform.store.read(move |snapshot| Beans::new(snapshot, owner, ALL).bean(&seen));
    let before = read.await.map_err(failed)?;
    let ignored = apply(&before, &after, &mut customer, owner).map_err(|problems| refusal(Error::Invalid(problems)))?;
    if !ignored.is_empty() {
        tracing::info!(run = %who.run_id, ?ignored, "updateCustomer was given what it cannot set");
    }
    let changed = CustomerPatch {
        name: (old.name != customer.name).then(|| customer.name.clone()),
        status: (old.status != customer.status).then_some(customer.status),
        plan_id: None,
        quota: (old.quota != customer.quota).then_some(customer.quota),
        warning_level: (old.warning_level != customer.warning_level).then_some(customer.warning_level),
        keys: (old.keys != customer.keys).then(|| customer.keys.clone()),
    };
    let updated: Customer = if changed == CustomerPatch::default() {
        old
    } else {
        system.update_customer(caller, id, Some(old.version), changed).await.map_err(refusal)?
    };
    answer(platform, who, updated).await
}
