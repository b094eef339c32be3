//! What owners keep on servers, images, customers and billing entities for programs.

use super::{
    Api, Shared,
    common::Answer,
    extract::{Id, IfMatch, Input, Who},
    reply,
};
use axum::{extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::{Caller, MetadataPatch};
use sutler_model::{BillingEntityId, CustomerId, ImageId, Noun, ResourceMetadata, ServerId};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(show_server_metadata, set_server_metadata))
        .routes(routes!(show_image_metadata, set_image_metadata))
        .routes(routes!(show_customer_metadata, set_customer_metadata))
        .routes(routes!(show_billing_entity_metadata, set_billing_entity_metadata))
}

/// XML that is kept on a resource.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
#[schema(example = json!({"public": "<tier>gold</tier>", "restricted": "", "private": ""}))]
pub struct MetadataView {
    /// For whoever sees the resource, and for its guest; at most 16 KiB, like each part.
    public: String,
    /// For the owner and its sellers, and for its guest.
    restricted: String,
    /// For the owner and its sellers alone.
    private: String,
}

impl From<ResourceMetadata> for MetadataView {
    fn from(ResourceMetadata { public, restricted, private }: ResourceMetadata) -> Self {
        Self { public, restricted, private }
    }
}

async fn read(api: &Api, caller: &Caller, noun: Noun, id: Uuid, headers: &HeaderMap) -> Answer {
    let (version, kept) = api.system.metadata(caller, noun, id).await?;
    reply::unless_known(headers, version, reply::versioned(version, &MetadataView::from(kept)))
}

async fn write(
    api: &Api,
    caller: &Caller,
    (noun, id): (Noun, Uuid),
    if_match: IfMatch,
    MetadataView { public, restricted, private }: MetadataView,
) -> Answer {
    let patch = MetadataPatch { public: Some(public), restricted: Some(restricted), private: Some(private) };
    let demand = if_match.demand(api.store().index().version(noun, id));
    let set = api.system.set_metadata(caller, (noun, id), demand, patch).await;
    let (version, kept) = set.map_err(|e| if_match.problem(e))?;
    reply::versioned(version, &MetadataView::from(kept))
}

/// Show what is kept on a server.
#[utoipa::path(get, path = "/servers/{id}/metadata", tag = "servers", params(("id" = ServerId, Path)),
    responses((status = 200, description = "As far as you may read it.", body = MetadataView)))]
async fn show_server_metadata(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ServerId>,
    headers: HeaderMap,
) -> Answer {
    read(&api, &caller, Noun::Server, id.0, &headers).await
}

/// Set what is kept on a server, all parts together.
#[utoipa::path(put, path = "/servers/{id}/metadata", tag = "servers", params(("id" = ServerId, Path)),
    request_body = MetadataView, responses((status = 200, description = "As it is now.", body = MetadataView)))]
async fn set_server_metadata(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ServerId>,
    if_match: IfMatch,
    Input { value, .. }: Input<MetadataView>,
) -> Answer {
    write(&api, &caller, (Noun::Server, id.0), if_match, value).await
}

/// Show what is kept on an image.
///
/// Those to whom it is only offered read the public part.
#[utoipa::path(get, path = "/images/{id}/metadata", tag = "images", params(("id" = ImageId, Path)),
    responses((status = 200, description = "As far as you may read it.", body = MetadataView)))]
async fn show_image_metadata(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ImageId>,
    headers: HeaderMap,
) -> Answer {
    read(&api, &caller, Noun::Image, id.0, &headers).await
}

/// Set what is kept on an image, all parts together.
#[utoipa::path(put, path = "/images/{id}/metadata", tag = "images", params(("id" = ImageId, Path)),
    request_body = MetadataView, responses((status = 200, description = "As it is now.", body = MetadataView)))]
async fn set_image_metadata(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ImageId>,
    if_match: IfMatch,
    Input { value, .. }: Input<MetadataView>,
) -> Answer {
    write(&api, &caller, (Noun::Image, id.0), if_match, value).await
}

/// Show what is kept on a customer.
#[utoipa::path(get, path = "/customers/{id}/metadata", tag = "customers", params(("id" = CustomerId, Path)),
    responses((status = 200, description = "As far as you may read it.", body = MetadataView)))]
async fn show_customer_metadata(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<CustomerId>,
    headers: HeaderMap,
) -> Answer {
    read(&api, &caller, Noun::Customer, id.0, &headers).await
}

/// Set what is kept on a customer, all parts together.
#[utoipa::path(put, path = "/customers/{id}/metadata", tag = "customers", params(("id" = CustomerId, Path)),
    request_body = MetadataView, responses((status = 200, description = "As it is now.", body = MetadataView)))]
async fn set_customer_metadata(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<CustomerId>,
    if_match: IfMatch,
    Input { value, .. }: Input<MetadataView>,
) -> Answer {
    write(&api, &caller, (Noun::Customer, id.0), if_match, value).await
}

/// Show what is kept on a billing entity.
#[utoipa::path(get, path = "/billing-entities/{id}/metadata", tag = "billing entities", params(("id" = BillingEntityId, Path)),
    responses((status = 200, description = "As far as you may read it.", body = MetadataView)))]
async fn show_billing_entity_metadata(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<BillingEntityId>,
    headers: HeaderMap,
) -> Answer {
    read(&api, &caller, Noun::BillingEntity, id.0, &headers).await
}

/// Set what is kept on a billing entity, all parts together.
#[utoipa::path(put, path = "/billing-entities/{id}/metadata", tag = "billing entities", params(("id" = BillingEntityId, Path)),
    request_body = MetadataView, responses((status = 200, description = "As it is now.", body = MetadataView)))]
async fn set_billing_entity_metadata(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<BillingEntityId>,
    if_match: IfMatch,
    Input { value, .. }: Input<MetadataView>,
) -> Answer {
    write(&api, &caller, (Noun::BillingEntity, id.0), if_match, value).await
}
