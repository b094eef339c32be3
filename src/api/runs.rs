//! Runs of triggers: what set them off, what they printed, how they ended.

use super::{
    Api, Shared,
    common::{Answer, words},
    extract::{Id, Input, Params, Who},
    page::{Listed, Listing, Paging, Shown, list, show_record},
    problem::Problem,
    reach::key,
    reply,
    triggers::{find_script, narrow, sees},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
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
        .routes(routes!(run_trigger))
        .routes(routes!(show_statistics))
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
            // What others' scripts called, and about what, is theirs.
            cause: match (run.owner, run.cause) {
                (Scope::Customer(_), Cause::Run { run_id, depth, .. }) => Cause::run(run_id, depth),
                (_, cause) => cause,
            },
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
///
/// Those that are over are here as long as `lua.runs_keep_days` says, and longer when something stands on them.
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

/// A scheduled entry to run at once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"at": "2026-11-01T00:00:00Z"}))]
pub struct RunTrigger {
    /// Which function; may be left out where one is scheduled.
    function: Option<String>,
    /// The time it is told, past or future; now unless given.
    at: Option<Timestamp>,
}

/// How the runs of a trigger went.
#[derive(Serialize, ToSchema)]
pub struct StatisticsView {
    /// Ended well, since the program started, as all counts here.
    succeeded: u64,
    /// Refused their event.
    refused: u64,
    /// Tries that failed, those that were repeated included.
    failed: u64,
    /// Used up their tries.
    dead: u64,
    /// Time of all tries, waiting included, microseconds.
    duration_us: u64,
    /// Runs that wait now.
    waiting: usize,
    /// The last try that failed.
    last_error: Option<LastErrorView>,
}

/// A try that failed.
#[derive(Serialize, ToSchema)]
pub struct LastErrorView {
    /// Of which run.
    run_id: RunId,
    /// Of which function.
    function: String,
    /// When its event happened.
    at: Timestamp,
    /// What it said.
    text: String,
}

/// Run a scheduled entry of a trigger now.
///
/// The run is recorded like every other; follow it under `/runs/{id}`.
#[utoipa::path(post, path = "/triggers/{id}/run", tag = "triggers", params(("id" = ScriptId, Path)),
    request_body = RunTrigger, responses((status = 202, description = "It runs.", body = RunView)))]
async fn run_trigger(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ScriptId>,
    Input { value: asked, .. }: Input<RunTrigger>,
) -> Answer {
    let run = api.system.run_script(&caller, id, asked.function, asked.at).await?;
    let mut response = reply::created(&format!("/api/v1/runs/{}", run.id), run.version, &RunView::from(run))?;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Show how the runs of a trigger went.
#[utoipa::path(get, path = "/triggers/{id}/statistics", tag = "triggers", params(("id" = ScriptId, Path)),
    responses((status = 200, description = "Counts since the program started.", body = StatisticsView)))]
async fn show_statistics(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<ScriptId>) -> Answer {
    let counts = api.system.script_counts(&caller, id).await?;
    // The index in memory holds the unfinished ones alone.
    let waiting = api.store().index().count(Noun::ScriptRun, Field::Script, id.0.as_bytes());
    let last_error = counts.last_error.map(|error| LastErrorView {
        run_id: error.run_id,
        function: error.function,
        at: error.at,
        text: error.text,
    });
    reply::ok(&StatisticsView {
        succeeded: counts.succeeded,
        refused: counts.refused,
        failed: counts.failed,
        dead: counts.dead,
        duration_us: counts.duration_us,
        waiting,
        last_error,
    })
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
    show_record(&headers, &shown, run, RunView::from)
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

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_model::{CustomerId, RunCall};

    #[test]
    fn a_customer_is_told_which_run_set_its_own_off_and_not_what_that_called() {
        let before = RunId(Uuid::from_u128(2));
        let call =
            RunCall { number: 3, operation: "createServer".into(), about: Some(Uuid::from_u128(4)), job_id: None };
        let cause = Cause::Run { run_id: before, depth: 1, by_call: Some(Box::new(call)) };
        let shown = |owner| {
            let run = ScriptRun {
                id: RunId(Uuid::from_u128(1)),
                version: 1,
                script_id: ScriptId(Uuid::from_u128(5)),
                function: "watch".to_owned(),
                owner,
                seq: None,
                option: "ANY".to_owned(),
                resource_id: None,
                cause: cause.clone(),
                state: RunState::Succeeded,
                attempts: 1,
                next_at: None,
                duration_us: 0,
                log: String::new(),
                result: String::new(),
                created_at: Timestamp(0),
                finished_at: None,
                asked: None,
            };
            RunView::from(run).cause
        };
        assert_eq!(shown(Scope::Customer(CustomerId(Uuid::from_u128(6)))), Cause::run(before, 1));
        assert_eq!(shown(Scope::Provider), cause);
    }
}
