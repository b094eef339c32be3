//! `deleteResource(UUID, cascade, when)`, for every noun that can be deleted.
//!
//! What is gone or going already is no error: a script asks twice in one run, and a repeated run asks again.

use super::{ask::Ask, done::Done, failed, list::sees, operations::noun_of, payments, refusal};
use crate::{ActionAsked, Error, ImagePatch, ServerAction, ops::missing};
use serde_json::Value;
use sutler_lua::HostError;
use sutler_model::{
    BlobId, Customer, CustomerId, CustomerStatus, ImageId, ImageState, Job, JobInput, Noun, PaymentInstanceId,
    PaymentMethodId, ScriptId, ServerId, User, UserId,
};
use sutler_store::{Field, Filter, Order};
use uuid::Uuid;

/// Deletes what has the UUID.
pub(super) async fn delete(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = ask.args.id(0)?;
    let (cascade, when) = if ask.args.get(1).is_boolean() { (ask.args.flag(1), 2) } else { (false, 1) };
    match noun_of(ask.platform, id) {
        Some(Noun::User) => {
            ask.at_once(when)?;
            user(ask, UserId(id)).await
        }
        Some(Noun::Image) => {
            ask.at_once(when)?;
            image(ask, ImageId(id)).await
        }
        Some(Noun::Script) => {
            ask.at_once(when)?;
            script(ask, ScriptId(id)).await
        }
        Some(Noun::PluggableResource) => {
            ask.at_once(when)?;
            super::pluggables::delete(ask, sutler_model::PluggableResourceId(id)).await
        }
        Some(Noun::Blob) => {
            ask.at_once(when)?;
            blob(ask, BlobId(id)).await
        }
        Some(Noun::Customer) => customer(ask, CustomerId(id), cascade, when).await,
        Some(Noun::PaymentInstance) => {
            ask.at_once(when)?;
            payments::remove(ask, PaymentInstanceId(id)).await
        }
        Some(Noun::PaymentMethod) => {
            ask.at_once(when)?;
            let system = ask.platform.system()?;
            system.delete_payment_method(ask.caller, PaymentMethodId(id), None).await.map_err(refusal)?;
            finished(ask, Noun::PaymentMethod, id, "", None)
        }
        Some(noun @ (Noun::Disk | Noun::BillingEntity | Noun::Job)) => {
            let why = if noun == Noun::Disk { " (a disk goes with its server)" } else { "" };
            Err(HostError::Unsupported(format!("deleteResource of a {noun}{why}")))
        }
        _ => server(ask, ServerId(id), when).await,
    }
}

/// Asking again for one that is gone gives the job that deleted it.
async fn server(ask: &Ask<'_>, id: ServerId, when: usize) -> Result<Value, HostError> {
    let start_at = ask.args.when(when)?;
    let system = ask.platform.system()?;
    let asked = ActionAsked { start_at, key: None, ..ActionAsked::default() };
    match system.act_on_server(ask.caller, id, ServerAction::Delete, asked).await {
        Ok(job) => ask.answer(job).await,
        Err(Error::NotFound { .. }) => match deleted_by(ask, id.into()).await? {
            Some(job) => ask.answer(job).await,
            None => match gone(ask, id.into()).await? {
                Some(answer) => Ok(answer),
                None => Err(refusal(missing(Noun::Server, id.into()))),
            },
        },
        Err(error) => Err(refusal(error)),
    }
}

/// The job that deleted a server within the caller's reach.
async fn deleted_by(ask: &Ask<'_>, id: Uuid) -> Result<Option<Job>, HostError> {
    let (scope, tree) = (ask.caller.scope, ask.platform.tree.clone());
    let read = ask.platform.store.read(move |snapshot| {
        let filter = Filter::<Job>::new()
            .is(Field::Subject, id.as_bytes())
            .when(|job| matches!(job.input, JobInput::DeleteServer { .. }));
        let Some(job) = snapshot.first(filter, Order::Descending)? else { return Ok(None) };
        Ok(sees(snapshot, &tree, scope, &job)?.then_some(job))
    });
    read.await.map_err(failed)
}

/// The answer to a deletion of what this run has deleted already.
async fn gone(ask: &Ask<'_>, id: Uuid) -> Result<Option<Value>, HostError> {
    let run = ask.who.run_id;
    let calls = ask.platform.store.read(move |snapshot| snapshot.calls(run.0)).await.map_err(failed)?;
    let deleted = calls.iter().find_map(|call| call.deleted(id));
    deleted.map(|noun| finished(ask, noun, id, "", None)).transpose()
}

async fn user(ask: &Ask<'_>, id: UserId) -> Result<Value, HostError> {
    let system = ask.platform.system()?;
    let user: User = system.user(ask.caller, id).await.map_err(refusal)?;
    match system.delete_user(ask.caller, id, None).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(refusal(error)),
    }
    finished(ask, Noun::User, id.into(), &user.email, user.customer_id)
}

/// An image is kept for the servers made from it, and no longer offered.
async fn image(ask: &Ask<'_>, id: ImageId) -> Result<Value, HostError> {
    let patch = ImagePatch { state: Some(ImageState::Retired), ..ImagePatch::default() };
    let image = ask.platform.system()?.update_image(ask.caller, id, None, patch).await.map_err(refusal)?;
    finished(ask, Noun::Image, id.into(), &image.name, image.customer_id)
}

async fn blob(ask: &Ask<'_>, id: BlobId) -> Result<Value, HostError> {
    let system = ask.platform.system()?;
    let blob = system.blob(ask.caller, id).await.map_err(refusal)?;
    match system.delete_blob(ask.caller, id, None).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(refusal(error)),
    }
    finished(ask, Noun::Blob, id.into(), &blob.name, blob.customer_id)
}

async fn script(ask: &Ask<'_>, id: ScriptId) -> Result<Value, HostError> {
    let system = ask.platform.system()?;
    let script = system.script(ask.caller, id).await.map_err(refusal)?;
    match system.delete_script(ask.caller, id, None).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(refusal(error)),
    }
    finished(ask, Noun::Script, id.into(), &script.name, None)
}

/// A customer is closed and kept for its invoices; with `cascade` after its servers are gone. The script may wait for that.
async fn customer(ask: &Ask<'_>, id: CustomerId, cascade: bool, when: usize) -> Result<Value, HostError> {
    let start_at = ask.args.when(when)?;
    let system = ask.platform.system()?;
    let customer: Customer = system.customer(ask.caller, id).await.map_err(refusal)?;
    match system.delete_customer(ask.caller, id, cascade, None, start_at, None).await {
        Ok(job) => ask.answer(job).await,
        Err(Error::State { .. }) if customer.status == CustomerStatus::Closed => {
            finished(ask, Noun::Customer, id.into(), &customer.name, Some(id))
        }
        Err(error) => Err(refusal(error)),
    }
}

fn finished(ask: &Ask<'_>, noun: Noun, id: Uuid, name: &str, customer: Option<CustomerId>) -> Result<Value, HostError> {
    ask.done(&Done { noun, id, name, customer })
}
