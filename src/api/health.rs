//! `/healthz`: well only while the store can commit.

use super::{Api, Shared, common::Answer, problem::Problem, reply};
use axum::extract::State;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use sutler_store::{Health as StoreHealth, Store};
use tokio::sync::Mutex;
use utoipa_axum::{router::OpenApiRouter, routes};

/// A probe's answer holds this long, so that probing costs at most one commit a second.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A commit that takes longer is no sign of health.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The feed consumer whose position the probe writes: a real durable commit that leaves no trace in the feed.
const CONSUMER: &str = "health probe";

/// The last probe's outcome.
#[derive(Default)]
pub struct Health {
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    /// Whether the store can commit, by really committing.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self, store: &Store) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, outcome)) = last.as_ref()
            && at.elapsed() < PROBE_EVERY
        {
            return outcome.clone();
        }
        let outcome = match store.health() {
            // The end of all positions, so that the probe never holds entries back.
            StoreHealth::Ok => match tokio::time::timeout(PROBE_TIMEOUT, store.advance(CONSUMER, u64::MAX)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("a commit took longer than {} s", PROBE_TIMEOUT.as_secs())),
            },
            StoreHealth::ReadOnly(reason) | StoreHealth::Stopped(reason) => Err(reason),
        };
        *last = Some((Instant::now(), outcome.clone()));
        outcome
    }
}

/// The route of health, outside `/api/v1`.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show_health))
}

/// Tell whether the program can do its work.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, description = "The store commits.", body = Object)))]
async fn show_health(State(api): State<Arc<Api>>) -> Answer {
    match api.health.probe(api.store()).await {
        Ok(()) => Ok(reply::plain(serde_json::json!({ "status": "ok" }))),
        Err(reason) => {
            tracing::error!(reason, "not healthy");
            Err(Problem::unhealthy("The store cannot commit; the log says why."))
        }
    }
}
