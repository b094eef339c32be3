//! Why a change happened.

use crate::{JobId, RunId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
        /// The call of an operation; none for what else a run does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_call: Option<Box<RunCall>>,
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
        Self::Run { run_id, depth, by_call: None }
    }

    /// The call that made the change, and whose it counts as: that of the job which makes it later, or else of the run.
    pub fn call(&self) -> Option<(Uuid, &RunCall)> {
        match self {
            Self::Run { run_id, by_call: Some(call), .. } => Some((call.job_id.map_or(run_id.0, |job| job.0), call)),
            _ => None,
        }
    }
}

/// A call of an operation by a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunCall {
    /// Which of the run's calls; it stays the same when the run is repeated or the call is made later.
    pub number: u32,
    /// The operation's name in the language.
    pub operation: String,
    /// The resource that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Uuid>,
    /// The job that makes the call, where it was asked for a later time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
}
