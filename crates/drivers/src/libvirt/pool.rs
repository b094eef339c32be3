//! Threads for calls that may never return.
//!
//! A call that overruns its deadline is answered; its thread is written off and another takes its place. The thread ends
//! when the call returns after all. Calls that concern one guest name it, so that a guest whose call overran is known to
//! be stuck until that call returns, and cannot take a second thread.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use sutler_model::ServerId;
use tokio::sync::oneshot;

/// Threads that wait for calls.
const WORKERS: usize = 8;
/// Threads that may be written off before new calls are refused: a node this sick answers nothing.
const WRITTEN_OFF: usize = 32;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It overran its deadline while it ran, or an earlier one for the same guest still does.
    Overran,
    /// It did not begin within its deadline.
    NotBegun,
    /// It panicked.
    Panicked,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Waiting,
    Running,
    WrittenOff,
    Done,
}

struct Task {
    phase: Arc<Mutex<Phase>>,
    guest: Option<ServerId>,
    work: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Task>,
    idle: usize,
    workers: usize,
    written_off: usize,
    stuck: HashMap<ServerId, usize>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ready: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads. Dropping it lets idle ones end.
pub(super) struct Pool(Arc<Shared>);

impl Pool {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Whether a call for this guest overran and has not returned.
    pub(super) fn is_stuck(&self, guest: ServerId) -> bool {
        self.0.state().stuck.contains_key(&guest)
    }

    /// Runs `work`, for at most `deadline`. A call for a stuck guest is not begun unless `anyway`.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        guest: Option<ServerId>,
        anyway: bool,
        deadline: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (answer, answered) = oneshot::channel();
        let phase = Arc::new(Mutex::new(Phase::Waiting));
        let work = Box::new(move || {
            // Nobody waits any more: nothing is lost.
            let _ = answer.send(catch_unwind(AssertUnwindSafe(work)).map_err(|_| Lost::Panicked));
        });
        {
            let mut state = self.0.state();
            if state.written_off >= WRITTEN_OFF || (!anyway && guest.is_some_and(|g| state.stuck.contains_key(&g))) {
                return Err(Lost::Overran);
            }
            state.queue.push_back(Task { phase: phase.clone(), guest, work });
            if state.idle < state.queue.len() && state.workers < WORKERS {
                state.workers += 1;
                spawn(&self.0);
            }
        }
        self.0.ready.notify_one();
        let shared = self.0.clone();
        // On its own task: when the caller goes away, its thread must still be watched.
        let watch = tokio::spawn(async move {
            match tokio::time::timeout(deadline, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(Lost::Panicked),
                Err(_) => Err(write_off(&shared, &phase, guest)),
            }
        });
        watch.await.unwrap_or(Err(Lost::Panicked))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.ready.notify_all();
    }
}

/// Gives a call up, and its thread with it when it runs.
fn write_off(shared: &Arc<Shared>, phase: &Mutex<Phase>, guest: Option<ServerId>) -> Lost {
    let mut state = shared.state();
    let mut phase = phase.lock().unwrap_or_else(PoisonError::into_inner);
    let was = std::mem::replace(&mut *phase, Phase::WrittenOff);
    if was != Phase::Running {
        return Lost::NotBegun;
    }
    if let Some(guest) = guest {
        *state.stuck.entry(guest).or_default() += 1;
    }
    state.written_off += 1;
    state.workers -= 1;
    if !state.queue.is_empty() {
        state.workers += 1;
        spawn(shared);
    }
    Lost::Overran
}

fn spawn(shared: &Arc<Shared>) {
    let shared2 = shared.clone();
    let spawned = std::thread::Builder::new().name("libvirt-call".into()).spawn(move || worker(&shared2));
    if let Err(error) = spawned {
        // The call waits for another thread, or overruns.
        tracing::error!(%error, "a thread for libvirt calls could not be made");
    }
}

fn worker(shared: &Shared) {
    let mut state = shared.state();
    loop {
        let Some(task) = state.queue.pop_front() else {
            if state.closed {
                state.workers -= 1;
                return;
            }
            state.idle += 1;
            state = shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        {
            let mut phase = task.phase.lock().unwrap_or_else(PoisonError::into_inner);
            if *phase == Phase::WrittenOff {
                continue;
            }
            *phase = Phase::Running;
        }
        drop(state);
        (task.work)();
        state = shared.state();
        let mut phase = task.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *phase, Phase::Done) == Phase::WrittenOff {
            state.written_off -= 1;
            if let Some(guest) = task.guest
                && let Some(count) = state.stuck.get_mut(&guest)
            {
                *count -= 1;
                if *count == 0 {
                    state.stuck.remove(&guest);
                }
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    /// A call that overruns and returns once what is answered is dropped. On a busy machine one may not begin in its time:
    /// then another is made.
    async fn overrun(pool: &Pool, guest: Option<ServerId>) -> mpsc::Sender<()> {
        loop {
            let (release, block) = mpsc::channel::<()>();
            match pool.run(guest, false, SHORT, move || block.recv().is_ok()).await {
                Err(Lost::NotBegun) => {}
                lost => {
                    assert_eq!(lost, Err(Lost::Overran));
                    return release;
                }
            }
        }
    }

    #[tokio::test]
    async fn a_call_that_overruns_holds_up_nobody_else() {
        let pool = Pool::new();
        let mut blocks = vec![];
        for _ in 0..WORKERS * 2 {
            blocks.push(overrun(&pool, None).await);
        }
        assert_eq!(pool.run(None, false, LONG, || 7).await, Ok(7));
        drop(blocks);
    }

    #[tokio::test]
    async fn a_stuck_guest_takes_one_thread_until_its_call_returns() {
        let pool = Pool::new();
        let id = ServerId::new(1, [1; 10]);
        let guest = Some(id);
        let release = overrun(&pool, guest).await;
        assert!(pool.is_stuck(id));
        assert_eq!(pool.run(guest, false, LONG, || ()).await, Err(Lost::Overran));
        assert_eq!(pool.run(guest, true, LONG, || ()).await, Ok(()));
        assert_eq!(pool.run(None, false, LONG, || ()).await, Ok(()));
        drop(release);
        while pool.is_stuck(id) {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(guest, false, LONG, || ()).await, Ok(()));
        assert_eq!(pool.0.state().written_off, 0);
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let pool = Pool::new();
        assert_eq!(pool.run(None, false, LONG, || panic!("on purpose")).await, Err::<(), _>(Lost::Panicked));
        assert_eq!(pool.run(None, false, LONG, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_node_that_answers_nothing_is_given_no_more_threads() {
        let pool = Pool::new();
        let mut blocks = vec![];
        for _ in 0..WRITTEN_OFF {
            blocks.push(overrun(&pool, None).await);
        }
        assert_eq!(pool.run(None, false, LONG, || ()).await, Err(Lost::Overran));
    }
}
