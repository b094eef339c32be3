//! Runs of triggers: what set them off, what they printed, how they ended.

use super::{
    Api, Shared,
    common::{Answer, words},
    extract::{Id, Params, Who},
    page::{Listed, Listing, Paging, Shown, list, show},
    problem::Problem,
    reach::key,
    reply,
    triggers::{find_script, narrow, sees},
};
use axum::{extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::Caller;
use sutler_model::{Cause, Noun, Permission, RunId, RunState, Scope, ScriptId, ScriptRun, Timestamp};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_runs))
        .routes(routes!(list_trigger_runs))
        .routes(routes!(show_run))
        .routes(routes!(retry_run))
        .routes(routes!(skip_run))
}

/// Filters of the list of runs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RunFilter {
    /// Of this trigger.
    script_id: Option<ScriptId>,
    /// In one of these states, comma-separated; `dead` is the dead-letter list.
    #[param(example = "dead")]
    state: Option<String>,
    /// About this record.
    resource_id: Option<Uuid>,
}

/// Filters of the list of a trigger's runs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TriggerRunFilter {
    /// In one of these states, comma-separated; `dead` is the dead-letter list.
    state: Option<String>,
    /// About this record.
    resource_id: Option<Uuid>,
}

/// One run of a trigger.
#[derive(Serialize, ToSchema)]
pub struct RunView {
    /// Its id; a repeat of the run has the same, so scripts can use it as a key.
    id: RunId,
    /// Counts changes, from 1.
    version: u64,
    /// Of which trigger.
    script_id: ScriptId,
    /// Of which of its functions.
    function: String,
    /// Whose trigger it is.
    owner: Scope,
    /// The event's place in the feed; null for PRE and scheduled runs.
    seq: Option<u64>,
    /// The option that fired.
    option: String,
    /// The record the event is about.
    resource_id: Option<Uuid>,
    /// What set it off.
    cause: Cause,
    /// How it stands.
    state: RunState,
    /// Tries so far.
    attempts: u32,
    /// Next try.
    next_at: Option<Timestamp>,
    /// Time of the last try, microseconds.
    duration_us: u64,
    /// What it printed; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// What it returned, or its error.
    result: String,
    /// When the event happened.
    created_at: Timestamp,
    /// When it ended.
    finished_at: Option<Timestamp>,
}

impl From<ScriptRun> for RunView {
    fn from(run: ScriptRun) -> Self {
        Self {
            id: run.id,
            version: run.version,
            script_id: run.script_id,
            function: run.function,
            owner: run.owner,
            seq: run.seq,
            option: run.option,
            resource_id: run.resource_id,
            cause: run.cause,
            state: run.state,
            attempts: run.attempts,
            next_at: run.next_at,
            duration_us: run.duration_us,
            log: Some(run.log),
            result: run.result,
            created_at: run.created_at,
            finished_at: run.finished_at,
        }
    }
}

fn in_list(run: ScriptRun, _: &Caller) -> RunView {
    RunView { log: None, ..RunView::from(run) }
}

fn filter(api: &Api, caller: &Caller, asked: &RunFilter) -> Result<Filter<ScriptRun>, Problem> {
    let mut filter = narrow(caller, api.store(), |run: &ScriptRun| run.owner);
    if let Some(id) = asked.script_id {
        filter = filter.is(Field::Script, key(id));
    }
    if let Some(states) = &asked.state {
        filter = filter.any(Field::State, words::<RunState>("state", states)?);
    }
    if let Some(id) = asked.resource_id {
        filter = filter.is(Field::Subject, key(id));
    }
    Ok(filter)
}

/// List runs of all triggers.
#[utoipa::path(get, path = "/runs", tag = "triggers", params(RunFilter, Paging),
    responses((status = 200, description = "A page of runs, without their logs.", body = Listed<RunView>)))]
async fn list_runs(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<RunFilter>) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    let filter = filter(&api, &caller, &listing.filter)?;
    list(&api, &caller, filter, listing.page, in_list).await
}

/// List runs of a trigger.
#[utoipa::path(get, path = "/triggers/{id}/runs", tag = "triggers",
    params(("id" = ScriptId, Path), TriggerRunFilter, Paging),
    responses((status = 200, description = "A page of runs, without their logs.", body = Listed<RunView>)))]
async fn list_trigger_runs(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ScriptId>,
    listing: Listing<TriggerRunFilter>,
) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    find_script(&api, &caller, id).await?;
    let TriggerRunFilter { state, resource_id } = listing.filter;
    let filter = filter(&api, &caller, &RunFilter { script_id: Some(id), state, resource_id })?;
    list(&api, &caller, filter, listing.page, in_list).await
}

/// Show a run.
#[utoipa::path(get, path = "/runs/{id}", tag = "triggers", params(("id" = RunId, Path), Shown),
    responses((status = 200, description = "The run.", body = RunView)))]
async fn show_run(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<RunId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ScriptsRead)?;
    let found: Option<ScriptRun> = api.store().get(id).await?;
    let run = match found {
        Some(run) if sees(&api, &caller, run.owner).await? => run,
        _ => return Err(Problem::not_found(Noun::ScriptRun, id)),
    };
    let version = run.version;
    reply::unless_known(&headers, version, show(version, &RunView::from(run), shown.fields.as_deref()))
}

/// Try a dead run again.
#[utoipa::path(post, path = "/runs/{id}/retry", tag = "triggers", params(("id" = RunId, Path)),
    responses((status = 200, description = "It is due again.", body = RunView)))]
async fn retry_run(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<RunId>) -> Answer {
    let run = api.system.retry_run(&caller, id).await?;
    reply::versioned(run.version, &RunView::from(run))
}

/// Pass over a dead or retrying run, so that those behind it go on.
#[utoipa::path(post, path = "/runs/{id}/skip", tag = "triggers", params(("id" = RunId, Path)),
    responses((status = 200, description = "It is passed over.", body = RunView)))]
async fn skip_run(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<RunId>) -> Answer {
    let run = api.system.skip_run(&caller, id).await?;
    reply::versioned(run.version, &RunView::from(run))
}
