//! Paying, what is paid with, and transactions.
//!
//! The language answers these with jobs. Here a transaction is that job: its UUID is the job's, and `waitForJob` waits until
//! the provider has answered.

use super::{
    Platform,
    ask::Ask,
    blocks::owned,
    done::Done,
    failed,
    keys::tagged,
    list::sees,
    refusal,
    skeleton::{Skeleton, invalid},
    taken::no_more_than,
};
use crate::{
    Error, Interaction, NewPaymentInstance, Payment, PaymentInstancePatch,
    scripts::{
        beans::{forms, provider_id, unrecorded_job},
        occasion::Tree,
        words::transaction_status,
    },
};
use serde_json::Value;
use std::collections::BTreeMap;
use sutler_lua::{Bean, HostError, Who};
use sutler_model::{
    BillingEntityId, CustomerId, InvoiceId, Noun, PaymentFunction, PaymentInstanceId, PaymentMethodId, PointKind,
    Scope, Script, Transaction, TransactionId,
};
use sutler_store::{Error as StoreError, Filter, Snapshot};
use uuid::Uuid;

/// `payInvoice(invoice UUID, payment method instance UUID, allow interactive, return URL, when)`.
pub(super) async fn pay(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(4)?;
    let with = match ask.args.get(1) {
        Value::Null => None,
        _ => Some(PaymentInstanceId(ask.args.id(1)?)),
    };
    let how =
        Payment { id: Some(TransactionId(ask.new_id())), payment_instance_id: with, interaction: interaction(ask)? };
    let paid = ask.platform.system()?.pay_invoice(ask.caller, InvoiceId(ask.args.id(0)?), how).await;
    Ok(tagged(job(&paid.map_err(refusal)?)))
}

fn interaction(ask: &Ask<'_>) -> Result<Interaction, HostError> {
    let return_url = match ask.args.get(3) {
        Value::Null => None,
        _ => Some(ask.args.text(3)?.to_owned()).filter(|url| !url.is_empty()),
    };
    Ok(Interaction { allowed: ask.args.flag(2), return_url })
}

/// `createPaymentMethodInstance(PaymentMethodInstance, values, allow interactive, return URL, when)`.
pub(super) async fn create(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(4)?;
    let skeleton = Skeleton(ask.args.bean(0, "a PaymentMethodInstance")?);
    let customer = skeleton.id("customerUUID")?.map(CustomerId).or(ask.caller.customer_id);
    let method = skeleton.id("paymentMethodUUID")?;
    let new = NewPaymentInstance {
        id: Some(PaymentInstanceId(ask.new_id())),
        name: skeleton.required("resourceName")?.to_owned(),
        customer_id: customer.ok_or_else(|| invalid("customerUUID", "must be set"))?,
        payment_method_id: PaymentMethodId(method.ok_or_else(|| invalid("paymentMethodUUID", "must be set"))?),
        values: values(ask, &skeleton),
        is_default: skeleton.0.get("isDefault").and_then(Value::as_bool).unwrap_or(false),
        interaction: interaction(ask)?,
    };
    let (_, transaction) = ask.platform.system()?.create_payment_instance(ask.caller, new).await.map_err(refusal)?;
    Ok(tagged(job(&transaction)))
}

/// The values of a form: a list of Value beans, or a map from key to value; the argument's, or else the bean's own.
fn values(ask: &Ask<'_>, skeleton: &Skeleton<'_>) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    let given = Some(ask.args.get(1)).filter(|given| !given.is_null()).or_else(|| skeleton.0.get("configuredValues"));
    match given {
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(|item| Some((item.get("key")?.as_str()?.to_owned(), text(item.get("value")?)?)))
            .collect(),
        Some(Value::Object(map)) => map.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect(),
        _ => BTreeMap::new(),
    }
}

/// `modifyPaymentMethodInstance(PaymentMethodInstance, when)`: its name, and whether it is the default.
pub(super) async fn modify(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let skeleton = Skeleton(ask.args.bean(0, "a PaymentMethodInstance")?);
    let id = PaymentInstanceId(skeleton.own_id()?);
    let system = ask.platform.system()?;
    let old = system.payment_instance(ask.caller, id).await.map_err(refusal)?;
    no_more_than(ask, &skeleton, &ask.bean(old).await?, &["resourceName", "isDefault"])?;
    let patch = PaymentInstancePatch {
        name: skeleton.text("resourceName").map(str::to_owned),
        is_default: skeleton.0.get("isDefault").and_then(Value::as_bool),
    };
    let changed = system.update_payment_instance(ask.caller, id, None, patch).await.map_err(refusal)?;
    ask.done(&Done {
        noun: Noun::PaymentInstance,
        id: id.into(),
        name: &changed.name,
        customer: Some(changed.customer_id),
    })
}

/// `cancelTransaction(UUID, when)`.
pub(super) async fn cancel(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let (id, own) = (TransactionId(ask.args.id(0)?), Some(TransactionId(ask.new_id())));
    let asked = ask.platform.system()?.cancel_transaction(ask.caller, id, own).await;
    Ok(tagged(job(&asked.map_err(refusal)?)))
}

/// `resumeTransaction(UUID, when)`; a table of texts in place of the date is what the customer's browser came back with. One
/// that waits for nothing any more is answered as it is, so that a repeated run may ask again.
pub(super) async fn resume(ask: &Ask<'_>) -> Result<Value, HostError> {
    let id = TransactionId(ask.args.id(0)?);
    let mut parameters = BTreeMap::new();
    if let Value::Object(given) = ask.args.get(1) {
        let texts = given.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        parameters.extend(texts.filter(|(name, _)| !name.starts_with('@')));
    } else {
        ask.at_once(1)?;
    }
    match ask.platform.system()?.resume_transaction(ask.caller, id, parameters).await {
        Ok(resumed) => Ok(tagged(job(&resumed))),
        Err(Error::State { .. }) => {
            let found = ask.platform.store.get::<Transaction>(id).await.map_err(failed)?;
            found
                .map(|found| tagged(job(&found)))
                .ok_or_else(|| refusal(crate::ops::missing(Noun::Transaction, id.into())))
        }
        Err(error) => Err(refusal(error)),
    }
}

/// `testPaymentMethod(UUID, when)`.
pub(super) async fn test(ask: &Ask<'_>) -> Result<Value, HostError> {
    ask.at_once(1)?;
    let (id, own) = (PaymentMethodId(ask.args.id(0)?), Some(TransactionId(ask.new_id())));
    let asked = ask.platform.system()?.test_payment_method(ask.caller, id, own).await;
    Ok(tagged(job(&asked.map_err(refusal)?)))
}

/// Has a provider forget what a customer paid with.
pub(super) async fn remove(ask: &Ask<'_>, id: PaymentInstanceId) -> Result<Value, HostError> {
    let own = Some(TransactionId(ask.new_id()));
    let asked = ask.platform.system()?.remove_payment_instance(ask.caller, id, None, own).await.map_err(refusal)?;
    match asked {
        Some(transaction) => Ok(tagged(job(&transaction))),
        None => ask.done(&Done { noun: Noun::PaymentInstance, id: id.into(), name: "", customer: None }),
    }
}

/// A transaction as the job that the language has for it.
pub(in crate::scripts) fn job(transaction: &Transaction) -> Bean {
    let (kind, noun, item) = match transaction.function {
        PaymentFunction::RegisterPaymentMethod => {
            ("CREATE_PAYMENT_METHOD", Noun::PaymentMethod, Some(transaction.payment_method_id.into()))
        }
        PaymentFunction::UpdatePaymentMethod => {
            ("CONFIGURE_PAYMENT_METHOD", Noun::PaymentMethod, Some(transaction.payment_method_id.into()))
        }
        PaymentFunction::SelfTest => {
            ("TEST_PAYMENT_METHOD", Noun::PaymentMethod, Some(transaction.payment_method_id.into()))
        }
        PaymentFunction::RegisterPaymentInstance => {
            ("CREATE_PAYMENT_METHOD_INSTANCE", Noun::PaymentInstance, transaction.payment_instance_id.map(Uuid::from))
        }
        PaymentFunction::RemovePaymentInstance => {
            ("DELETE_PAYMENT_METHOD_INSTANCE", Noun::PaymentInstance, transaction.payment_instance_id.map(Uuid::from))
        }
        PaymentFunction::MakePayment => {
            ("MAKE_PAYMENT", Noun::Invoice, transaction.invoice_ids.first().map(|id| Uuid::from(*id)))
        }
        PaymentFunction::CancelTransaction => {
            ("CANCEL_TRANSACTION", Noun::Transaction, transaction.linked_id.map(Uuid::from))
        }
        PaymentFunction::RefundPayment | PaymentFunction::RefundTransaction => {
            ("REFUND_TRANSACTION", Noun::Transaction, transaction.linked_id.map(Uuid::from))
        }
    };
    let id = transaction.id.into();
    let status = transaction_status(transaction.state);
    let mut bean = unrecorded_job(id, kind, status, transaction.created_at, (noun, item.unwrap_or(id)))
        .with("billingEntityUUID", transaction.billing_entity_id.to_string());
    if let Some(at) = transaction.ended_at {
        bean = bean.with("endTime", at.0);
    }
    if let Some(customer) = transaction.customer_id {
        bean = bean.with("customerUUID", customer.to_string());
    }
    for (name, text) in [("errorCode", &transaction.told.error_code), ("info", &transaction.told.error_reason)] {
        if let Some(text) = text {
            bean = bean.with(name, text.as_str());
        }
    }
    bean
}

/// Waits until a transaction has come to rest; none when there is no such transaction within the scope.
pub(super) async fn wait(
    platform: &Platform,
    who: &Who,
    scope: Scope,
    id: TransactionId,
) -> Result<Option<Value>, HostError> {
    // Before the first look, so that no change falls between.
    let mut feed = platform.store.watch();
    loop {
        let tree = platform.tree.clone();
        let read = platform.store.read(move |snapshot| {
            let Some(found) = snapshot.get::<Transaction>(id)? else { return Ok(None) };
            Ok(sees(snapshot, &tree, scope, &found)?.then_some(found))
        });
        let Some(found) = read.await.map_err(failed)? else { return Ok(None) };
        if !found.is_due() || found.unclear {
            return Ok(Some(tagged(job(&found))));
        }
        if found.run_ids.contains(&who.run_id) {
            return Err(HostError::Failed(format!("the transaction {id} waits for this run; it cannot wait for it")));
        }
        feed.changed().await.map_err(|_| HostError::Failed("the program is stopping".to_owned()))?;
    }
}

/// The payment providers of the scripts that a scope may use: its own and those of sellers above.
pub(super) fn providers(snapshot: &Snapshot, tree: &Tree, scope: Scope) -> Result<Vec<Bean>, StoreError> {
    let path: Vec<BillingEntityId> = match scope {
        Scope::Entity(id) => tree.path(snapshot, id)?.to_vec(),
        Scope::Provider | Scope::Customer(_) => Vec::new(),
    };
    let usable = move |script: &Script| {
        script.enabled
            && match (scope, script.owner) {
                (Scope::Customer(_), _) | (_, Scope::Customer(_)) => false,
                (Scope::Provider, _) | (_, Scope::Provider) => true,
                (Scope::Entity(_), Scope::Entity(owner)) => path.contains(&owner),
            }
    };
    let filter = Filter::<Script>::new().when(usable);
    let mut beans = Vec::new();
    for script in snapshot.records(filter) {
        let script = script?;
        for point in &script.points {
            let PointKind::PaymentProvider(provider) = &point.kind else { continue };
            beans.push(owned(
                snapshot,
                script.owner,
                Bean::new("PaymentProvider")
                    .with("resourceUUID", provider_id(script.id.into(), &point.reference).to_string())
                    .with("resourceName", point.name.as_str())
                    .with("resourceType", "PAYMENT_PROVIDER")
                    .with("resourceState", "ACTIVE")
                    .with("resourceCreateDate", script.created_at.0)
                    .with("lastModifiedTime", script.modified_at.0)
                    .with("description", point.description.as_str())
                    .with("fdlName", script.name.as_str())
                    .with("fdlPaymentRef", point.reference.as_str())
                    .with("fdlUUID", script.id.to_string())
                    .with("pmConfigurableList", forms(&provider.method_values))
                    .with("pmiConfigurableList", forms(&provider.instance_values)),
            )?);
        }
    }
    Ok(beans)
}
