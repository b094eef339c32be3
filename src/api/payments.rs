//! Payment methods of sellers, and what customers pay with.

use super::{
    Api, Shared,
    common::{Answer, find, folded},
    extract::{Id, IfMatch, Input, Key, Params, Who},
    once::{once_for, once_or, there},
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::{Reach, key},
    reply,
    transactions::{TransactionView, accepted},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::{
    Caller, Interaction, NewPaymentInstance, NewPaymentMethod, PaymentInstancePatch, PaymentMethodPatch,
    PaymentProvider,
};
use sutler_model::{
    BillingEntityId, CustomerId, Noun, PaymentFunction, PaymentInstance, PaymentInstanceId, PaymentMethod,
    PaymentMethodId, PaymentSetup, Permission, ScriptId, Timestamp, Transaction, ValueDef,
};
use sutler_store::{Field, Filter, Order, Store};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of these nouns.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_payment_providers))
        .routes(routes!(list_payment_methods, create_payment_method))
        .routes(routes!(show_payment_method, update_payment_method, delete_payment_method))
        .routes(routes!(test_payment_method))
        .routes(routes!(list_payment_instances, create_payment_instance))
        .routes(routes!(show_payment_instance, update_payment_instance, delete_payment_instance))
}

/// For which seller.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ProviderFilter {
    /// Those that this seller may use; the caller's own entity unless given.
    billing_entity_id: Option<BillingEntityId>,
}

/// A script's way to be paid, which a seller can set a payment method up with.
#[derive(Serialize, ToSchema)]
pub struct PaymentProviderView {
    /// The script.
    script_id: ScriptId,
    /// Its name for the provider.
    reference: String,
    /// Display name.
    name: String,
    /// Display text.
    description: String,
    /// What a seller fills in.
    method_values: Vec<ValueDef>,
    /// What a customer fills in.
    instance_values: Vec<ValueDef>,
    /// What it can be asked for, in the words of scripts.
    functions: Vec<String>,
}

impl From<PaymentProvider> for PaymentProviderView {
    fn from(provider: PaymentProvider) -> Self {
        let PaymentProvider { script_id, reference, name, description, method_values, instance_values, functions } =
            provider;
        Self { script_id, reference, name, description, method_values, instance_values, functions }
    }
}

/// Filters of the list of payment methods.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MethodFilter {
    /// Of this seller.
    billing_entity_id: Option<BillingEntityId>,
    /// With this name.
    name: Option<String>,
}

/// A way to be paid.
#[derive(Serialize, ToSchema)]
pub struct PaymentMethodView {
    /// Its id.
    id: PaymentMethodId,
    /// Counts changes, from 1.
    version: u64,
    /// Display name, unique within the seller.
    name: String,
    /// Who is paid.
    billing_entity_id: BillingEntityId,
    /// The script of its provider; for the seller's staff alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    script_id: Option<ScriptId>,
    /// The provider's reference within the script.
    provider: String,
    /// What the seller filled in, without secrets; for its staff alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<BTreeMap<String, String>>,
    /// What a customer fills in to pay by it; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_values: Option<Vec<ValueDef>>,
    /// Whether it can be used.
    state: PaymentSetup,
    /// Why it cannot.
    reason: Option<String>,
    /// When it came to be.
    created_at: Timestamp,
    /// The transaction by which its provider takes it or its new values; in the answer to its creation or change alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<TransactionView>,
}

impl PaymentMethodView {
    fn of(method: PaymentMethod, caller: &Caller) -> Self {
        let staff = !caller.role.is_customer();
        Self {
            id: method.id,
            version: method.version,
            name: method.name,
            billing_entity_id: method.billing_entity_id,
            script_id: staff.then_some(method.script_id),
            provider: method.provider,
            values: staff.then_some(method.shown),
            instance_values: None,
            state: method.state,
            reason: method.reason.filter(|_| staff),
            created_at: method.created_at,
            transaction: None,
        }
    }
}

/// A payment method to set up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Cards", "script_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50",
    "values": {"secret_key": "sk_test_1"}}))]
pub struct CreatePaymentMethod {
    /// Display name, unique within the seller.
    name: String,
    /// Who is paid; the caller's own entity unless given.
    billing_entity_id: Option<BillingEntityId>,
    /// The script of its provider.
    script_id: ScriptId,
    /// The provider's reference; may be left out when the script has one alone.
    provider: Option<String>,
    /// What the provider's form asks for.
    #[serde(default)]
    values: BTreeMap<String, String>,
}

/// Changes to a payment method; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Credit cards"}))]
pub struct ChangePaymentMethod {
    /// New name.
    name: Option<String>,
    /// New values; those left out stay. They hold once the provider has taken them, which the answer's transaction tells.
    values: Option<BTreeMap<String, String>>,
}

/// Filters of the list of what customers pay with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InstanceFilter {
    /// Of this customer.
    customer_id: Option<CustomerId>,
    /// By this method.
    payment_method_id: Option<PaymentMethodId>,
    /// With this name.
    name: Option<String>,
}

/// What a customer pays with: a card, an account.
#[derive(Serialize, ToSchema)]
pub struct PaymentInstanceView {
    /// Its id.
    id: PaymentInstanceId,
    /// Counts changes, from 1.
    version: u64,
    /// Display name, unique within the customer.
    name: String,
    /// Whose.
    customer_id: CustomerId,
    /// Who is paid.
    billing_entity_id: BillingEntityId,
    /// How.
    payment_method_id: PaymentMethodId,
    /// What was filled in, without secrets.
    values: BTreeMap<String, String>,
    /// Whether it is the one that is used when none is named.
    is_default: bool,
    /// Whether it can be used.
    state: PaymentSetup,
    /// Why it cannot.
    reason: Option<String>,
    /// When it came to be.
    created_at: Timestamp,
    /// The transaction that registers it; in the answer to its creation alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<TransactionView>,
}

impl PaymentInstanceView {
    fn of(instance: PaymentInstance, _: &Caller) -> Self {
        Self {
            id: instance.id,
            version: instance.version,
            name: instance.name,
            customer_id: instance.customer_id,
            billing_entity_id: instance.billing_entity_id,
            payment_method_id: instance.payment_method_id,
            values: instance.shown,
            is_default: instance.is_default,
            state: instance.state,
            reason: instance.reason,
            created_at: instance.created_at,
            transaction: None,
        }
    }
}

/// Something to pay with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Visa", "payment_method_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50",
    "values": {"payment_method": "pm_card_visa"}}))]
pub struct CreatePaymentInstance {
    /// Display name, unique within the customer.
    name: String,
    /// Whose; the caller's own customer unless given.
    customer_id: Option<CustomerId>,
    /// By which method of the customer's seller.
    payment_method_id: PaymentMethodId,
    /// What the provider's form asks for.
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// Whether it is the one that is used when none is named; the first that works is anyway.
    #[serde(default)]
    is_default: bool,
    /// Whether the customer is there to be asked something.
    #[serde(default)]
    allow_interactive: bool,
    /// Where the customer's browser comes back to.
    return_url: Option<String>,
}

/// Changes to what a customer pays with; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"is_default": true}))]
pub struct ChangePaymentInstance {
    /// New name.
    name: Option<String>,
    /// Whether it is the one that is used when none is named.
    is_default: Option<bool>,
}

/// Staff see the methods of their entity and those below it; a customer those of its seller.
fn reach(caller: &Caller, store: &Store) -> Reach {
    match Reach::of(caller, store) {
        Reach::Customer(_) => Reach::Entities([caller.billing_entity_id].into()),
        wider => wider,
    }
}

/// List the payment providers that a seller may use.
#[utoipa::path(get, path = "/payment-providers", tag = "payments", params(ProviderFilter),
    responses((status = 200, description = "All of them.", body = Listed<PaymentProviderView>)))]
async fn list_payment_providers(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Params(asked): Params<ProviderFilter>,
) -> Answer {
    let seller = asked.billing_entity_id.unwrap_or(caller.billing_entity_id);
    let providers = api.system.payment_providers(&caller, seller).await?;
    let items: Vec<PaymentProviderView> = providers.into_iter().map(PaymentProviderView::from).collect();
    reply::ok(&Listed { items, next: None })
}

/// List payment methods.
#[utoipa::path(get, path = "/payment-methods", tag = "payments", params(MethodFilter, Paging),
    responses((status = 200, description = "A page of payment methods.", body = Listed<PaymentMethodView>)))]
async fn list_payment_methods(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<MethodFilter>) -> Answer {
    caller.must(Permission::BillingRead)?;
    let mut filter = reach(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = listing.filter.billing_entity_id {
        filter = filter.is(Field::BillingEntity, key(id));
    }
    if let Some(name) = &listing.filter.name {
        filter = filter.is(Field::Name, folded(name));
    }
    list(&api, &caller, filter, listing.page, PaymentMethodView::of).await
}

/// Set a payment method up.
///
/// It can be used once its provider has taken it.
#[utoipa::path(post, path = "/payment-methods", tag = "payments", request_body = CreatePaymentMethod,
    responses((status = 201, description = "Accepted; its state tells when it is ready.", body = PaymentMethodView)))]
async fn create_payment_method(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreatePaymentMethod>,
) -> Answer {
    let new = NewPaymentMethod {
        id: None,
        name: asked.name,
        billing_entity_id: asked.billing_entity_id.unwrap_or(caller.billing_entity_id),
        script_id: asked.script_id,
        provider: asked.provider,
        values: asked.values,
    };
    let show = async |method: PaymentMethod| {
        let (place, version) = (format!("/api/v1/payment-methods/{}", method.id), method.version);
        let registered = registration(&api, method.id, PaymentFunction::RegisterPaymentMethod).await?;
        let transaction = registered.map(|transaction| TransactionView::of(transaction, &caller));
        let view = PaymentMethodView { transaction, ..PaymentMethodView::of(method, &caller) };
        reply::created(&place, version, &view)
    };
    let again = async |id| show(there(&api, id).await?).await;
    once_or(&api, &caller, key, (Noun::PaymentMethod, again), async {
        show(api.system.create_payment_method(&caller, new).await?).await
    })
    .await
}

/// Show a payment method.
#[utoipa::path(get, path = "/payment-methods/{id}", tag = "payments", params(("id" = PaymentMethodId, Path), Shown),
    responses((status = 200, description = "The payment method.", body = PaymentMethodView)))]
async fn show_payment_method(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PaymentMethodId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::BillingRead)?;
    let found: Option<PaymentMethod> = api.store().get(id).await?;
    let reach = reach(&caller, api.store());
    let method = found
        .filter(|method| reach.covers(None, method.billing_entity_id))
        .ok_or_else(|| Problem::not_found(Noun::PaymentMethod, id))?;
    let form = api.system.payment_form(&method).await;
    show_record(&headers, &shown, method, |method| PaymentMethodView {
        instance_values: Some(form),
        ..PaymentMethodView::of(method, &caller)
    })
}

/// Change a payment method.
#[utoipa::path(patch, path = "/payment-methods/{id}", tag = "payments", params(("id" = PaymentMethodId, Path)),
    request_body = ChangePaymentMethod,
    responses((status = 200, description = "As it is now.", body = PaymentMethodView)))]
async fn update_payment_method(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PaymentMethodId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangePaymentMethod>,
) -> Answer {
    let patch = PaymentMethodPatch { name: asked.name, values: asked.values };
    let demand = if_match.demand(api.store().index().version(Noun::PaymentMethod, id.0));
    let changed = api.system.update_payment_method(&caller, id, demand, patch).await;
    let (method, asked) = changed.map_err(|error| if_match.problem(error))?;
    let transaction = asked.map(|asked| TransactionView::of(asked, &caller));
    let (version, view) = (method.version, PaymentMethodView::of(method, &caller));
    reply::versioned(version, &PaymentMethodView { transaction, ..view })
}

/// Delete a payment method that nobody pays by.
#[utoipa::path(delete, path = "/payment-methods/{id}", tag = "payments", params(("id" = PaymentMethodId, Path)),
    responses((status = 204, description = "Deleted.")))]
async fn delete_payment_method(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PaymentMethodId>,
    if_match: IfMatch,
) -> Answer {
    let work = async |demand| api.system.delete_payment_method(&caller, id, demand).await;
    if_match.delete(&api, (Noun::PaymentMethod, id.into()), work).await
}

/// Ask a payment method's provider whether it works.
#[utoipa::path(post, path = "/payment-methods/{id}/test", tag = "payments", params(("id" = PaymentMethodId, Path)),
    responses((status = 202, description = "Asked; follow the transaction.", body = TransactionView)))]
async fn test_payment_method(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PaymentMethodId>,
    Key(key): Key,
) -> Answer {
    let work = api.system.test_payment_method(&caller, id, None);
    once_for(&api, &caller, key, work, |transaction| accepted(transaction, &caller)).await
}

/// List what customers pay with.
#[utoipa::path(get, path = "/payment-instances", tag = "payments", params(InstanceFilter, Paging),
    responses((status = 200, description = "A page of them.", body = Listed<PaymentInstanceView>)))]
async fn list_payment_instances(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    listing: Listing<InstanceFilter>,
) -> Answer {
    caller.must(Permission::BillingRead)?;
    let mut filter = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = listing.filter.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(id) = listing.filter.payment_method_id {
        filter = filter.is(Field::Subject, key(id));
    }
    if let Some(name) = &listing.filter.name {
        filter = filter.is(Field::Name, folded(name));
    }
    list(&api, &caller, filter, listing.page, PaymentInstanceView::of).await
}

/// Take in what a customer wants to pay with.
///
/// It can be used once its provider has taken it; the transaction tells what the provider needs for that.
#[utoipa::path(post, path = "/payment-instances", tag = "payments", request_body = CreatePaymentInstance,
    responses((status = 201, description = "Accepted; its state tells when it is ready.", body = PaymentInstanceView)))]
async fn create_payment_instance(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreatePaymentInstance>,
) -> Answer {
    let missing = || super::common::wrong("customer_id", "must be given by staff");
    let new = NewPaymentInstance {
        id: None,
        name: asked.name,
        customer_id: asked.customer_id.or(caller.customer_id).ok_or_else(missing)?,
        payment_method_id: asked.payment_method_id,
        values: asked.values,
        is_default: asked.is_default,
        interaction: Interaction { allowed: asked.allow_interactive, return_url: asked.return_url },
    };
    let show = |(instance, transaction): (PaymentInstance, Option<Transaction>)| {
        let (place, version) = (format!("/api/v1/payment-instances/{}", instance.id), instance.version);
        let transaction = transaction.map(|transaction| TransactionView::of(transaction, &caller));
        let view = PaymentInstanceView { transaction, ..PaymentInstanceView::of(instance, &caller) };
        reply::created(&place, version, &view)
    };
    let again = async |id| {
        let instance: PaymentInstance = there(&api, id).await?;
        let registered = registration(&api, instance.id, PaymentFunction::RegisterPaymentInstance).await?;
        show((instance, registered))
    };
    once_or(&api, &caller, key, (Noun::PaymentInstance, again), async {
        let (instance, transaction) = api.system.create_payment_instance(&caller, new).await?;
        show((instance, Some(transaction)))
    })
    .await
}

/// The transaction by which a method, or something to pay with, was taken in.
async fn registration(
    api: &Api,
    id: impl Into<Uuid>,
    function: PaymentFunction,
) -> Result<Option<Transaction>, Problem> {
    let filter = Filter::<Transaction>::new()
        .is(Field::Subject, key(id))
        .when(move |transaction| transaction.function == function);
    Ok(api.store().read(move |snapshot| snapshot.first(filter, Order::Ascending)).await?)
}

/// Show something that a customer pays with.
#[utoipa::path(get, path = "/payment-instances/{id}", tag = "payments",
    params(("id" = PaymentInstanceId, Path), Shown),
    responses((status = 200, description = "It.", body = PaymentInstanceView)))]
async fn show_payment_instance(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PaymentInstanceId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::BillingRead)?;
    let instance: PaymentInstance = find(&api, &caller, id).await?;
    show_record(&headers, &shown, instance, |instance| PaymentInstanceView::of(instance, &caller))
}

/// Rename something that a customer pays with, or make it the one that is used when none is named.
#[utoipa::path(patch, path = "/payment-instances/{id}", tag = "payments", params(("id" = PaymentInstanceId, Path)),
    request_body = ChangePaymentInstance,
    responses((status = 200, description = "As it is now.", body = PaymentInstanceView)))]
async fn update_payment_instance(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PaymentInstanceId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangePaymentInstance>,
) -> Answer {
    let patch = PaymentInstancePatch { name: asked.name, is_default: asked.is_default };
    let work = async |demand| api.system.update_payment_instance(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, |instance| PaymentInstanceView::of(instance, &caller)).await
}

/// Have a provider forget what a customer paid with.
#[utoipa::path(delete, path = "/payment-instances/{id}", tag = "payments", params(("id" = PaymentInstanceId, Path)),
    responses((status = 202, description = "Asked; it is gone once the transaction has succeeded.", body = TransactionView),
        (status = 204, description = "Gone: it had never worked.")))]
async fn delete_payment_instance(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PaymentInstanceId>,
    if_match: IfMatch,
) -> Answer {
    let demand = if_match.demand(api.store().index().version(Noun::PaymentInstance, id.0));
    let removed = api.system.remove_payment_instance(&caller, id, demand, None).await;
    match removed.map_err(|e| if_match.problem(e))? {
        Some(transaction) => accepted(transaction, &caller),
        None => Ok(axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT)),
    }
}
