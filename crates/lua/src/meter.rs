//! What one run uses, and the point at which it is stopped.
//!
//! A stopped run can catch the error that stops it, but every later loop turn, call and host function raises it again, so
//! that `pcall` only delays the end by the time it takes to unwind.

mod pace;

pub(crate) use pace::Pace;

use crate::{Limit, Limits, Origin, OutboundCall, Texts, Who, Write, helper::Overlay};
use rustix::time::{ClockId, clock_gettime};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use sutler_model::ScriptId;

/// Marks text cut from a log.
const CUT: &str = "\n[log cut here]\n";

/// Shorter passwords are not masked: they would be found in words that are no secret, which would give them away.
const SECRET_BYTES_MIN: usize = 4;

/// Most writes of a rehearsal that are noted.
const WRITES_MAX: usize = 1_000;

/// The event of a run.
#[derive(Default)]
pub(crate) struct Event {
    pub function: String,
    pub option: String,
    pub timestamp_ms: i64,
    pub origin: Origin,
}

/// One run's account.
pub(crate) struct Meter {
    /// For whom; none while a block registers: then nothing outside can be reached.
    pub who: Option<Who>,
    /// Whose block it is.
    pub script: ScriptId,
    /// What the global `event` says.
    pub event: RefCell<Event>,
    /// What a rehearsal wrote of what the script keeps.
    pub kept: RefCell<Overlay>,
    /// What `translate` answers.
    pub texts: Texts,
    cpu: Duration,
    deadline: Instant,
    started: Instant,
    used: Cell<Duration>,
    slice: Cell<Option<Instant>>,
    /// Before this moment of the coarse clock no limit is passed and the turn is not over.
    look_at: Cell<Duration>,
    /// How many exact looks there were in this turn.
    looks: Cell<u32>,
    /// The turn was over where it could not make way: it does so as soon as it can.
    overdue: Cell<bool>,
    /// Since when, by the thread's own time.
    held_since: Cell<Option<Duration>>,
    /// The turn is over: the run has yielded, or is about to, and is to be resumed when others had theirs.
    made_way: Cell<bool>,
    /// The coroutine that made way last, by its address, until it has gone on.
    paused: Cell<Option<usize>>,
    stopped: Cell<Option<Limit>>,
    log: RefCell<String>,
    log_bytes: usize,
    calls: RefCell<Vec<OutboundCall>>,
    writes: RefCell<Vec<Write>>,
    secrets: RefCell<Vec<String>>,
    call_no: Cell<u32>,
    mail_no: Cell<u32>,
    reached_out: Cell<bool>,
    env: RefCell<Option<mlua::Table>>,
    session: RefCell<Option<String>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Meter>>> = const { RefCell::new(None) };
}

impl Meter {
    pub fn new(who: Option<Who>, script: ScriptId, texts: Texts, limits: &Limits) -> Rc<Self> {
        let started = Instant::now();
        Rc::new(Self {
            who,
            script,
            event: RefCell::default(),
            texts,
            kept: RefCell::default(),
            cpu: Duration::from_millis(limits.cpu_ms),
            deadline: started + Duration::from_millis(limits.deadline_ms),
            started,
            used: Cell::default(),
            slice: Cell::default(),
            look_at: Cell::default(),
            looks: Cell::default(),
            overdue: Cell::default(),
            held_since: Cell::default(),
            made_way: Cell::default(),
            paused: Cell::default(),
            stopped: Cell::default(),
            log: RefCell::default(),
            log_bytes: limits.log_bytes,
            calls: RefCell::default(),
            writes: RefCell::default(),
            secrets: RefCell::default(),
            call_no: Cell::default(),
            mail_no: Cell::default(),
            reached_out: Cell::default(),
            env: RefCell::default(),
            session: RefCell::default(),
        })
    }

    /// The run that this thread is in the middle of.
    pub fn current() -> Option<Rc<Meter>> {
        CURRENT.with_borrow(Clone::clone)
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    pub fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub fn used_us(&self) -> u64 {
        u64::try_from(self.used.get().as_micros()).unwrap_or(u64::MAX)
    }

    pub fn stopped(&self) -> Option<Limit> {
        self.stopped.get()
    }

    /// Stops the run; the first reason stays.
    pub fn stop(&self, limit: Limit) {
        if self.stopped.get().is_none() {
            self.stopped.set(Some(limit));
        }
    }

    /// Called at every safe point of Lua code and from host functions that work long.
    pub fn check(&self) -> mlua::Result<()> {
        if self.stopped.get().is_none() {
            // Reading the exact clock at each safe point would take longer than most of what scripts do between two.
            if coarse() < self.look_at.get() {
                return Ok(());
            }
            let now = Instant::now();
            let used = self.used.get() + self.slice.get().map_or(Duration::ZERO, |from| now - from);
            if used > self.cpu {
                self.stop(Limit::Cpu);
            } else if now > self.deadline {
                self.stop(Limit::Deadline);
            } else {
                self.look_later(now, used);
            }
        }
        match self.stopped.get() {
            None => Ok(()),
            Some(limit) => Err(mlua::Error::runtime(limit)),
        }
    }

    /// A poll begins.
    fn begin(&self, from: Instant) {
        self.slice.set(Some(from));
        self.looks.set(0);
        self.overdue.set(false);
        self.held_since.set(None);
        self.look_later(from, self.used.get());
    }

    /// Has the next exact look when the turn is over or a limit is passed.
    fn look_later(&self, now: Instant, used: Duration) {
        let left = self.cpu.saturating_sub(used).min(self.deadline.saturating_duration_since(now));
        self.look_at.set(coarse() + left.min(Pace::current().turn));
    }

    /// Whether the run in progress, of which [`Meter::may_go_on`] says no, has only had its turn: then it is to yield, and is
    /// resumed in its next one. `coroutine` is the one that would, by its address. Does not panic.
    pub fn makes_way(coroutine: usize) -> bool {
        let over = |meter: &Meter| {
            // What resumes the one that made way last takes steps, too, which bring the run no further.
            if meter.paused.get().is_some() {
                return false;
            }
            let looks = meter.looks.replace(meter.looks.get().saturating_add(1));
            // One of its coroutines may do so already; those that wait for it are on their way to yield.
            let over = looks >= Pace::current().looks || meter.overdue.get() && looks > 0;
            let makes = !meter.made_way.get() && over && meter.check().is_ok();
            if makes {
                meter.made_way.set(true);
                meter.paused.set(Some(coroutine));
            }
            makes
        };
        Self::of_current(over)
    }

    /// Notes that the run in progress, of which [`Meter::may_go_on`] says no, cannot make way, and stops it if that lasts.
    /// Whether the limits are to be looked at. Does not panic.
    pub fn holds() -> bool {
        Self::of_current(|meter| {
            let due = meter.is_due();
            if due {
                meter.overdue.set(true);
                meter.hold();
            }
            due
        })
    }

    /// It cannot make way now.
    fn hold(&self) {
        let now = thread_time();
        match self.held_since.get() {
            None => self.held_since.set(Some(now)),
            Some(since) if now.saturating_sub(since) > Pace::current().held => self.stop(Limit::Cpu),
            Some(_) => {}
        }
    }

    /// What is asked of the run in progress; false: there is none.
    fn of_current(ask: impl Fn(&Meter) -> bool) -> bool {
        let look = |current: &RefCell<Option<Rc<Meter>>>| {
            current.try_borrow().is_ok_and(|current| current.as_ref().is_some_and(|meter| ask(meter)))
        };
        CURRENT.try_with(look).unwrap_or(false)
    }

    /// Whether what a coroutine of the run in progress yields says that it makes way, rather than that it waits. Asked where it
    /// cannot, so that it has another turn at once.
    pub fn made_way() -> bool {
        let took = |meter: &Rc<Meter>| {
            let made_way = meter.made_way.take();
            if made_way {
                meter.looks.set(0);
                meter.overdue.set(false);
                meter.hold();
            }
            made_way
        };
        CURRENT.with_borrow(|meter| meter.as_ref().is_some_and(took))
    }

    /// A poll that began then is over.
    fn end(&self, from: Instant) {
        self.slice.set(None);
        self.look_at.set(Duration::ZERO);
        self.used.set(self.used.get() + from.elapsed());
    }

    /// [`Meter::check`] for the run in progress, if there is one.
    pub fn check_current() -> mlua::Result<()> {
        CURRENT.with_borrow(|meter| meter.as_ref().map_or(Ok(()), |meter| meter.check()))
    }

    /// Whether nothing is to be raised, as far as can be told at once. `coroutine` is the one that runs, by its address. Does not
    /// panic.
    pub fn may_go_on(coroutine: usize) -> bool {
        let well = |meter: &Meter| {
            // It has gone on where it made way, and what it resumes from here on may do so.
            if meter.paused.get() == Some(coroutine) {
                meter.paused.set(None);
            }
            !meter.overdue.get() && !meter.is_due()
        };
        let look = |current: &RefCell<Option<Rc<Meter>>>| {
            current.try_borrow().is_ok_and(|current| current.as_ref().is_none_or(|meter| well(meter)))
        };
        CURRENT.try_with(look).unwrap_or(false)
    }

    /// Whether the turn is over, or a limit may be passed.
    fn is_due(&self) -> bool {
        self.stopped.get().is_some() || coarse() >= self.look_at.get()
    }

    /// Adds a line to the log.
    pub fn log(&self, line: &str) {
        let mut log = self.log.borrow_mut();
        if log.ends_with(CUT) {
            return;
        }
        // Room for the mark is kept from the start.
        let room = self.log_bytes.saturating_sub(log.len() + CUT.len());
        if line.len() < room {
            log.push_str(line);
            log.push('\n');
        } else {
            log.push_str(&line[..line.floor_char_boundary(room)]);
            log.push_str(CUT);
        }
    }

    /// Adds a note of the platform's to the log, unless it is there.
    pub fn note(&self, what: &str) {
        let note = format!("note: {what}");
        let known = self.log.borrow().lines().any(|line| line == note);
        if !known {
            self.log(&note);
        }
    }

    pub fn take_log(&self) -> String {
        self.masked(std::mem::take(&mut *self.log.borrow_mut()))
    }

    /// Keeps a password or token, which the run has used, out of its record.
    pub fn keep_secret(&self, secret: &str) {
        let mut secrets = self.secrets.borrow_mut();
        if secret.len() >= SECRET_BYTES_MIN && !secrets.iter().any(|known| known.as_str() == secret) {
            secrets.push(secret.to_owned());
            // One that holds another goes first, so that nothing of it is left.
            secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// The text with what is secret masked.
    pub fn masked(&self, mut text: String) -> String {
        for secret in self.secrets.borrow().iter() {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
        }
        text
    }

    pub fn record(&self, call: OutboundCall) {
        self.calls.borrow_mut().push(call);
    }

    pub fn take_calls(&self) -> Vec<OutboundCall> {
        std::mem::take(&mut *self.calls.borrow_mut())
    }

    /// Notes that the run reaches outside. Whether it is the first time, of a run which is in no record.
    pub fn first_reach(&self) -> bool {
        let first = !self.reached_out.replace(true);
        first && self.who.as_ref().is_some_and(|who| who.unrecorded && !who.rehearsal)
    }

    pub fn reached_out(&self) -> bool {
        self.reached_out.get()
    }

    /// Whether nothing may change.
    pub fn rehearses(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.rehearsal)
    }

    /// Notes what a rehearsal did not do.
    pub fn would(&self, operation: &str, args: Vec<serde_json::Value>) {
        let mut writes = self.writes.borrow_mut();
        if writes.len() < WRITES_MAX {
            writes.push(Write { operation: operation.to_owned(), args });
        }
    }

    pub fn take_writes(&self) -> Vec<Write> {
        std::mem::take(&mut *self.writes.borrow_mut())
    }

    pub fn requests(&self) -> usize {
        self.calls.borrow().len()
    }

    /// The environment the run's code runs in.
    pub fn env(&self) -> Option<mlua::Table> {
        self.env.borrow().clone()
    }

    pub fn set_env(&self, env: &mlua::Table) {
        self.env.replace(Some(env.clone()));
    }

    /// For whom `userAPI` acts.
    pub fn session(&self) -> Option<String> {
        self.session.borrow().clone()
    }

    pub fn set_session(&self, user: Option<String>) {
        self.session.replace(user);
    }

    /// The number of the next call to the host, from 1.
    pub fn next_call_no(&self) -> u32 {
        self.call_no.set(self.call_no.get() + 1);
        self.call_no.get()
    }

    /// The number of the next mail, from 1.
    pub fn next_mail_no(&self) -> u32 {
        self.mail_no.set(self.mail_no.get() + 1);
        self.mail_no.get()
    }
}

/// The clock that moves with the system's ticks, a few milliseconds behind the exact one and read in a tenth of the time.
fn coarse() -> Duration {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The time that this thread has run.
fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A future whose every poll is charged to a run.
pub(crate) struct Metered<F> {
    meter: Rc<Meter>,
    run: Pin<Box<F>>,
    /// It made way when it was last polled.
    resumes: bool,
}

impl<F> Metered<F> {
    pub fn new(meter: Rc<Meter>, run: F) -> Self {
        Self { meter, run: Box::pin(run), resumes: false }
    }
}

impl<F: Future> Future for Metered<F> {
    /// `None`: the run was stopped while it waited.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let before = CURRENT.replace(Some(self.meter.clone()));
        let from = Instant::now();
        self.meter.begin(from);
        let polled = self.run.as_mut().poll(cx);
        self.meter.end(from);
        CURRENT.set(before);
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.meter.stopped().is_some() => Poll::Ready(None),
            Poll::Pending => {
                let resumed = self.resumes;
                self.resumes = self.meter.made_way.take();
                if self.resumes {
                    // Polled again not at once, but after the thread's other runs, its messages, sockets and timers.
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                } else {
                    self.meter.paused.set(None);
                }
                if resumed && !self.resumes {
                    // What it waits for was perhaps asked before it made way and came meanwhile; that woke it for this poll, in
                    // which it only went on to wait. So it asks again.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_at_its_limit_and_says_so() {
        let meter = Meter::new(
            None,
            ScriptId(uuid::Uuid::nil()),
            Texts::default(),
            &Limits { log_bytes: 100, ..Limits::default() },
        );
        meter.log("first");
        meter.log(&"ä".repeat(200));
        meter.log("lost");
        let log = meter.take_log();
        assert!(log.starts_with("first\nä"), "{log}");
        assert!(log.contains(CUT.trim()) && log.len() <= 100, "{log}");
        assert!(!log.contains("lost"));
    }
}
