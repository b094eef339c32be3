//! PRE runs that reach outside are recorded before they do, and on their own: their effects stay, whatever becomes of the
//! request. All others are recorded with the request, which costs nothing.

use super::{
    Env,
    attempt::{How, record_for},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use sutler_model::{Cause, RunId, RunState, ScriptRun};
use sutler_store::{ChangeSet, Error as StoreError, Field, Filter, Op, Store};
use uuid::Uuid;

/// PRE runs in progress, and the runs of providers' functions.
#[derive(Default)]
pub(super) struct Reaching(Mutex<HashMap<RunId, Going>>);

/// A run in progress.
struct Going {
    run: ScriptRun,
    /// What runs that it set off, and that have ended, have changed.
    wrote: Vec<Wrote>,
}

/// A record that a run has changed, with its version since.
pub(super) type Wrote = (Uuid, u64);

impl Reaching {
    /// Whether it is a PRE run that is not recorded yet.
    pub(super) fn waits(&self, id: RunId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).is_some_and(|going| going.run.version == 0)
    }

    /// Whether it is a PRE run.
    pub(super) fn knows(&self, id: RunId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// Records a PRE run that is about to reach outside.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn persist(&self, store: &Store, id: RunId, depth: u8) -> Result<(), StoreError> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(|going| going.run.clone());
        let Some(mut run) = found.filter(|run| run.version == 0) else { return Ok(()) };
        run.state = RunState::Running;
        let mut set = ChangeSet::new(Cause::run(id, depth));
        set.create(&mut run);
        store.commit(set).await?;
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id) {
            known.run = run;
        }
        Ok(())
    }

    fn end(&self, id: RunId) -> (Option<ScriptRun>, Vec<Wrote>) {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let (run, wrote) = ended.map(|going| (going.run, going.wrote)).unzip();
        (run.filter(|run| run.version > 0), wrote.unwrap_or_default())
    }
}

/// A PRE run in progress. Dropped before its end (whoever asked has gone), it closes its record.
pub(super) struct InProgress {
    env: Env,
    id: RunId,
    /// The run that set it off.
    behind: Option<RunId>,
}

impl InProgress {
    /// A PRE run begins.
    pub(super) fn begin(env: &Env, run: &ScriptRun) -> Self {
        let behind = match run.cause {
            Cause::Run { run_id, .. } => Some(run_id),
            _ => None,
        };
        let going = Going { run: run.clone(), wrote: Vec::new() };
        env.reaching.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run.id, going);
        Self { env: env.clone(), id: run.id, behind }
    }

    /// It has ended: its record, if it has one by now, and what was changed by it and by those that it set off. That counts as
    /// changed by the run behind it, too.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn end(self, reached_out: bool) -> Result<(Option<ScriptRun>, Vec<Wrote>), StoreError> {
        let id = self.id.0;
        let calls = match reached_out {
            true => self.env.core.store.read(move |snapshot| snapshot.calls(id)).await?,
            false => Vec::new(),
        };
        let (run, mut wrote) = self.env.reaching.end(self.id);
        let own = calls.into_iter().flat_map(|call| call.changes).filter(|change| change.op != Op::Deleted);
        wrote.extend(own.map(|change| (change.id, change.version)));
        let mut going = self.env.reaching.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(behind) = self.behind.and_then(|behind| going.get_mut(&behind)) {
            behind.wrote.extend(&wrote);
        }
        drop(going);
        Ok((run, wrote))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let (Some(old), _) = self.env.reaching.end(self.id) else { return };
        let env = self.env.clone();
        self.env.core.runtime.spawn(async move {
            if let Err(error) = cut_off(&env, &old, "whoever asked went away while this ran").await {
                tracing::warn!(%error, run = %old.id, "closing an abandoned PRE run");
            }
        });
    }
}

/// Records how a run ended that had reached outside. What it did is remembered where it `may_return`: a function whose result
/// is lost in a crash after this is asked again under the same id.
///
/// # Errors
/// Those of the store.
pub(super) async fn close(env: &Env, old: &ScriptRun, run: &mut ScriptRun, may_return: bool) -> Result<(), StoreError> {
    run.version = old.version;
    let how = How { awaited: true, may_have_called: !may_return };
    match record_for(env, &Cause::run(run.id, 0), Some(old), run, how).await {
        // Its script was deleted meanwhile, and its runs passed over.
        Err(StoreError::Conflict { .. }) => Ok(()),
        ended => ended,
    }
}

/// Closes the PRE runs that a crash cut off: their requests were never carried out. Actions that nobody waits for go on.
///
/// # Errors
/// Those of the store.
pub(super) async fn close_cut_off(env: &Env) -> Result<(), StoreError> {
    let read = env.core.store.read(|snapshot| {
        let running = Filter::<ScriptRun>::new().is(Field::Pending, b"1").when(|run| run.state == RunState::Running);
        snapshot.all(running.when(|run| run.asked.is_none()))
    });
    for old in read.await? {
        cut_off(env, &old, "the program ended while this ran; its request was not carried out").await?;
    }
    Ok(())
}

/// Records that a run ends without having come to an end of its own.
///
/// # Errors
/// Those of the store.
pub(super) async fn cut_off(env: &Env, old: &ScriptRun, why: &str) -> Result<(), StoreError> {
    let mut run = ScriptRun { asked: None, ..old.clone() };
    run.state = RunState::Dead;
    run.result = why.to_owned();
    run.finished_at = Some(env.core.now());
    close(env, old, &mut run, false).await
}
