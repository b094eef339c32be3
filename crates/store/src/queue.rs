//! The way to the threads that write and read: first in, first out.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Change sets that may wait before [`crate::Store::commit`] makes its callers wait outside.
const ROOM: usize = 16 * crate::writer::SETS_MAX;

/// How long a taker waits for company: a small part of what a durable commit takes.
const LINGER: Duration = Duration::from_micros(60);
/// How long a taker stays awake for the next item before it sleeps: about what it takes a giver who was just answered to be
/// woken up and come back.
const AWAKE: Duration = Duration::from_micros(120);

/// Items that can wait ride along with one that cannot once the first of them has waited for this long: some fifteen durable
/// commits, so that most of these carry what is waited for and nothing else.
const RIDE_AFTER: Duration = Duration::from_millis(8);
/// Where nothing is going on they wait no longer than this.
const PATIENCE: Duration = Duration::from_millis(12);
/// So many items that can wait ride along at once.
const CROWD: usize = 128;
/// So many are company enough for each other.
const FLOOD: usize = 256;

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
    Soon,
}

struct State<T> {
    urgent: VecDeque<T>,
    /// What can wait.
    patient: VecDeque<T>,
    /// When the first of those began to.
    since: Instant,
    takers_waiting: usize,
    closed: bool,
}

impl<T> State<T> {
    fn len(&self) -> usize {
        self.urgent.len() + self.patient.len()
    }

    /// How much longer what can wait does so.
    fn patience(&self) -> Duration {
        if self.patient.len() >= FLOOD { Duration::ZERO } else { PATIENCE.saturating_sub(self.since.elapsed()) }
    }

    /// Whether a taker has waited for long enough.
    fn is_ready(&self) -> bool {
        self.closed || !self.urgent.is_empty() || (!self.patient.is_empty() && self.patience().is_zero())
    }

    /// Whether what can wait is taken along now.
    fn takes_along(&self) -> bool {
        self.closed || self.patient.len() >= CROWD || self.since.elapsed() >= RIDE_AFTER
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let state = State {
            urgent: VecDeque::new(),
            patient: VecDeque::new(),
            since: Instant::now(),
            takers_waiting: 0,
            closed: false,
        };
        Self { state: Mutex::new(state), arrived: Condvar::new(), room: Notify::new() }
    }

    /// Appends; gives the item back once finished or closed.
    pub(crate) fn push(&self, item: T, hurry: Hurry) -> Result<(), T> {
        self.push_all(std::iter::once(item), hurry).map_err(|mut rest| rest.next().expect("the one given"))
    }

    /// Appends all, so that a taker finds them together; gives them back once finished or closed.
    pub(crate) fn push_all<I: Iterator<Item = T>>(&self, items: I, hurry: Hurry) -> Result<(), I> {
        let mut state = self.lock();
        if state.closed {
            return Err(items);
        }
        let worth_waking = match hurry {
            Hurry::Now => {
                state.urgent.extend(items);
                true
            }
            // A taker must know the first, for its time, and the one that makes a flood.
            Hurry::Soon => {
                let before = state.patient.len();
                if before == 0 {
                    state.since = Instant::now();
                }
                state.patient.extend(items);
                before == 0 || (before < FLOOD && state.patient.len() >= FLOOD)
            }
        };
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
        state.closed || state.len() < ROOM
    }

    /// Takes what is there, at most `max` items of together about `max_size`; waits for it, at most `patience`. Also answers
    /// how many of them were urgent. Once finished it does not wait, and takes nothing only when nothing is left.
    ///
    /// Items that can wait are taken along with an urgent one when they are a [`CROWD`] or after [`RIDE_AFTER`], without one
    /// when they are a [`FLOOD`] or after [`PATIENCE`]; they then have up to half the places, so that neither kind starves the
    /// other. Urgent ones are
    /// not taken before there are as many as `company`, or [`LINGER`] is over: givers who were just answered are likely to
    /// come back at once, and would else never share a turn with those who came meanwhile.
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
        // Those who were just answered may be back before sleep would begin.
        if company > 0 {
            state = self.stay_awake(state, AWAKE, State::is_ready);
        }
        let until = Instant::now() + patience;
        while !state.is_ready() {
            let mut left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if !state.patient.is_empty() {
                left = left.min(state.patience());
            }
            state.takers_waiting += 1;
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.takers_waiting -= 1;
        }
        if !state.urgent.is_empty() && state.urgent.len() < company {
            state = self.stay_awake(state, LINGER, |state| state.urgent.len() >= company || state.closed);
        }
        let before = state.len();
        let takes_along = state.takes_along();
        let along = if takes_along { state.patient.len().min(max / 2) } else { 0 };
        let mut total = 0;
        let mut out = Vec::with_capacity(before.min(max));
        let mut fill = |items: &mut VecDeque<T>, max: usize| {
            while out.len() < max && (total < max_size || out.is_empty()) {
                let Some(item) = items.pop_front() else { break };
                total += size(&item);
                out.push(item);
            }
            out.len()
        };
        let urgent = fill(&mut state.urgent, max - along);
        if takes_along {
            fill(&mut state.patient, max);
        }
        let roomy = before >= ROOM / 2 && state.len() < ROOM;
        drop(state);
        if roomy {
            self.room.notify_waiters();
        }
        (out, urgent)
    }

    /// Looks again and again whether it is time, at most for so long, and lets every other thread go first: sleeping and
    /// being woken takes longer than what is waited for here.
    fn stay_awake<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        most: Duration,
        is_time: impl Fn(&State<T>) -> bool,
    ) -> MutexGuard<'a, State<T>> {
        let until = Instant::now() + most;
        while !is_time(&state) && Instant::now() < until {
            drop(state);
            std::thread::yield_now();
            state = self.lock();
        }
        state
    }

    /// Items that do not wait for company.
    pub(crate) fn urgent(&self) -> usize {
        self.lock().urgent.len()
    }

    /// The next urgent item; waits for it. None once closed.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = self.lock();
        while state.urgent.is_empty() && !state.closed {
            state.takers_waiting += 1;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.takers_waiting -= 1;
        }
        state.urgent.pop_front()
    }

    /// Takes nothing more; what is there is still given out.
    pub(crate) fn finish(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Whether that has happened and nothing is left.
    pub(crate) fn is_finished(&self) -> bool {
        let state = self.lock();
        state.closed && state.len() == 0
    }

    /// Takes nothing more; hands what is left to `refuse`.
    pub(crate) fn close(&self, refuse: impl FnMut(T)) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            let mut left = std::mem::take(&mut state.urgent);
            left.append(&mut state.patient);
            left
        };
        left.into_iter().for_each(refuse);
        self.arrived.notify_all();
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
