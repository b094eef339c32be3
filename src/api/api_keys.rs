//! API keys: credentials for programs.

use super::{
    Api, Shared, auth,
    common::Answer,
    extract::{Id, Input, Who},
    once::once_with_secret,
    page::{Listed, Listing, Paging, list},
    reach::{Reach, key},
    reply,
};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::NewApiKey;
use sutler_model::{ApiKey, ApiKeyId, CustomerId, Permission, Timestamp, UserId};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_api_keys, create_api_key)).routes(routes!(delete_api_key))
}

/// Filters of the list of keys.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyFilter {
    /// Acting for this user.
    user_id: Option<UserId>,
}

/// A key for programs.
#[derive(Serialize, ToSchema)]
pub struct ApiKeyView {
    /// Its id; the first part of its text.
    id: ApiKeyId,
    /// Counts changes, from 1.
    version: u64,
    /// What it is for.
    name: String,
    /// For whom it acts.
    user_id: UserId,
    /// The user's customer.
    customer_id: Option<CustomerId>,
    /// What it may do at most; empty: all that its user may.
    scopes: Vec<Permission>,
    /// When it stops working; null: never.
    expires_at: Option<Timestamp>,
    /// When it came to be.
    created_at: Timestamp,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            version: key.version,
            name: key.name,
            user_id: key.user_id,
            customer_id: key.customer_id,
            scopes: key.scopes,
            expires_at: key.expires_at,
            created_at: key.created_at,
        }
    }
}

/// A key that has just been made.
#[derive(Serialize, ToSchema)]
pub struct ApiKeyCreated {
    /// The key's text; shown this once. Send it as `Authorization: Bearer <key>`.
    secret: String,
    /// The key's record.
    #[serde(flatten)]
    record: ApiKeyView,
}

/// A key to create, for oneself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "monitoring", "scopes": ["servers_read"], "expires_at": "2027-01-01T00:00:00Z"}))]
pub struct CreateApiKey {
    /// What it is for.
    name: String,
    /// What it may do at most; empty: all that you may.
    #[serde(default)]
    scopes: Vec<Permission>,
    /// When it stops working; never unless given.
    expires_at: Option<Timestamp>,
}

/// List API keys.
///
/// Administrators see those of their users; others their own.
#[utoipa::path(get, path = "/api-keys", tag = "API keys", params(ApiKeyFilter, Paging),
    responses((status = 200, description = "A page of keys.", body = Listed<ApiKeyView>)))]
async fn list_api_keys(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<ApiKeyFilter>) -> Answer {
    caller.must(Permission::KeysWrite)?;
    let mut filter: Filter<ApiKey> = Reach::of(&caller, api.store()).narrow(Filter::new());
    if caller.must(Permission::CustomersRead).is_err() {
        filter = filter.is(Field::User, key(caller.user_id.unwrap_or(UserId(uuid::Uuid::nil()))));
    }
    if let Some(id) = listing.filter.user_id {
        filter = filter.is(Field::User, key(id));
    }
    list(&api, &caller, filter, listing.page, |record, _| ApiKeyView::from(record)).await
}

/// Create an API key.
#[utoipa::path(post, path = "/api-keys", tag = "API keys", request_body = CreateApiKey,
    responses((status = 201, description = "Created; the secret is shown this once.", body = ApiKeyCreated)))]
async fn create_api_key(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreateApiKey>,
) -> Answer {
    once_with_secret(&api, &caller, key, async {
        let secret = auth::secret();
        let new = NewApiKey {
            name: asked.name,
            scopes: asked.scopes,
            expires_at: asked.expires_at,
            secret_hash: auth::hash_of(&secret),
        };
        let made = api.system.create_api_key(&caller, new).await?;
        let place = format!("/api/v1/api-keys/{}", made.id);
        let secret = auth::key_text(made.id.0, &secret);
        reply::created(&place, made.version, &ApiKeyCreated { secret, record: made.into() })
    })
    .await
}

/// Revoke an API key.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "API keys", params(("id" = ApiKeyId, Path)),
    responses((status = 204, description = "Revoked; it stops working at once.")))]
async fn delete_api_key(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<ApiKeyId>) -> Answer {
    api.system.revoke_api_key(&caller, id).await?;
    Ok(reply::done())
}
