//! Billing entities: the tree of sellers, provider first.

use super::{
    Api, Shared,
    common::{Answer, folded, nullable},
    extract::{Id, IfMatch, Input, Params, Who},
    once::create,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::{Reach, key},
};
use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use std::sync::Arc;
use sutler_actors::{BillingEntityPatch, NewBillingEntity};
use sutler_model::{BillingEntity, BillingEntityId, ContactPatch, Currency, Noun, Permission, ResourceKey, Scope};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_billing_entities, create_billing_entity))
        .routes(routes!(show_billing_entity, update_billing_entity))
}

/// Filters of the list of billing entities.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BillingEntityFilter {
    /// Directly under this one.
    parent_id: Option<BillingEntityId>,
    /// With this name.
    name: Option<String>,
}

/// A reseller to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "North Hosting", "currency": "EUR"}))]
pub struct CreateBillingEntity {
    /// Who stands above; the caller's own entity unless given.
    parent_id: Option<BillingEntityId>,
    /// Display name, unique among siblings.
    name: String,
    /// What it invoices in.
    currency: Currency,
}

/// Changes to a billing entity; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"language": "de_DE"}))]
pub struct ChangeBillingEntity {
    /// New name.
    name: Option<String>,
    /// The language of its people and customers, such as `en` or `de_DE`; null: that of the seller above.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    language: Option<Option<String>>,
    /// New keys, replacing all.
    keys: Option<Vec<ResourceKey>>,
    /// How it is reached, and where its control panel is; what is left out stays.
    contact: Option<ContactPatch>,
}

/// List billing entities.
#[utoipa::path(get, path = "/billing-entities", tag = "billing entities", params(BillingEntityFilter, Paging),
    responses((status = 200, description = "A page of billing entities.", body = Listed<BillingEntity>)))]
async fn list_billing_entities(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    listing: Listing<BillingEntityFilter>,
) -> Answer {
    caller.must(Permission::CustomersRead)?;
    let asked = listing.filter;
    let reach = Reach::of(&caller, api.store());
    // Each entity is indexed under all of its path; a customer sees none.
    let mut filter: Filter<BillingEntity> = match reach {
        Reach::All => Filter::new(),
        Reach::Entities(_) => Filter::new().is(Field::BillingEntity, key(caller.billing_entity_id)),
        Reach::Customer(_) => Filter::new().when(|_| false),
    };
    if let Some(id) = asked.parent_id {
        filter = filter.is(Field::Parent, key(id));
    }
    if let Some(name) = &asked.name {
        filter = filter.is(Field::Name, folded(name));
    }
    list(&api, &caller, filter, listing.page, |entity: BillingEntity, _| view(entity)).await
}

/// A billing entity as it is shown: its providers' settings are, as forms, without their secrets.
fn view(mut entity: BillingEntity) -> BillingEntity {
    entity.provider_values.clear();
    entity.metadata = None;
    entity
}

/// Create a reseller.
#[utoipa::path(post, path = "/billing-entities", tag = "billing entities", request_body = CreateBillingEntity,
    responses((status = 201, description = "Created.", body = BillingEntity)))]
async fn create_billing_entity(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreateBillingEntity>,
) -> Answer {
    let parent_id = asked.parent_id.unwrap_or(caller.billing_entity_id);
    let new = NewBillingEntity { parent_id, name: asked.name, currency: asked.currency };
    create(&api, &caller, key, "billing-entities", api.system.create_billing_entity(&caller, new), view).await
}

/// Show a billing entity.
#[utoipa::path(get, path = "/billing-entities/{id}", tag = "billing entities",
    params(("id" = BillingEntityId, Path), Shown),
    responses((status = 200, description = "The billing entity.", body = BillingEntity)))]
async fn show_billing_entity(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<BillingEntityId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::CustomersRead)?;
    let staff = !matches!(caller.scope, Scope::Customer(_));
    let within = staff && Reach::of(&caller, api.store()).covers(None, id);
    let found: Option<BillingEntity> = if within { api.store().get(id).await? } else { None };
    let entity = found.ok_or_else(|| Problem::not_found(Noun::BillingEntity, id))?;
    show_record(&headers, &shown, entity, view)
}

/// Change a billing entity.
#[utoipa::path(patch, path = "/billing-entities/{id}", tag = "billing entities",
    params(("id" = BillingEntityId, Path)), request_body = ChangeBillingEntity,
    responses((status = 200, description = "As it is now.", body = BillingEntity)))]
async fn update_billing_entity(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<BillingEntityId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangeBillingEntity>,
) -> Answer {
    let patch = BillingEntityPatch {
        name: asked.name,
        language: asked.language,
        keys: asked.keys,
        contact: asked.contact,
        ..BillingEntityPatch::default()
    };
    let work = async |demand| api.system.update_billing_entity(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, view).await
}
