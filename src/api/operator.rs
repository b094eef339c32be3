//! What operators do beside nodes: quarantines, and faults in simulated mode.

use super::{
    Api, Shared,
    common::{Answer, wrong},
    extract::{Input, Who},
    problem::Problem,
    reply,
};
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::{Fault, Quarantine};
use sutler_model::{Permission, Timestamp};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of operators.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_quarantines))
        .routes(routes!(release_quarantine))
        .routes(routes!(order_fault))
}

/// An entity out of service until an operator releases it.
#[derive(Serialize, ToSchema)]
pub struct QuarantineView {
    /// Kind of actor.
    kind: String,
    /// Which.
    id: Uuid,
    /// Why.
    reason: String,
    /// Since when.
    since: Timestamp,
}

impl From<Quarantine> for QuarantineView {
    fn from(q: Quarantine) -> Self {
        Self { kind: q.kind, id: q.id, reason: q.reason, since: q.since }
    }
}

/// All quarantines.
#[derive(Serialize, ToSchema)]
pub struct Quarantines {
    /// The entities out of service.
    items: Vec<QuarantineView>,
}

/// A fault to order, in simulated mode.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"call": "start", "times": 1, "error": "transient"}))]
pub struct OrderFault {
    /// The driver call that fails (`start`, `ensure_disk`), or `*`.
    call: String,
    /// How many times.
    #[serde(default = "once")]
    #[schema(default = 1, minimum = 1)]
    times: u32,
    /// `transient`, `permanent`, `no_space`, `deadline` or `disconnected`; only the delay unless given.
    error: Option<String>,
    /// Delay before the call, milliseconds.
    #[serde(default)]
    delay_ms: u64,
}

fn once() -> u32 {
    1
}

/// List what is out of service.
#[utoipa::path(get, path = "/quarantines", tag = "operation",
    responses((status = 200, description = "Entities out of service.", body = Quarantines)))]
async fn list_quarantines(State(api): State<Arc<Api>>, Who(caller): Who) -> Answer {
    let items = api.system.quarantines(&caller).await?.into_iter().map(QuarantineView::from).collect();
    reply::ok(&Quarantines { items })
}

/// Take an entity back into service.
#[utoipa::path(post, path = "/quarantines/{kind}/{id}/release", tag = "operation",
    params(("kind" = String, Path, description = "Kind of actor.", example = "server"), ("id" = Uuid, Path)),
    responses((status = 204, description = "It is loaded again when next addressed.")))]
async fn release_quarantine(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Path((kind, id)): Path<(String, String)>,
) -> Answer {
    let id: Uuid = id.parse().map_err(|_| Problem::malformed("id", "must be a UUID"))?;
    api.system.release(&caller, &kind, id).await?;
    Ok(reply::done())
}

/// Order a fault of the simulated drivers.
#[utoipa::path(post, path = "/simulation/faults", tag = "operation", request_body = OrderFault,
    responses((status = 204, description = "The next such calls fail or wait.")))]
async fn order_fault(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, .. }: Input<OrderFault>,
) -> Answer {
    caller.must(Permission::OperatorWrite)?;
    if !api.simulated {
        return Err(Problem::conflict("state", "Faults can be ordered in simulated mode only (`compute.simulated`)."));
    }
    if asked.times == 0 {
        return Err(wrong("times", "must be at least 1"));
    }
    let fault = Fault { call: asked.call, times: asked.times, error: asked.error, delay_ms: asked.delay_ms };
    api.system.simulate(&caller, fault).await?;
    Ok(reply::done())
}
