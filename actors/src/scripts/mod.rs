//! Triggers: what raises them and what runs them.
//!
//! ```text
//! feed ─▶ dispatch ─ events, table ─▶ trigger actor (one per script) ─ attempt ─▶ Lua runtime ─▶ host ─▶ store, System
//!         schedule ───────────────────────▲
//! request ─▶ pre ─ table ──────────────────────────────────────────▶ Lua runtime
//! ```
//!
//! PRE triggers run inside the request, outside any actor's turn; POST triggers follow the feed, at least once and in order
//! for each (entry, resource); SCHEDULED triggers follow the clock. Every run is recorded as a [`ScriptRun`], and kept for a time
//! that is set, or as long as something stands on it ([`sweep`]).

mod attempt;
pub(crate) mod beans;
mod budget;
mod counters;
mod dispatch;
mod drafts;
mod events;
mod failure;
mod host;
mod invoke;
mod measure;
mod metadata;
mod notices;
mod occasion;
mod payments;
mod pre;
mod reaching;
mod rehearsal;
mod schedule;
mod sweep;
mod table;
mod tags;
mod tally;
mod tax;
#[cfg(test)]
mod tests;
mod trigger;
mod turns;
mod wording;
mod words;

use crate::{
    Core, Error,
    registry::{ArbiterPool, AskError, Config, Quarantine, Registry},
    system::Inner,
};
pub(crate) use attempt::pause_ms;
pub(crate) use beans::payment_of;
use budget::Budgets;
use dispatch::{Avoid, Dispatcher};
pub(crate) use drafts::{Draft, Purchase};
pub(crate) use events::derived;
pub(crate) use host::{Keyed, purge};
pub(crate) use invoke::{Invocation, Subject};
pub(crate) use metadata::Metadata;
pub(crate) use notices::Exception;
pub use notices::{ApiCall, CallUnderWay};
use occasion::Tree;
pub(crate) use payments::{Provider, run_of};
pub(crate) use pre::Decided;
use reaching::Reaching;
pub use rehearsal::{Rehearsal, Replay, Verdict};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use sutler_lua::{Limits, Registration, Runtime, ScriptError, Sieve, Texts};
use sutler_model::{
    BillingEntityId, Cause, Customer, CustomerId, Deferred, JobId, Noun, RunId, Scope, Script, ScriptId, ScriptRun,
    Timestamp, TriggerType, translation::Translations,
};
use sutler_store::{Error as StoreError, Field, Filter};
use table::Hook;
pub(crate) use table::{Armed, Enabled, Pointed, Table};
use tally::Tally;
pub use tally::{LastError, ScriptCounts};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use trigger::{Retry, RunNow, Skip, TriggerActor, Wake};
use uuid::Uuid;
pub use wording::Reader;
pub(crate) use wording::Wording;

/// What everything here stands on.
#[derive(Clone)]
pub(crate) struct Env {
    core: Core,
    runtime: Arc<Runtime>,
    table: Enabled,
    table_changed: Arc<Notify>,
    /// One at a time, so that what is read last is also taken in last.
    reloading: Arc<Mutex<()>>,
    tree: Tree,
    behind: Behind,
    tally: Arc<Tally>,
    budgets: Arc<Budgets>,
    reaching: Arc<Reaching>,
    exceptions: Arc<notices::Throttle>,
    /// Shared by those who record runs that nobody waits for.
    recording: Arc<tokio::sync::RwLock<()>>,
}

/// Runs in progress that a job's change set off, and that job.
type Behind = Arc<Mutex<HashMap<RunId, Before>>>;

/// The job behind a run.
#[derive(Clone, Copy, Debug)]
struct Before {
    job: JobId,
    /// It goes on only when the run has ended.
    held: bool,
}

impl Env {
    /// The entry points of enabled scripts that are no triggers.
    fn points(&self) -> Vec<Pointed> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).points().collect()
    }

    /// An enabled script.
    fn armed(&self, id: ScriptId) -> Option<Arc<Armed>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).script(id).cloned()
    }

    /// Whether any entry waits for such events, whosever they are. All that an event without listeners costs.
    fn awaits(&self, trigger: TriggerType, option: &str) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).awaits(trigger, option)
    }

    /// The entries that such an event of `customer`, sold by `seller`, sets off.
    async fn listeners(
        &self,
        trigger: TriggerType,
        option: &str,
        seller: BillingEntityId,
        customer: Option<CustomerId>,
    ) -> Result<Vec<Hook>, StoreError> {
        let mut hooks = self.all_listeners(trigger, option, seller, customer).await?;
        if hooks.iter().any(tags::asks) {
            let customer = match customer {
                Some(id) => self.core.store.get::<Customer>(id).await?,
                None => None,
            };
            hooks.retain(|hook| tags::allow(hook, customer.as_ref()));
        }
        Ok(hooks)
    }

    /// The same before anybody has looked at the customer's tags.
    async fn all_listeners(
        &self,
        trigger: TriggerType,
        option: &str,
        seller: BillingEntityId,
        customer: Option<CustomerId>,
    ) -> Result<Vec<Hook>, StoreError> {
        if !self.awaits(trigger, option) {
            return Ok(Vec::new());
        }
        let tree = self.tree.clone();
        let path = match tree.known(seller) {
            Some(path) => path,
            None => self.core.store.read(move |snapshot| tree.path(snapshot, seller)).await?,
        };
        Ok(self.table.read().unwrap_or_else(PoisonError::into_inner).matches(trigger, option, &path, customer))
    }

    /// Takes a script as it is in the store now into the match table, or out of it.
    async fn reload(&self, id: ScriptId) -> Result<(), StoreError> {
        let env = self.clone();
        dispatch::blocking(move || env.reload_here(id)).await
    }

    /// The same on this thread, which may block.
    fn reload_here(&self, id: ScriptId) -> Result<(), StoreError> {
        let _guard = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let script = self.core.store.snapshot()?.get::<Script>(id)?;
        {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            match script {
                Some(script) if script.enabled => {
                    table.arm(script.into());
                }
                Some(_) => table.disarm(id),
                None => {
                    table.disarm(id);
                    self.tally.forget(id);
                }
            }
        }
        self.table_changed.notify_one();
        Ok(())
    }
}

/// The triggers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Scripts {
    env: Env,
    platform: Arc<host::Platform>,
    registry: Registry<TriggerActor>,
    avoid: Avoid,
    stop: watch::Sender<bool>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Scripts {
    /// Nothing runs before [`Scripts::start`].
    pub(crate) fn new(core: Core, system: Weak<Inner>, pool: ArbiterPool) -> Self {
        metrics::describe_counter!("sutler_trigger_runs_total", "Runs of triggers by the state they were recorded in.");
        metrics::describe_gauge!("sutler_trigger_backlog", "Feed entries that the triggers are not done with.");
        metrics::describe_histogram!(
            "sutler_trigger_run_seconds",
            metrics::Unit::Seconds,
            "Time of a run, waiting included."
        );
        metrics::describe_gauge!("sutler_trigger_blocks_loaded", "Lua states in memory.");
        metrics::describe_counter!(
            "sutler_trigger_budget_waits_total",
            "Times that runs waited for their owner's share of CPU time."
        );
        metrics::describe_counter!("sutler_trigger_gaps_total", "Times that feed entries were trimmed unseen.");
        metrics::describe_counter!("sutler_trigger_runs_swept_total", "Runs that went because they were old.");
        let (tree, behind, reaching) = (Tree::default(), Behind::default(), Arc::<Reaching>::default());
        let shared = host::Shared { behind: behind.clone(), reaching: reaching.clone() };
        let platform = Arc::new(host::Platform::new(core.store.clone(), system, tree.clone(), shared));
        let runtime = Runtime::new(core.settings.lua_threads, platform.clone(), core.settings.egress.clone());
        let budgets = Budgets::new(core.settings.owner_cpu_ms_per_s);
        let env = Env {
            table: core.enabled.clone(),
            core,
            runtime: Arc::new(runtime),
            table_changed: Arc::default(),
            reloading: Arc::default(),
            tree,
            behind,
            tally: Arc::default(),
            budgets: Arc::new(budgets),
            reaching,
            exceptions: Arc::default(),
            recording: Arc::default(),
        };
        let registry = Registry::new(env.clone(), pool, Config::default());
        Self {
            env,
            platform,
            registry,
            avoid: Avoid::default(),
            stop: watch::Sender::new(false),
            tasks: Arc::default(),
        }
    }

    fn core(&self) -> &Core {
        &self.env.core
    }

    /// Makes a script's call whose time has come. The error is a code of the language and a text.
    ///
    /// # Errors
    /// What the operation refuses.
    pub(crate) async fn carry_out(&self, job: JobId, request: &Deferred) -> Result<(), (String, String)> {
        host::carry_out(&self.platform, job, request).await
    }

    /// Fills the match table, takes up unfinished runs, and begins to follow the feed and the clock.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        // Before the table is read, so that no script's change falls between the two.
        let dispatcher = Dispatcher::open(self.env.clone(), self.registry.clone(), self.avoid.clone()).await?;
        self.fill().await?;
        reaching::close_cut_off(&self.env).await?;
        notices::close_cut_off(&self.env).await?;
        for script in self.with_unfinished_runs().await? {
            self.wake(script);
        }
        let follow = dispatcher.follow(self.stop.subscribe());
        let keep_time = schedule::keep_time(self.env.clone(), self.registry.clone(), self.stop.subscribe());
        let runtime = &self.env.core.runtime;
        let keep_measuring = measure::keep_measuring(self.env.clone(), self.stop.subscribe());
        let keep_sweeping = sweep::keep_sweeping(self.env.clone(), self.stop.subscribe());
        let started = [
            runtime.spawn(follow),
            runtime.spawn(keep_time),
            runtime.spawn(keep_measuring),
            runtime.spawn(keep_sweeping),
        ];
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend(started);
        Ok(())
    }

    /// Begins no more runs. Those in progress are dropped and come again at the next start.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the triggers ended badly");
            }
        }
        self.registry.shut_down().await;
        drop(self.env.recording.write().await);
    }

    /// Makes the match table know a script as it is in the store, at once, and takes up runs that wait for it.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn reload(&self, id: ScriptId) -> Result<(), Error> {
        self.env.reload(id).await?;
        if self.env.core.store.index().count(Noun::ScriptRun, Field::Script, id.0.as_bytes()) > 0 {
            self.wake(id);
        }
        Ok(())
    }

    /// Compiles a source and reports what it registers.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) async fn register(
        &self,
        source: &str,
        owner: Scope,
        translations: &Translations,
    ) -> Result<Registration, ScriptError> {
        let limits = Limits { deadline_ms: self.env.core.settings.pre_deadline_ms, ..Limits::default() };
        let language = attempt::language(&self.env.core.store, owner).await;
        let language = language.map_err(|error| ScriptError::new(error.to_string()))?;
        let texts = Texts { translations: Arc::new(translations.clone()), language };
        self.env.runtime.register_with(source, texts, limits).await
    }

    /// The entry points of enabled scripts that are no triggers.
    pub(crate) fn points(&self) -> Vec<Pointed> {
        self.env.points()
    }

    /// Whether a scope sees a record of a kind that scripts know.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn sees(&self, scope: Scope, id: Uuid) -> Result<bool, StoreError> {
        let tree = self.env.tree.clone();
        let read =
            self.env.core.store.read(move |snapshot| host::find(snapshot, &tree, host::Sight::of(scope), id, false));
        read.await.map(|found| found.is_some())
    }

    /// Whether a scope sees a resource of a type (empty: of any) that passes a filter.
    ///
    /// # Errors
    /// Why there is no telling, for whoever asked.
    pub(crate) async fn any_such(&self, scope: Scope, resource_type: &str, sieve: &Sieve) -> Result<bool, String> {
        let equal: Arc<[_]> = sieve.equal().into();
        let beans = host::list::equal_to(&self.env.core.store, &self.env.tree, scope, resource_type, equal).await;
        Ok(beans.map_err(|error| error.to_string())?.iter().any(|bean| sieve.passes(bean)))
    }

    /// Runs a function of a script, as given, over a past event without effects.
    ///
    /// # Errors
    /// Those of [`rehearsal::rehearse`].
    pub(crate) async fn rehearse(
        &self,
        script: Script,
        function: Option<String>,
        seq: Option<u64>,
    ) -> Result<Rehearsal, Error> {
        rehearsal::rehearse(&self.env, script.into(), function, seq).await
    }

    /// Runs a script, as given, over a past period without effects, at most `max` events.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn replay(&self, script: Script, from: u64, to: u64, max: usize) -> Result<Replay, Error> {
        rehearsal::replay(&self.env, script.into(), from, to, max).await
    }

    /// The first place in the feed at or after a time.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn seq_at(&self, at: Timestamp) -> Result<u64, Error> {
        rehearsal::seq_at(&self.env, at).await
    }

    /// Tries a failed run again.
    pub(crate) async fn retry(&self, run: &ScriptRun, cause: Cause) -> Result<ScriptRun, Error> {
        self.registry.ask(run.script_id.0, Retry(run.id, cause)).await.map_err(|e| asked(e, run.script_id))?
    }

    /// Passes over a run.
    pub(crate) async fn skip(&self, run: &ScriptRun, cause: Cause) -> Result<ScriptRun, Error> {
        self.registry.ask(run.script_id.0, Skip(run.id, cause)).await.map_err(|e| asked(e, run.script_id))?
    }

    /// Runs a scheduled entry at once, as if it were `at`.
    pub(crate) async fn run_now(
        &self,
        script: ScriptId,
        function: Option<String>,
        at: Timestamp,
        cause: Cause,
    ) -> Result<ScriptRun, Error> {
        self.registry.ask(script.0, RunNow { function, at, cause }).await.map_err(|e| asked(e, script))?
    }

    /// How the runs of a script went since the program started.
    pub(crate) fn counts(&self, script: ScriptId) -> ScriptCounts {
        self.env.tally.of(script)
    }

    /// The triggers in quarantine.
    pub(crate) fn quarantined(&self) -> Vec<Quarantine> {
        self.registry.quarantined()
    }

    /// Ends a quarantine; false when there was none. What waited is taken up.
    pub(crate) fn release(&self, id: Uuid) -> bool {
        self.avoid.lock().unwrap_or_else(PoisonError::into_inner).remove(&ScriptId(id));
        let released = self.registry.release(id);
        if released {
            self.wake(ScriptId(id));
        }
        released
    }

    /// Lets a script's actor take up its unfinished runs, without waiting for it.
    fn wake(&self, id: ScriptId) {
        let registry = self.registry.clone();
        self.env.core.runtime.spawn(async move {
            match registry.ask(id.0, Wake).await {
                Ok(()) | Err(AskError::NotFound | AskError::Stopped) => {}
                Err(error) => tracing::warn!(%error, script = %id, "a trigger does not take up its unfinished runs"),
            }
        });
    }

    async fn fill(&self) -> Result<(), Error> {
        let read = self.env.core.store.read(|snapshot| {
            let filter = Filter::<Script>::new().when(|script| script.enabled);
            snapshot.all(filter)
        });
        let scripts = read.await?;
        let mut table = self.env.table.write().unwrap_or_else(PoisonError::into_inner);
        for script in scripts {
            table.arm(script.into());
        }
        Ok(())
    }

    async fn with_unfinished_runs(&self) -> Result<HashSet<ScriptId>, Error> {
        let read = self.env.core.store.read(|snapshot| {
            let filter = Filter::<ScriptRun>::new().is(Field::Pending, b"1");
            snapshot.records(filter).map(|run| Ok(run?.script_id)).collect()
        });
        Ok(read.await?)
    }
}

/// An actor's refusal to answer, as an operation's error.
fn asked(error: AskError, id: ScriptId) -> Error {
    let busy = |detail: String| Error::Busy { detail, retry_after_s: 1 };
    match error {
        AskError::NotFound => crate::ops::missing(Noun::Script, id.into()),
        AskError::Quarantined { reason } => Error::Quarantined { kind: "trigger", id: id.into(), reason },
        AskError::Load(error) => busy(format!("the trigger could not be loaded: {error}")),
        error => busy(format!("the trigger does not answer: {error}")),
    }
}
