//! Durable, visible units of work.

use crate::{
    BillingEntityId, Cause, CustomerId, Deferred, DiskId, ImageId, JobId, Noun, ResourceMetadata, ServerId, Timestamp,
    UserId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A job's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted; waits for its turn.
    NotStarted,
    /// A step is running.
    InProgress,
    /// A step failed for now and is tried again.
    Waiting,
    /// A step failed for good; the finished steps are being reversed.
    Undoing,
    /// Done.
    Successful,
    /// Failed and reversed.
    Failed,
    /// Stopped on request and reversed.
    Cancelled,
    /// Could be neither finished nor reversed.
    NeedsOperator,
}

impl JobState {
    /// Whether nothing more happens by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Successful | Self::Failed | Self::Cancelled | Self::NeedsOperator)
    }

    /// The word used in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::InProgress => "in_progress",
            Self::Waiting => "waiting",
            Self::Undoing => "undoing",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::NeedsOperator => "needs_operator",
        }
    }
}

/// Jobs of before it was kept had been found free of servers, or were to delete them.
const fn yes() -> bool {
    true
}

/// What a job is asked to do. Stored: append variants and defaulted fields, never change a meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobInput {
    /// Builds a server from its record.
    CreateServer {
        /// Which.
        server_id: ServerId,
        /// Its boot disk.
        disk_id: DiskId,
        /// Start it at the end.
        start: bool,
    },
    /// Starts a stopped server.
    StartServer {
        /// Which.
        server_id: ServerId,
    },
    /// Stops a running server.
    StopServer {
        /// Which.
        server_id: ServerId,
        /// Pull the plug rather than ask.
        force: bool,
    },
    /// Restarts a running server.
    RebootServer {
        /// Which.
        server_id: ServerId,
        /// Pull the plug rather than ask.
        force: bool,
    },
    /// Deletes a server and its disks.
    DeleteServer {
        /// Which.
        server_id: ServerId,
    },
    /// Makes an image of a disk whose server does not run.
    CreateImage {
        /// The image.
        image_id: ImageId,
        /// What is copied.
        disk_id: DiskId,
        /// The disk's server.
        server_id: ServerId,
    },
    /// Carries out an operation of a script whose time has come: [`Job::request`].
    Operation {
        /// Its name in the language.
        name: String,
        /// JobType of the language.
        job_type: String,
    },
    /// Deletes a customer's servers, each by a job of its own below this one, and closes the customer.
    DeleteCustomer {
        /// Which.
        customer_id: CustomerId,
        /// Its servers too; without, it fails where there are any.
        #[serde(default = "yes")]
        cascade: bool,
    },
}

impl JobInput {
    /// The verb and noun of the job: `create_server`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CreateServer { .. } => "create_server",
            Self::StartServer { .. } => "start_server",
            Self::StopServer { .. } => "stop_server",
            Self::RebootServer { .. } => "reboot_server",
            Self::DeleteServer { .. } => "delete_server",
            Self::CreateImage { .. } => "create_image",
            Self::Operation { .. } => "operation",
            Self::DeleteCustomer { .. } => "delete_customer",
        }
    }

    /// The server the job works on; none for a job that is carried out by others below it.
    pub const fn server_id(&self) -> Option<ServerId> {
        match self {
            Self::CreateServer { server_id, .. }
            | Self::StartServer { server_id }
            | Self::StopServer { server_id, .. }
            | Self::RebootServer { server_id, .. }
            | Self::CreateImage { server_id, .. }
            | Self::DeleteServer { server_id } => Some(*server_id),
            Self::Operation { .. } | Self::DeleteCustomer { .. } => None,
        }
    }
}

/// Where a job stands: the step that runs now, by its stored name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepState {
    /// The step that runs now (or is being undone).
    pub step: String,
    /// Tries of this step so far.
    pub attempts: u32,
    /// When the step began.
    pub since: Timestamp,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// Stable word: `no_capacity`, `refused`, `deadline`.
    pub code: String,
    /// Text for the customer; no path, key or host name.
    pub message: String,
    /// Text for the operator.
    pub operator_message: Option<String>,
}

/// A request under a key that a job answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Who asked; none for the process itself.
    pub user_id: Option<UserId>,
    /// Their key.
    pub key: String,
    /// SHA-256 of the request behind the key, hex.
    pub request_hash: String,
}

/// A durable unit of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Counts changes, from 1.
    pub version: u64,
    /// What it is asked to do.
    pub input: JobInput,
    /// The operation to carry out; none once that is done, and for other jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<Deferred>>,
    /// What the guest is told for the run that the job begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<ResourceMetadata>>,
    /// The kind of record it works on.
    pub item_noun: Noun,
    /// The record it works on.
    pub item_id: Uuid,
    /// The record's name when the job was accepted.
    pub item_name: String,
    /// Whose resource it is; none for a seller's own.
    pub customer_id: Option<CustomerId>,
    /// The customer's seller.
    pub billing_entity_id: BillingEntityId,
    /// Who asked; none for the process itself.
    pub user_id: Option<UserId>,
    /// The job it is part of.
    pub parent_id: Option<JobId>,
    /// Its life.
    pub state: JobState,
    /// The step that runs now; none before the first and after the last.
    pub current: Option<StepState>,
    /// Steps done so far, in order, by stored name.
    pub done: Vec<String>,
    /// 0–100.
    pub progress_percent: u8,
    /// Why it failed.
    pub error: Option<JobError>,
    /// The caller's key: the same caller and key get the same job.
    pub idempotency_key: Option<String>,
    /// SHA-256 of the request behind the key, hex: another request under the same key is refused.
    pub request_hash: Option<String>,
    /// Further requests that it answers, for it did already what they asked for; at most [`Job::ANSWERED_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_answers: Vec<Answered>,
    /// Someone asked to stop it.
    pub cancel_requested: bool,
    /// When it is given up.
    pub deadline_at: Timestamp,
    /// The time it was accepted for; none: at once.
    #[serde(default)]
    pub start_at: Option<Timestamp>,
    /// Waits for `start_at`; until then nothing of it has begun.
    #[serde(default)]
    pub scheduled: bool,
    /// What set it off.
    pub cause: Cause,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first step began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Job {
    /// Most further requests that a job answers: more people hardly ask for one deletion at the same time.
    pub const ANSWERED_MAX: usize = 16;

    /// The requests that it answers: who asked, under which key, and what the request was.
    pub fn answers(&self) -> impl Iterator<Item = (Option<UserId>, &str, &str)> {
        let own = self.idempotency_key.iter();
        let own = own.map(|key| (self.user_id, key.as_str(), self.request_hash.as_deref().unwrap_or_default()));
        own.chain(
            self.also_answers.iter().map(|asked| (asked.user_id, asked.key.as_str(), asked.request_hash.as_str())),
        )
    }
}
