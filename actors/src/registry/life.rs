//! What the registry knows of one activation without asking it.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use uuid::Uuid;

/// One activation of one entity, shared by the map, the actor and its messages.
///
/// The sweep decides from here alone, so putting a million actors to sleep sends no message.
pub(super) struct Life {
    pub(super) id: Uuid,
    /// Messages queued or in their turn, and background futures.
    pending: AtomicU32,
    /// The entity's own answer, published before the turn's ticket is dropped.
    idle: AtomicBool,
    used_ns: AtomicU64,
}

impl Life {
    pub(super) fn new(id: Uuid) -> Arc<Self> {
        Arc::new(Self {
            id,
            pending: AtomicU32::new(0),
            idle: AtomicBool::new(false),
            used_ns: AtomicU64::new(now_ns()),
        })
    }

    /// When the entity was last used, if it may sleep.
    ///
    /// Under the lock of the map no message can be added, so "nothing pending" stays true until the lock is let go.
    pub(super) fn idle_since(&self) -> Option<u64> {
        // `pending` first: its acquire makes the `idle` of the turn that ended visible.
        (self.pending.load(Ordering::Acquire) == 0 && self.idle.load(Ordering::Relaxed))
            .then(|| self.used_ns.load(Ordering::Relaxed))
    }

    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Relaxed);
    }

    pub(super) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }
}

/// Keeps an activation awake while it lives; held by each message and each background future.
pub(super) struct Ticket(Arc<Life>);

impl Ticket {
    pub(super) fn new(life: &Arc<Life>) -> Self {
        life.pending.fetch_add(1, Ordering::Relaxed);
        Self(life.clone())
    }

    /// One more for the same activation.
    pub(super) fn another(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.used_ns.store(now_ns(), Ordering::Relaxed);
        self.0.pending.fetch_sub(1, Ordering::Release);
    }
}

/// Nanoseconds since the first call.
pub(super) fn now_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
