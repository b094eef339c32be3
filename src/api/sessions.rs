//! Sessions: signing in and out, and who one is.

use super::{
    Api, Peer, RequestId, Shared,
    auth::{self, Credential},
    common::{Answer, find},
    extract::{Input, Who},
    limits::bucket_of,
    problem::Problem,
    reply,
    users::UserView,
};
use axum::{Extension, extract::State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::Caller;
use sutler_model::{Cause, Noun, Permission, Role, Scope, Timestamp, User, validate::PASSWORD_BYTES};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The route that needs no credential.
pub fn open_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create_session))
}

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(delete_session)).routes(routes!(show_me))
}

/// A sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.org", "password": "a long pass phrase"}))]
pub struct CreateSession {
    /// Sign-in name.
    email: String,
    /// Password.
    password: String,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
pub struct SessionCreated {
    /// Send it as `Authorization: Bearer <token>`; shown this once.
    token: String,
    /// When it ends.
    expires_at: Timestamp,
    /// Who signed in.
    user: UserView,
}

/// Who the caller is and what they may do.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// The user.
    user: UserView,
    /// Their role.
    role: Role,
    /// Over whom their rights reach.
    scope: Scope,
    /// What this credential may do.
    permissions: Vec<Permission>,
}

/// Sign in.
///
/// Wrong passwords and unknown addresses look the same and take the same time. Repeating a sign-in begins another
/// session, so `Idempotency-Key` has no effect here.
#[utoipa::path(post, path = "/sessions", tag = "sessions", request_body = CreateSession, security(()),
    responses((status = 201, description = "Signed in.", body = SessionCreated)))]
async fn create_session(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Extension(request_id): Extension<RequestId>,
    Input { value: asked, .. }: Input<CreateSession>,
) -> Answer {
    let email = asked.email.trim().to_lowercase();
    let limits = &api.limits;
    limits.sign_in_by_address.take(bucket_of(peer.address.ip())).map_err(Problem::rate_limited)?;
    limits.sign_in_by_email.take(auth::hash_of(&email)).map_err(Problem::rate_limited)?;
    let refused = || Problem::unauthenticated("The e-mail address or the password is wrong.");
    if asked.password.len() > PASSWORD_BYTES {
        return Err(refused());
    }
    let user: Option<User> = match api.store().index().holder(Noun::User, "email", &[email.as_bytes()]) {
        Some(id) => api.store().get(id).await?,
        None => None,
    };
    let hash = user.as_ref().map(|u| u.password_hash.clone());
    let right = api.passwords.check(asked.password, hash).await?;
    let Some(user) = user else { return Err(refused()) };
    let request_id = request_id.0.to_string();
    let failed = || {
        api.system.sign_in_failed(&user, Cause::Request { request_id: request_id.clone(), user_id: None });
    };
    if !right || user.locked {
        failed();
        return Err(refused());
    }
    let cause = Cause::Request { request_id: request_id.clone(), user_id: Some(user.id) };
    // Only now: before the password is known to be right, the time that triggers take would tell who has an account.
    if let Err(error) = api.system.before_sign_in(&user, cause.clone()).await {
        failed();
        return Err(error.into());
    }
    let secret = auth::secret();
    let opened = api.system.open_session(&user, auth::hash_of(&secret), api.limits.session_ms, cause).await?;
    let Some(session) = opened else {
        failed();
        return Err(refused());
    };
    let token = auth::session_token(session.id.0, &secret);
    let user = UserView::from(user);
    reply::created("/api/v1/me", session.version, &SessionCreated { token, expires_at: session.expires_at, user })
}

/// Sign out.
#[utoipa::path(delete, path = "/sessions/current", tag = "sessions",
    responses((status = 204, description = "Signed out.")))]
async fn delete_session(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Extension(credential): Extension<Credential>,
) -> Answer {
    if credential.noun != Noun::Session {
        return Err(Problem::conflict("state", "An API key is not a session; delete it at /api/v1/api-keys/{id}."));
    }
    api.system.close_session(credential.id.into(), caller.cause).await?;
    Ok(reply::done())
}

/// Show who you are.
#[utoipa::path(get, path = "/me", tag = "sessions",
    responses((status = 200, description = "You, and what you may do.", body = Me)))]
async fn show_me(State(api): State<Arc<Api>>, Who(caller): Who) -> Answer {
    let Some(id) = caller.user_id else { return Err(Problem::unauthenticated("Sign in first.")) };
    let user: User = find(&api, &caller, id).await?;
    let Caller { role, scope, permissions, .. } = caller;
    reply::ok(&Me { user: UserView::from(user), role, scope, permissions })
}
