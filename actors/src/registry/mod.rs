//! The actor registry: an entity is loaded from the store when addressed, put to sleep when idle, loaded anew when it
//! crashed, and quarantined when it keeps crashing.
//!
//! A kind implements [`Entity`] and one [`Handles`] for each message; it never sees an `actix` context or address.
//! The actor that `actix` runs is the private host of `host.rs`, and the host runs every line of a kind's code inside
//! a panic guard: no handler, background future, load or drop of a kind can forget the guard or take another down.
//!
//! ```text
//!            ask            loaded                 idle for idle_ms, or over max_awake
//!  asleep ────────▶ loading ───────▶ awake ───────────────────────────────────────────▶ asleep
//!     ▲                │               │
//!     │                │ panic, broken │ panic in a handler or a background future
//!     │                ▼               ▼
//!     └─────────── backing off ◀───────┘ ── more than `restarts` in `window_ms` ──▶ quarantined ── release ──▶ asleep
//!       time is up
//! ```
//!
//! What holds:
//! - At most one activation of an id takes turns at any time, and a turn has its entity to itself until it ends.
//! - A message is begun at most once. One that was queued when its actor slept, stopped or crashed goes to the next
//!   activation; one whose turn crashed is answered [`AskError::Crashed`].
//! - A restart of the process loses what is queued, and the quarantines: who needs them announces them durably through
//!   [`Config::on_quarantine`].
//!
//! An entity must not ask itself: the question would wait behind the turn that waits for it, until it times out.

mod activation;
mod config;
mod error;
mod failures;
mod gauges;
mod guard;
mod host;
mod life;
mod pool;
mod sweep;
#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc, time::Duration};

use actix::Message;
use uuid::Uuid;

use self::activation::Core;
pub use self::{
    config::{Config, OnQuarantine},
    error::{AskError, LoadError},
    failures::Quarantine,
    host::Ctx,
    pool::ArbiterPool,
};

/// A kind of actor that is activated from the store by id.
pub trait Entity: Sized + Send + 'static {
    /// What the kind needs to load and work: the store, the engine, clients.
    type Env: Clone + Send + Sync + 'static;

    /// The word for the kind in metrics and quarantines, such as `server`.
    const KIND: &'static str;

    /// How many messages may wait in one entity's mailbox; more are refused with [`AskError::Full`].
    const MAILBOX: usize;

    /// Loads fresh state, off the arbiters; `None` when there is no such record.
    ///
    /// Runs on the one housekeeping thread of the pool, so it awaits reads and never blocks.
    ///
    /// # Errors
    /// [`LoadError::Unavailable`] says nothing about the record and never counts against it;
    /// [`LoadError::Broken`] counts as a crash.
    fn load(env: Self::Env, id: Uuid) -> impl Future<Output = Result<Option<Self>, LoadError>> + Send;

    /// Takes up what was interrupted, before the first message. Runs once for each activation.
    fn started(&mut self, _ctx: &Ctx<Self>) {}

    /// Whether the entity may sleep; false keeps it awake (pending jobs, open samples).
    ///
    /// Asked after each turn and each finished background future; while either runs, the entity stays awake anyway.
    fn idle(&self) -> bool;
}

/// How an entity answers one kind of message.
pub trait Handles<M: Message>: Entity {
    /// Answers `msg` in a turn of its own: no other message is begun before the future ends.
    ///
    /// A turn that waits long holds up the entity's mailbox; hand long work to [`Ctx::spawn`].
    fn handle(&mut self, msg: M, ctx: &Ctx<Self>) -> impl Future<Output = M::Result>;
}

/// The map from ids to awake actors of one kind. Cheap to clone; callers on any thread share it.
pub struct Registry<E: Entity>(Arc<Core<E>>);

impl<E: Entity> Clone for Registry<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Entity> Registry<E> {
    /// An empty registry, whose actors run on `pool`. Install the metrics recorder first: handles are resolved here.
    pub fn new(env: E::Env, pool: ArbiterPool, config: Config) -> Self {
        let core = Arc::new(Core::new(env, pool, config));
        sweep::start(&core);
        Self(core)
    }

    /// Asks the entity `id`, activating it when it sleeps, and waits for the answer.
    ///
    /// # Errors
    /// See [`AskError`]; each variant says whether the message may have been begun.
    pub async fn ask<M>(&self, id: Uuid, msg: M) -> Result<M::Result, AskError>
    where
        E: Handles<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let limit = Duration::from_millis(self.0.config.ask_timeout_ms);
        let deadline = tokio::time::Instant::now() + limit;
        match tokio::time::timeout_at(deadline, self.0.deliver(id, msg, deadline)).await {
            Ok(answer) => answer,
            Err(_) => Err(AskError::Timeout),
        }
    }

    /// Puts `id` to sleep now, idle or not, after the messages queued so far; returns when it sleeps or, with a turn
    /// that does not end, after the ask timeout. Its background futures are dropped.
    pub async fn stop(&self, id: Uuid) {
        let limit = Duration::from_millis(self.0.config.ask_timeout_ms);
        if tokio::time::timeout(limit, self.0.stop(id)).await.is_err() {
            tracing::warn!(kind = E::KIND, %id, "an actor still takes its turn, past the time it has to stop");
        }
    }

    /// How many entities are awake.
    pub fn awake(&self) -> usize {
        self.0.awake()
    }

    /// The entities in quarantine, longest first.
    pub fn quarantined(&self) -> Vec<Quarantine> {
        self.0.quarantined()
    }

    /// Ends the quarantine of `id` with a clean slate; false when it was not in quarantine.
    pub fn release(&self, id: Uuid) -> bool {
        self.0.release(id)
    }

    /// Refuses new messages, lets each actor finish what is queued, and returns when all sleep or the ask timeout is
    /// over.
    pub async fn shut_down(&self) {
        let limit = Duration::from_millis(self.0.config.ask_timeout_ms);
        if tokio::time::timeout(limit, self.0.shut_down()).await.is_err() {
            tracing::warn!(kind = E::KIND, awake = self.awake(), "actors still take their turns at shutdown");
        }
    }
}
