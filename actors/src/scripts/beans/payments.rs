//! How invoices are paid, what was bought, and what was charged.

use super::{Beans, Described, Property, amount, definitions::forms, derived, described, id, text};
use serde_json::{Value, json};
use sutler_lua::Bean;
use sutler_model::{
    Customer, Invoice, PaymentInstance, PaymentMethod, PaymentSetup, Plan, PointKind, Scope, Script, Timestamp,
    Transaction,
};
use sutler_store::{Error, Snapshot};
use uuid::Uuid;

/// The payment that an invoice has or may still get.
///
/// # Errors
/// Those of the store.
pub(crate) fn payment_of(snapshot: &Snapshot, invoice: &Invoice) -> Result<Option<Transaction>, Error> {
    snapshot.holder("payment", &[invoice.id.0.as_bytes()])
}

/// The provider that a method names, as its script registered it.
fn provider(snapshot: &Snapshot, method: &PaymentMethod) -> Result<Option<sutler_model::Point>, Error> {
    let script = snapshot.get::<Script>(method.script_id)?;
    let mut points = script.map(|script| script.points).unwrap_or_default().into_iter();
    Ok(points.find(|point| point.reference == method.provider && matches!(point.kind, PointKind::PaymentProvider(_))))
}

/// Values as they were filled in.
pub(super) fn filled(values: &std::collections::BTreeMap<String, String>) -> Value {
    values.iter().map(|(key, value)| json!({"key": key, "name": key, "value": value})).collect()
}

const fn resource_state(state: PaymentSetup) -> &'static str {
    match state {
        PaymentSetup::Registering => "CREATING",
        PaymentSetup::Ready | PaymentSetup::Failed => "ACTIVE",
        PaymentSetup::Removing => "TO_BE_DELETED",
    }
}

impl Described for PaymentMethod {
    const KIND: &'static str = "PaymentMethod";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<PaymentMethod>;
        const PROPERTIES: &[P] = &[
            P::new("configured", |m, _| (m.state == PaymentSetup::Ready).into()),
            // A customer pays by it, and need not know how it is set up.
            P::new("configuredValues", |m, viewer| match viewer {
                Scope::Customer(_) => Value::Null,
                _ => filled(&m.shown),
            }),
            P::new("consolidateInvoices", |_, _| false.into()),
            P::new("fdlPaymentRef", |m, _| m.provider.as_str().into()),
            P::read("instanceValues", |m, b| {
                Ok(match provider(b.snapshot, m)?.map(|point| point.kind) {
                    Some(PointKind::PaymentProvider(point)) => forms(&point.instance_values),
                    _ => Value::Null,
                })
            }),
            P::read("paymentProviderName", |m, b| Ok(provider(b.snapshot, m)?.map_or(Value::Null, |p| p.name.into()))),
            P::new("paymentProviderUUID", |m, _| id(Some(provider_id(m.script_id.into(), &m.provider)))),
        ];
        PROPERTIES
    }

    described! {
        label: |m| m.name.clone();
        created_at: |m| m.created_at;
        resource_state: |m| resource_state(m.state);
        customer: |_| None;
        billing_entity: |m| m.billing_entity_id;
    }
}

/// A provider has no record of its own; its id follows from its script and reference.
pub(crate) fn provider_id(script: Uuid, reference: &str) -> Uuid {
    Uuid::new_v5(&script, format!("payment provider:{reference}").as_bytes())
}

impl Described for PaymentInstance {
    const KIND: &'static str = "PaymentMethodInstance";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<PaymentInstance>;
        const PROPERTIES: &[P] = &[
            P::new("configuredValues", |i, _| filled(&i.shown)),
            P::new("isDefault", |i, _| i.is_default.into()),
            P::new("nonInteractivePay", |i, _| (i.state == PaymentSetup::Ready).into()),
            P::new("paymentMethodUUID", |i, _| id(Some(i.payment_method_id))),
            P::read("paymentMethodName", |i, b| b.name_of::<PaymentMethod>(i.payment_method_id.into())),
        ];
        PROPERTIES
    }

    described! {
        label: |i| i.name.clone();
        created_at: |i| i.created_at;
        resource_state: |i| resource_state(i.state);
        customer: |i| Some(i.customer_id);
        billing_entity: |i| i.billing_entity_id;
    }
}

impl Described for Transaction {
    const KIND: &'static str = "Transaction";

    fn properties() -> &'static [Property<Self>] {
        type P = Property<Transaction>;
        fn told(text: &Option<String>) -> Value {
            text.as_deref().map_or(Value::Null, Value::from)
        }
        const PROPERTIES: &[P] = &[
            P::new("transactionFunction", |t, _| t.function.word().into()),
            P::new("state", |t, _| t.word().into()),
            P::new("allowInteractive", |t, _| t.allow_interactive.into()),
            P::new("paymentAmount", |t, _| amount(t.amount)),
            P::new("currencyCode", |t, _| t.currency.as_str().into()),
            P::new("invoiceUUIDList", |t, _| t.invoice_ids.iter().map(ToString::to_string).collect()),
            P::new("linkedTransaction", |t, _| id(t.linked_id)),
            P::new("paymentMethodInstanceUUID", |t, _| id(t.payment_instance_id)),
            P::read("paymentMethodInstanceName", |t, b| match t.payment_instance_id {
                Some(instance) => b.name_of::<PaymentInstance>(instance.into()),
                None => Ok(Value::Null),
            }),
            P::new("merchantDescription", |t, _| told(&t.told.merchant_description)).or_set(|t, v, _| {
                let words = text(v);
                if words.len() > sutler_model::payment::TEXT_BYTES {
                    return Err(format!("has more than {} bytes", sutler_model::payment::TEXT_BYTES));
                }
                t.told.merchant_description = Some(words).filter(|words| !words.is_empty());
                Ok(())
            }),
            P::new("providerReference", |t, _| told(&t.told.provider_reference)),
            P::new("interactiveURL", |t, _| told(&t.told.interactive_url)),
            P::new("redirectURL", |t, _| told(&t.told.redirect_url)),
            P::new("redirectMethod", |t, _| serde_json::to_value(t.told.redirect_method).unwrap_or_default()),
            P::new("redirectData", |t, _| json!(t.told.redirect_data)),
            P::new("publicData", |t, _| told(&t.told.public_data)),
            P::new("errorCode", |t, _| told(&t.told.error_code)),
            P::new("errorReason", |t, _| told(&t.told.error_reason)),
            P::new("startTimestamp", |t, _| t.created_at.0.into()),
            P::new("endTimestamp", |t, _| t.ended_at.map_or(Value::Null, |at| at.0.into())),
        ];
        PROPERTIES
    }

    described! {
        label: |t| t.function.word().to_owned();
        created_at: |t| t.created_at;
        modified_at: |t| t.ended_at.unwrap_or(t.created_at);
        customer: |t| t.customer_id;
        billing_entity: |t| t.billing_entity_id;
    }
}

impl Beans<'_> {
    /// A customer's taking of its plan, as a product purchase.
    pub(crate) fn purchase(&self, customer: &Customer, at: Timestamp) -> Result<Bean, Error> {
        Ok(Bean::new("ProductPurchase")
            .with("active", true)
            .with("description", self.name_of::<Plan>(customer.plan_id.into())?)
            .with("donotRebill", false)
            .with("purchaseUUID", Uuid::new_v5(&customer.id.0, customer.plan_id.0.as_bytes()).to_string())
            .with("customerUUID", customer.id.to_string())
            .with("billingEntityUUID", customer.billing_entity_id.to_string())
            .with("productOfferUUID", customer.plan_id.to_string())
            .with("resourceUUID", customer.id.to_string())
            .with("vdcUUID", derived(customer.id.0).to_string())
            .with("purchaseDate", at.0)
            .with("startDate", at.0))
    }
}
