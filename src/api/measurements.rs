//! What measurement functions of scripts found.

use super::{
    Api, Shared,
    common::Answer,
    extract::{Id, Params, Who},
    page::Listed,
    problem::Problem,
    reach::Reach,
    reply,
};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use sutler_model::{MeasuredValue, Measurement, Noun, Permission, RunId, ScriptId, Timestamp};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_measurements))
}

/// Of which time.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MeasurementFilter {
    /// From here on; everything unless given.
    from: Option<Timestamp>,
    /// Before here; until now unless given.
    to: Option<Timestamp>,
    /// How many at most, 1 to 200; 50 unless given.
    limit: Option<usize>,
    /// Where the last page ended.
    cursor: Option<String>,
}

/// All that one function measured at one time.
#[derive(Serialize, ToSchema)]
pub struct MeasurementView {
    /// When.
    at: Timestamp,
    /// By which block.
    script_id: ScriptId,
    /// By which of its functions.
    function: String,
    /// The run that measured.
    run_id: RunId,
    /// Whether that run is gone, being older than runs are kept; what it measured is not.
    run_swept: bool,
    /// By key.
    values: BTreeMap<String, MeasuredValue>,
}

impl MeasurementView {
    fn of(found: Measurement, swept: &BTreeSet<RunId>) -> Self {
        let Measurement { at, script_id, function, run_id, values, .. } = found;
        Self { at, script_id, function, run_id, run_swept: swept.contains(&run_id), values }
    }
}

/// List what was measured of a resource.
#[utoipa::path(get, path = "/resources/{id}/measurements", tag = "billing",
    params(("id" = Uuid, Path, description = "A server or any other resource, there or gone."), MeasurementFilter),
    responses((status = 200, description = "A page of measurements, oldest first.", body = Listed<MeasurementView>)))]
async fn list_measurements(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<Uuid>,
    Params(asked): Params<MeasurementFilter>,
) -> Answer {
    caller.must(Permission::BillingRead)?;
    let limit = asked.limit.unwrap_or(50);
    if !(1..=200).contains(&limit) {
        return Err(Problem::malformed("limit", format!("is {limit}; must be from 1 to 200")));
    }
    // Nothing comes to be before what is there, so a time is a stable place.
    let after: Option<Timestamp> = match asked.cursor {
        Some(text) => Some(text.parse().map_err(|_| Problem::from(sutler_store::Error::BadCursor))?),
        None => None,
    };
    let from = asked.from.into_iter().chain(after).max().unwrap_or(Timestamp(i64::MIN));
    let to = asked.to.unwrap_or(Timestamp(i64::MAX));
    let mut found = api.system.measurements(id, from, to, limit).await?;
    let reach = Reach::of(&caller, api.store());
    found.items.retain(|one| reach.covers(one.customer_id, one.billing_entity_id));
    // Of a resource that is gone its measurements say whose it was.
    if found.items.is_empty() && !api.system.sees_resource(&caller, id).await? {
        return Err(Problem::not_found(Noun::Server, id));
    }
    let next = found.next.filter(|_| !found.items.is_empty()).map(|at| at.to_string());
    let items = found.items.into_iter().map(|one| MeasurementView::of(one, &found.swept)).collect();
    reply::ok(&Listed { items, next })
}
