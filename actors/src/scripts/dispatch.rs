//! Follows the feed and hands matched entries to the trigger actors, each at least once and in order.
//!
//! The durable position ("triggers") moves only past entries all of whose runs are recorded. It is written now and then,
//! not for each entry: what was read beyond it comes again after a crash, and the runs recorded then are found by their
//! derived ids and passed over. Every run carries a [`Receipt`]; one dropped unsettled (its actor crashed) makes the
//! dispatcher let all others finish, go back to that entry and read on from there.

use super::{
    Env,
    attempt::{Item, draft, record_pending},
    beans::{Beans, FEW},
    events::{Event, events, raises, run_id},
    occasion::{locate, occasion},
    table::{Hook, Table},
    tags,
    trigger::{Deliver, TriggerActor, Wake},
};
use crate::registry::{AskError, Registry};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use sutler_model::{Customer, Noun, Scope, ScriptId, TriggerType};
use sutler_store::{Error as StoreError, FeedEntry, TRIGGERS};
use tokio::sync::{mpsc, watch};

/// Entries read at once.
const BATCH: usize = 256;
/// Runs on their way at the same time, over all scripts; bounds memory.
const WINDOW: usize = 4096;
/// How often the durable position is written at most: one commit in this time is next to nothing, and what is read
/// again after a crash is what came in this time.
const ADVANCE: Duration = Duration::from_millis(200);
/// Pause after something that should work did not.
const TROUBLE: Duration = Duration::from_millis(500);

/// Scripts in quarantine: their runs are recorded as pending without asking them.
pub(super) type Avoid = Arc<Mutex<HashSet<ScriptId>>>;

/// Tells the dispatcher what became of a run of the entry `seq`.
pub(super) struct Receipt {
    seq: u64,
    /// None once settled, or for a run that no entry waits for.
    to: Option<mpsc::UnboundedSender<Settled>>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Recorded, or nothing to record.
    Done(u64),
    /// Dropped before that.
    Lost(u64),
}

impl Receipt {
    /// Says that the run is recorded.
    pub(super) fn settle(mut self) {
        if let Some(to) = self.to.take() {
            let _ = to.send(Settled::Done(self.seq));
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            let _ = to.send(Settled::Lost(self.seq));
        }
    }
}

/// See the module.
pub(super) struct Dispatcher {
    env: Env,
    registry: Registry<TriggerActor>,
    avoid: Avoid,
    /// The next entry to read.
    next: u64,
    /// Runs of entries up to here may have been recorded before.
    horizon: u64,
    /// Runs on their way, by entry.
    in_flight: BTreeMap<u64, usize>,
    runs: usize,
    /// The first entry of which a run was lost.
    lost: Option<u64>,
    /// The durable position.
    advanced: u64,
    advanced_at: Instant,
    to: mpsc::UnboundedSender<Settled>,
    settled: mpsc::UnboundedReceiver<Settled>,
}

impl Dispatcher {
    /// Goes on where the durable position says; at the end of the feed when there is none yet.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn open(env: Env, registry: Registry<TriggerActor>, avoid: Avoid) -> Result<Self, StoreError> {
        let head = *env.core.store.watch().borrow();
        let (next, gap) = env.core.store.consumer(TRIGGERS, head + 1).await?;
        if gap {
            tracing::error!(next, "feed entries were trimmed before the triggers had seen them; their events are lost");
            metrics::counter!("sutler_trigger_gaps_total").increment(1);
        }
        let (to, settled) = mpsc::unbounded_channel();
        Ok(Self {
            env,
            registry,
            avoid,
            next,
            horizon: head,
            in_flight: BTreeMap::new(),
            runs: 0,
            lost: None,
            advanced: next,
            advanced_at: Instant::now(),
            to,
            settled,
        })
    }

    /// Follows the feed until told to stop.
    pub(super) async fn follow(mut self, mut stop: watch::Receiver<bool>) {
        let mut head = self.env.core.store.watch();
        while !*stop.borrow() {
            while let Ok(settled) = self.settled.try_recv() {
                self.take(settled);
            }
            if self.lost.is_some() && self.runs == 0 {
                self.rewind().await;
            }
            self.advance(ADVANCE).await;
            let last = *head.borrow_and_update();
            #[allow(clippy::cast_precision_loss)]
            metrics::gauge!("sutler_trigger_backlog").set((last + 1).saturating_sub(self.floor()) as f64);
            let may_read = self.lost.is_none() && self.runs < WINDOW;
            if may_read && self.next <= last {
                if let Err(error) = self.step().await {
                    tracing::error!(%error, next = self.next, "reading the feed for triggers");
                    tokio::time::sleep(TROUBLE).await;
                }
                continue;
            }
            tokio::select! {
                Some(settled) = self.settled.recv() => self.take(settled),
                changed = head.changed(), if may_read => if changed.is_err() { break },
                () = tokio::time::sleep(ADVANCE), if self.floor() > self.advanced => {}
                _ = stop.changed() => {}
            }
        }
        while let Ok(settled) = self.settled.try_recv() {
            self.take(settled);
        }
        self.advance(Duration::ZERO).await;
    }

    /// The first entry that is not done with.
    fn floor(&self) -> u64 {
        let unread = self.lost.unwrap_or(self.next);
        self.in_flight.first_key_value().map_or(unread, |(seq, _)| unread.min(*seq))
    }

    fn take(&mut self, settled: Settled) {
        let (Settled::Done(seq) | Settled::Lost(seq)) = settled;
        if let Some(count) = self.in_flight.get_mut(&seq) {
            *count -= 1;
            self.runs -= 1;
            if *count == 0 {
                self.in_flight.remove(&seq);
            }
        }
        if settled == Settled::Lost(seq) {
            self.lost = Some(self.lost.map_or(seq, |lost| lost.min(seq)));
        }
    }

    /// Goes back to the first entry of which a run was lost.
    async fn rewind(&mut self) {
        let Some(lost) = self.lost.take() else { return };
        tracing::warn!(from = lost, to = self.next, "runs of triggers were lost; reading their entries again");
        self.horizon = self.horizon.max(self.next.saturating_sub(1));
        self.next = lost;
        let quarantined = self.registry.quarantined().into_iter().map(|quarantine| ScriptId(quarantine.id)).collect();
        *self.avoid.lock().unwrap_or_else(PoisonError::into_inner) = quarantined;
        tokio::time::sleep(TROUBLE).await;
    }

    /// Writes the durable position when it has moved and was not written for `after`.
    async fn advance(&mut self, after: Duration) {
        let floor = self.floor();
        if floor <= self.advanced || self.advanced_at.elapsed() < after {
            return;
        }
        match self.env.core.store.advance(TRIGGERS, floor).await {
            Ok(()) => self.advanced = floor,
            // It stays behind; what is read again is passed over.
            Err(error) => tracing::warn!(%error, "keeping the triggers' place in the feed"),
        }
        self.advanced_at = Instant::now();
    }

    /// Reads a batch and hands on what matches.
    async fn step(&mut self) -> Result<(), StoreError> {
        let (env, from, horizon, to) = (self.env.clone(), self.next, self.horizon, self.to.clone());
        let read = match blocking(move || read(&env, from, horizon, &to)).await {
            Err(StoreError::Trimmed { oldest, .. }) => {
                tracing::error!(from, oldest, "feed entries were trimmed before the triggers had seen them");
                metrics::counter!("sutler_trigger_gaps_total").increment(1);
                self.next = oldest;
                return Ok(());
            }
            read => read?,
        };
        let Some((last, matched)) = read else { return Ok(()) };
        for (seq, count) in &matched.counts {
            *self.in_flight.entry(*seq).or_default() += count;
            self.runs += count;
        }
        self.next = last + 1;
        let deliveries = matched.by_script.into_iter().map(|(script, items)| self.deliver(script, items));
        futures_util::future::join_all(deliveries).await;
        Ok(())
    }

    /// Hands runs to their actor. When it does not take them their receipts are dropped, which brings them back.
    async fn deliver(&self, script: ScriptId, items: Vec<Item>) {
        let avoided = |avoid: &Avoid| avoid.lock().unwrap_or_else(PoisonError::into_inner).contains(&script);
        if avoided(&self.avoid) {
            record_pending(&self.env, items).await;
            if !avoided(&self.avoid) {
                // Released meanwhile; it may have looked before these were there.
                let _ = self.registry.ask(script.0, Wake).await;
            }
            return;
        }
        match self.registry.ask(script.0, Deliver(items)).await {
            Ok(()) | Err(AskError::Stopped) => {}
            Err(AskError::NotFound) => {
                if let Err(error) = self.env.reload(script).await {
                    tracing::error!(%error, %script, "forgetting a deleted script");
                }
            }
            Err(error) => tracing::error!(%error, %script, "a trigger does not take its runs"),
        }
    }
}

/// Store work on a thread where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Stopped(error.to_string())),
    }
}

/// Runs that a batch of entries sets off.
#[derive(Default)]
struct Matched {
    /// In order within each script.
    by_script: HashMap<ScriptId, Vec<Item>>,
    /// How many, by entry.
    counts: Vec<(u64, usize)>,
}

/// Reads a batch of entries and matches them; answers the last one with it, none at the end of the feed.
fn read(
    env: &Env,
    from: u64,
    horizon: u64,
    to: &mpsc::UnboundedSender<Settled>,
) -> Result<Option<(u64, Matched)>, StoreError> {
    let (entries, last) = env.core.store.feed_of(from, BATCH, 4 * BATCH, raises)?;
    let Some(last) = last else { return Ok(None) };
    // Scripts that changed are known before the entries after their change are matched, whoever changed them.
    let changes = entries.iter().flat_map(|entry| &entry.changes);
    let scripts: HashSet<ScriptId> =
        changes.filter(|change| change.noun == Noun::Script).map(|change| ScriptId(change.id)).collect();
    for script in scripts {
        env.reload_here(script)?;
    }
    Ok(Some((last, matched(env, &entries, horizon, to)?)))
}

/// Matches entries against the table.
fn matched(
    env: &Env,
    entries: &[FeedEntry],
    horizon: u64,
    to: &mpsc::UnboundedSender<Settled>,
) -> Result<Matched, StoreError> {
    let mut matched = Matched::default();
    let table = env.table.read().unwrap_or_else(PoisonError::into_inner);
    each_match(env, &table, entries, |beans, entry, event, hook| {
        let script = &hook.script;
        if entry.seq < script.from_seq {
            return Ok(());
        }
        let id = run_id(script.id, &hook.entry().function, entry, event.change);
        let mut run = draft(script, hook.entry(), id, &event.option, entry.cause.clone(), entry.at);
        run.seq = Some(entry.seq);
        // What cannot be read now is tried again, and then reported, by the run.
        let occasion = occasion(beans, entry, event).ok();
        run.resource_id = Some(occasion.as_ref().map_or(event.id, |occasion| occasion.resource));
        match matched.counts.last_mut() {
            Some((seq, count)) if *seq == entry.seq => *count += 1,
            _ => matched.counts.push((entry.seq, 1)),
        }
        matched.by_script.entry(script.id).or_default().push(Item {
            run,
            stored: false,
            check: entry.seq <= horizon,
            queues: false,
            occasion: occasion.map(Box::new),
            awaited: false,
            receipt: Some(Receipt { seq: entry.seq, to: Some(to.clone()) }),
        });
        Ok(())
    })?;
    Ok(matched)
}

/// Hands on each entry of a script that an entry of the feed sets off, in order, and what makes beans for its owner. Only
/// what matches is read from the store, and what several events tell of is read once.
///
/// # Errors
/// Those of the store.
pub(super) fn each_match(
    env: &Env,
    table: &Table,
    entries: &[FeedEntry],
    mut take: impl FnMut(&Beans<'_>, &FeedEntry, &Event, &Hook) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let awaited: Vec<(&FeedEntry, Event)> = (entries.iter())
        .flat_map(|entry| events(entry).into_iter().map(move |event| (entry, event)))
        .filter(|(_, event)| table.awaits(event.trigger, &event.option))
        .collect();
    if awaited.is_empty() {
        return Ok(());
    }
    // Taken after the entries were read, so it holds all they tell of.
    let snapshot = env.core.store.snapshot()?;
    let mut makers: HashMap<Scope, Beans<'_>> = HashMap::new();
    for (entry, event) in awaited {
        let event = locate(&snapshot, entry, event)?;
        let path = event.billing_entity.map(|seller| env.tree.path(&snapshot, seller)).transpose()?;
        let path = path.as_deref().unwrap_or_default();
        let hooks = match event.trigger {
            TriggerType::Init => table.own(ScriptId(event.id), TriggerType::Init),
            _ => table.matches(event.trigger, &event.option, path, event.customer),
        };
        // A block is told of others, not of itself.
        let itself = |hook: &Hook| event.noun == Noun::Script && hook.script.id.0 == event.id;
        let tagged = hooks.iter().any(tags::asks);
        let customer = event.customer.filter(|_| tagged).map(|id| snapshot.get::<Customer>(id)).transpose()?.flatten();
        for hook in hooks.iter().filter(|hook| event.trigger == TriggerType::Init || !itself(hook)) {
            if !tags::allow(hook, customer.as_ref()) {
                continue;
            }
            let owner = hook.script.owner;
            let beans = makers.entry(owner).or_insert_with(|| Beans::new(&snapshot, owner, FEW));
            take(beans, entry, &event, hook)?;
        }
    }
    Ok(())
}
