//! One try of one run: prepare, run the Lua, decide what its end means, record it.

use super::{
    Before, Env,
    beans::{Beans, FEW},
    dispatch::Receipt,
    events::{Event, events, run_id},
    occasion::{Occasion, locate, occasion},
    schedule,
    schedule::root,
    table::{Armed, spelled},
};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use sutler_lua::{Block, Call, Exit, Limits, Outcome, Texts, Who};
use sutler_model::{BillingEntity, Cause, Customer, Entry, RunId, RunState, Scope, ScriptId, ScriptRun, Timestamp};
use sutler_store::{ChangeSet, Error as StoreError, Store};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Runs that set each other off end here: no sensible automation is this deep, and a loop is stopped within a second.
pub(crate) const DEPTH_MAX: u8 = 8;
/// Longest pause between two tries.
const PAUSE_MAX_MS: u64 = 3_600_000;
/// Each pause is this many times the one before: with the defaults eight tries span 23 minutes, which outlasts the
/// restart of whatever a script talks to.
const PAUSE_FACTOR: u64 = 4;
/// While the store's disk is full, the outcome of a run is offered to it this often.
const DISK_FULL_MS: u64 = 1_000;

/// A run on its way.
pub(super) struct Item {
    /// As stored, or as it will be.
    pub run: ScriptRun,
    /// Whether the store has it.
    pub stored: bool,
    /// Whether it may have been recorded before a crash.
    pub check: bool,
    /// Whether a scheduled run waits behind the one before rather than being passed over.
    pub queues: bool,
    /// What it is told; none: read again from the feed.
    pub occasion: Option<Box<Occasion>>,
    /// Whether another run waits until this one is recorded.
    pub awaited: bool,
    /// Tells the dispatcher that the run is recorded.
    pub receipt: Option<Receipt>,
}

impl Item {
    /// A run that the store knows.
    pub(super) fn stored(run: ScriptRun) -> Self {
        Self { run, stored: true, check: false, queues: false, occasion: None, awaited: false, receipt: None }
    }

    /// Says that nothing of this item can be lost any more.
    pub(super) fn settle(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            receipt.settle();
        }
    }
}

/// How a try ended.
pub(super) enum Ended {
    /// There is nothing more to do.
    Over(RunId),
    /// It is tried again at the run's `next_at`.
    Again(Item),
    /// The script is disabled or paused; the run, which the store has, waits for it.
    Parked(Item),
    /// The store takes nothing more.
    Stopped,
}

/// A run that was not tried yet.
pub(super) fn draft(script: &Armed, entry: &Entry, id: RunId, option: &str, cause: Cause, at: Timestamp) -> ScriptRun {
    draft_of(script, &entry.function, id, option, cause, at)
}

/// The same of any function.
pub(super) fn draft_of(
    script: &Armed,
    function: &str,
    id: RunId,
    option: &str,
    cause: Cause,
    at: Timestamp,
) -> ScriptRun {
    ScriptRun {
        id,
        version: 0,
        script_id: script.id,
        function: function.to_owned(),
        owner: script.owner,
        seq: None,
        option: option.to_owned(),
        resource_id: None,
        cause,
        state: RunState::Pending,
        attempts: 0,
        next_at: None,
        duration_us: 0,
        log: String::new(),
        result: String::new(),
        created_at: at,
        finished_at: None,
        asked: None,
    }
}

/// Tries a run once, in one of its script's places, and records how it went. What few tries wait for is boxed, for there are
/// hundreds at a time.
pub(super) async fn attempt(env: &Env, script: ScriptId, mut item: Item, places: &Semaphore) -> Ended {
    let id = item.run.id;
    // Before anything is looked at, for it may have changed meanwhile. They are never closed.
    let mut place = places.acquire().await.ok();
    if item.stored {
        // Someone may have skipped it while it waited.
        match Box::pin(env.core.store.get::<ScriptRun>(id)).await {
            Ok(Some(run)) if is_live(run.state) => item.run = run,
            Ok(_) => return Ended::Over(id),
            Err(error) => return stopped(&error),
        }
    }
    let armed = match env.armed(script) {
        Some(armed) if !armed.paused => armed,
        // What happens while it is paused is kept for it; but the times of a schedule that pass are missed.
        Some(_) if !item.stored && item.run.seq.is_some() => {
            return match Box::pin(record_pending(env, vec![item])).await.pop() {
                Some(item) => Ended::Parked(item),
                None => Ended::Stopped,
            };
        }
        _ if item.stored => return Ended::Parked(item),
        _ => {
            item.settle();
            return Ended::Over(id);
        }
    };
    let occasion = match item.occasion.take() {
        Some(occasion) => Ok(*occasion),
        None => Box::pin(recall(env, &armed, &item.run)).await,
    };
    let max = if item.run.seq.is_none() { 1 } else { env.core.settings.run_tries_max.max(1) };
    let old = item.stored.then(|| item.run.clone());
    let run = &mut item.run;
    run.attempts += 1;
    // One that was tried before: here, or by the program before a crash.
    let repeated = item.stored || item.check;
    let (mut depth, mut reached_out) = (0, false);
    match occasion {
        Err(reason) => conclude(run, RunState::Dead, reason),
        Ok(occasion) if occasion.depth >= DEPTH_MAX => {
            depth = occasion.depth;
            conclude(run, RunState::Dead, format!("stopped: {DEPTH_MAX} runs set each other off before this one"));
        }
        Ok(mut occasion) => {
            depth = occasion.depth;
            // It has happened; what the script changes on it is its own.
            occasion.params.spent = true;
            run.resource_id.get_or_insert(occasion.resource);
            env.budgets.turn(armed.owner).await;
            let outcome = execute(env, &armed, run, occasion, env.core.settings.post_deadline_ms, repeated).await;
            reached_out = outcome.reached_out;
            // What was done outside is done again if the record is lost: it is not put off, and keeps its place until then.
            if outcome.calls.is_empty() {
                place = None;
            } else {
                item.awaited = true;
            }
            let state = verdict(&outcome.exit, run.attempts, max);
            note(run, &outcome);
            conclude(run, state, result(&outcome));
        }
    }
    let now = env.core.now();
    match run.state {
        RunState::Retrying => {
            let pause = pause_ms(env.core.settings.retry_base_ms, run.attempts, rand::random());
            run.next_at = Some(now.plus_ms(i64::try_from(pause).unwrap_or(i64::MAX)));
            run.finished_at = None;
        }
        _ => {
            run.next_at = None;
            run.finished_at = Some(now);
        }
    }
    env.tally.note(run);
    let how = How { awaited: item.awaited, may_have_called: reached_out || item.run.attempts > 1 };
    let cause = Cause::run(id, depth);
    match record_for(env, &cause, old.as_ref(), &mut item.run, how).await {
        Ok(()) => {}
        // Another hand was on it: an operator skipped it, or it was recorded before a crash.
        Err(StoreError::Conflict { .. }) => {
            item.settle();
            return Ended::Over(id);
        }
        Err(error) => return stopped(&error),
    }
    drop(place);
    item.stored = true;
    item.settle();
    if item.run.state == RunState::Retrying { Ended::Again(item) } else { Ended::Over(id) }
}

fn stopped(error: &StoreError) -> Ended {
    tracing::warn!(%error, "a run could not be recorded; it is taken up again at the next start");
    Ended::Stopped
}

/// Whether a run still has something to do.
pub(super) const fn is_live(state: RunState) -> bool {
    matches!(state, RunState::Pending | RunState::Retrying)
}

/// What the Lua runtime is asked to do.
pub(super) fn call(
    script: &Armed,
    texts: Texts,
    run: &ScriptRun,
    occasion: Occasion,
    deadline_ms: u64,
    who: Who,
) -> Call {
    let mut params = occasion.params;
    if let Some(entry) = script.entries.iter().find(|entry| entry.function == run.function) {
        params.option = spelled(entry, &params.option).to_owned();
        params.origin.trigger = Some(entry.trigger_type);
    }
    params.origin.seq = run.seq;
    params.origin.attempt = run.attempts.max(1);
    params.origin.cause = Some(run.cause.clone());
    Call {
        block: Block { id: script.id, version: script.version, source: Arc::clone(&script.source), texts },
        function: run.function.clone(),
        who,
        params,
        limits: Limits { deadline_ms, ..Limits::default() },
    }
}

/// For whom a script's run acts.
pub(super) fn who(script: &Armed, run: &ScriptRun, depth: u8) -> Who {
    Who {
        owner: script.owner,
        script: Some(script.id),
        run_id: run.id,
        depth,
        unrecorded: false,
        repeated: false,
        rehearsal: false,
    }
}

/// What `translate` answers in a script's runs. The language is read when it is needed, so that a change counts at once.
pub(super) async fn texts(env: &Env, script: &Armed) -> Texts {
    let translations = script.translations.clone();
    if translations.is_empty() {
        return Texts::default();
    }
    let language = Box::pin(language(&env.core.store, script.owner)).await;
    if let Err(error) = &language {
        tracing::warn!(%error, script = %script.id, "its owner's language could not be read; it gets English");
    }
    Texts { translations, language: language.ok().flatten() }
}

/// The language of an owner: that of its seller, or of the nearest one above that has one.
///
/// # Errors
/// Those of the store.
pub(super) async fn language(store: &Store, owner: Scope) -> Result<Option<String>, StoreError> {
    let read = store.read(move |snapshot| {
        let seller = match owner {
            Scope::Provider => root(snapshot)?,
            Scope::Entity(id) => Some(id),
            Scope::Customer(id) => snapshot.get::<Customer>(id)?.map(|customer| customer.billing_entity_id),
        };
        let mut next = seller;
        while let Some(id) = next {
            let Some(entity) = snapshot.get::<BillingEntity>(id)? else { break };
            if entity.language.is_some() {
                return Ok(entity.language);
            }
            next = entity.parent_id;
        }
        Ok(None)
    });
    read.await
}

/// Runs the Lua. A `repeated` run may have been tried before.
pub(super) async fn execute(
    env: &Env,
    script: &Armed,
    run: &ScriptRun,
    occasion: Occasion,
    deadline_ms: u64,
    repeated: bool,
) -> Outcome {
    let who = Who { unrecorded: env.reaching.waits(run.id), repeated, ..who(script, run, occasion.depth) };
    let call = call(script, texts(env, script).await, run, occasion, deadline_ms, who);
    let behind = match run.cause {
        Cause::Job { job_id } => Some(job_id),
        _ => None,
    };
    if let Some(job) = behind {
        let before = Before { job, held: env.reaching.knows(run.id) };
        env.behind.lock().unwrap_or_else(PoisonError::into_inner).insert(run.id, before);
    }
    let outcome = env.runtime.run(call).await;
    env.budgets.charge(script.owner, outcome.cpu_us);
    if behind.is_some() {
        env.behind.lock().unwrap_or_else(PoisonError::into_inner).remove(&run.id);
    }
    #[allow(clippy::cast_precision_loss)]
    metrics::histogram!("sutler_trigger_run_seconds").record(outcome.duration_us as f64 / 1e6);
    #[allow(clippy::cast_precision_loss)]
    metrics::gauge!("sutler_trigger_blocks_loaded").set(env.runtime.stats().blocks as f64);
    outcome
}

/// What a POST or scheduled run's end means. There is nothing left to refuse, so refusing is failing.
fn verdict(exit: &Exit, attempts: u32, max: u32) -> RunState {
    match exit {
        Exit::Success | Exit::Continue => RunState::Succeeded,
        Exit::Refused(_) | Exit::Failed(_) | Exit::Stopped(_) if attempts < max => RunState::Retrying,
        Exit::Refused(_) | Exit::Failed(_) | Exit::Stopped(_) => RunState::Dead,
    }
}

fn conclude(run: &mut ScriptRun, state: RunState, result: String) {
    run.state = state;
    run.result = result;
}

/// What a run returned, or why it failed.
pub(super) fn result(outcome: &Outcome) -> String {
    match &outcome.exit {
        Exit::Success | Exit::Continue => outcome.result.clone(),
        Exit::Refused(reason) => reason.clone(),
        Exit::Failed(error) => error.to_string(),
        Exit::Stopped(limit) => limit.to_string(),
    }
}

/// Takes what a run printed and which requests it sent into its record.
pub(super) fn note(run: &mut ScriptRun, outcome: &Outcome) {
    run.duration_us = outcome.duration_us;
    run.log.clone_from(&outcome.log);
    for call in &outcome.calls {
        let answer = match (call.status, &call.error) {
            (Some(status), _) => status.to_string(),
            (None, Some(error)) => error.clone(),
            // A protocol without status codes: the other side took it.
            (None, None) => "done".to_owned(),
        };
        if !run.log.is_empty() && !run.log.ends_with('\n') {
            run.log.push('\n');
        }
        let (sent, received, ms) = (call.sent_bytes, call.received_bytes, call.duration_us / 1000);
        run.log.push_str(&format!(
            "{} {}: {answer}, {sent} B sent, {received} B received, {ms} ms\n",
            call.method, call.url
        ));
    }
}

/// Milliseconds before the next try, `chance` (0 to 1) of them up to a quarter longer or shorter, so that runs that
/// failed together do not come back together.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn pause_ms(base_ms: u64, attempts: u32, chance: f64) -> u64 {
    let whole = base_ms.saturating_mul(PAUSE_FACTOR.saturating_pow(attempts.saturating_sub(1))).min(PAUSE_MAX_MS);
    (whole as f64 * (0.75 + chance / 2.0)) as u64
}

/// Creates or updates a run's record; waits while the disk is full, for what the run did cannot be done again.
///
/// # Errors
/// `Conflict` when it was changed meanwhile; `Stopped`.
pub(super) async fn record(
    env: &Env,
    cause: &Cause,
    old: Option<&ScriptRun>,
    run: &mut ScriptRun,
) -> Result<(), StoreError> {
    record_for(env, cause, old, run, How { awaited: true, may_have_called: true }).await
}

/// How a run's record is written.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Somebody waits for it; what nobody waits for shares a transaction with others of its like.
    pub awaited: bool,
    /// The run may have called operations: what they did is forgotten once the run is over for good.
    pub may_have_called: bool,
}

/// The same in a certain way.
///
/// # Errors
/// As [`record`].
pub(super) async fn record_for(
    env: &Env,
    cause: &Cause,
    old: Option<&ScriptRun>,
    run: &mut ScriptRun,
    how: How,
) -> Result<(), StoreError> {
    loop {
        let mut set = ChangeSet::new(cause.clone());
        match old {
            Some(old) => set.update(old, run),
            None => set.create(run),
        };
        if how.may_have_called {
            set.forget_calls();
        }
        let store = &env.core.store;
        let committed = if how.awaited { store.commit(set).await } else { store.commit_soon(set).await };
        match committed {
            Ok(_) => return Ok(()),
            Err(StoreError::DiskFull { .. }) => tokio::time::sleep(Duration::from_millis(DISK_FULL_MS)).await,
            Err(error) => return Err(error),
        }
    }
}

/// Records runs that wait behind another, in one go, and settles them. Those that could not be recorded are dropped,
/// which the dispatcher sees.
pub(super) async fn record_pending(env: &Env, items: Vec<Item>) -> Vec<Item> {
    let pending = items.into_iter().map(|mut item| async move {
        if !item.stored {
            item.run.state = RunState::Pending;
            item.occasion = None;
            let cause = Cause::run(item.run.id, 0);
            match record(env, &cause, None, &mut item.run).await {
                Ok(()) => env.tally.note(&item.run),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => {
                    let _ = stopped(&error);
                    return None;
                }
            }
            item.stored = true;
        }
        item.settle();
        Some(item)
    });
    futures_util::future::join_all(pending).await.into_iter().flatten().collect()
}

/// Reads again what a run is told: from its entry in the feed, or from its schedule.
async fn recall(env: &Env, script: &Arc<Armed>, run: &ScriptRun) -> Result<Occasion, String> {
    let Some(seq) = run.seq else { return schedule::recall(env, script, run).await };
    let (store, owner, script_id) = (env.core.store.clone(), script.owner, script.id);
    let (id, function) = (run.id, run.function.clone());
    let trigger = script.entries.iter().find(|entry| entry.function == function).map(|entry| entry.trigger_type);
    let read = move || -> Result<Option<Occasion>, StoreError> {
        let Some(entry) = store.feed(seq, 1)?.into_iter().next().filter(|entry| entry.seq == seq) else {
            return Ok(None);
        };
        let snapshot = store.snapshot()?;
        // One change may raise two events, of different types; a function is for one type.
        let is_it = |event: &Event| {
            trigger.is_none_or(|trigger| trigger == event.trigger)
                && run_id(script_id, &function, &entry, event.change) == id
        };
        let Some(event) = events(&entry).into_iter().find(is_it) else { return Ok(None) };
        let event = locate(&snapshot, &entry, event)?;
        occasion(&Beans::new(&snapshot, owner, FEW), &entry, &event).map(Some)
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(occasion))) => Ok(occasion),
        Ok(Ok(None) | Err(StoreError::Trimmed { .. })) => Err("its event is no longer kept".to_owned()),
        Ok(Err(error)) => Err(format!("reading its event: {error}")),
        Err(_) => Err("reading its event failed".to_owned()),
    }
}

/// The record whose events a run keeps in order.
pub(super) fn resource(run: &ScriptRun) -> Uuid {
    run.resource_id.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sutler_lua::{Limit, ScriptError};

    #[test]
    fn a_failing_run_is_retried_until_its_tries_are_used_up() {
        let failed = Exit::Failed(ScriptError::new("no"));
        assert_eq!(verdict(&failed, 1, 3), RunState::Retrying);
        assert_eq!(verdict(&Exit::Stopped(Limit::Cpu), 2, 3), RunState::Retrying);
        assert_eq!(verdict(&failed, 3, 3), RunState::Dead);
        assert_eq!(verdict(&Exit::Refused("no".into()), 1, 1), RunState::Dead);
        assert_eq!(verdict(&Exit::Continue, 3, 3), RunState::Succeeded);
    }

    #[test]
    fn pauses_grow_and_stay_within_an_hour() {
        assert_eq!(pause_ms(250, 1, 0.5), 250);
        assert_eq!(pause_ms(250, 4, 0.5), 16_000);
        assert_eq!(pause_ms(250, 7, 0.5), 1_024_000);
        assert_eq!(pause_ms(250, 60, 1.0), 4_500_000);
        assert!(pause_ms(250, 1, 0.0) >= 187 && pause_ms(250, 1, 1.0) <= 313);
    }
}
