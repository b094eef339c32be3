//! Customers: accounts that own resources and are invoiced.

use super::{
    Api, Shared,
    common::{Answer, find, folded, hide_keys, nullable, words},
    extract::{Id, IfMatch, Input, Key, Params, Who},
    jobs::JobView,
    once::create,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    reach::{Reach, key},
    reply,
};
use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use std::sync::Arc;
use sutler_actors::{Caller, CustomerPatch, NewCustomer};
use sutler_model::{
    BillingEntityId, Contact, ContactPatch, Customer, CustomerId, CustomerStatus, Nanos, Noun, Permission, PlanId,
    Quota, ResourceKey, Timestamp,
};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_customers, create_customer)).routes(routes!(
        show_customer,
        update_customer,
        delete_customer
    ))
}

/// Filters of the list of customers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CustomerFilter {
    /// Of this seller.
    billing_entity_id: Option<BillingEntityId>,
    /// In one of these states, comma-separated: `active`, `suspended`, `closed`.
    status: Option<String>,
    /// With this name.
    name: Option<String>,
    /// With a key of this name (`tier`) or this name and value (`tier=gold`).
    key: Option<String>,
}

/// A customer to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Ada's bakery", "plan_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50"}))]
pub struct CreateCustomer {
    /// Display name, unique within the seller.
    name: String,
    /// Who sells to it; the caller's own entity unless given.
    billing_entity_id: Option<BillingEntityId>,
    /// What it pays; a plan of its seller.
    plan_id: PlanId,
    /// How much it may hold; a small customer's share unless given.
    quota: Option<Quota>,
    /// Keys to set.
    #[serde(default)]
    keys: Vec<ResourceKey>,
    /// How it is reached.
    #[serde(default)]
    contact: ContactPatch,
}

/// Changes to a customer; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "suspended"}))]
pub struct ChangeCustomer {
    /// New name.
    name: Option<String>,
    /// New status.
    status: Option<CustomerStatus>,
    /// New plan.
    plan_id: Option<PlanId>,
    /// New quota.
    quota: Option<Quota>,
    /// Balance below which a warning is due, in the seller's currency; `null` for no warning.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Nanos>)]
    warning_level: Option<Option<Nanos>>,
    /// New keys, replacing all.
    keys: Option<Vec<ResourceKey>>,
    /// How it is reached; what is left out stays.
    contact: Option<ContactPatch>,
}

/// A customer as `caller` sees it.
fn view(mut customer: Customer, caller: &Caller) -> Customer {
    hide_keys(&mut customer.keys, caller);
    // Shown as forms, without their secrets.
    customer.provider_values.clear();
    customer.metadata = None;
    customer
}

/// List customers.
#[utoipa::path(get, path = "/customers", tag = "customers", params(CustomerFilter, Paging),
    responses((status = 200, description = "A page of customers.", body = Listed<Customer>)))]
async fn list_customers(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<CustomerFilter>) -> Answer {
    caller.must(Permission::CustomersRead)?;
    let asked = listing.filter;
    let reach = Reach::of(&caller, api.store());
    let mut filter: Filter<Customer> = match &reach {
        // A customer is not indexed under itself; it is found by its seller and its id.
        Reach::Customer(id) => {
            let id = *id;
            Filter::new().is(Field::BillingEntity, key(caller.billing_entity_id)).when(move |c: &Customer| c.id == id)
        }
        wider => wider.narrow(Filter::new()),
    };
    if let Some(id) = asked.billing_entity_id {
        filter = filter.is(Field::BillingEntity, key(id));
    }
    if let Some(states) = &asked.status {
        filter = filter.any(Field::State, words::<CustomerStatus>("status", states)?);
    }
    if let Some(name) = &asked.name {
        filter = filter.is(Field::Name, folded(name));
    }
    if let Some(name) = &asked.key {
        filter = filter.is(Field::Key, name);
    }
    list(&api, &caller, filter, listing.page, view).await
}

/// Create a customer.
#[utoipa::path(post, path = "/customers", tag = "customers", request_body = CreateCustomer,
    responses((status = 201, description = "Created.", body = Customer)))]
async fn create_customer(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreateCustomer>,
) -> Answer {
    let mut contact = Contact::default();
    asked.contact.apply(&mut contact);
    let new = NewCustomer {
        name: asked.name,
        billing_entity_id: asked.billing_entity_id.unwrap_or(caller.billing_entity_id),
        plan_id: asked.plan_id,
        quota: asked.quota,
        keys: asked.keys,
        contact,
    };
    let work = api.system.create_customer(&caller, new);
    create(&api, &caller, key, "customers", work, |customer| view(customer, &caller)).await
}

/// Show a customer.
#[utoipa::path(get, path = "/customers/{id}", tag = "customers", params(("id" = CustomerId, Path), Shown),
    responses((status = 200, description = "The customer.", body = Customer)))]
async fn show_customer(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<CustomerId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::CustomersRead)?;
    let customer: Customer = find(&api, &caller, id).await?;
    show_record(&headers, &shown, customer, |customer| view(customer, &caller))
}

/// How far a deletion goes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HowDeleted {
    /// Its servers too, each by a job below the one answered; without it a customer that has servers stays.
    #[serde(default)]
    cascade: bool,
    /// Do it at this time, at most a year ahead; at once unless given. What it has is seen then.
    start_at: Option<Timestamp>,
}

/// Delete a customer.
///
/// It is closed rather than forgotten, for its invoices are kept.
#[utoipa::path(delete, path = "/customers/{id}", tag = "customers", params(("id" = CustomerId, Path), HowDeleted),
    responses((status = 202, description = "Accepted; the job deletes it.", body = JobView)))]
async fn delete_customer(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<CustomerId>,
    Params(how): Params<HowDeleted>,
    if_match: IfMatch,
    Key(key): Key,
) -> Answer {
    let demand = if_match.demand(api.store().index().version(Noun::Customer, id.0));
    let deleted = api.system.delete_customer(&caller, id, how.cascade, demand, how.start_at, key).await;
    let job = deleted.map_err(|e| if_match.problem(e))?;
    reply::accepted(&job, &JobView::of(job.clone(), &caller))
}

/// Change a customer.
#[utoipa::path(patch, path = "/customers/{id}", tag = "customers", params(("id" = CustomerId, Path)),
    request_body = ChangeCustomer, responses((status = 200, description = "As it is now.", body = Customer)))]
async fn update_customer(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<CustomerId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangeCustomer>,
) -> Answer {
    let patch = CustomerPatch {
        name: asked.name,
        status: asked.status,
        plan_id: asked.plan_id,
        quota: asked.quota,
        warning_level: asked.warning_level,
        keys: asked.keys,
        contact: asked.contact,
        ..CustomerPatch::default()
    };
    let work = async |demand| api.system.update_customer(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, |customer| view(customer, &caller)).await
}
