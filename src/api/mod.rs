//! The public API, `/api/v1`: the router and the middleware around it. One file per noun beside this one.

mod api_keys;
mod auth;
mod backup;
mod billing_entities;
mod blobs;
mod calls;
mod common;
mod console;
mod customers;
mod disks;
mod events;
mod extract;
mod health;
mod images;
mod invoices;
mod jobs;
mod limits;
mod measurements;
mod metadata;
pub mod metrics;
mod nodes;
mod once;
mod openapi;
mod operator;
mod page;
pub mod password;
mod payments;
mod plans;
mod pluggables;
mod problem;
mod providers;
mod reach;
mod rehearsals;
mod reply;
mod reports;
mod revisions;
mod runs;
mod servers;
mod sessions;
mod transactions;
mod triggers;
mod users;

use auth::Credential;
use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
pub use common::told;
use futures_util::FutureExt;
use limits::Limiter;
pub use limits::bucket_of;
use metrics_exporter_prometheus::PrometheusHandle;
use problem::Problem;
use std::{
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};
use sutler_actors::System;
use sutler_store::Store;
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What handlers share.
pub struct Api {
    system: System,
    limits: Limits,
    metrics: PrometheusHandle,
    stopping: watch::Receiver<bool>,
    simulated: bool,
    auth: auth::Auth,
    calls: calls::Names,
    passwords: password::Passwords,
    health: health::Health,
    streams: events::Streams,
    working: once::Working,
    /// Held while a copy of the store is made and fetched.
    copying: Arc<tokio::sync::Mutex<()>>,
}

type Shared = Arc<Api>;

/// How much callers may ask of us.
pub struct Limits {
    /// Longest body, bytes.
    pub body_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a session lasts, milliseconds.
    pub session_ms: i64,
    by_credential: Limiter<Credential>,
    by_address: Limiter<IpAddr>,
    sign_in_by_address: Limiter<IpAddr>,
    sign_in_by_email: Limiter<String>,
}

impl Limits {
    /// Limits from the settings.
    pub fn new(settings: &crate::config::Limits) -> Self {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let rate = settings.requests_per_second;
        let sign_ins = settings.sign_ins_per_minute;
        Self {
            body_bytes: settings.body_kib as usize * 1024,
            body_timeout: Duration::from_secs(settings.body_timeout_s.into()),
            session_ms: i64::from(settings.session_hours) * 3_600_000,
            by_credential: Limiter::new(rate, second, settings.request_burst),
            // Several credentials may share an address: an office, a proxy.
            by_address: Limiter::new(rate.saturating_mul(4), second, settings.request_burst.saturating_mul(4)),
            sign_in_by_address: Limiter::new(sign_ins.saturating_mul(4), minute, sign_ins.saturating_mul(4)),
            sign_in_by_email: Limiter::new(sign_ins, minute, sign_ins),
        }
    }
}

/// Who is at the other end of the connection; the listener puts it on each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Their address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// The request's name in answers, logs and the change feed.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

impl Api {
    /// The API over a running system.
    pub fn new(
        system: System,
        limits: Limits,
        metrics: PrometheusHandle,
        stopping: watch::Receiver<bool>,
        simulated: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            system,
            limits,
            metrics,
            stopping,
            simulated,
            auth: auth::Auth::default(),
            calls: calls::Names::of(&guarded_document()),
            passwords: password::Passwords::default(),
            health: health::Health::default(),
            streams: events::Streams::default(),
            working: once::Working::default(),
            copying: Arc::default(),
        })
    }

    fn store(&self) -> &Store {
        self.system.store()
    }

    /// Cleans up after old requests, for as long as the program runs.
    pub async fn keep_house(self: Arc<Self>) {
        once::sweep(self.store().clone()).await;
    }
}

/// Everything that is served.
pub fn router(api: &Arc<Api>) -> Router {
    let (open, _) =
        OpenApiRouter::new().merge(open_routes()).nest("/api/v1", sessions::open_routes()).split_for_parts();
    let (guarded, _) = OpenApiRouter::new().nest("/api/v1", guarded_routes()).split_for_parts();
    let guarded = guarded.route_layer(middleware::from_fn_with_state(api.clone(), auth::require));
    #[cfg(debug_assertions)]
    let open = open.route("/panic", axum::routing::get(panics));
    open.merge(guarded)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), around))
        .with_state(api.clone())
}

/// Routes outside the version, and the document; no credential needed.
fn open_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(blobs::open_routes())
        .nest("/api/v1", OpenApiRouter::new().routes(routes!(show_openapi)))
}

/// Routes that need a caller.
fn guarded_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(sessions::routes())
        .merge(billing_entities::routes())
        .merge(customers::routes())
        .merge(users::routes())
        .merge(api_keys::routes())
        .merge(measurements::routes())
        .merge(metadata::routes())
        .merge(plans::routes())
        .merge(pluggables::routes())
        .merge(providers::routes())
        .merge(reports::routes())
        .merge(images::routes())
        .merge(nodes::routes())
        .merge(servers::routes())
        .merge(console::routes())
        .merge(disks::routes())
        .merge(jobs::routes())
        .merge(triggers::routes())
        .merge(rehearsals::routes())
        .merge(revisions::routes())
        .merge(runs::routes())
        .merge(invoices::routes())
        .merge(payments::routes())
        .merge(transactions::routes())
        .merge(blobs::routes())
        .merge(events::routes())
        .merge(operator::routes())
        .merge(backup::routes())
}

/// The description of the routes that need a caller.
fn guarded_document() -> utoipa::openapi::OpenApi {
    OpenApiRouter::new().nest("/api/v1", guarded_routes()).split_for_parts().1
}

/// The API's description, OpenAPI 3.1, as it is kept in `docs/openapi.json`.
pub fn openapi_text() -> String {
    let (_, mut document) = OpenApiRouter::with_openapi(openapi::base())
        .merge(open_routes())
        .nest("/api/v1", sessions::open_routes().merge(guarded_routes()))
        .split_for_parts();
    openapi::complete(&mut document);
    // The document is made of maps, lists and text alone, which always have a JSON form.
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Read this document.
#[utoipa::path(get, path = "/openapi.json", tag = "operation", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
async fn show_openapi() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(openapi_text);
    reply::json(TEXT.clone().into_bytes())
}

async fn no_route(request: Request) -> Problem {
    Problem::no_route(request.uri().path())
}

async fn wrong_method(request: Request) -> Problem {
    Problem::wrong_method(request.method().as_str())
}

/// Proves, in tests of debug builds, that a bug in a handler costs one request.
#[cfg(debug_assertions)]
async fn panics() -> Response {
    panic!("asked to panic")
}

/// Around every request: its id, the address's rate limit, a guard against panics, problem bodies, headers, metrics.
async fn around(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let uri = request.uri().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let peer = request.extensions().get::<Peer>().copied();
    request.extensions_mut().insert(RequestId(id.clone()));
    let allowed = peer.map_or(Ok(()), |peer| api.limits.by_address.take(bucket_of(peer.address.ip())));
    let response = match allowed {
        Err(wait) => Problem::rate_limited(wait).into_response(),
        Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(request_id = %id, what, "a handler panicked");
            ::metrics::counter!("sutler_http_panics_total").increment(1);
            Problem::bug().into_response()
        }),
    };
    let response = finish(response, &id, peer.is_some_and(|p| p.tls));
    let status = response.status().as_u16();
    let took = started.elapsed();
    metrics::answered(route.as_ref().map_or("none", MatchedPath::as_str), &method, status, took);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        api.system.request_broke(method.as_str(), uri.path(), &id);
    }
    if status >= 500 {
        tracing::warn!(request_id = %id, %method, route = route.as_ref().map(MatchedPath::as_str), status, "answered");
    } else {
        tracing::debug!(request_id = %id, %method, route = route.as_ref().map(MatchedPath::as_str), status, "answered");
    }
    response
}

/// Renders a problem, and sets the headers every answer has.
fn finish(mut response: Response, id: &str, tls: bool) -> Response {
    let status = response.status();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        // What the router set beside the problem: `Allow` of a wrong method.
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(id);
        response.headers_mut().extend(allow.map(|value| (header::ALLOW, value)));
    } else if status.is_client_error() || status.is_server_error() {
        response = Problem::of_status(status).render(id);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    let fixed = HeaderValue::from_static;
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, fixed("DENY"));
    headers.insert(header::REFERRER_POLICY, fixed("no-referrer"));
    // Files that others have brought are stricter with themselves, and may be kept by whoever fetched them.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(fixed("default-src 'none'; frame-ancestors 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(fixed("no-store"));
    if tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, fixed("max-age=31536000"));
    }
    if response.status() == StatusCode::NO_CONTENT {
        *response.body_mut() = Body::empty();
    }
    response
}

/// The caller's request id when it is fit for logs and headers, and a new one otherwise.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    const CHARS: std::ops::RangeInclusive<usize> = 8..=64;
    let given = headers.get("x-request-id").and_then(|v| v.to_str().ok()).filter(|id| {
        CHARS.contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    });
    given.map_or_else(|| uuid::Uuid::now_v7().simple().to_string().into(), Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_request_ids_fit_for_a_log_are_taken_over() {
        let id = |text: &str| {
            let headers =
                HeaderMap::from_iter([("x-request-id".parse().unwrap(), HeaderValue::from_str(text).unwrap())]);
            request_id(&headers).to_string()
        };
        assert_eq!(id("build-42_a.b"), "build-42_a.b");
        for bad in ["short", "with blank inside", "semi;colon;id", &"x".repeat(65)] {
            assert_ne!(id(bad), bad);
            assert_eq!(id(bad).len(), 32);
        }
    }
}
