//! Operations that are done at once, asked for at a later time: they become jobs that make the same call again.

use super::{
    Platform, Sight,
    ask::{Args, Ask},
    done::job_type,
    failed, find,
    operations::{answer, noun_of},
    refusal,
    skeleton::Skeleton,
};
use crate::{
    ops::DeferredItem,
    password,
    scripts::beans::{Described, customer_of},
};
use serde_json::Value;
use std::sync::OnceLock;
use sutler_lua::{Api, HostError, Who};
use sutler_model::{
    BillingEntityId, Customer, CustomerId, Deferred, Invoice, JobId, Noun, Timestamp, Transaction,
    deferred::ARGUMENT_BYTES, validate,
};
use uuid::Uuid;

/// The job of an operation for later, whose time is its argument at `index`.
pub(super) async fn defer(ask: &Ask<'_>, api: &Api, (index, at): (usize, Timestamp)) -> Result<Value, HostError> {
    let item = item(ask).await?;
    let mut arguments = ask.args.values.clone();
    arguments[index] = Value::Null;
    hide_password(ask, &mut arguments).await?;
    let arguments = Value::Array(arguments).to_string();
    if arguments.len() > ARGUMENT_BYTES {
        let detail =
            format!("what is asked for later has {} bytes; at most {ARGUMENT_BYTES} are kept", arguments.len());
        return Err(HostError::refused("INVALID_INPUT", detail));
    }
    let request = Deferred {
        operation: ask.args.operation.to_owned(),
        job_type: job_type(ask.args.operation, item.noun),
        arguments,
        owner: ask.who.owner,
        script_id: ask.who.script,
        session: match api {
            Api::User(session) => session.clone(),
            Api::Admin => None,
        },
        run_id: ask.who.run_id,
        depth: ask.who.depth,
        call_no: ask.call_no,
    };
    let job = ask.platform.system()?.defer(ask.caller, item, request, at).await;
    ask.answer(job.map_err(refusal)?).await
}

/// Makes a call whose time has come. The error is a code of the language and a text.
pub(in crate::scripts) async fn carry_out(
    platform: &Platform,
    job: JobId,
    request: &Deferred,
) -> Result<(), (String, String)> {
    let who = Who {
        owner: request.owner,
        script: request.script_id,
        run_id: request.run_id,
        depth: request.depth,
        unrecorded: false,
        // Its job knows what it has done.
        repeated: false,
        rehearsal: false,
    };
    let api = match &request.session {
        Some(session) => Api::User(Some(session.clone())),
        None => Api::Admin,
    };
    let done = async {
        let values = serde_json::from_str(&request.arguments)
            .map_err(|_| HostError::Failed("its arguments cannot be read".to_owned()))?;
        let args = Args { operation: &request.operation, values };
        // Its rights are those of now: a user may have been locked since.
        let caller = platform.caller(&who, &api, args.cause(&who, request.call_no, Some(job))).await?;
        let call_no = request.call_no;
        answer(&Ask { platform, caller: &caller, who: &who, args: &args, call_no, later: OnceLock::new() }).await
    };
    done.await.map(|_| ()).map_err(|error| match error {
        HostError::Refused { code, message } => (code, message),
        HostError::Failed(message) => ("FUNCTION_FAILED".to_owned(), message),
        other => ("NOT_OFFERED".to_owned(), other.to_string()),
    })
}

/// What the operation is about, within the caller's reach.
async fn item(ask: &Ask<'_>) -> Result<DeferredItem, HostError> {
    let values = &ask.args.values;
    let bean = values.iter().find_map(Value::as_object).map(Skeleton);
    if let Some(noun) = created(ask.args.operation) {
        let empty = serde_json::Map::new();
        let bean = bean.unwrap_or(Skeleton(&empty));
        let system = ask.platform.system()?;
        let customer = match bean.id("customerUUID")?.map(CustomerId).or(ask.caller.customer_id) {
            Some(id) if noun != Noun::Customer => Some(system.customer(ask.caller, id).await.map_err(refusal)?),
            _ => None,
        };
        let seller = match &customer {
            Some(customer) => customer.billing_entity_id,
            None => {
                let id = bean.id("billingEntityUUID")?.map_or(ask.caller.billing_entity_id, BillingEntityId);
                match ask.caller.customer_id {
                    Some(_) => ask.caller.billing_entity_id,
                    None => system.entity(ask.caller, id).await.map_err(refusal)?.id,
                }
            }
        };
        let name = bean.text("resourceName").or(bean.text("email")).unwrap_or_default().to_owned();
        return Ok(DeferredItem { noun, id: ask.new_id(), name, customer: customer.map(|c: Customer| c.id), seller });
    }
    let named = values.iter().find_map(Value::as_str).and_then(|text| text.parse::<Uuid>().ok());
    let id = match (bean.map(|bean| bean.own_id()), named) {
        (Some(Ok(id)), _) | (_, Some(id)) => id,
        (Some(Err(error)), None) => return Err(error),
        (None, None) => return Err(HostError::refused("NO_RESOURCE_FOUND", "there is no such resource")),
    };
    let (scope, tree) = (ask.caller.scope, ask.platform.tree.clone());
    let read = ask.platform.store.read(move |snapshot| find(snapshot, &tree, Sight::of(scope), id, false));
    let missing = || HostError::refused("NO_RESOURCE_FOUND", "there is no such resource");
    let bean = read.await.map_err(failed)?.ok_or_else(missing)?;
    let noun = match bean.kind.as_ref() {
        // Most of these are no longer live, and so not among those that the index has.
        Invoice::KIND => Noun::Invoice,
        Transaction::KIND => Noun::Transaction,
        _ => noun_of(ask.platform, id).ok_or_else(missing)?,
    };
    let parsed = |property: &str| bean.text(property).and_then(|text| text.parse::<Uuid>().ok());
    let customer = match noun {
        Noun::Customer => Some(CustomerId(id)),
        _ => customer_of(&bean),
    };
    let seller = parsed("billingEntityUUID").map_or(ask.caller.billing_entity_id, BillingEntityId);
    Ok(DeferredItem { noun, id, name: bean.text("resourceName").unwrap_or_default(), customer, seller })
}

/// What an operation creates; none for one on something that is there.
fn created(operation: &str) -> Option<Noun> {
    Some(match operation.strip_prefix("create")? {
        "Blob" => Noun::Blob,
        "User" | "APIKeyUser" => Noun::User,
        "Customer" => Noun::Customer,
        "BillingEntity" => Noun::BillingEntity,
        "PaymentMethodInstance" => Noun::PaymentInstance,
        "PluggableResource" => Noun::PluggableResource,
        "FDL" | "FDLCodeBlock" | "CodeBlock" => Noun::Script,
        _ => return None,
    })
}

/// No password waits in a job: its hash does.
async fn hide_password(ask: &Ask<'_>, arguments: &mut Vec<Value>) -> Result<(), HostError> {
    if !matches!(ask.args.operation, "createUser" | "createAPIKeyUser") || ask.args.any_flag() {
        return Ok(());
    }
    let Some(text) = ask.args.any_text().map(str::to_owned) else { return Ok(()) };
    validate::password("password", &text).map_err(|e| refusal(crate::Error::Invalid(vec![e])))?;
    let hash = ask.platform.system()?.hash_password(text.clone()).await.map_err(refusal)?;
    debug_assert!(password::is_hash(&hash));
    for argument in arguments.iter_mut().filter(|argument| argument.as_str() == Some(&text)) {
        *argument = Value::String(hash.clone());
    }
    arguments.retain(|argument| !argument.is_boolean());
    arguments.push(Value::Bool(true));
    Ok(())
}
