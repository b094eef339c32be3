//! The way to the threads that write and read: first in, first out.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// Change sets that may wait before [`crate::Store::commit`] makes its callers wait outside.
const ROOM: usize = 16 * crate::writer::SETS_MAX;

/// How long a taker waits for company: a small part of what a durable commit takes.
const LINGER: Duration = Duration::from_micros(60);

/// How long items that can wait do so for one that cannot: about what a durable commit takes, so that they ride along
/// where something is going on and are hardly late where nothing is.
const PATIENCE: Duration = Duration::from_millis(1);
/// So many items that can wait are company enough for each other.
const CROWD: usize = 256;

/// A queue whose takers are threads and whose givers never block.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// Told whenever a full queue was emptied to half.
    room: Notify,
}

/// Whether an item can wait for others to share their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hurry {
    Now,
    /// At most [`PATIENCE`].
    WithTheNext,
}

struct State<T> {
    items: VecDeque<(T, Hurry)>,
    /// Items that do not wait for company.
    urgent: usize,
    takers_waiting: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let state = State { items: VecDeque::new(), urgent: 0, takers_waiting: 0, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), room: Notify::new() }
    }

    /// Appends; gives the item back when the taker is gone.
    pub(crate) fn push(&self, item: T, hurry: Hurry) -> Result<(), T> {
        self.push_all(std::iter::once(item), hurry).map_err(|mut rest| rest.next().expect("the one given"))
    }

    /// Appends all, so that a taker finds them together; gives them back when the taker is gone.
    pub(crate) fn push_all<I: Iterator<Item = T>>(&self, items: I, hurry: Hurry) -> Result<(), I> {
        let mut state = self.lock();
        if state.closed {
            return Err(items);
        }
        let before = state.items.len();
        state.items.extend(items.map(|item| (item, hurry)));
        let after = state.items.len();
        // Of items that can wait, a taker must know the first, for its time, and the one that makes a crowd.
        let worth_waking = match hurry {
            Hurry::Now => true,
            Hurry::WithTheNext => before == 0 || (before < CROWD && after >= CROWD),
        };
        if hurry == Hurry::Now {
            state.urgent += after - before;
        }
        if worth_waking && state.takers_waiting > 0 {
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Resolves when there is room.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            let notified = self.room.notified();
            tokio::pin!(notified);
            // Registered before looking, so that no wake-up falls in between.
            notified.as_mut().enable();
            if !self.has_room() {
                notified.await;
            }
        }
    }

    fn has_room(&self) -> bool {
        let state = self.lock();
        state.closed || state.items.len() < ROOM
    }

    /// Takes what is there, at most `max` items of together about `max_size`; waits for the first, at most `patience`. Also
    /// answers how many of them could not wait.
    ///
    /// Items that can wait are not taken before [`PATIENCE`] is over, one that cannot has come, or they are a crowd. What is
    /// there is then not taken before as many as `company` cannot wait, or [`LINGER`] is over: givers who were just answered
    /// are likely to come back at once, and would else never share a turn with those who came meanwhile.
    pub(crate) fn take(
        &self,
        max: usize,
        max_size: usize,
        size: impl Fn(&T) -> usize,
        patience: Duration,
        company: usize,
    ) -> (Vec<T>, usize) {
        let mut state = self.lock();
        let company = company.min(max);
        if state.items.is_empty() {
            state.takers_waiting += 1;
            let waiting = |s: &mut State<T>| s.items.is_empty();
            state = self.arrived.wait_timeout_while(state, patience, waiting).unwrap_or_else(PoisonError::into_inner).0;
            state.takers_waiting -= 1;
        }
        if !state.items.is_empty() && state.urgent == 0 && state.items.len() < CROWD {
            state.takers_waiting += 1;
            let calm = |s: &mut State<T>| s.urgent == 0 && s.items.len() < CROWD && !s.closed;
            state = self.arrived.wait_timeout_while(state, PATIENCE, calm).unwrap_or_else(PoisonError::into_inner).0;
            state.takers_waiting -= 1;
        }
        if state.urgent > 0 && state.urgent < company {
            state.takers_waiting += 1;
            let alone = |s: &mut State<T>| s.urgent < company && !s.closed;
            state = self.arrived.wait_timeout_while(state, LINGER, alone).unwrap_or_else(PoisonError::into_inner).0;
            state.takers_waiting -= 1;
        }
        let (before, urgent) = (state.items.len(), state.urgent);
        let mut total = 0;
        let mut out = Vec::with_capacity(before.min(max));
        while out.len() < max && (total < max_size || out.is_empty()) {
            let Some((item, hurry)) = state.items.pop_front() else { break };
            state.urgent -= usize::from(hurry == Hurry::Now);
            total += size(&item);
            out.push(item);
        }
        let urgent = urgent - state.urgent;
        let roomy = before >= ROOM / 2 && state.items.len() < ROOM;
        drop(state);
        if roomy {
            self.room.notify_waiters();
        }
        (out, urgent)
    }

    /// Items that do not wait for company.
    pub(crate) fn urgent(&self) -> usize {
        self.lock().urgent
    }

    /// The next item; waits for it. None once closed.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state.takers_waiting += 1;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.takers_waiting -= 1;
        }
        let (item, hurry) = state.items.pop_front()?;
        state.urgent -= usize::from(hurry == Hurry::Now);
        Some(item)
    }

    /// Takes nothing more; hands what is left to `refuse`.
    pub(crate) fn close(&self, refuse: impl FnMut(T)) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            state.urgent = 0;
            std::mem::take(&mut state.items)
        };
        left.into_iter().map(|(item, _)| item).for_each(refuse);
        self.arrived.notify_all();
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
