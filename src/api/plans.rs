//! Price plans.

use super::{
    Api, Shared,
    common::{Answer, folded},
    extract::{Id, IfMatch, Input, Params, Who},
    once::create,
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::{Reach, key},
};
use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use std::sync::Arc;
use sutler_actors::{Caller, NewPlan, PlanPatch};
use sutler_model::{BillingEntity, BillingEntityId, Currency, Nanos, Noun, Permission, Plan, PlanCharge, PlanId};
use sutler_store::{Field, Filter, Store};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_plans, create_plan)).routes(routes!(show_plan, update_plan))
}

/// Filters of the list of plans.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PlanFilter {
    /// Of this seller.
    billing_entity_id: Option<BillingEntityId>,
    /// With this name.
    name: Option<String>,
}

/// A plan to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Standard", "cpu_hour": "0.01", "memory_gib_hour": "0.005", "disk_gib_hour": "0.0001"}))]
pub struct CreatePlan {
    /// Display name, unique within the seller.
    name: String,
    /// Whose plan; the caller's own entity unless given.
    billing_entity_id: Option<BillingEntityId>,
    /// What the prices are in; the seller's currency, and refused when it is another.
    currency: Option<Currency>,
    /// One vCPU of a running server, an hour.
    cpu_hour: Nanos,
    /// One GiB of memory of a running server, an hour.
    memory_gib_hour: Nanos,
    /// One GiB of disk, an hour, running or not.
    disk_gib_hour: Nanos,
    /// One unit of billing methods that charge in units; 1 unless given.
    unit_price: Option<Nanos>,
    /// What billing methods of scripts charge for.
    #[serde(default)]
    charges: Vec<PlanCharge>,
}

/// Changes to a plan; what is left out stays.
///
/// The prices in force when an invoice closes apply to all of its period.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"cpu_hour": "0.012"}))]
pub struct ChangePlan {
    /// New name.
    name: Option<String>,
    /// New price of one vCPU for an hour.
    cpu_hour: Option<Nanos>,
    /// New price of one GiB of memory for an hour.
    memory_gib_hour: Option<Nanos>,
    /// New price of one GiB of disk for an hour.
    disk_gib_hour: Option<Nanos>,
    /// New price of one unit of billing methods that charge in units.
    unit_price: Option<Nanos>,
    /// What billing methods of scripts charge for from now on, replacing all.
    charges: Option<Vec<PlanCharge>>,
}

/// Staff see the plans of their entity and those below it; a customer those of its seller.
fn reach(caller: &Caller, store: &Store) -> Reach {
    match Reach::of(caller, store) {
        Reach::Customer(_) => Reach::Entities([caller.billing_entity_id].into()),
        wider => wider,
    }
}

/// List plans.
#[utoipa::path(get, path = "/plans", tag = "plans", params(PlanFilter, Paging),
    responses((status = 200, description = "A page of plans.", body = Listed<Plan>)))]
async fn list_plans(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<PlanFilter>) -> Answer {
    caller.must(Permission::BillingRead)?;
    let mut filter = reach(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = listing.filter.billing_entity_id {
        filter = filter.is(Field::BillingEntity, key(id));
    }
    if let Some(name) = &listing.filter.name {
        filter = filter.is(Field::Name, folded(name));
    }
    list(&api, &caller, filter, listing.page, |plan: Plan, _| plan).await
}

/// Create a plan.
#[utoipa::path(post, path = "/plans", tag = "plans", request_body = CreatePlan,
    responses((status = 201, description = "Created.", body = Plan)))]
async fn create_plan(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Input { value: asked, key }: Input<CreatePlan>,
) -> Answer {
    let work = async {
        let billing_entity_id = asked.billing_entity_id.unwrap_or(caller.billing_entity_id);
        let currency = match asked.currency {
            Some(currency) => currency,
            None => {
                let seller: Option<BillingEntity> = api.store().get(billing_entity_id).await?;
                seller.ok_or_else(|| Problem::not_found(Noun::BillingEntity, billing_entity_id))?.currency
            }
        };
        let new = NewPlan {
            name: asked.name,
            billing_entity_id,
            currency,
            cpu_hour: asked.cpu_hour,
            memory_gib_hour: asked.memory_gib_hour,
            disk_gib_hour: asked.disk_gib_hour,
            unit_price: asked.unit_price.unwrap_or(Nanos(sutler_model::money::ONE)),
            charges: asked.charges,
        };
        api.system.create_plan(&caller, new).await.map_err(Problem::from)
    };
    create(&api, &caller, key, "plans", work, |plan| plan).await
}

/// Show a plan.
#[utoipa::path(get, path = "/plans/{id}", tag = "plans", params(("id" = PlanId, Path), Shown),
    responses((status = 200, description = "The plan.", body = Plan)))]
async fn show_plan(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PlanId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::BillingRead)?;
    let reach = reach(&caller, api.store());
    let found: Option<Plan> = api.store().get(id).await?;
    let plan = found
        .filter(|plan| reach.covers(None, plan.billing_entity_id))
        .ok_or_else(|| Problem::not_found(Noun::Plan, id))?;
    show_record(&headers, &shown, plan, |plan| plan)
}

/// Change a plan.
#[utoipa::path(patch, path = "/plans/{id}", tag = "plans", params(("id" = PlanId, Path)),
    request_body = ChangePlan, responses((status = 200, description = "As it is now.", body = Plan)))]
async fn update_plan(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<PlanId>,
    if_match: IfMatch,
    Input { value: asked, .. }: Input<ChangePlan>,
) -> Answer {
    let patch = PlanPatch {
        name: asked.name,
        cpu_hour: asked.cpu_hour,
        memory_gib_hour: asked.memory_gib_hour,
        disk_gib_hour: asked.disk_gib_hour,
        unit_price: asked.unit_price,
        charges: asked.charges,
    };
    let work = async |demand| api.system.update_plan(&caller, id, demand, patch).await;
    if_match.change(&api, id, work, |plan| plan).await
}
