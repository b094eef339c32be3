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

/// A queue whose takers are threads and whose givers never block.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// Told whenever a full queue was emptied to half.
    room: Notify,
}

struct State<T> {
    items: VecDeque<T>,
    takers_waiting: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let state = State { items: VecDeque::new(), takers_waiting: 0, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), room: Notify::new() }
    }

    /// Appends; gives the item back when the taker is gone.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        self.push_all(std::iter::once(item)).map_err(|mut rest| rest.next().expect("the one given"))
    }

    /// Appends all, so that a taker finds them together; gives them back when the taker is gone.
    pub(crate) fn push_all<I: Iterator<Item = T>>(&self, items: I) -> Result<(), I> {
        let mut state = self.lock();
        if state.closed {
            return Err(items);
        }
        state.items.extend(items);
        if state.takers_waiting > 0 {
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Resolves when there is room.
    pub(crate) async fn room(&self) {
        loop {
            let notified = self.room.notified();
            tokio::pin!(notified);
            // Registered before looking, so that no wake-up falls in between.
            notified.as_mut().enable();
            {
                let state = self.lock();
                if state.closed || state.items.len() < ROOM {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Takes what is there, at most `max` items of together about `max_size`; waits for the first, at most `patience`.
    ///
    /// What is there is not taken before it is `company`, or [`LINGER`] is over: givers who were just answered are likely
    /// to come back at once, and would else never share a turn with those who came meanwhile.
    pub(crate) fn take(
        &self,
        max: usize,
        max_size: usize,
        size: impl Fn(&T) -> usize,
        patience: Duration,
        company: usize,
    ) -> Vec<T> {
        let mut state = self.lock();
        let company = company.min(max);
        if state.items.is_empty() {
            state.takers_waiting += 1;
            let waiting = |s: &mut State<T>| s.items.is_empty();
            state = self.arrived.wait_timeout_while(state, patience, waiting).unwrap_or_else(PoisonError::into_inner).0;
            state.takers_waiting -= 1;
        }
        if !state.items.is_empty() && state.items.len() < company {
            state.takers_waiting += 1;
            let alone = |s: &mut State<T>| s.items.len() < company && !s.closed;
            state = self.arrived.wait_timeout_while(state, LINGER, alone).unwrap_or_else(PoisonError::into_inner).0;
            state.takers_waiting -= 1;
        }
        let before = state.items.len();
        let mut total = 0;
        let mut out = Vec::with_capacity(before.min(max));
        while out.len() < max && (total < max_size || out.is_empty()) {
            let Some(item) = state.items.pop_front() else { break };
            total += size(&item);
            out.push(item);
        }
        let roomy = before >= ROOM / 2 && state.items.len() < ROOM;
        drop(state);
        if roomy {
            self.room.notify_waiters();
        }
        out
    }

    /// Items that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// The next item; waits for it. None once closed.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state.takers_waiting += 1;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.takers_waiting -= 1;
        }
        state.items.pop_front()
    }

    /// Takes nothing more; hands what is left to `refuse`.
    pub(crate) fn close(&self, refuse: impl FnMut(T)) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.items)
        };
        left.into_iter().for_each(refuse);
        self.arrived.notify_all();
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
