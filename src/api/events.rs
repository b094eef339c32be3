//! The change feed as server-sent events, scoped to the caller.
//!
//! A client that reads slowly costs one batch of entries and no snapshot: the next batch is read when the last event of
//! the one before was taken. Ids are feed positions, so `Last-Event-ID` resumes exactly; where entries are gone, 410.

use super::{
    Api, Shared,
    auth::Credential,
    common::{Answer, told},
    extract::{Params, Who},
    problem::{self, Problem},
    reach::Reach,
};
use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Sse, sse::Event},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use sutler_actors::Caller;
use sutler_model::{BillingEntityId, Cause, CustomerId, Noun, Permission, Scope, Timestamp};
use sutler_store::{Change, Error, FeedEntry, Field, Op as StoreOp, Store};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// Entries read at once; also the most that a slow client makes us hold.
const BATCH: usize = 64;
/// Proxies and clients give up on streams silent for longer than about half a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Streams one credential may hold open.
const STREAMS_EACH: usize = 20;

/// The route of the event stream.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(follow_events))
}

/// Where and what to follow.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// First position to send; the next one to come unless given. The header `Last-Event-ID` goes before it.
    from: Option<u64>,
    /// Only changes of these nouns, comma-separated: `server,job`.
    noun: Option<String>,
}

/// The data of an event of type `change`: one change set.
#[derive(Serialize, ToSchema)]
pub struct EventView {
    /// Its place in the feed; also the event's id.
    seq: u64,
    /// When it was committed.
    at: Timestamp,
    /// Why; customers see only its `kind`.
    #[schema(value_type = Object)]
    cause: Value,
    /// What, as far as the caller may see it.
    changes: Vec<ChangeView>,
}

/// One record's change.
#[derive(Serialize, ToSchema)]
pub struct ChangeView {
    /// `server.created`, `job.updated`, `user.deleted`.
    #[schema(example = "server.created")]
    event: String,
    /// Kind of record.
    noun: Noun,
    /// Which.
    id: Uuid,
    /// Its version afterwards (of a deletion: before).
    version: u64,
    /// Whose.
    customer_id: Option<Uuid>,
    /// Its seller.
    billing_entity_id: Option<Uuid>,
    /// What happened to it.
    op: Op,
    /// Changed fields: all of them for a creation (no old values) and a deletion (no new values); none for a run that went
    /// because it was old.
    fields: Vec<FieldView>,
}

/// What happened to a record.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// It came to be.
    Created,
    /// It changed.
    Updated,
    /// It is gone.
    Deleted,
}

/// One field's change.
#[derive(Serialize, ToSchema)]
pub struct FieldView {
    /// The field.
    #[schema(example = "state")]
    name: String,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "starting")]
    old: Option<Value>,
    /// After.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "running")]
    new: Option<Value>,
}

/// How many streams each credential holds.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<Credential, usize>>);

struct Place {
    api: Arc<Api>,
    credential: Credential,
}

impl Place {
    fn take(api: &Arc<Api>, credential: Credential) -> Result<Self, Problem> {
        let mut counts = api.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(credential).or_default();
        if *count >= STREAMS_EACH {
            return Err(Problem::rate_limited(HEARTBEAT));
        }
        *count += 1;
        Ok(Self { api: api.clone(), credential })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.api.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.credential) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.credential);
            }
        }
    }
}

struct Follower {
    place: Place,
    caller: Caller,
    nouns: Option<Vec<Noun>>,
    next: u64,
    /// The id the client has, to tell it of progress without events of its own.
    told: u64,
    ready: VecDeque<Event>,
    feed: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
}

/// Follow changes as they happen.
///
/// Events of type `change` carry one change set each, and an id to resume from. Comments keep the connection alive; the
/// stream ends when the credential does.
#[utoipa::path(get, path = "/events", tag = "events",
    params(EventFilter, ("Last-Event-ID" = Option<u64>, Header, description = "The last id received; goes on after it.")),
    responses(
        (status = 200, description = "Server-sent events.", content_type = "text/event-stream", body = EventView),
        (status = 410, description = "Entries asked for are no longer kept.", body = problem::Body,
            content_type = "application/problem+json")))]
async fn follow_events(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Extension(credential): Extension<Credential>,
    headers: HeaderMap,
    Params(asked): Params<EventFilter>,
) -> Answer {
    let feed = api.store().watch();
    let last = *feed.borrow();
    let next = match headers.get("last-event-id") {
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse::<u64>().ok());
            id.ok_or_else(|| Problem::malformed("Last-Event-ID", "must be a position such as 42"))?.saturating_add(1)
        }
        None => asked.from.unwrap_or(last + 1),
    };
    if next > last + 1 {
        // A position from before a restore: the client must read everything anew, as after a gap.
        return Err(Problem::trimmed(next, last + 1));
    }
    let nouns = asked.noun.as_deref().map(nouns).transpose()?;
    // Tells now, with a status, what a stream could only end with.
    read(api.store(), next, 1).await?;
    let place = Place::take(&api, credential)?;
    let follower = Follower {
        caller,
        nouns,
        next,
        told: next.saturating_sub(1),
        ready: VecDeque::from([Event::default().retry(Duration::from_secs(2)).comment("welcome")]),
        feed,
        stopping: api.stopping.clone(),
        place,
    };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.event().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).into_response())
}

impl Follower {
    /// The next event; none at the stream's end.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let api = self.place.api.clone();
            if !api.auth.still_valid(api.store(), self.place.credential.id) {
                return None;
            }
            let batch = match read(api.store(), self.next, BATCH).await {
                Ok(batch) => batch,
                Err(problem) => {
                    // Read too slowly, or the store fails: the client comes back and gets the status that says so.
                    tracing::debug!(kind = problem.kind, "an event stream ended");
                    return None;
                }
            };
            if let Some(last) = batch.last() {
                self.next = last.seq + 1;
                self.take(&api, batch);
                continue;
            }
            let next = self.next;
            let grown = async {
                drop(self.feed.wait_for(|last| *last >= next).await);
            };
            tokio::select! {
                () = told(&mut self.stopping) => return None,
                () = grown => {}
                () = tokio::time::sleep(HEARTBEAT) => return Some(self.heartbeat()),
            }
        }
    }

    fn take(&mut self, api: &Api, batch: Vec<FeedEntry>) {
        let reach = Reach::of(&self.caller, api.store());
        for entry in batch {
            let seq = entry.seq;
            let Some(view) = show(entry, &self.caller, &reach, self.nouns.as_deref(), api.store()) else { continue };
            if let Ok(event) = Event::default().id(seq.to_string()).event("change").json_data(view) {
                self.told = seq;
                self.ready.push_back(event);
            }
        }
    }

    /// A comment, which no client takes for an event; its id moves a client on that is shown none of what happens.
    fn heartbeat(&mut self) -> Event {
        let reached = self.next.saturating_sub(1);
        let beat = Event::default().comment("heartbeat");
        let told = std::mem::replace(&mut self.told, reached);
        if reached > told { beat.id(reached.to_string()) } else { beat }
    }
}

async fn read(store: &Store, from: u64, max: usize) -> Result<Vec<FeedEntry>, Problem> {
    let store = store.clone();
    let entries = tokio::task::spawn_blocking(move || store.feed(from, max)).await;
    entries.map_err(|e| Problem::internal(&e))?.map_err(|error: Error| error.into())
}

fn nouns(text: &str) -> Result<Vec<Noun>, Problem> {
    let shown: Vec<Noun> = Noun::ALL.into_iter().filter(|noun| permission(*noun).is_some()).collect();
    text.split(',')
        .map(|word| {
            shown.iter().copied().find(|noun| noun.name() == word.trim()).ok_or_else(|| {
                let all: Vec<_> = shown.iter().map(|noun| noun.name()).collect();
                Problem::malformed("noun", format!("there is no noun `{}`; there are: {}", word.trim(), all.join(", ")))
            })
        })
        .collect()
}

/// What one must be allowed to, to see changes of `noun`; none: nobody sees them.
fn permission(noun: Noun) -> Option<Permission> {
    match noun {
        Noun::Server | Noun::Disk | Noun::Image | Noun::Job | Noun::PluggableResource => Some(Permission::ServersRead),
        Noun::BillingEntity | Noun::Customer | Noun::User | Noun::ApiKey => Some(Permission::CustomersRead),
        Noun::Plan | Noun::Interval | Noun::Invoice | Noun::Measurement => Some(Permission::BillingRead),
        Noun::PaymentMethod | Noun::PaymentInstance | Noun::Transaction => Some(Permission::BillingRead),
        Noun::Script | Noun::ScriptRun | Noun::Blob => Some(Permission::ScriptsRead),
        Noun::Node => Some(Permission::OperatorRead),
        Noun::Session | Noun::Receipt | Noun::ScriptRevision | Noun::Notice | Noun::Datum => None,
        Noun::BlobContent | Noun::Remains => None,
    }
}

/// The part of an entry that `caller` may see; none when that is nothing.
fn show(entry: FeedEntry, caller: &Caller, reach: &Reach, nouns: Option<&[Noun]>, store: &Store) -> Option<EventView> {
    let entry = entry.masked();
    let customer_only = matches!(caller.scope, Scope::Customer(_));
    let changes: Vec<ChangeView> = entry
        .changes
        .iter()
        .filter(|c| nouns.is_none_or(|nouns| nouns.contains(&c.noun)))
        .filter(|c| permission(c.noun).is_some_and(|p| caller.permissions.contains(&p)))
        .filter(|c| covers(reach, c, store))
        .map(|c| view(c, customer_only))
        .collect();
    if changes.is_empty() {
        return None;
    }
    let cause = match (&entry.cause, customer_only) {
        (cause, false) => serde_json::to_value(cause).unwrap_or_default(),
        (Cause::Request { .. }, true) => json!({ "kind": "request" }),
        (Cause::Job { job_id }, true) => json!({ "kind": "job", "job_id": job_id }),
        (Cause::Run { .. }, true) => json!({ "kind": "run" }),
        (Cause::System { .. }, true) => json!({ "kind": "system" }),
    };
    Some(EventView { seq: entry.seq, at: entry.at, cause, changes })
}

fn covers(reach: &Reach, change: &Change, store: &Store) -> bool {
    match reach {
        Reach::All => true,
        Reach::Customer(id) => change.customer_id == Some(id.0) || (change.noun == Noun::Customer && change.id == id.0),
        Reach::Entities(entities) => match (change.noun, change.billing_entity_id, change.customer_id) {
            (Noun::BillingEntity, ..) => entities.contains(&BillingEntityId(change.id)),
            (_, Some(entity), _) => entities.contains(&BillingEntityId(entity)),
            // Scripts of customers name the customer alone.
            (_, None, Some(customer)) => entities.iter().any(|entity| {
                let customers = store.index().ids(Noun::Customer, Field::BillingEntity, entity.0.as_bytes());
                customers.into_iter().map(CustomerId).any(|c| c.0 == customer)
            }),
            (_, None, None) => false,
        },
    }
}

fn view(change: &Change, customer_only: bool) -> ChangeView {
    let (op, word) = match change.op {
        StoreOp::Created => (Op::Created, "created"),
        StoreOp::Updated => (Op::Updated, "updated"),
        StoreOp::Deleted => (Op::Deleted, "deleted"),
    };
    let shown = |name: &str, value: Option<Value>| {
        let mut value = value?;
        if customer_only {
            for_customers(name, &mut value);
        }
        Some(value)
    };
    let fields = change.fields();
    let fields = fields.iter().filter(|f| !hidden(change.noun, &f.name, customer_only)).map(|f| FieldView {
        old: shown(&f.name, change.old_value(&f.name)),
        new: shown(&f.name, change.new_value(&f.name)),
        name: f.name.clone(),
    });
    ChangeView {
        event: format!("{}.{word}", change.noun.name()),
        noun: change.noun,
        id: change.id,
        version: change.version,
        customer_id: change.customer_id,
        billing_entity_id: change.billing_entity_id,
        op,
        fields: fields.collect(),
    }
}

/// Fields that the records' own views leave out too.
fn hidden(noun: Noun, field: &str, customer_only: bool) -> bool {
    match noun {
        Noun::Job => matches!(field, "idempotency_key" | "request_hash" | "also_answers" | "cause" | "input"),
        Noun::Image => customer_only && matches!(field, "storage_key" | "boot"),
        Noun::Transaction => matches!(field, "cause") || (customer_only && matches!(field, "run_ids" | "script_id")),
        _ => false,
    }
}

/// Takes out of a value what customers are not to see; see [`super::common::hide_keys`].
fn for_customers(field: &str, value: &mut Value) {
    match (field, value) {
        ("keys", Value::Array(keys)) => {
            keys.retain(|key| matches!(key.get("kind").and_then(Value::as_str), None | Some("user" | "system")))
        }
        ("error", Value::Object(error)) => {
            error.remove("operator_message");
        }
        _ => {}
    }
}
