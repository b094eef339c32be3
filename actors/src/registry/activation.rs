//! The map from ids to activations, and the way into and out of it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use actix::{Addr, Context, Message, dev::channel::channel, prelude::SendError};
use tokio::sync::{Notify, oneshot, watch};
use uuid::Uuid;

use super::{
    AskError, Config, Entity, Handles, LoadError,
    failures::{Crashes, Quarantine, Verdict},
    gauges::Gauges,
    guard,
    host::{Answer, Envelope, Halt, Host},
    life::{Life, Ticket},
    pool::{self, ArbiterPool},
};

/// Enough that callers on a few cores rarely meet at one lock, and that a sweep holds none for long: of a million
/// awake actors each shard has four thousand.
const SHARDS: usize = 256;

/// What all clones of a registry share.
pub(super) struct Core<E: Entity> {
    env: E::Env,
    pool: ArbiterPool,
    pub(super) config: Config,
    pub(super) gauges: Gauges,
    shards: Box<[Mutex<Shard<E>>]>,
    awake: AtomicUsize,
    closing: AtomicBool,
    /// Wakes the sweep early: too many are awake, or the registry goes.
    pub(super) sweep: Arc<Notify>,
}

pub(super) struct Shard<E: Entity> {
    pub(super) entries: HashMap<Uuid, Entry<E>>,
    pub(super) crashes: HashMap<Uuid, Crashes>,
}

pub(super) enum Entry<E: Entity> {
    /// Being loaded; tells how that ended.
    Loading(Loading),
    Awake(Arc<Awake<E>>),
}

type Loading = watch::Receiver<Option<Result<(), AskError>>>;

/// An activation and the way to it. When the last clone goes, actix ends the actor.
pub(super) struct Awake<E: Entity> {
    addr: Addr<Host<E>>,
    pub(super) life: Arc<Life>,
}

/// What the map says of an id right now.
enum Found<E: Entity> {
    Awake(Arc<Awake<E>>, Ticket),
    Loading(Loading),
    BackingOff(Instant),
}

impl<E: Entity> Core<E> {
    pub(super) fn new(env: E::Env, pool: ArbiterPool, config: Config) -> Self {
        let shard = || Mutex::new(Shard { entries: HashMap::new(), crashes: HashMap::new() });
        Self {
            env,
            pool,
            config,
            gauges: Gauges::new(E::KIND),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            awake: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            sweep: Arc::default(),
        }
    }

    pub(super) fn pool(&self) -> &ArbiterPool {
        &self.pool
    }

    /// Hands `msg` to the entity, as often as it comes back unbegun, and waits for the answer.
    pub(super) async fn deliver<M>(
        self: &Arc<Self>,
        id: Uuid,
        mut msg: M,
        deadline: tokio::time::Instant,
    ) -> Result<M::Result, AskError>
    where
        E: Handles<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        loop {
            let (awake, ticket) = self.awaken(id, deadline).await?;
            let (envelope, mut answer) = Envelope::seal(msg, ticket);
            match awake.addr.try_send(envelope) {
                Ok(()) => {}
                Err(SendError::Full(_)) => return Err(AskError::Full),
                Err(SendError::Closed(envelope)) => {
                    // The host takes itself off the map before its mailbox closes, so this end went unreported.
                    self.crashed(&awake.life, "its address closed without a word".to_owned());
                    drop(envelope);
                    // A dropped envelope sends its message back to us.
                    match answer.try_recv() {
                        Ok(Answer::Returned(back)) => msg = back,
                        _ => return Err(AskError::Stopped),
                    }
                    continue;
                }
            }
            drop(awake);
            match answer.await {
                Ok(Answer::Done(result)) => return Ok(result),
                Ok(Answer::Crashed(panic)) => return Err(AskError::Crashed(panic)),
                Ok(Answer::Returned(back)) => msg = back,
                Err(_) => return Err(AskError::Crashed("stopped in the middle of the turn".to_owned())),
            }
        }
    }

    /// Finds the entity awake, or wakes it. The ticket keeps it from falling asleep before the message is there.
    async fn awaken(
        self: &Arc<Self>,
        id: Uuid,
        deadline: tokio::time::Instant,
    ) -> Result<(Arc<Awake<E>>, Ticket), AskError> {
        loop {
            match self.find(id)? {
                Found::Awake(awake, ticket) => return Ok((awake, ticket)),
                Found::Loading(mut loading) => match loading.wait_for(Option::is_some).await.map(|ended| ended.clone())
                {
                    Ok(Some(Err(error))) => return Err(error),
                    Ok(_) => {}
                    Err(_) => {
                        // The housekeeping thread ended under the load.
                        self.shard(id).entries.remove(&id);
                        return Err(AskError::Stopped);
                    }
                },
                Found::BackingOff(until) => {
                    let until = tokio::time::Instant::from_std(until);
                    if until >= deadline {
                        return Err(AskError::BackingOff { retry: until.duration_since(tokio::time::Instant::now()) });
                    }
                    tokio::time::sleep_until(until).await;
                }
            }
        }
    }

    /// Looks `id` up and, when it sleeps and may wake, begins its one load.
    fn find(self: &Arc<Self>, id: Uuid) -> Result<Found<E>, AskError> {
        let mut shard = self.shard(id);
        if self.closing.load(Ordering::Acquire) {
            return Err(AskError::Stopped);
        }
        match shard.entries.get(&id) {
            Some(Entry::Awake(awake)) => return Ok(Found::Awake(awake.clone(), Ticket::new(&awake.life))),
            Some(Entry::Loading(loading)) => return Ok(Found::Loading(loading.clone())),
            None => {}
        }
        match shard.crashes.get_mut(&id).map_or(Verdict::Go(false), |crashes| crashes.judge(Instant::now())) {
            Verdict::Refuse(reason) => return Err(AskError::Quarantined { reason }),
            Verdict::Wait(until) => return Ok(Found::BackingOff(until)),
            Verdict::Go(true) => self.gauges.restarts.increment(1),
            Verdict::Go(false) => {}
        }
        let (ended, loading) = watch::channel(None);
        let core = self.clone();
        let begun = self.pool.keeper().spawn(async move {
            let outcome = core.load(id).await;
            let _ = ended.send(Some(outcome));
        });
        if !begun {
            return Err(AskError::Stopped);
        }
        shard.entries.insert(id, Entry::Loading(loading.clone()));
        Ok(Found::Loading(loading))
    }

    /// Loads the entity and starts its actor.
    async fn load(self: &Arc<Self>, id: Uuid) -> Result<(), AskError> {
        let limit = Duration::from_millis(self.config.ask_timeout_ms);
        // The call is inside the guarded future too: a kind may panic before it returns one.
        let load = guard::wrap(async { E::load(self.env.clone(), id).await });
        let error = match tokio::time::timeout(limit, load).await {
            Ok(Ok(Ok(Some(entity)))) => {
                self.start(id, entity);
                return Ok(());
            }
            Ok(Ok(Ok(None))) => AskError::NotFound,
            Ok(Ok(Err(error))) => AskError::Load(Arc::new(error)),
            Ok(Err(panic)) => {
                self.gauges.panics.increment(1);
                AskError::Crashed(panic)
            }
            Err(_) => AskError::Load(Arc::new(LoadError::unavailable("the load took too long"))),
        };
        let reason = match &error {
            AskError::Crashed(panic) => Some(format!("loading panicked: {panic}")),
            AskError::Load(error) => match &**error {
                LoadError::Broken(cause) => Some(format!("{error}: {cause}")),
                LoadError::Unavailable(_) => None,
            },
            _ => None,
        };
        let mut shard = self.shard(id);
        shard.entries.remove(&id);
        if let Some(reason) = reason {
            self.note_crash(shard, id, reason);
        }
        Err(error)
    }

    fn start(self: &Arc<Self>, id: Uuid, entity: E) {
        let entity = Box::new(entity);
        let (to, mailbox) = channel(E::MAILBOX);
        let addr = Addr::new(to);
        let life = Life::new(id);
        let birth = Ticket::new(&life);
        let (core, born) = (Arc::downgrade(self), life.clone());
        // A pool that has ended drops the mailbox, and the ask that follows finds the address closed.
        self.pool.arbiter(id).spawn_fn(move || {
            Context::with_receiver(mailbox).run(Host::new(core, birth, born, entity));
        });
        self.gauges.activations.increment(1);
        let awake = {
            let mut shard = self.shard(id);
            shard.entries.insert(id, Entry::Awake(Arc::new(Awake { addr, life })));
            self.awake.fetch_add(1, Ordering::Relaxed) + 1
        };
        self.show_awake();
        if awake > self.config.max_awake {
            self.sweep.notify_one();
        }
    }

    /// Takes an activation that crashed off the map, and judges the entity. Once for each activation: later reports
    /// find it gone.
    pub(super) fn crashed(&self, life: &Arc<Life>, reason: String) {
        let mut shard = self.shard(life.id);
        let gone = shard.take(life);
        if gone.is_some() {
            self.awake.fetch_sub(1, Ordering::Relaxed);
            self.note_crash(shard, life.id, reason);
            self.show_awake();
        }
    }

    /// Takes an activation that ended off the map; one that nobody asked to end has crashed in a way the guard
    /// could not see.
    pub(super) fn ended(&self, life: &Arc<Life>, asked: bool) {
        if !asked && !self.closing.load(Ordering::Acquire) {
            return self.crashed(life, "ended unasked".to_owned());
        }
        let gone = self.shard(life.id).take(life);
        if gone.is_some() {
            self.left(1);
        }
    }

    fn note_crash(&self, mut shard: MutexGuard<'_, Shard<E>>, id: Uuid, reason: String) {
        tracing::error!(kind = E::KIND, %id, reason, "an actor crashed");
        let quarantine = shard.crashes.entry(id).or_default().note(Instant::now(), &self.config, || Quarantine {
            kind: E::KIND,
            id,
            reason,
            since: SystemTime::now(),
        });
        drop(shard);
        if let Some(quarantine) = quarantine {
            self.gauges.quarantined.increment(1.0);
            tracing::error!(kind = E::KIND, %id, reason = quarantine.reason, "an entity is in quarantine");
            if let Some(announce) = &self.config.on_quarantine
                && let Err(panic) = guard::run(|| announce(&quarantine))
            {
                tracing::error!(kind = E::KIND, %id, panic, "announcing a quarantine panicked");
            }
        }
    }

    /// Sends the actor to sleep and waits until it is gone.
    pub(super) async fn stop(&self, id: Uuid) {
        loop {
            let found = match self.shard(id).entries.get(&id) {
                Some(Entry::Awake(awake)) => Ok(halt(awake)),
                Some(Entry::Loading(loading)) => Err(loading.clone()),
                None => return,
            };
            match found {
                // Only dropped, never sent: an error is the end we wait for.
                Ok(ended) => return drop(ended.await),
                Err(mut loading) => {
                    if loading.wait_for(Option::is_some).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    pub(super) async fn shut_down(&self) {
        self.closing.store(true, Ordering::Release);
        // Since `closing` is set no entry is added.
        let ids = (0..SHARDS).flat_map(|index| self.shard_at(index).entries.keys().copied().collect::<Vec<_>>());
        let stops: Vec<_> = ids.map(|id| self.stop(id)).collect();
        futures_util::future::join_all(stops).await;
    }

    pub(super) fn quarantined(&self) -> Vec<Quarantine> {
        let mut all: Vec<Quarantine> = (0..SHARDS)
            .flat_map(|index| {
                let shard = self.shard_at(index);
                shard.crashes.values().filter_map(|crashes| crashes.quarantine().cloned()).collect::<Vec<_>>()
            })
            .collect();
        all.sort_by_key(|quarantine| quarantine.since);
        all
    }

    pub(super) fn release(&self, id: Uuid) -> bool {
        let mut shard = self.shard(id);
        let held = shard.crashes.get(&id).is_some_and(|crashes| crashes.quarantine().is_some());
        if held {
            shard.crashes.remove(&id);
            self.gauges.quarantined.decrement(1.0);
        }
        held
    }

    pub(super) fn awake(&self) -> usize {
        self.awake.load(Ordering::Relaxed)
    }

    /// Notes that the sweep or a stop took `count` activations off the map.
    pub(super) fn left(&self, count: usize) {
        self.awake.fetch_sub(count, Ordering::Relaxed);
        self.show_awake();
    }

    fn show_awake(&self) {
        self.gauges.awake.set(f64::from(u32::try_from(self.awake()).unwrap_or(u32::MAX)));
    }

    fn shard(&self, id: Uuid) -> MutexGuard<'_, Shard<E>> {
        self.shard_at(pool::spread(id, SHARDS))
    }

    pub(super) fn shard_at(&self, index: usize) -> MutexGuard<'_, Shard<E>> {
        // No kind's code runs under the lock, so a poisoned one still holds whole entries.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shards(&self) -> usize {
        SHARDS
    }
}

impl<E: Entity> Drop for Core<E> {
    fn drop(&mut self) {
        self.sweep.notify_one();
    }
}

impl<E: Entity> Shard<E> {
    /// Takes `life` off the map, unless another activation has its place.
    fn take(&mut self, life: &Arc<Life>) -> Option<Entry<E>> {
        match self.entries.get(&life.id) {
            Some(Entry::Awake(awake)) if Arc::ptr_eq(&awake.life, life) => self.entries.remove(&life.id),
            _ => None,
        }
    }
}

/// Tells the actor to end after what is queued. The receiver fails when it has ended.
fn halt<E: Entity>(awake: &Awake<E>) -> oneshot::Receiver<()> {
    let (waiting, ended) = oneshot::channel();
    // The registry's own word, one for each stop: the mailbox limit is for outside input.
    awake.addr.do_send(Halt(waiting));
    ended
}
