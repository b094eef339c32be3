//! How the runs of each script went since the program started.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use sutler_model::{RunId, RunState, ScriptId, ScriptRun, Timestamp};

/// Runs of one script since the program started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptCounts {
    /// Ended well.
    pub succeeded: u64,
    /// Refused their event.
    pub refused: u64,
    /// Tries that failed, those that were repeated included.
    pub failed: u64,
    /// Used up their tries.
    pub dead: u64,
    /// Time of all tries, waiting included, microseconds.
    pub duration_us: u64,
    /// The last try that failed.
    pub last_error: Option<LastError>,
}

/// A try that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct LastError {
    /// Of which run.
    pub run_id: RunId,
    /// Of which function.
    pub function: String,
    /// When its event happened.
    pub at: Timestamp,
    /// What it said.
    pub text: String,
}

/// See the module.
#[derive(Default)]
pub(super) struct Tally(Mutex<HashMap<ScriptId, ScriptCounts>>);

impl Tally {
    /// Counts a run's new state.
    pub(super) fn note(&self, run: &ScriptRun) {
        let state = match run.state {
            RunState::Pending => "pending",
            RunState::Running => "running",
            RunState::Retrying => "retrying",
            RunState::Succeeded => "succeeded",
            RunState::Refused => "refused",
            RunState::Dead => "dead",
            RunState::Skipped => "skipped",
        };
        metrics::counter!("sutler_trigger_runs_total", "state" => state).increment(1);
        if matches!(run.state, RunState::Pending | RunState::Running | RunState::Skipped) {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.entry(run.script_id).or_default();
        counts.duration_us += run.duration_us;
        match run.state {
            RunState::Succeeded => counts.succeeded += 1,
            RunState::Refused => counts.refused += 1,
            _ => {
                counts.failed += 1;
                counts.dead += u64::from(run.state == RunState::Dead);
                counts.last_error = Some(LastError {
                    run_id: run.id,
                    function: run.function.clone(),
                    at: run.created_at,
                    text: run.result.clone(),
                });
            }
        }
    }

    /// The counts of a script.
    pub(super) fn of(&self, script: ScriptId) -> ScriptCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&script).cloned().unwrap_or_default()
    }

    /// Whether a run is the one whose error is shown as its script's last.
    pub(super) fn is_last_error(&self, run: &ScriptRun) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = all.get(&run.script_id).and_then(|counts| counts.last_error.as_ref());
        last.is_some_and(|error| error.run_id == run.id)
    }

    /// Forgets a script that is gone.
    pub(super) fn forget(&self, script: ScriptId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&script);
    }
}
