//! Test runs and replays: a block's functions over past events, without effects.
//!
//! A PRE entry is shown what its POST counterpart saw: the record as it was stored.

use super::{
    Env,
    attempt::{call, draft, texts, who},
    dispatch::{blocking, each_match},
    events::Event,
    metadata,
    occasion::{Occasion, is_deed, occasion},
    schedule,
    table::{Armed, Table},
    trigger::SCHEDULE,
};
use crate::Error;
use serde_json::Value;
use std::{sync::Arc, time::Duration, time::Instant};
use sutler_lua::{Exit, Input, OutboundCall, Outcome, Params, Who, Write};
use sutler_model::{Cause, Entry, FieldError, ScriptRun, Server, Timestamp, TriggerType};
use sutler_store::{Error as StoreError, FeedEntry, Store};
use uuid::Uuid;

/// Entries read at once.
const BATCH: usize = 256;
/// How far back an event is looked for, entries.
const LOOK_BACK: u64 = 100_000;
/// How long a replay may take before it hands over to the next.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a rehearsal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ended well.
    Succeeded,
    /// It refused the event.
    Refused,
    /// It raised an error or passed a limit.
    Failed,
}

/// What a run over a past event would have done.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// Of which function.
    pub function: String,
    /// Of which type it is.
    pub trigger_type: TriggerType,
    /// The event's place in the feed; none for scheduled entries and `init`.
    pub seq: Option<u64>,
    /// When the event happened.
    pub at: Timestamp,
    /// Which option fired.
    pub option: String,
    /// The record it is about.
    pub resource_id: Option<Uuid>,
    /// How it ended.
    pub verdict: Verdict,
    /// What it returned, the reason of its refusal, or its error.
    pub result: String,
    /// What it printed.
    pub log: String,
    /// Time it took, microseconds.
    pub duration_us: u64,
    /// Requests it would have sent.
    pub requests: Vec<OutboundCall>,
    /// What it would have done on the platform.
    pub writes: Vec<Write>,
    /// What a PRE entry would have changed on the record: property, before, after.
    pub changes: Vec<(String, Value, Value)>,
}

/// What a block would have done over a past period.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Each run, in the order of the events.
    pub items: Vec<Rehearsal>,
    /// Where to go on, when the period is not at its end.
    pub next_seq: Option<u64>,
}

/// A past event that an entry matches.
struct Past {
    entry: Entry,
    seq: Option<u64>,
    at: Timestamp,
    occasion: Occasion,
}

/// Runs a function over the event at `seq`, or over the last one that it matches.
///
/// # Errors
/// [`Error::Invalid`] for a function that is not there and an event that it does not match; those of the store.
pub(crate) async fn rehearse(
    env: &Env,
    script: Armed,
    function: Option<String>,
    seq: Option<u64>,
) -> Result<Rehearsal, Error> {
    let entry = chosen(&script, function.as_deref())?.clone();
    let wrong = |detail: String| Error::Invalid(vec![FieldError::new("seq", detail)]);
    let past = match entry.trigger_type {
        TriggerType::Scheduled | TriggerType::Init if seq.is_some() => {
            return Err(wrong(format!("`{}` is not set off by events", entry.function)));
        }
        TriggerType::Scheduled | TriggerType::Init => unprompted(env, &Arc::new(script.clone()), entry).await?,
        _ => {
            let (env, script) = (env.clone(), script.clone());
            let missing = match seq {
                Some(seq) => format!("the event {seq} is not there, or does not set off `{}`", entry.function),
                None => format!("no event of the last {LOOK_BACK} sets off `{}`; make one happen", entry.function),
            };
            let found = blocking(move || last_match(&env, &script, &entry, seq)).await?;
            found.ok_or_else(|| wrong(missing))?
        }
    };
    Ok(run(env, &script, past).await)
}

/// Runs a block over what happened from `from` up to `to` (not included), at most `max` events.
///
/// # Errors
/// Those of the store.
pub(crate) async fn replay(env: &Env, script: Armed, from: u64, to: u64, max: usize) -> Result<Replay, Error> {
    let (mut next, mut items, begun) = (from, Vec::new(), Instant::now());
    while next < to {
        let (seen, looked) = (env.clone(), script.clone());
        let step = BATCH.min(usize::try_from(to - next).unwrap_or(BATCH));
        let (found, last) = blocking(move || {
            let entries = seen.core.store.feed(next, step)?;
            let last = entries.last().map(|entry| entry.seq);
            Ok((matches(&seen, &looked, &entries)?, last))
        })
        .await?;
        let Some(last) = last else { break };
        for past in found {
            if items.len() == max || begun.elapsed() > PATIENCE {
                return Ok(Replay { items, next_seq: past.seq });
            }
            items.push(run(env, &script, past).await);
        }
        next = last + 1;
    }
    Ok(Replay { items, next_seq: None })
}

/// The first entry of the feed at or after a time, among those kept.
///
/// # Errors
/// Those of the store.
pub(crate) async fn seq_at(env: &Env, at: Timestamp) -> Result<u64, Error> {
    let store = env.core.store.clone();
    Ok(blocking(move || first_since(&store, at)).await?)
}

/// Times only grow along the feed.
fn first_since(store: &Store, at: Timestamp) -> Result<u64, StoreError> {
    let (mut low, mut high) = (store.stats().oldest_seq.max(1), *store.watch().borrow() + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match store.feed(middle, 1)?.first() {
            Some(entry) if entry.at < at => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

fn chosen<'s>(script: &'s Armed, function: Option<&str>) -> Result<&'s Entry, Error> {
    let wrong = |detail: String| Error::Invalid(vec![FieldError::new("function", detail)]);
    let names = || script.entries.iter().map(|entry| entry.function.as_str()).collect::<Vec<_>>().join(", ");
    match (function, &script.entries[..]) {
        (_, []) => Err(wrong("the block registers no entry that could run".to_owned())),
        (None, [one]) => Ok(one),
        (None, _) => Err(wrong(format!("say which of {}", names()))),
        (Some(name), entries) => entries
            .iter()
            .find(|entry| entry.function == name)
            .ok_or_else(|| wrong(format!("`{name}` is none of {}", names()))),
    }
}

/// What sets off a scheduled entry, and `init`.
async fn unprompted(env: &Env, script: &Arc<Armed>, entry: Entry) -> Result<Past, Error> {
    let at = env.core.now();
    let run = draft(script, &entry, env.core.new_id(), "ANY", Cause::system(SCHEDULE), at);
    let occasion = match entry.trigger_type {
        TriggerType::Scheduled => {
            schedule::recall(env, script, &run).await.map_err(|detail| Error::Busy { detail, retry_after_s: 1 })?
        }
        _ => Occasion { params: Params::default(), resource: script.id.0, depth: 0 },
    };
    Ok(Past { entry, seq: None, at, occasion })
}

/// The block as if its PRE entries were the POST entries of the same events.
fn in_hindsight(script: &Armed) -> Armed {
    let mut script = Armed { from_seq: 0, ..script.clone() };
    for entry in &mut script.entries {
        if entry.trigger_type == TriggerType::PreServerMetadataUpdate {
            entry.options = vec![STARTED.to_owned()];
        }
        entry.trigger_type = match entry.trigger_type {
            TriggerType::PreCreate => TriggerType::PostCreate,
            TriggerType::PreModify => TriggerType::PostModify,
            TriggerType::PreDelete => TriggerType::PostDelete,
            TriggerType::PreJobStateChange => TriggerType::PostJobStateChange,
            TriggerType::PreServerStateChange => TriggerType::PostServerStateChange,
            TriggerType::PrePurchase => TriggerType::PostPurchase,
            TriggerType::PrePayment => {
                // Its options are functions, those of what comes after it results.
                entry.options = Vec::new();
                TriggerType::PostPayment
            }
            TriggerType::TaxCalculation => {
                entry.options = vec!["INVOICE".to_owned()];
                TriggerType::PostCreate
            }
            TriggerType::PreServerMetadataUpdate => TriggerType::PostServerStateChange,
            TriggerType::PreAuth => TriggerType::PostAuth,
            TriggerType::PreUserApiCall => TriggerType::PostUserApiCall,
            TriggerType::PreAdminApiCall => TriggerType::PostAdminApiCall,
            other => other,
        };
    }
    script
}

/// The option of the event at which metadata had been told.
const STARTED: &str = "RUNNING";

/// Makes a server's start what its script was asked before it.
fn with_metadata(occasion: &mut Occasion, server: &Server) {
    if let Input::Bean(bean) = std::mem::take(&mut occasion.params.input) {
        occasion.params.input =
            Input::Metadata { server: bean, document: metadata::document(server, server.runtime_metadata.as_deref()) };
        occasion.params.option = "ANY".to_owned();
    }
}

/// The runs that some entries of the feed set off.
fn matches(env: &Env, script: &Armed, entries: &[FeedEntry]) -> Result<Vec<Past>, StoreError> {
    let mut table = Table::default();
    table.arm(in_hindsight(script));
    let mut found = Vec::new();
    each_match(env, &table, entries, |beans, entry, event: &Event, hook| {
        // As the block itself has it, PRE types included.
        if let Some(own) = script.entries.iter().find(|own| own.function == hook.entry().function) {
            // Of what was done at once nobody was asked as of a job.
            if own.trigger_type == TriggerType::PreJobStateChange && is_deed(event) {
                return Ok(());
            }
            let mut occasion = occasion(beans, entry, event)?;
            if own.trigger_type == TriggerType::PreServerMetadataUpdate {
                let Some(server) = beans.snapshot().get::<Server>(event.id)? else { return Ok(()) };
                with_metadata(&mut occasion, &server);
            }
            found.push(Past { entry: own.clone(), seq: Some(entry.seq), at: entry.at, occasion });
        }
        Ok(())
    })?;
    Ok(found)
}

/// The run of one function that the event at `seq`, or the last that matches, sets off.
fn last_match(env: &Env, script: &Armed, entry: &Entry, seq: Option<u64>) -> Result<Option<Past>, StoreError> {
    let of_it = |entries: &[FeedEntry]| -> Result<Option<Past>, StoreError> {
        Ok(matches(env, script, entries)?.into_iter().rfind(|past| past.entry.function == entry.function))
    };
    let store = &env.core.store;
    if let Some(seq) = seq {
        let entries = match store.feed(seq, 1) {
            Err(StoreError::Trimmed { .. }) => return Ok(None),
            entries => entries?,
        };
        return of_it(&entries.into_iter().filter(|entry| entry.seq == seq).collect::<Vec<_>>());
    }
    let mut end = *store.watch().borrow() + 1;
    let floor = store.stats().oldest_seq.max(1).max(end.saturating_sub(LOOK_BACK));
    while end > floor {
        let start = end.saturating_sub(BATCH as u64).max(floor);
        let entries = store.feed(start, usize::try_from(end - start).unwrap_or(BATCH))?;
        if let Some(past) = of_it(&entries)? {
            return Ok(Some(past));
        }
        end = start;
    }
    Ok(None)
}

async fn run(env: &Env, script: &Armed, past: Past) -> Rehearsal {
    let Past { entry, seq, at, occasion } = past;
    let settings = &env.core.settings;
    let deadline = if entry.trigger_type.is_pre() { settings.pre_deadline_ms } else { settings.post_deadline_ms };
    let (option, resource) = (occasion.params.option.clone(), occasion.resource);
    let (before, document) = match &occasion.params.input {
        Input::Bean(bean) => (Some(bean.clone()), None),
        Input::Metadata { server, document } => (Some(server.clone()), Some(document.clone())),
        _ => (None, None),
    };
    let run: ScriptRun = draft(script, &entry, env.core.new_id(), &option, Cause::system("rehearsal"), at);
    let who = Who { rehearsal: true, ..who(script, &run, occasion.depth) };
    let outcome: Outcome = env.runtime.run(call(script, texts(env, script).await, &run, occasion, deadline, who)).await;
    let mut changes = match (before, &outcome.input) {
        (Some(before), Some(after)) if entry.trigger_type.is_pre() => changed(&before, after),
        _ => Vec::new(),
    };
    if let (Some(old), Some(new)) = (document, &outcome.document)
        && old != *new
    {
        changes.push(("metadata".to_owned(), Value::from(old), Value::from(new.as_str())));
    }
    Rehearsal {
        function: entry.function,
        trigger_type: entry.trigger_type,
        seq,
        at,
        option,
        resource_id: Some(resource).filter(|id| !id.is_nil()),
        verdict: match outcome.exit {
            Exit::Success | Exit::Continue => Verdict::Succeeded,
            Exit::Refused(_) => Verdict::Refused,
            Exit::Failed(_) | Exit::Stopped(_) => Verdict::Failed,
        },
        result: super::attempt::result(&outcome),
        log: outcome.log,
        duration_us: outcome.duration_us,
        requests: outcome.calls,
        writes: outcome.writes,
        changes,
    }
}

fn changed(before: &sutler_lua::Bean, after: &sutler_lua::Bean) -> Vec<(String, Value, Value)> {
    let (old, new) = (&before.properties.to_map(), &after.properties.to_map());
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let value = |map: &serde_json::Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or_default();
    // A list that was only looked at comes back empty rather than absent.
    let blank = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let pairs = names.into_iter().map(|name| (name.clone(), value(old, name), value(new, name)));
    pairs.filter(|(_, old, new)| old != new && !(blank(old) && blank(new))).collect()
}
