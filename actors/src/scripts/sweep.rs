//! Runs that are over go when they are old enough, in small steps beside the work: at most a tenth of one thread's time.
//!
//! Only those go on which nothing stands any more; what stands on a run is listed in [`stays`]. One that could not go is looked
//! at again a day later, for a dead letter may have been skipped and a run that another set off may have gone. A run that is gone
//! is "not found" to everybody.
//!
//! That it goes is a change like any other, since followers, rebuilt stores and whoever follows events must know of it; but the
//! feed tells the id alone, so that a run's record is not written a second time when it goes. A step is one change set: a crash
//! between two of them leaves the rest for the next start, and within one nothing has gone.

use super::{Env, measure, schedule, tax};
use std::time::{Duration, Instant};
use sutler_model::{
    Cause, Interval, Invoice, Job, PluggableResource, RunId, ScriptRun, Timestamp, Transaction, time::DAY_MS,
};
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter, Order, Record, Snapshot, TRIGGERS};
use tokio::sync::watch;

/// Runs looked at in one step: some milliseconds of a reader, and of the writer when all of them go.
const LOOKED_AT: usize = 256;
/// Bytes of what they printed, beyond which a step looks at no more.
const PRINTED: usize = 1 << 20;
/// The pause after a step is so many times as long as the step.
const PAUSE: u32 = 9;
/// Shortest pause.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Pause when all is done.
const IDLE: Duration = Duration::from_secs(600);
/// Time between two looks at what could not go.
const AGAIN_MS: i64 = DAY_MS;

/// How far the sweep is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The last run looked at; none: it begins with the oldest.
    last: Option<RunId>,
    /// When it began with the oldest.
    began_at: Timestamp,
}

/// Sweeps until told to stop.
pub(super) async fn keep_sweeping(env: Env, mut stop: watch::Receiver<bool>) {
    if env.core.settings.runs_keep_ms == 0 {
        return;
    }
    let mut place = Place::default();
    while !*stop.borrow() {
        let begun = Instant::now();
        let pause = match step(&env, &mut place).await {
            Ok(true) => (begun.elapsed() * PAUSE).max(PAUSE_MIN),
            Ok(false) => IDLE,
            Err(StoreError::Stopped(_)) => return,
            Err(error) => {
                tracing::warn!(%error, "old runs of triggers are not swept yet");
                IDLE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Looks at the next few old runs and lets go those on which nothing stands; false when there were none.
///
/// # Errors
/// Those of the store; nothing has gone then.
pub(super) async fn step(env: &Env, place: &mut Place) -> Result<bool, StoreError> {
    let now = env.core.now();
    let before = now.plus_ms(-env.core.settings.runs_keep_ms);
    if place.last.is_some() && now.since_ms(place.began_at) >= AGAIN_MS {
        place.last = None;
    }
    if place.last.is_none() {
        place.began_at = now;
    }
    let (looking, after) = (env.clone(), place.last);
    let looked_at = env.core.store.read(move |snapshot| look(snapshot, &looking, after, before)).await?;
    let Some(last) = looked_at.last else { return Ok(false) };
    if !looked_at.old.is_empty() {
        let mut set = ChangeSet::new(Cause::system("sweep"));
        for run in &looked_at.old {
            set.sweep(run);
        }
        // Of a provider's function they are kept beyond its end.
        set.forget_calls();
        match env.core.store.commit_soon(set).await {
            Ok(_) => {
                metrics::counter!("sutler_trigger_runs_swept_total").increment(looked_at.old.len() as u64);
            }
            // One was asked for again, and so is not old. The others are looked at again with it.
            Err(StoreError::Conflict { .. }) => tracing::debug!("a run changed while it was to be swept"),
            Err(error) => return Err(error),
        }
    }
    place.last = Some(last);
    Ok(true)
}

/// What a step has found.
struct LookedAt {
    /// The last run looked at; none: there are no more that are old.
    last: Option<RunId>,
    /// Those that may go.
    old: Vec<ScriptRun>,
}

/// Looks at runs whose events happened before a time.
fn look(snapshot: &Snapshot, env: &Env, after: Option<RunId>, before: Timestamp) -> Result<LookedAt, StoreError> {
    // Their ids begin with the time of the event.
    let to = RunId::new(before.0.max(0).unsigned_abs(), [0; 10]);
    let from = after.map_or_else(Vec::new, |after| [after.0.as_bytes().as_slice(), &[0]].concat());
    let (mut runs, mut printed) = (Vec::new(), 0);
    if from.as_slice() < to.0.as_bytes().as_slice() {
        snapshot.scan::<ScriptRun>(&from, to.0.as_bytes(), |run| {
            printed += run.log.len() + run.result.len();
            runs.push(run);
            runs.len() < LOOKED_AT && printed < PRINTED
        })?;
    }
    let last = runs.last().map(|run| run.id);
    let consumers = env.core.store.consumers()?;
    let seen = consumers.iter().find(|consumer| consumer.name == TRIGGERS).map_or(0, |consumer| consumer.next);
    let mut old = Vec::new();
    for run in runs {
        let ended = run.finished_at.unwrap_or(run.created_at);
        if (run.over() || measure::has_failed(&run)) && ended < before && !stays(snapshot, env, &run, seen)? {
            old.push(run);
        }
    }
    Ok(LookedAt { last, old })
}

/// Whether something stands on a run that is over, and old:
///
/// - its event is one that triggers are not past (`seen` is the next that they read), for by the run it is known to be done;
/// - it is the last error that its block shows;
/// - it is the newest of a schedule, by which is known up to where the schedule has run;
/// - it charged, taxed or paid: every figure of an invoice opens to it (what was measured is kept by itself, with its time and
///   function; the run behind it adds only what it printed);
/// - it is named by what it set off: a job, an interval of use, a payment, another run;
/// - a call of another run made it that may be repeated (of a dead letter, or of a job that is not over), and finds by it that it
///   was made;
/// - it did the work for a resource that has not taken the result in yet.
fn stays(snapshot: &Snapshot, env: &Env, run: &ScriptRun, seen: u64) -> Result<bool, StoreError> {
    Ok(run.seq.is_some_and(|seq| seq >= seen)
        || env.tally.is_last_error(run)
        || is_newest(snapshot, env, run)?
        || is_evidence(snapshot, run)?
        || is_named(snapshot, run.id)?
        || may_be_called_again(snapshot, run)?)
}

fn is_newest(snapshot: &Snapshot, env: &Env, run: &ScriptRun) -> Result<bool, StoreError> {
    match env.armed(run.script_id).filter(|_| run.seq.is_none()) {
        Some(script) => schedule::is_newest(snapshot, &script, run, env.core.now()),
        // One that is enabled again counts from then on.
        None => Ok(false),
    }
}

/// Whether a record stands on it that does not name it, or not in a way that it is found by.
fn is_evidence(snapshot: &Snapshot, run: &ScriptRun) -> Result<bool, StoreError> {
    let (None, Some(about)) = (run.seq, run.resource_id) else { return Ok(false) };
    let at = run.id.event_at();
    if run.option == tax::OPTION {
        let taxed = Filter::<Invoice>::new().is(Field::Customer, about.as_bytes());
        let taxed = taxed.when(move |invoice| invoice.to == at && invoice.tax.is_some());
        if snapshot.first(taxed, Order::Ascending)?.is_some() {
            return Ok(true);
        }
    }
    Ok(snapshot.get::<Invoice>(about)?.is_some()
        || snapshot.get::<Transaction>(about)?.is_some()
        || snapshot.get::<PluggableResource>(about)?.is_some_and(|resource| resource.awaits_run()))
}

fn is_named(snapshot: &Snapshot, id: RunId) -> Result<bool, StoreError> {
    fn by<R: Record>(snapshot: &Snapshot, id: RunId) -> Result<bool, StoreError> {
        let naming = Filter::<R>::new().is(Field::Run, id.0.as_bytes());
        Ok(snapshot.first(naming, Order::Ascending)?.is_some())
    }
    Ok(by::<Job>(snapshot, id)?
        || by::<ScriptRun>(snapshot, id)?
        || by::<Interval>(snapshot, id)?
        || by::<Invoice>(snapshot, id)?
        || by::<Transaction>(snapshot, id)?)
}

fn may_be_called_again(snapshot: &Snapshot, run: &ScriptRun) -> Result<bool, StoreError> {
    let Cause::Run { run_id, by_call, .. } = &run.cause else { return Ok(false) };
    if snapshot.get::<ScriptRun>(*run_id)?.is_some_and(|caller| !caller.over()) {
        return Ok(true);
    }
    // A job makes the call whose time has come later.
    match by_call.as_ref().and_then(|call| call.job_id) {
        Some(job) => Ok(snapshot.get::<Job>(job)?.is_some_and(|job| !job.over())),
        None => Ok(false),
    }
}
