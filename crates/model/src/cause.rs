//! Why a change happened.

use crate::{JobId, RunId, UserId};
use serde::{Deserialize, Serialize};

/// What set a change off; every change set and every feed entry names one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A request to the API by a user (or a key acting for one).
    Request {
        /// The request id the caller was given.
        request_id: String,
        /// Who asked; none before sign-in.
        user_id: Option<UserId>,
    },
    /// A step of a job.
    Job {
        /// The job.
        job_id: JobId,
    },
    /// A call made by a trigger run.
    Run {
        /// The run.
        run_id: RunId,
        /// How many runs stand behind this one; limits triggers that set off triggers.
        depth: u8,
        /// Which of the run's calls of an operation; it stays the same when the run is repeated or the call is made later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<u32>,
    },
    /// The process itself: reconciliation, schedules, start-up. The text names the part.
    System {
        /// The part, such as `reconciler` or `billing clock`.
        part: String,
    },
}

impl Cause {
    /// A change by part `part` of the process itself.
    pub fn system(part: &str) -> Self {
        Self::System { part: part.to_owned() }
    }

    /// Something else that a run does than a call of an operation.
    pub const fn run(run_id: RunId, depth: u8) -> Self {
        Self::Run { run_id, depth, call: None }
    }
}
