//! Showing what is being done and how long it takes: one line a step, and a running clock on a terminal. On standard error, so that
//! what a command prints as its result can be piped.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often the clock on a terminal moves.
const TICK: Duration = Duration::from_millis(200);

/// One step of something longer. Dropped without [`Step::done`], it counts as failed.
pub struct Step {
    what: String,
    started: Instant,
    clock: Option<(Sender<()>, JoinHandle<()>)>,
    finished: bool,
}

impl Step {
    /// Says what begins.
    pub fn begin(what: impl Into<String>) -> Step {
        let what = what.into();
        let started = Instant::now();
        let clock = stderr().is_terminal().then(|| {
            let (stop, stopped) = mpsc::channel();
            let text = what.clone();
            let thread = thread::spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    eprint!("\r\x1b[K  … {text} ({} s)", started.elapsed().as_secs());
                    // A terminal that went away is no reason to stop.
                    let _ = stderr().flush();
                }
            });
            (stop, thread)
        });
        if clock.is_none() {
            eprintln!("  … {what}");
        }
        Step { what, started, clock, finished: false }
    }

    /// Says how it ended and how long it took.
    pub fn done(mut self, result: impl AsRef<str>) {
        self.end("✓", result.as_ref());
    }

    fn end(&mut self, mark: &str, result: &str) {
        self.finished = true;
        if let Some((stop, thread)) = self.clock.take() {
            drop(stop);
            let _ = thread.join();
            eprint!("\r\x1b[K");
        }
        let separator = if result.is_empty() { "" } else { ": " };
        eprintln!("  {mark} {}{separator}{result} [{:.1} s]", self.what, self.started.elapsed().as_secs_f32());
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.end("✗", "failed");
        }
    }
}
