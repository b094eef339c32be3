//! What operators do beside nodes: quarantines, and faults in simulated mode.

use super::{
    Api, Shared,
    common::Answer,
    extract::{Input, Who},
    problem::Problem,
    reply,
};
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::{Caller, Fault, Quarantine};
use sutler_model::{Permission, Timestamp};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of operators.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_quarantines)).routes(routes!(release_quarantine)).routes(routes!(
        order_fault,
        list_faults,
        clear_faults
    ))
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

/// A fault, in simulated mode: of a driver call (`call`), or of a job (`job`, at its `step`).
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"job": "create_server", "step": "start_domain", "times": 1, "error": "transient"}))]
pub struct FaultOrder {
    /// The driver call that fails (`start`, `ensure_disk`), or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    /// The kind of job that fails (`create_server`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// The step of such jobs; its first unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    /// How many times.
    #[serde(default = "once")]
    #[schema(default = 1, minimum = 1)]
    times: u32,
    /// `transient`, `permanent`, `no_space`, `disconnected`, or `deadline` (the work is done, its answer lost); only the
    /// delay unless given.
    error: Option<String>,
    /// Delay before the call or step, milliseconds.
    #[serde(default)]
    delay_ms: u64,
}

impl From<Fault> for FaultOrder {
    fn from(Fault { call, job, step, times, error, delay_ms }: Fault) -> Self {
        Self { call, job, step, times, error, delay_ms }
    }
}

impl From<FaultOrder> for Fault {
    fn from(FaultOrder { call, job, step, times, error, delay_ms }: FaultOrder) -> Self {
        Self { call, job, step, times, error, delay_ms }
    }
}

/// The faults still to be suffered.
#[derive(Serialize, ToSchema)]
pub struct Faults {
    /// Oldest first, `times` as many as are left.
    items: Vec<FaultOrder>,
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

/// Make the next driver calls, or the next jobs, fail or wait. Simulated mode only.
#[utoipa::path(post, path = "/simulation/faults", tag = "operation", request_body = FaultOrder,
    responses((status = 204, description = "The next such calls or steps fail or wait.")))]
async fn order_fault(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, .. }: Input<FaultOrder>,
) -> Answer {
    simulated(&api, &caller)?;
    api.system.simulate(&caller, asked.into()).await?;
    Ok(reply::done())
}

/// List the faults that are still to be suffered.
#[utoipa::path(get, path = "/simulation/faults", tag = "operation",
    responses((status = 200, description = "Faults ordered and not suffered yet.", body = Faults)))]
async fn list_faults(State(api): State<Arc<Api>>, Who(caller): Who) -> Answer {
    simulated(&api, &caller)?;
    let items = api.system.faults(&caller).await?.into_iter().map(FaultOrder::from).collect();
    reply::ok(&Faults { items })
}

/// Take back all faults that were not suffered yet.
#[utoipa::path(delete, path = "/simulation/faults", tag = "operation",
    responses((status = 204, description = "Nothing fails on order any more.")))]
async fn clear_faults(State(api): State<Arc<Api>>, Who(caller): Who) -> Answer {
    simulated(&api, &caller)?;
    api.system.clear_faults(&caller).await?;
    Ok(reply::done())
}

/// Refuses where there is nothing simulated; whoever may not operate is not told even that.
fn simulated(api: &Api, caller: &Caller) -> Result<(), Problem> {
    caller.must(Permission::OperatorRead)?;
    if api.simulated {
        return Ok(());
    }
    Err(Problem::conflict("state", "Faults can be ordered in simulated mode only (`compute.simulated`)."))
}
