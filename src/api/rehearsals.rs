//! Test runs and replays of triggers: what they would do, without doing it.

use super::{
    Api, Shared,
    common::Answer,
    extract::{Id, Input, Who},
    reply,
};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use sutler_actors::{Rehearsal, ReplayRequest, TestRequest, Verdict};
use sutler_model::{ScriptId, Timestamp, TriggerType};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// Runs in one answer unless asked otherwise.
const LIMIT_DEFAULT: usize = 100;

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(test_trigger)).routes(routes!(replay_trigger))
}

/// A run over a past event, without effects.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"function": "on_failure"}))]
pub struct TestTrigger {
    /// A text to run in place of the trigger's newest one.
    source: Option<String>,
    /// Which function; may be left out where there is one.
    function: Option<String>,
    /// The event's place in the feed (`seq` of a run or of the event stream); the last that fits unless given.
    seq: Option<u64>,
}

/// Runs over a past period, without effects.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "2026-11-01T00:00:00Z"}))]
pub struct ReplayTrigger {
    /// A text to run in place of the trigger's newest one.
    source: Option<String>,
    /// Events from here on.
    from: Timestamp,
    /// Where an earlier answer ended (`next_seq`), in place of `from`.
    from_seq: Option<u64>,
    /// Events before here; until now unless given.
    to: Option<Timestamp>,
    /// At most this many runs, up to 1000.
    #[schema(default = 100, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// How a run without effects ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HowItEnded {
    /// Well.
    Succeeded,
    /// It refused the event.
    Refused,
    /// It raised an error or passed a limit.
    Failed,
}

/// What a run over a past event would have done.
#[derive(Serialize, ToSchema)]
pub struct RehearsalView {
    /// Of which function.
    function: String,
    /// Of which type it is. A PRE entry is shown the record as it was stored.
    trigger_type: TriggerType,
    /// The event's place in the feed; null for scheduled entries and `init`.
    seq: Option<u64>,
    /// When the event happened.
    at: Timestamp,
    /// Which option fired.
    option: String,
    /// The record it is about.
    resource_id: Option<Uuid>,
    /// How it ended.
    verdict: HowItEnded,
    /// What it returned, the reason of its refusal, or its error.
    result: String,
    /// What it printed.
    log: String,
    /// Time it took, microseconds.
    duration_us: u64,
    /// Requests it would have sent.
    requests: Vec<RequestView>,
    /// What it would have done on the platform.
    writes: Vec<WriteView>,
    /// What a PRE entry would have changed on the record.
    changes: Vec<ChangeView>,
}

/// A request that was not sent.
#[derive(Serialize, ToSchema)]
pub struct RequestView {
    /// `GET`, `POST` and so on.
    method: String,
    /// Where to, without user name, password and query.
    url: String,
    /// Length of the body, bytes.
    sent_bytes: u64,
    /// Why it would not have been sent, for example by the egress policy.
    error: Option<String>,
}

/// An operation that was not carried out.
#[derive(Serialize, ToSchema)]
pub struct WriteView {
    /// Its name in the language.
    operation: String,
    /// Its arguments.
    args: Vec<Value>,
}

/// A property that would have changed.
#[derive(Serialize, ToSchema)]
pub struct ChangeView {
    /// Its name in the language.
    property: String,
    /// Before.
    old: Value,
    /// After.
    new: Value,
}

/// What a trigger would have done over a period.
#[derive(Serialize, ToSchema)]
pub struct ReplayView {
    /// How many runs would have ended well.
    succeeded: usize,
    /// How many would have refused their event.
    refused: usize,
    /// How many would have failed.
    failed: usize,
    /// Each run, in the order of the events.
    items: Vec<RehearsalView>,
    /// Pass it as `from_seq` to go on; null at the end of the period.
    next_seq: Option<u64>,
}

impl From<Rehearsal> for RehearsalView {
    fn from(run: Rehearsal) -> Self {
        let requests = run.requests.into_iter().map(|call| RequestView {
            method: call.method,
            url: call.url,
            sent_bytes: call.sent_bytes,
            error: call.error,
        });
        let writes = run.writes.into_iter().map(|write| WriteView { operation: write.operation, args: write.args });
        let changes = run.changes.into_iter().map(|(property, old, new)| ChangeView { property, old, new });
        Self {
            function: run.function,
            trigger_type: run.trigger_type,
            seq: run.seq,
            at: run.at,
            option: run.option,
            resource_id: run.resource_id,
            verdict: match run.verdict {
                Verdict::Succeeded => HowItEnded::Succeeded,
                Verdict::Refused => HowItEnded::Refused,
                Verdict::Failed => HowItEnded::Failed,
            },
            result: run.result,
            log: run.log,
            duration_us: run.duration_us,
            requests: requests.collect(),
            writes: writes.collect(),
            changes: changes.collect(),
        }
    }
}

/// Test a trigger.
///
/// Runs one function over a past event without effects: what it would write or send is noted and answered as if it had
/// been done. Nothing is recorded.
#[utoipa::path(post, path = "/triggers/{id}/test", tag = "triggers", params(("id" = ScriptId, Path)),
    request_body = TestTrigger,
    responses((status = 200, description = "What it would have done.", body = RehearsalView)))]
async fn test_trigger(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ScriptId>,
    Input { value: asked, .. }: Input<TestTrigger>,
) -> Answer {
    let test = TestRequest { source: asked.source, function: asked.function, seq: asked.seq };
    reply::ok(&RehearsalView::from(api.system.test_script(&caller, id, test).await?))
}

/// Replay a trigger over a past period.
///
/// Runs its functions over what happened then, without effects. A long period is answered in parts.
#[utoipa::path(post, path = "/triggers/{id}/replay", tag = "triggers", params(("id" = ScriptId, Path)),
    request_body = ReplayTrigger,
    responses((status = 200, description = "What it would have done.", body = ReplayView)))]
async fn replay_trigger(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ScriptId>,
    Input { value: asked, .. }: Input<ReplayTrigger>,
) -> Answer {
    let request = ReplayRequest {
        source: asked.source,
        from: asked.from,
        from_seq: asked.from_seq,
        to: asked.to,
        limit: asked.limit.unwrap_or(LIMIT_DEFAULT),
    };
    let replay = api.system.replay_script(&caller, id, request).await?;
    let count = |verdict| replay.items.iter().filter(|run| run.verdict == verdict).count();
    let (succeeded, refused) = (count(Verdict::Succeeded), count(Verdict::Refused));
    let failed = count(Verdict::Failed);
    let items = replay.items.into_iter().map(RehearsalView::from).collect();
    reply::ok(&ReplayView { succeeded, refused, failed, items, next_seq: replay.next_seq })
}
