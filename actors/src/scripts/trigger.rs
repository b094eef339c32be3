//! The trigger actor: one for each script whose entries have matched. It owns the script's queue for each (entry,
//! resource), its retries and its budget; the Lua state itself lives in the runtime.
//!
//! Asked by the dispatcher ([`Deliver`]), the scheduler (likewise), and the operations ([`Retry`], [`Skip`], [`RunNow`], [`Wake`]);
//! mailbox of 64.
//!
//! ```text
//!  a lane (entry, resource):
//!            Deliver           budget            done, more queued
//!  (none) ────────────▶ ready ────────▶ running ───────────────────▶ ready
//!                         ▲               │  │ done, nothing queued
//!                         │ its time came │  └─────────────────────▶ (none)
//!                         └──── held ◀────┘ failed: what comes behind is recorded as pending
//! ```
//!
//! A restart loses the lanes and nothing else: runs that are pending or retrying are read from the store, and those not
//! recorded yet come again from the feed, because their receipts were never settled.

use super::{
    Env,
    attempt::{Ended, Item, attempt, draft, is_live, record, record_pending, resource},
    table::Armed,
};
use crate::{
    Error,
    registry::{Ctx, Entity, Handles, LoadError},
};
use rapidhash::fast::RandomState;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use sutler_model::{
    Cause, Entry, FieldError, Noun, RunId, RunState, Script, ScriptId, ScriptRun, Timestamp, TriggerType,
};
use sutler_store::{Field, Filter};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

/// Runs of one script at the same time: most wait for an answer from outside, and one script must not take all memory. It
/// is also how many a crash can cut off between a request of theirs and their record.
const RUNS_AT_ONCE: usize = 64;
/// Runs of one quick script on their way at the same time: most of these wait for their record.
const ON_THEIR_WAY: usize = 512;
/// A script whose tries take longer is not quick.
const QUICK: Duration = Duration::from_millis(50);
/// When the unrecorded runs of a script are likely to take longer than this, further ones are recorded as pending at
/// once, so that a slow script holds up the dispatcher for nobody else. Quick scripts never pay for the extra record.
const BACKLOG: Duration = Duration::from_secs(1);

/// What a scheduled run is put down to.
pub(super) const SCHEDULE: &str = "schedule";

/// Runs to do, in order. Those the store has are passed over.
pub(super) struct Deliver(pub Vec<Item>);

impl actix::Message for Deliver {
    type Result = ();
}

/// Takes up what the store has of the script's unfinished runs, parked ones included.
pub(super) struct Wake;

impl actix::Message for Wake {
    type Result = ();
}

/// Tries a dead or retrying run at once. Refused for any other, and while it runs.
pub(super) struct Retry(pub RunId, pub Cause);

impl actix::Message for Retry {
    type Result = Result<ScriptRun, Error>;
}

/// Passes over a run for good. Refused for one that ended well, and while it runs.
pub(super) struct Skip(pub RunId, pub Cause);

impl actix::Message for Skip {
    type Result = Result<ScriptRun, Error>;
}

/// Runs a scheduled entry at once, as if it were `at`.
pub(super) struct RunNow {
    /// Which; may be absent where there is one.
    pub function: Option<String>,
    /// The time it is told.
    pub at: Timestamp,
    /// Who asks.
    pub cause: Cause,
}

impl actix::Message for RunNow {
    type Result = Result<ScriptRun, Error>;
}

/// Whose order is kept: a function and the record its events are about.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Pair {
    function: Arc<str>,
    resource: Uuid,
}

impl Pair {
    fn of(run: &ScriptRun) -> Self {
        Self { function: run.function.as_str().into(), resource: resource(run) }
    }
}

/// The runs of a pair.
struct Lane {
    queue: VecDeque<Item>,
    phase: Phase,
}

enum Phase {
    /// Its first run waits for the budget.
    Ready,
    /// This run is being tried; the version of its record when the try began.
    Running(RunId, u64),
    /// Its first run waits for its next try, or until notified.
    Held(Arc<Notify>),
    /// The script is disabled or paused.
    Parked,
}

/// The actor.
pub(crate) struct TriggerActor {
    /// Shared by its tries.
    env: Arc<Env>,
    id: ScriptId,
    lanes: HashMap<Pair, Lane, RandomState>,
    ready: VecDeque<Pair>,
    running: usize,
    /// Where runs take place; see [`RUNS_AT_ONCE`].
    places: Arc<Semaphore>,
    /// Queued runs that the store does not have.
    unrecorded: usize,
    /// Unfinished runs that the store has and this actor knows.
    known: HashSet<RunId, RandomState>,
    /// Runs that someone changed after their try was recorded and before this actor heard of its end.
    nudged: HashSet<RunId, RandomState>,
    /// How long tries took of late.
    pace: Duration,
    /// When a try ended last, or the first of several began.
    moved: Instant,
}

impl Entity for TriggerActor {
    type Env = Env;
    const KIND: &'static str = "trigger";
    const MAILBOX: usize = 64;

    async fn load(env: Env, id: Uuid) -> Result<Option<Self>, LoadError> {
        let id = ScriptId(id);
        if env.core.store.get::<Script>(id).await.map_err(LoadError::unavailable)?.is_none() {
            return Ok(None);
        }
        let runs = unfinished(&env, id).await.map_err(LoadError::unavailable)?;
        let mut actor = Self {
            env: Arc::new(env),
            id,
            lanes: HashMap::default(),
            ready: VecDeque::new(),
            running: 0,
            places: Arc::new(Semaphore::new(RUNS_AT_ONCE)),
            unrecorded: 0,
            known: HashSet::default(),
            nudged: HashSet::default(),
            pace: Duration::ZERO,
            moved: Instant::now(),
        };
        actor.adopt(runs);
        Ok(Some(actor))
    }

    fn started(&mut self, ctx: &Ctx<Self>) {
        self.resume(ctx);
    }

    fn idle(&self) -> bool {
        self.lanes.values().all(|lane| matches!(lane.phase, Phase::Parked))
    }
}

/// The unfinished runs of a script, oldest event first.
async fn unfinished(env: &Env, id: ScriptId) -> Result<Vec<ScriptRun>, sutler_store::Error> {
    let found = env.core.store.read(move |snapshot| {
        let filter = Filter::<ScriptRun>::new().is(Field::Script, id.0.as_bytes()).is(Field::Pending, b"1");
        snapshot.all(filter)
    });
    let mut runs = found.await?;
    // A PRE run is its request's.
    runs.retain(|run| run.state != RunState::Running);
    // What was tried before goes first: it is the head of its lane.
    runs.sort_by_key(|run| (run.seq, run.state != RunState::Retrying, run.created_at));
    Ok(runs)
}

impl Handles<Deliver> for TriggerActor {
    async fn handle(&mut self, Deliver(items): Deliver, ctx: &Ctx<Self>) {
        let mut later: Vec<Item> = Vec::new();
        for item in self.unrecorded(items).await {
            let pair = Pair::of(&item.run);
            let lane = self.lanes.get(&pair);
            // The next time of a schedule comes anyway; runs of one must not pile up behind a slow one.
            if item.run.seq.is_none() && !item.queues && lane.is_some() {
                let mut item = item;
                item.settle();
                continue;
            }
            let held = lane.is_some_and(|lane| matches!(lane.phase, Phase::Held(_) | Phase::Parked));
            let behind = later.iter().any(|earlier| Pair::of(&earlier.run) == pair);
            if held || behind || self.is_slow() {
                later.push(item);
            } else {
                self.unrecorded += 1;
                self.enqueue_at(pair, item);
            }
        }
        if !later.is_empty() {
            // In one turn, so that nothing overtakes.
            for item in record_pending(&self.env, later).await {
                self.known.insert(item.run.id);
                self.enqueue(item);
            }
        }
        self.pump(ctx);
    }
}

impl Handles<Wake> for TriggerActor {
    async fn handle(&mut self, _: Wake, ctx: &Ctx<Self>) {
        match unfinished(&self.env, self.id).await {
            Ok(runs) => self.adopt(runs),
            Err(error) => tracing::error!(%error, script = %self.id, "reading a script's unfinished runs"),
        }
        self.resume(ctx);
    }
}

impl Handles<Retry> for TriggerActor {
    async fn handle(&mut self, Retry(id, cause): Retry, ctx: &Ctx<Self>) -> Result<ScriptRun, Error> {
        let old = self.settled_run(id).await?;
        let Some(script) = self.env.armed(self.id) else {
            return Err(refused(id, "its script is disabled; enable it first"));
        };
        if old.seq.is_none() && !is_scheduled(&script, &old.function) {
            return Err(refused(id, "this run decided about a request that is over; send the request again"));
        }
        let mut run = old.clone();
        match old.state {
            RunState::Dead => run.attempts = 0,
            RunState::Retrying => {}
            RunState::Pending => {
                return Err(refused(
                    id,
                    "it waits behind an earlier run of the same entry and resource; retry or skip that one",
                ));
            }
            RunState::Running | RunState::Succeeded | RunState::Refused | RunState::Skipped => {
                return Err(refused(id, "only failed runs can be retried"));
            }
        }
        run.state = RunState::Retrying;
        run.next_at = Some(self.env.core.now());
        run.finished_at = None;
        record(&self.env, &cause, Some(&old), &mut run).await?;
        self.env.tally.note(&run);
        if old.state == RunState::Dead {
            self.known.insert(id);
            self.enqueue(Item::stored(run.clone()));
            self.pump(ctx);
        } else {
            self.nudge(&run);
        }
        Ok(run)
    }
}

impl Handles<RunNow> for TriggerActor {
    async fn handle(&mut self, RunNow { function, at, cause }: RunNow, ctx: &Ctx<Self>) -> Result<ScriptRun, Error> {
        let state = |detail: &str| Error::State { noun: Noun::Script, id: self.id.0, detail: detail.to_owned() };
        let script = self.env.armed(self.id).ok_or_else(|| state("it is disabled; enable it first"))?;
        if script.paused {
            return Err(state("it is paused; resume it first"));
        }
        let wrong = |detail: String| Error::Invalid(vec![FieldError::new("function", detail)]);
        let scheduled = script.entries.iter().filter(|entry| is_scheduled(&script, &entry.function));
        let scheduled: Vec<&Entry> = scheduled.collect();
        let known = || scheduled.iter().map(|entry| entry.function.as_str()).collect::<Vec<_>>().join(", ");
        let entry = match (&function, &scheduled[..]) {
            (_, []) => return Err(wrong("the block has no scheduled entry".to_owned())),
            (Some(name), all) => match all.iter().find(|entry| entry.function == *name) {
                Some(entry) => *entry,
                None => return Err(wrong(format!("is none of the block's scheduled entries: {}", known()))),
            },
            (None, [one]) => *one,
            (None, _) => return Err(wrong(format!("is needed, for several are scheduled: {}", known()))),
        };
        let mut run = draft(&script, entry, self.env.core.new_id(), "ANY", cause.clone(), at);
        record(&self.env, &cause, None, &mut run).await?;
        self.env.tally.note(&run);
        self.known.insert(run.id);
        self.enqueue(Item::stored(run.clone()));
        self.pump(ctx);
        Ok(run)
    }
}

fn is_scheduled(script: &Armed, function: &str) -> bool {
    script.entries.iter().any(|entry| entry.function == function && entry.trigger_type == TriggerType::Scheduled)
}

impl Handles<Skip> for TriggerActor {
    async fn handle(&mut self, Skip(id, cause): Skip, _: &Ctx<Self>) -> Result<ScriptRun, Error> {
        let old = self.settled_run(id).await?;
        if old.state == RunState::Running {
            return Err(refused(id, "it is running now"));
        }
        if !is_live(old.state) && old.state != RunState::Dead {
            return Err(refused(id, "it is over already"));
        }
        let mut run = old.clone();
        run.state = RunState::Skipped;
        run.next_at = None;
        run.finished_at = Some(self.env.core.now());
        record(&self.env, &cause, Some(&old), &mut run).await?;
        self.env.tally.note(&run);
        self.nudge(&run);
        Ok(run)
    }
}

fn refused(id: RunId, detail: &str) -> Error {
    Error::State { noun: Noun::ScriptRun, id: id.0, detail: detail.to_owned() }
}

impl TriggerActor {
    /// A run of this script that is not being tried right now.
    async fn settled_run(&self, id: RunId) -> Result<ScriptRun, Error> {
        let run = match self.env.core.store.get::<ScriptRun>(id).await? {
            Some(run) if run.script_id == self.id => run,
            _ => return Err(Error::NotFound { noun: Noun::ScriptRun, id: id.to_string() }),
        };
        let begun = self.lanes.values().find_map(|lane| match lane.phase {
            Phase::Running(running, version) if running == id => Some(version),
            _ => None,
        });
        // A record newer than the try is the try's end, of which this actor is about to hear.
        if begun.is_some_and(|version| version == run.version) {
            return Err(refused(id, "it is running now"));
        }
        Ok(run)
    }

    /// Takes runs from the store into their lanes, in order.
    fn adopt(&mut self, runs: Vec<ScriptRun>) {
        for run in runs {
            if self.known.insert(run.id) {
                let lane =
                    self.lanes.entry(Pair::of(&run)).or_insert(Lane { queue: VecDeque::new(), phase: Phase::Parked });
                lane.queue.push_back(Item::stored(run));
            }
        }
    }

    /// Starts what is parked: runs just read, and those of a script that was enabled again.
    fn resume(&mut self, ctx: &Ctx<Self>) {
        let parked = self.lanes.iter().filter(|(_, lane)| matches!(lane.phase, Phase::Parked));
        let parked: Vec<Pair> = parked.map(|(pair, _)| pair.clone()).collect();
        for pair in parked {
            self.hold(pair, ctx);
        }
        self.pump(ctx);
    }

    /// Drops those that were recorded before a crash.
    async fn unrecorded(&self, mut items: Vec<Item>) -> Vec<Item> {
        let doubtful: Vec<RunId> = items.iter().filter(|item| item.check).map(|item| item.run.id).collect();
        if doubtful.is_empty() {
            return items;
        }
        let read = self.env.core.store.read(move |snapshot| {
            let mut recorded = HashSet::new();
            for id in doubtful {
                if snapshot.get::<ScriptRun>(id)?.is_some() {
                    recorded.insert(id);
                }
            }
            Ok(recorded)
        });
        match read.await {
            Ok(recorded) => {
                items.iter_mut().filter(|item| recorded.contains(&item.run.id)).for_each(Item::settle);
                items.retain(|item| !recorded.contains(&item.run.id));
                items
            }
            Err(error) => {
                tracing::error!(%error, script = %self.id, "looking for runs recorded before");
                Vec::new()
            }
        }
    }

    /// How many runs may be on their way now.
    fn most(&self) -> usize {
        let slow = self.running > 0 && self.pace.max(self.moved.elapsed()) > QUICK;
        if slow { RUNS_AT_ONCE } else { ON_THEIR_WAY }
    }

    /// Whether what waits unrecorded is likely to wait long.
    fn is_slow(&self) -> bool {
        if self.running < RUNS_AT_ONCE && self.pace < BACKLOG && self.unrecorded < RUNS_AT_ONCE {
            return false;
        }
        let waiting = u32::try_from(self.unrecorded.div_ceil(self.most())).unwrap_or(u32::MAX);
        self.pace.max(self.moved.elapsed()).saturating_mul(waiting) > BACKLOG
    }

    /// Puts a run at the end of its lane.
    fn enqueue(&mut self, item: Item) {
        self.enqueue_at(Pair::of(&item.run), item);
    }

    fn enqueue_at(&mut self, pair: Pair, item: Item) {
        match self.lanes.get_mut(&pair) {
            Some(lane) => lane.queue.push_back(item),
            None => {
                self.lanes.insert(pair.clone(), Lane { queue: VecDeque::from([item]), phase: Phase::Ready });
                self.ready.push_back(pair);
            }
        }
    }

    /// Starts runs as far as the budget goes.
    fn pump(&mut self, ctx: &Ctx<Self>) {
        let mut tries = Vec::new();
        let most = self.most();
        while self.running < most {
            let Some(pair) = self.ready.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&pair) else { continue };
            let Some(mut item) = lane.queue.pop_front() else {
                self.lanes.remove(&pair);
                continue;
            };
            lane.phase = Phase::Running(item.run.id, item.run.version);
            item.awaited = !lane.queue.is_empty();
            if self.running == 0 {
                self.moved = Instant::now();
            }
            self.running += 1;
            if !item.stored {
                self.unrecorded -= 1;
            }
            let (env, id, places) = (self.env.clone(), self.id, self.places.clone());
            let begun = Instant::now();
            // Boxed once, for it is large and handed on several times; made within, so that it is not moved there.
            tries.push(Box::pin(async move { (pair, begun, attempt(&env, id, item, &places).await) }));
        }
        if !tries.is_empty() {
            ctx.spawn_all(tries, |actor, ended, ctx| actor.ended(ended, ctx));
        }
    }

    fn ended(&mut self, tries: Vec<(Pair, Instant, Ended)>, ctx: &Ctx<Self>) {
        self.moved = Instant::now();
        for (pair, begun, ended) in tries {
            self.pace = (self.pace * 7 + (self.moved - begun)) / 8;
            self.running -= 1;
            self.take_end(pair, ended, ctx);
        }
        self.pump(ctx);
    }

    fn take_end(&mut self, pair: Pair, ended: Ended, ctx: &Ctx<Self>) {
        match ended {
            Ended::Over(id) => {
                self.nudged.remove(&id);
                // Unless it was retried already.
                if !self.lanes.get(&pair).is_some_and(|lane| lane.queue.iter().any(|item| item.run.id == id)) {
                    self.known.remove(&id);
                }
                self.next(pair);
            }
            Ended::Again(item) => {
                let id = item.run.id;
                self.known.insert(id);
                self.put_back(&pair, item);
                if self.nudged.remove(&id) { self.next(pair) } else { self.hold(pair, ctx) }
            }
            Ended::Parked(item) => {
                self.known.insert(item.run.id);
                self.put_back(&pair, item);
                self.park(pair, ctx);
            }
            // The process is about to end; the receipts that go with the lane tell the dispatcher.
            Ended::Stopped => {
                if let Some(lane) = self.lanes.remove(&pair) {
                    self.unrecorded -= lane.queue.iter().filter(|item| !item.stored).count();
                }
            }
        }
    }

    /// Keeps a lane until its script goes on. What stands in it unrecorded is recorded when the script is paused; nothing
    /// of a disabled script runs but what was begun while it was enabled.
    fn park(&mut self, pair: Pair, ctx: &Ctx<Self>) {
        let Some(lane) = self.lanes.get_mut(&pair) else { return };
        lane.phase = Phase::Parked;
        let (stored, unstored): (VecDeque<Item>, VecDeque<Item>) = lane.queue.drain(..).partition(|item| item.stored);
        lane.queue = stored;
        self.unrecorded -= unstored.len();
        if !self.env.armed(self.id).is_some_and(|script| script.paused) {
            unstored.into_iter().for_each(|mut item| item.settle());
            return;
        }
        self.known.extend(unstored.iter().map(|item| item.run.id));
        let env = self.env.clone();
        ctx.spawn(async move { record_pending(&env, unstored.into()).await }, move |actor, recorded, ctx| {
            recorded.into_iter().for_each(|item| actor.enqueue(item));
            if let Some(lane) = actor.lanes.get_mut(&pair) {
                // Others may have come meanwhile.
                lane.queue.make_contiguous().sort_by_key(|item| item.run.seq);
            }
            actor.pump(ctx);
        });
    }

    fn put_back(&mut self, pair: &Pair, item: Item) {
        if let Some(lane) = self.lanes.get_mut(pair) {
            lane.queue.push_front(item);
        }
    }

    /// Makes a lane ready for its next run, or ends it.
    fn next(&mut self, pair: Pair) {
        let Some(lane) = self.lanes.get_mut(&pair) else { return };
        if lane.queue.is_empty() {
            self.lanes.remove(&pair);
        } else {
            lane.phase = Phase::Ready;
            self.ready.push_back(pair);
        }
    }

    /// Holds a lane until the time of its first run. What stands behind it is recorded as pending.
    fn hold(&mut self, pair: Pair, ctx: &Ctx<Self>) {
        let Some(lane) = self.lanes.get_mut(&pair) else { return };
        let Some(head) = lane.queue.front() else { return self.next(pair) };
        let wait_ms = wait_ms(head.run.next_at, self.env.core.now());
        let behind: Vec<Item> = lane.queue.drain(1..).collect();
        if wait_ms == 0 && behind.iter().all(|item| item.stored) {
            lane.queue.extend(behind);
            return self.next(pair);
        }
        let nudged = Arc::new(Notify::new());
        lane.phase = Phase::Held(nudged.clone());
        self.unrecorded -= behind.iter().filter(|item| !item.stored).count();
        self.known.extend(behind.iter().map(|item| item.run.id));
        let env = self.env.clone();
        let wait = async move {
            let behind = record_pending(&env, behind).await;
            let _ = tokio::time::timeout(Duration::from_millis(wait_ms), nudged.notified()).await;
            behind
        };
        ctx.spawn(wait, move |actor, behind, ctx| {
            if let Some(lane) = actor.lanes.get_mut(&pair) {
                // Between the first and those that came while it was held.
                let came = lane.queue.split_off(lane.queue.len().min(1));
                lane.queue.extend(behind);
                lane.queue.extend(came);
            }
            actor.next(pair);
            actor.pump(ctx);
        });
    }

    /// Lets a held lane look at its first run again.
    fn nudge(&mut self, run: &ScriptRun) {
        match self.lanes.get(&Pair::of(run)) {
            Some(Lane { phase: Phase::Held(nudged), queue })
                if queue.front().is_some_and(|head| head.run.id == run.id) =>
            {
                nudged.notify_one();
            }
            Some(Lane { phase: Phase::Running(id, _), .. }) if *id == run.id => {
                self.nudged.insert(run.id);
            }
            _ => {}
        }
    }
}

fn wait_ms(next_at: Option<Timestamp>, now: Timestamp) -> u64 {
    next_at.map_or(0, |at| u64::try_from(at.since_ms(now)).unwrap_or(0))
}
