//! Pluggable resources: kinds of resource that scripts add.

use super::{
    Api, Shared,
    common::{Answer, folded, hide_keys},
    extract::{Id, IfMatch, Input, Who},
    once::{create, once_by_run},
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    providers::{ActionView, InvokeAction},
    reach::{Reach, key},
    reply,
};
use axum::{
    extract::{Path, State},
    http::HeaderMap,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::{Caller, NewPluggable, PluggableKind, PluggablePatch};
use sutler_model::{
    BillingEntityId, CustomerId, Noun, Permission, PluggableResource, PluggableResourceId, ResourceKey, ScriptId,
    Timestamp, pluggable::PluggableState, point::PluggablePoint,
};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_pluggable_providers))
        .routes(routes!(list_pluggable_resources, create_pluggable_resource))
        .routes(routes!(show_pluggable_resource, update_pluggable_resource, delete_pluggable_resource))
        .routes(routes!(invoke_pluggable_action))
}

/// A kind of resource that scripts add.
#[derive(Serialize, ToSchema)]
pub struct PluggableKindView {
    /// The block its provider is in.
    script_id: ScriptId,
    /// Display name.
    name: String,
    /// Display text.
    description: String,
    /// Its forms and actions.
    provider: PluggablePoint,
    /// Whether you may make one.
    can_create: bool,
}

impl From<PluggableKind> for PluggableKindView {
    fn from(kind: PluggableKind) -> Self {
        let PluggableKind { script_id, name, description, provider, can_create } = kind;
        Self { script_id, name, description, provider, can_create }
    }
}

/// The kinds of resource that scripts add.
#[derive(Serialize, ToSchema)]
pub struct PluggableKindsView {
    /// Each of them.
    items: Vec<PluggableKindView>,
}

/// Filters of the list of pluggable resources.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PluggableFilter {
    /// Of this customer.
    customer_id: Option<CustomerId>,
    /// Of this kind.
    provider_type: Option<String>,
    /// With this name.
    name: Option<String>,
}

/// A pluggable resource.
#[derive(Serialize, ToSchema)]
pub struct PluggableView {
    /// Its id.
    id: PluggableResourceId,
    /// Counts changes, from 1.
    version: u64,
    /// Display name.
    name: String,
    /// Its kind.
    provider_type: String,
    /// The block its provider is in.
    script_id: ScriptId,
    /// Whose it is; null for a seller's own.
    customer_id: Option<CustomerId>,
    /// Its owner's seller, or the owner.
    billing_entity_id: BillingEntityId,
    /// What is filled in, without what its form calls a password; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<BTreeMap<String, String>>,
    /// What is being done with it.
    state: PluggableState,
    /// Why its provider refused what was last asked.
    state_reason: Option<String>,
    /// Keys set by people and scripts.
    keys: Vec<ResourceKey>,
    /// When it came to be.
    created_at: Timestamp,
}

/// A pluggable resource to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "news", "provider_type": "WIDGET", "values": {"url": "https://example.org"}}))]
pub struct CreatePluggable {
    /// Display name.
    name: String,
    /// Its kind.
    provider_type: String,
    /// Whose it is; the caller's own customer unless given, and a seller's own where there is none.
    customer_id: Option<CustomerId>,
    /// What its form asks for.
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// Keys to set.
    #[serde(default)]
    keys: Vec<ResourceKey>,
}

/// Changes to a pluggable resource; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"values": {"url": "https://example.org"}}))]
pub struct ChangePluggable {
    /// New name.
    name: Option<String>,
    /// Values to set.
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// New keys, replacing all.
    keys: Option<Vec<ResourceKey>>,
}

fn view(api: &Api, resource: PluggableResource, caller: &Caller) -> PluggableView {
    let values = api.system.shown_values(&resource);
    PluggableView { values: Some(values), ..row(resource, caller) }
}

/// A resource in a list.
fn row(mut resource: PluggableResource, caller: &Caller) -> PluggableView {
    hide_keys(&mut resource.keys, caller);
    PluggableView {
        id: resource.id,
        version: resource.version,
        name: resource.name,
        provider_type: resource.provider_type,
        script_id: resource.script_id,
        customer_id: resource.customer_id,
        billing_entity_id: resource.billing_entity_id,
        values: None,
        state: resource.state,
        state_reason: resource.state_reason,
        keys: resource.keys,
        created_at: resource.created_at,
    }
}

/// List the kinds of resource that scripts add.
#[utoipa::path(get, path = "/pluggable-providers", tag = "pluggable resources",
    responses((status = 200, description = "All of them.", body = PluggableKindsView)))]
async fn list_pluggable_providers(State(api): State<Arc<Api>>, Who(caller): Who) -> Answer {
    let kinds = api.system.pluggable_kinds(&caller).await?;
    reply::ok(&PluggableKindsView { items: kinds.into_iter().map(PluggableKindView::from).collect() })
}

/// List pluggable resources.
#[utoipa::path(get, path = "/pluggable-resources", tag = "pluggable resources", params(PluggableFilter, Paging),
    responses((status = 200, description = "A page of resources.", body = Listed<PluggableView>)))]
async fn list_pluggable_resources(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    listing: Listing<PluggableFilter>,
) -> Answer {
    caller.must(Permission::ServersRead)?;
    let mut filter: Filter<PluggableResource> = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = listing.filter.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(name) = &listing.filter.name {
        filter = filter.is(Field::Name, folded(name));
    }
    if let Some(kind) = listing.filter.provider_type.map(|kind| kind.to_uppercase()) {
        filter = filter.when(move |resource| resource.provider_type == kind);
    }
    list(&api, &caller, filter, listing.page, row).await
}

/// Make a pluggable resource.
///
/// Its provider's function runs first, and may change or refuse it.
#[utoipa::path(post, path = "/pluggable-resources", tag = "pluggable resources", request_body = CreatePluggable,
    responses((status = 201, description = "Made.", body = PluggableView)))]
async fn create_pluggable_resource(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreatePluggable>,
) -> Answer {
    let new = NewPluggable {
        id: None,
        name: asked.name,
        provider_type: asked.provider_type,
        customer_id: asked.customer_id.or(caller.customer_id),
        values: asked.values,
        keys: asked.keys,
    };
    let work = api.system.create_pluggable(&caller, new);
    create(&api, &caller, key, "pluggable-resources", work, |made| view(&api, made, &caller)).await
}

/// Show a pluggable resource.
#[utoipa::path(get, path = "/pluggable-resources/{id}", tag = "pluggable resources",
    params(("id" = PluggableResourceId, Path), Shown),
    responses((status = 200, description = "The resource.", body = PluggableView)))]
async fn show_pluggable_resource(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PluggableResourceId>,
    super::extract::Params(shown): super::extract::Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ServersRead)?;
    let resource = api.system.pluggable(&caller, id).await?;
    show_record(&headers, &shown, resource, |resource| view(&api, resource, &caller))
}

/// Change a pluggable resource.
///
/// Its provider's function runs first, and may change or refuse what is to be.
#[utoipa::path(patch, path = "/pluggable-resources/{id}", tag = "pluggable resources",
    params(("id" = PluggableResourceId, Path)), request_body = ChangePluggable,
    responses((status = 200, description = "As it is now.", body = PluggableView)))]
async fn update_pluggable_resource(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PluggableResourceId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangePluggable>,
) -> Answer {
    let patch = PluggablePatch { name: asked.name, values: asked.values, keys: asked.keys };
    let work = async |demand| api.system.update_pluggable(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, |made| view(&api, made, &caller)).await
}

/// Delete a pluggable resource.
///
/// Its provider's function runs first, and may refuse.
#[utoipa::path(delete, path = "/pluggable-resources/{id}", tag = "pluggable resources",
    params(("id" = PluggableResourceId, Path)), responses((status = 204, description = "Deleted.")))]
async fn delete_pluggable_resource(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PluggableResourceId>,
    if_match: IfMatch,
) -> Answer {
    let work = async |demand| api.system.delete_pluggable(&caller, id, demand).await;
    if_match.delete(&api, (Noun::PluggableResource, id.into()), work).await
}

/// Have a provider do something with a pluggable resource.
#[utoipa::path(post, path = "/pluggable-resources/{id}/actions/{key}", tag = "pluggable resources",
    params(("id" = PluggableResourceId, Path), ("key" = String, Path, description = "The action.")),
    request_body = InvokeAction, responses((status = 200, description = "What it answered.", body = ActionView)))]
async fn invoke_pluggable_action(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Path((id, action)): Path<(String, String)>,
    Input { value: asked, key }: Input<InvokeAction>,
) -> Answer {
    let id: PluggableResourceId = id.parse().map_err(|_| Problem::malformed("id", "must be a UUID"))?;
    once_by_run(&api, &caller, key, async |caller| {
        let answer = api.system.invoke_pluggable(&caller, id, &action, &asked.parameters).await?;
        reply::ok(&ActionView::from(answer))
    })
    .await
}
