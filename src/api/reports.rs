//! Reports that scripts make.

use super::{
    Api, Shared,
    common::Answer,
    extract::{Input, Who},
    problem::Problem,
    providers::ActionView,
    reply,
};
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use sutler_actors::ReportForm;
use sutler_model::{ScriptId, point::ReportPoint};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_reports)).routes(routes!(make_report))
}

/// A report that you may have made.
#[derive(Serialize, ToSchema)]
pub struct ReportView {
    /// The block it is in.
    script_id: ScriptId,
    /// Its function.
    function: String,
    /// Display name.
    name: String,
    /// Display text.
    description: String,
    /// What it asks for, and how it may be drawn.
    report: ReportPoint,
}

impl From<ReportForm> for ReportView {
    fn from(form: ReportForm) -> Self {
        let ReportForm { script_id, function, name, description, report } = form;
        Self { script_id, function, name, description, report }
    }
}

/// The reports that you may have made.
#[derive(Serialize, ToSchema)]
pub struct ReportsView {
    /// Each of them.
    items: Vec<ReportView>,
}

/// What a report asks for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"values": {"month": "2026-11"}}))]
pub struct MakeReport {
    /// By key.
    #[serde(default)]
    values: BTreeMap<String, String>,
}

/// List reports.
#[utoipa::path(get, path = "/reports", tag = "reports",
    responses((status = 200, description = "All that you may have made.", body = ReportsView)))]
async fn list_reports(State(api): State<Arc<Api>>, Who(caller): Who) -> Answer {
    let reports = api.system.reports(&caller).await?;
    reply::ok(&ReportsView { items: reports.into_iter().map(ReportView::from).collect() })
}

/// Have a report made.
#[utoipa::path(post, path = "/reports/{script}/{function}", tag = "reports",
    params(("script" = ScriptId, Path, description = "The block."),
        ("function" = String, Path, description = "Its function, or its reference.")),
    request_body = MakeReport, responses((status = 200, description = "The report.", body = ActionView)))]
async fn make_report(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Path((script, function)): Path<(String, String)>,
    Input { value: asked, .. }: Input<MakeReport>,
) -> Answer {
    let script: ScriptId = script.parse().map_err(|_| Problem::malformed("script", "must be a UUID"))?;
    let answer = api.system.make_report(&caller, script, &function, &asked.values).await?;
    reply::ok(&ActionView::from(answer))
}
