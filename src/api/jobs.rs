//! Jobs: what was accepted, how far it is, why it failed.

use super::{
    Api, Shared,
    common::{Answer, find, words},
    extract::{Id, Params, Who},
    page::{Listed, Listing, Paging, Shown, list, show_record},
    reach::{Reach, key},
    reply,
};
use axum::{extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sutler_actors::Caller;
use sutler_model::{
    BillingEntityId, CustomerId, Job, JobId, JobInput, JobState, Noun, Permission, Scope, StepState, Timestamp, UserId,
};
use sutler_store::{Field, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_jobs)).routes(routes!(show_job)).routes(routes!(cancel_job))
}

/// Filters of the list of jobs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct JobFilter {
    /// For this customer.
    customer_id: Option<CustomerId>,
    /// In one of these states, comma-separated.
    #[param(example = "in_progress,waiting")]
    state: Option<String>,
    /// Whether they wait for a later time.
    scheduled: Option<bool>,
    /// Working on this record.
    item_id: Option<Uuid>,
    /// Part of this job.
    parent_id: Option<JobId>,
}

/// A durable unit of work.
#[derive(Serialize, ToSchema)]
pub struct JobView {
    /// Its id.
    id: JobId,
    /// Counts changes, from 1.
    version: u64,
    /// What it does: `create_server`.
    kind: &'static str,
    /// Of the kind `operation`: which operation of a script it carries out.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// The kind of record it works on.
    item_noun: Noun,
    /// The record it works on.
    item_id: Uuid,
    /// The record's name when the job was accepted.
    item_name: String,
    /// Whose resource it is; null for a seller's own.
    customer_id: Option<CustomerId>,
    /// The customer's seller.
    billing_entity_id: BillingEntityId,
    /// Who asked; null for the process itself.
    user_id: Option<UserId>,
    /// The job it is part of.
    parent_id: Option<JobId>,
    /// Its life.
    state: JobState,
    /// Whether nothing more happens by itself.
    finished: bool,
    /// The step that runs now.
    current: Option<StepState>,
    /// Steps done so far, in order.
    done: Vec<String>,
    /// 0–100.
    progress_percent: u8,
    /// Why it failed.
    error: Option<JobErrorView>,
    /// Someone asked to stop it.
    cancel_requested: bool,
    /// When it is given up.
    deadline_at: Timestamp,
    /// The time it was accepted for; null: at once.
    start_at: Option<Timestamp>,
    /// Waits for `start_at`; until then nothing of it has begun.
    scheduled: bool,
    /// When it was accepted.
    created_at: Timestamp,
    /// When its first step began.
    started_at: Option<Timestamp>,
    /// When it ended.
    finished_at: Option<Timestamp>,
}

/// Why a job failed.
#[derive(Serialize, ToSchema)]
pub struct JobErrorView {
    /// Stable word: `no_capacity`, `refused`, `deadline`.
    code: String,
    /// For the customer.
    message: String,
    /// For the seller's staff; not shown to customers.
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_message: Option<String>,
}

impl JobView {
    /// A job as `caller` sees it. The caller's own idempotency key stays with us.
    pub fn of(job: Job, caller: &Caller) -> Self {
        let staff = !matches!(caller.scope, Scope::Customer(_));
        Self {
            id: job.id,
            version: job.version,
            kind: job.input.kind(),
            operation: match &job.input {
                JobInput::Operation { name, .. } => Some(name.clone()),
                _ => None,
            },
            item_noun: job.item_noun,
            item_id: job.item_id,
            item_name: job.item_name,
            customer_id: job.customer_id,
            billing_entity_id: job.billing_entity_id,
            user_id: job.user_id,
            parent_id: job.parent_id,
            state: job.state,
            finished: job.state.is_final(),
            current: job.current,
            done: job.done,
            progress_percent: job.progress_percent,
            error: job.error.map(|e| JobErrorView {
                code: e.code,
                message: e.message,
                operator_message: e.operator_message.filter(|_| staff),
            }),
            cancel_requested: job.cancel_requested,
            deadline_at: job.deadline_at,
            start_at: job.start_at,
            scheduled: job.scheduled,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

/// List jobs.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(JobFilter, Paging),
    responses((status = 200, description = "A page of jobs.", body = Listed<JobView>)))]
async fn list_jobs(State(api): State<Arc<Api>>, Who(caller): Who, listing: Listing<JobFilter>) -> Answer {
    caller.must(Permission::ServersRead)?;
    let asked = listing.filter;
    let mut filter = Reach::of(&caller, api.store()).narrow(Filter::new());
    if let Some(id) = asked.customer_id {
        filter = filter.is(Field::Customer, key(id));
    }
    if let Some(states) = &asked.state {
        filter = filter.any(Field::State, words::<JobState>("state", states)?);
    }
    if let Some(scheduled) = asked.scheduled {
        filter = filter.when(move |job: &Job| job.scheduled == scheduled);
    }
    if let Some(id) = asked.item_id {
        filter = filter.is(Field::Subject, key(id));
    }
    if let Some(id) = asked.parent_id {
        filter = filter.is(Field::Parent, key(id));
    }
    list(&api, &caller, filter, listing.page, JobView::of).await
}

/// Show a job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = JobId, Path), Shown),
    responses((status = 200, description = "The job.", body = JobView)))]
async fn show_job(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<JobId>,
    Params(shown): Params<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.must(Permission::ServersRead)?;
    let job: Job = find(&api, &caller, id).await?;
    show_record(&headers, &shown, job, |job| JobView::of(job, &caller))
}

/// Ask a job to stop.
///
/// What it has done is reversed. Asking twice is the same as asking once.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = JobId, Path)),
    responses((status = 202, description = "Asked; follow the job.", body = JobView)))]
async fn cancel_job(State(api): State<Arc<Api>>, Who(caller): Who, Id(id): Id<JobId>) -> Answer {
    let job = api.system.cancel_job(&caller, id).await?;
    reply::accepted(&job, &JobView::of(job.clone(), &caller))
}
