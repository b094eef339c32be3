//! Users: people who sign in.

use super::{
    Api, Shared,
    common::{Answer, find},
    extract::{Id, IfMatch, Input, Params, Who},
    once::create,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::{Reach, key},
};
use axum::{extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::{NewUser, UserPatch};
use sutler_model::{
    BillingEntityId, Contact, ContactPatch, Customer, CustomerId, Noun, Permission, Role, Timestamp, User, UserId,
    validate,
};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_users, create_user)).routes(routes!(show_user, update_user, delete_user))
}

/// Filters of the list of users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UserFilter {
    /// Of this customer.
    customer_id: Option<CustomerId>,
    /// Of this seller's staff and customers.
    billing_entity_id: Option<BillingEntityId>,
    /// With this e-mail address.
    email: Option<String>,
}

/// A person who signs in.
#[derive(Serialize, ToSchema)]
pub struct UserView {
    /// Their id.
    id: UserId,
    /// Counts changes, from 1.
    version: u64,
    /// Sign-in name.
    email: String,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// The seller they work for or buy from.
    billing_entity_id: BillingEntityId,
    /// The customer they belong to; null for staff.
    customer_id: Option<CustomerId>,
    /// What they may do.
    role: Role,
    /// True: cannot sign in.
    locked: bool,
    /// How they are reached.
    #[serde(skip_serializing_if = "Contact::is_empty")]
    #[schema(required = false)]
    contact: Contact,
    /// When they came to be.
    created_at: Timestamp,
}

impl From<User> for UserView {
    /// A user without the password's hash.
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            version: user.version,
            email: user.email,
            first_name: user.first_name,
            last_name: user.last_name,
            billing_entity_id: user.billing_entity_id,
            customer_id: user.customer_id,
            role: user.role,
            locked: user.locked,
            contact: user.contact,
            created_at: user.created_at,
        }
    }
}

/// A user to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "email": "ada@example.org", "first_name": "Ada", "last_name": "Lovelace", "role": "customer_admin",
    "customer_id": "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50", "password": "a long pass phrase"
}))]
pub struct CreateUser {
    /// Sign-in name, unique over the whole installation.
    email: String,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// Whose staff; found from the customer, or the caller's own, unless given.
    billing_entity_id: Option<BillingEntityId>,
    /// The customer, for customers' users; the caller's own customer unless given.
    customer_id: Option<CustomerId>,
    /// What they may do.
    role: Role,
    /// First password: 10 characters to 256 bytes.
    password: String,
    /// How they are reached.
    #[serde(default)]
    contact: ContactPatch,
}

/// Changes to a user; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"locked": true}))]
pub struct ChangeUser {
    /// New given name.
    first_name: Option<String>,
    /// New family name.
    last_name: Option<String>,
    /// New role.
    role: Option<Role>,
    /// Lock or unlock.
    locked: Option<bool>,
    /// New password.
    password: Option<String>,
    /// How they are reached; what is left out stays.
    contact: Option<ContactPatch>,
}

/// List users.
#[utoipa::path(get, path = "/users", tag = "users", params(UserFilter, Paging),
    responses((status = 200, description = "A page of users.", body = Listed<UserView>)))]
async fn list_users(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<UserFilter>) -> Answer {
    caller.must(Permission::CustomersRead)?;
    let asked = listing.filter;
    let mut filter = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = asked.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(id) = asked.billing_entity_id {
        filter = filter.is(Field::BillingEntity, key(id));
    }
    if let Some(email) = &asked.email {
        filter = filter.is(Field::Name, email.to_lowercase());
    }
    list(&api, &caller, filter, listing.page, |user: User, _| UserView::from(user)).await
}

/// Create a user.
#[utoipa::path(post, path = "/users", tag = "users", request_body = CreateUser,
    responses((status = 201, description = "Created.", body = UserView)))]
async fn create_user(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreateUser>,
) -> Answer {
    caller.must(Permission::CustomersWrite)?;
    validate::password("password", &asked.password).map_err(|e| Problem::invalid(vec![e]))?;
    let customer_id = asked.customer_id.or(caller.customer_id.filter(|_| asked.role.is_customer()));
    let mut contact = Contact::default();
    asked.contact.apply(&mut contact);
    let work = async {
        let billing_entity_id = match (asked.billing_entity_id, customer_id) {
            (Some(given), _) => given,
            (None, Some(id)) => find::<Customer>(&api, &caller, id).await?.billing_entity_id,
            (None, None) => caller.billing_entity_id,
        };
        let new = NewUser {
            email: asked.email.to_lowercase(),
            first_name: asked.first_name,
            last_name: asked.last_name,
            billing_entity_id,
            customer_id,
            role: asked.role,
            password_hash: api.passwords.hash(asked.password).await?,
            contact,
        };
        api.system.create_user(&caller, new).await.map_err(Problem::from)
    };
    create(&api, &caller, key, "users", work, UserView::from).await
}

/// Show a user.
#[utoipa::path(get, path = "/users/{id}", tag = "users", params(("id" = UserId, Path), Shown),
    responses((status = 200, description = "The user.", body = UserView)))]
async fn show_user(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<UserId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::CustomersRead)?;
    let user: User = find(&api, &caller, id).await?;
    show_record(&headers, &shown, user, UserView::from)
}

/// Change a user.
#[utoipa::path(patch, path = "/users/{id}", tag = "users", params(("id" = UserId, Path)),
    request_body = ChangeUser, responses((status = 200, description = "As they are now.", body = UserView)))]
async fn update_user(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<UserId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangeUser>,
) -> Answer {
    let password_hash = match asked.password {
        Some(password) => {
            validate::password("password", &password).map_err(|e| Problem::invalid(vec![e]))?;
            Some(api.passwords.hash(password).await?)
        }
        None => None,
    };
    let patch = UserPatch {
        first_name: asked.first_name,
        last_name: asked.last_name,
        role: asked.role,
        locked: asked.locked,
        password_hash,
        contact: asked.contact,
        keys: None,
    };
    let work = async |demand| api.system.update_user(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, UserView::from).await
}

/// Delete a user, their sessions and keys.
#[utoipa::path(delete, path = "/users/{id}", tag = "users", params(("id" = UserId, Path)),
    responses((status = 204, description = "Deleted.")))]
async fn delete_user(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<UserId>, if_match: IfMatch) -> Answer {
    let work = async |demand| api.system.delete_user(&caller, id, demand).await;
    if_match.delete(&api, (Noun::User, id.into()), work).await
}
