//! Transactions: what payment providers were asked, and what became of it.

use super::{
    Api, Shared,
    common::{Answer, find, words},
    extract::{Id, Input, Key, Params, Who},
    once::once_for,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    reach::{Reach, key},
    reply,
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::{Caller, Interaction, Payment};
use sutler_model::{
    BillingEntityId, Currency, CustomerId, InvoiceId, Nanos, PaymentFunction, PaymentInstanceId, PaymentMethodId,
    Permission, RedirectMethod, RunId, Timestamp, Transaction, TransactionId, TransactionState,
};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_transactions))
        .routes(routes!(show_transaction))
        .routes(routes!(resume_transaction))
        .routes(routes!(cancel_transaction))
        .routes(routes!(refund_transaction))
        .routes(routes!(pay_invoice))
}

/// Filters of the list of transactions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TransactionFilter {
    /// Of this customer.
    customer_id: Option<CustomerId>,
    /// About this invoice.
    invoice_id: Option<InvoiceId>,
    /// In one of these states, comma-separated.
    #[param(example = "awaiting_input")]
    state: Option<String>,
    /// That give back or cancel this one.
    linked_id: Option<TransactionId>,
}

/// One thing asked of a payment provider.
#[derive(Serialize, ToSchema)]
pub struct TransactionView {
    /// Its id.
    id: TransactionId,
    /// Counts changes, from 1.
    version: u64,
    /// What is asked.
    function: PaymentFunction,
    /// How it stands.
    state: TransactionState,
    /// Whether its provider never said what it did: resume it to ask again.
    unclear: bool,
    /// Who is paid.
    billing_entity_id: BillingEntityId,
    /// Who pays; null for what concerns a method alone.
    customer_id: Option<CustomerId>,
    /// By which method.
    payment_method_id: PaymentMethodId,
    /// With what.
    payment_instance_id: Option<PaymentInstanceId>,
    /// What is paid, or was.
    invoice_ids: Vec<InvoiceId>,
    /// How much moves.
    #[schema(example = "12.30")]
    amount: String,
    /// Of what.
    currency: Currency,
    /// Of a payment: what was given back, or is being given back.
    #[schema(example = "0.00")]
    refunded: String,
    /// The payment that is given back or cancelled.
    linked_id: Option<TransactionId>,
    /// Whether the customer can be asked something.
    allow_interactive: bool,
    /// Where the customer's browser comes back to.
    return_url: Option<String>,
    /// Where the customer goes on.
    interactive_url: Option<String>,
    /// Where the customer's browser is sent.
    redirect_url: Option<String>,
    /// How.
    redirect_method: Option<RedirectMethod>,
    /// With what.
    redirect_data: BTreeMap<String, String>,
    /// For whoever pays, in the provider's own form.
    public_data: Option<String>,
    /// The provider's own name for it.
    provider_reference: Option<String>,
    /// What a statement calls it.
    merchant_description: Option<String>,
    /// A refusal's code.
    error_code: Option<String>,
    /// A refusal's reason.
    error_reason: Option<String>,
    /// The runs of the provider's function; for staff alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_ids: Option<Vec<RunId>>,
    /// When it was accepted.
    created_at: Timestamp,
    /// When it ended.
    ended_at: Option<Timestamp>,
}

impl TransactionView {
    /// A transaction as `caller` sees it.
    pub fn of(transaction: Transaction, caller: &Caller) -> Self {
        let places = transaction.currency.places();
        let told = transaction.told;
        Self {
            id: transaction.id,
            version: transaction.version,
            function: transaction.function,
            state: transaction.state,
            unclear: transaction.unclear,
            billing_entity_id: transaction.billing_entity_id,
            customer_id: transaction.customer_id,
            payment_method_id: transaction.payment_method_id,
            payment_instance_id: transaction.payment_instance_id,
            invoice_ids: transaction.invoice_ids,
            amount: transaction.amount.to_text(places),
            currency: transaction.currency,
            refunded: transaction.refunded.to_text(places),
            linked_id: transaction.linked_id,
            allow_interactive: transaction.allow_interactive,
            return_url: transaction.return_url,
            interactive_url: told.interactive_url,
            redirect_url: told.redirect_url,
            redirect_method: told.redirect_method,
            redirect_data: told.redirect_data,
            public_data: told.public_data,
            provider_reference: told.provider_reference,
            merchant_description: told.merchant_description,
            error_code: told.error_code,
            error_reason: told.error_reason,
            run_ids: (!caller.role.is_customer()).then_some(transaction.run_ids),
            created_at: transaction.created_at,
            ended_at: transaction.ended_at,
        }
    }
}

/// How to pay an invoice.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"allow_interactive": true, "return_url": "https://panel.example.com/paid"}))]
pub struct PayInvoice {
    /// With what; what the customer uses when none is named.
    payment_instance_id: Option<PaymentInstanceId>,
    /// Whether the customer is there to be asked something.
    #[serde(default)]
    allow_interactive: bool,
    /// Where the customer's browser comes back to.
    return_url: Option<String>,
}

/// What the customer's browser came back with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"parameters": {"payment_intent": "pi_1"}}))]
pub struct ResumeTransaction {
    /// The parameters of the address it came back to.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

/// How much of a payment to give back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": "1.00"}))]
pub struct RefundTransaction {
    /// All that is left unless given.
    amount: Option<Nanos>,
}

/// A transaction that was accepted, and where to follow it.
pub fn accepted(transaction: Transaction, caller: &Caller) -> Answer {
    let place = format!("/api/v1/transactions/{}", transaction.id);
    let mut response = reply::versioned(transaction.version, &TransactionView::of(transaction, caller))?;
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// List transactions.
#[utoipa::path(get, path = "/transactions", tag = "payments", params(TransactionFilter, Paging),
    responses((status = 200, description = "A page of transactions.", body = Listed<TransactionView>)))]
async fn list_transactions(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    listing: Listing<TransactionFilter>,
) -> Answer {
    caller.must(Permission::BillingRead)?;
    let asked = listing.filter;
    let mut filter = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = asked.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(id) = asked.invoice_id {
        filter = filter.is(Field::Subject, key(id));
    }
    if let Some(id) = asked.linked_id {
        filter = filter.is(Field::Parent, key(id));
    }
    if let Some(states) = &asked.state {
        filter = filter.any(Field::State, words::<TransactionState>("state", states)?);
    }
    list(&api, &caller, filter, listing.page, TransactionView::of).await
}

/// Show a transaction.
#[utoipa::path(get, path = "/transactions/{id}", tag = "payments", params(("id" = TransactionId, Path), Shown),
    responses((status = 200, description = "The transaction.", body = TransactionView)))]
async fn show_transaction(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<TransactionId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::BillingRead)?;
    let transaction: Transaction = find(&api, &caller, id).await?;
    show_record(&headers, &shown, transaction, |transaction| TransactionView::of(transaction, &caller))
}

/// Go on with a transaction whose customer has come back.
///
/// One whose provider never answered is asked again, under the same key.
#[utoipa::path(post, path = "/transactions/{id}/resume", tag = "payments", params(("id" = TransactionId, Path)),
    request_body = ResumeTransaction,
    responses((status = 202, description = "It goes on; follow it.", body = TransactionView)))]
async fn resume_transaction(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<TransactionId>,
    Input { value: asked, key }: Input<ResumeTransaction>,
) -> Answer {
    let work = api.system.resume_transaction(&caller, id, asked.parameters);
    once_for(&api, &caller, key, work, |transaction| accepted(transaction, &caller)).await
}

/// Give up a transaction that waits for its customer.
#[utoipa::path(post, path = "/transactions/{id}/cancel", tag = "payments", params(("id" = TransactionId, Path)),
    responses((status = 202, description = "Its provider is asked; follow this transaction.", body = TransactionView)))]
async fn cancel_transaction(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<TransactionId>,
    Key(key): Key,
) -> Answer {
    let work = api.system.cancel_transaction(&caller, id, None);
    once_for(&api, &caller, key, work, |transaction| accepted(transaction, &caller)).await
}

/// Give a payment back.
#[utoipa::path(post, path = "/transactions/{id}/refund", tag = "payments", params(("id" = TransactionId, Path)),
    request_body = RefundTransaction,
    responses((status = 202, description = "Its provider is asked; follow this transaction.", body = TransactionView)))]
async fn refund_transaction(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<TransactionId>,
    Input { value: asked, key }: Input<RefundTransaction>,
) -> Answer {
    let work = api.system.refund(&caller, id, asked.amount, None);
    once_for(&api, &caller, key, work, |transaction| accepted(transaction, &caller)).await
}

/// Pay an invoice.
///
/// An invoice has one payment that stands or may still come; while it has, this is refused.
#[utoipa::path(post, path = "/invoices/{id}/pay", tag = "payments", params(("id" = InvoiceId, Path)),
    request_body = PayInvoice,
    responses((status = 202, description = "Its provider is asked; follow the transaction.", body = TransactionView)))]
async fn pay_invoice(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<InvoiceId>,
    Input { value: asked, key }: Input<PayInvoice>,
) -> Answer {
    let how = Payment {
        id: None,
        payment_instance_id: asked.payment_instance_id,
        interaction: Interaction { allowed: asked.allow_interactive, return_url: asked.return_url },
    };
    let work = api.system.pay_invoice(&caller, id, how);
    once_for(&api, &caller, key, work, |transaction| accepted(transaction, &caller)).await
}
