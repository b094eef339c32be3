//! Operations of scripts that are carried out at a later time.

use crate::{RunId, Scope, ScriptId};
use serde::{Deserialize, Serialize};

/// An operation of a script as it was asked for: all it takes to carry it out when its time has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    /// Its name in the language.
    pub operation: String,
    /// JobType of its job.
    pub job_type: String,
    /// Its arguments, a JSON array. They are dropped when the job ends, for they may hold what is secret.
    pub arguments: String,
    /// Whose script asked.
    pub owner: Scope,
    /// Which script asked, for a provider's own may do more with what it provides.
    #[serde(default)]
    pub script_id: Option<ScriptId>,
    /// For which session user (`email/customerUUID`); none: with the owner's rights.
    pub session: Option<String>,
    /// The run that asked.
    pub run_id: RunId,
    /// How many runs stood behind it.
    pub depth: u8,
    /// Which of the run's calls it was.
    pub call_no: u32,
}

/// Longest arguments, bytes: the largest blob as text, with all its characters escaped once, and what goes with it.
pub const ARGUMENT_BYTES: usize = 1200 << 10;
/// Operations that one owner's scripts may have waiting.
pub const WAITING_MAX: usize = 1000;
