//! Lua code blocks, what they register, and their runs.

use crate::{Cause, Point, RevisionId, RunId, Schedule, Scope, ScriptId, Timestamp, UserId, translation::Translations};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// When a trigger runs. Named as scripts name it, in capitals on the wire of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TriggerType {
    /// Before a record is stored; may change or refuse it.
    PreCreate,
    /// After a record was stored.
    PostCreate,
    /// Before a change is stored; may change or refuse it.
    PreModify,
    /// After a change was stored.
    PostModify,
    /// Before a record is deleted; may refuse it.
    PreDelete,
    /// After a record is gone.
    PostDelete,
    /// Before a job goes into a new state; may refuse that it is accepted and that it begins.
    PreJobStateChange,
    /// After a job changed state.
    PostJobStateChange,
    /// Before a server is asked to change state; may refuse it.
    PreServerStateChange,
    /// After a server changed state.
    PostServerStateChange,
    /// Before a server's metadata is written for its next start; may add to it.
    PreServerMetadataUpdate,
    /// When a known user's password is checked; may refuse the sign-in.
    PreAuth,
    /// After somebody signed in, or failed to.
    PostAuth,
    /// Before a customer's user or key does something through the API; may refuse it.
    PreUserApiCall,
    /// After a customer's user or key did something through the API.
    PostUserApiCall,
    /// Before a seller's staff do something through the API; may refuse it.
    PreAdminApiCall,
    /// After a seller's staff did something through the API.
    PostAdminApiCall,
    /// After a customer's use of a period was billed.
    PostBilling,
    /// After an invoice was issued.
    PostCollection,
    /// After something went wrong inside the platform.
    PostException,
    /// Before a payment or refund is tried; may refuse it.
    PrePayment,
    /// After a payment or refund was tried.
    PostPayment,
    /// Before a customer takes a plan; may refuse it.
    PrePurchase,
    /// After a customer took a plan.
    PostPurchase,
    /// After something was charged or paid.
    PostUnitTransaction,
    /// When an invoice is drawn up; says its tax.
    TaxCalculation,
    /// At set times.
    Scheduled,
    /// After the block itself was loaded: its global function `init`, which nobody registers.
    Init,
}

impl TriggerType {
    /// Every type.
    pub const ALL: [Self; 28] = [
        Self::PreCreate,
        Self::PostCreate,
        Self::PreModify,
        Self::PostModify,
        Self::PreDelete,
        Self::PostDelete,
        Self::PreJobStateChange,
        Self::PostJobStateChange,
        Self::PreServerStateChange,
        Self::PostServerStateChange,
        Self::PreServerMetadataUpdate,
        Self::PreAuth,
        Self::PostAuth,
        Self::PreUserApiCall,
        Self::PostUserApiCall,
        Self::PreAdminApiCall,
        Self::PostAdminApiCall,
        Self::PostBilling,
        Self::PostCollection,
        Self::PostException,
        Self::PrePayment,
        Self::PostPayment,
        Self::PrePurchase,
        Self::PostPurchase,
        Self::PostUnitTransaction,
        Self::TaxCalculation,
        Self::Scheduled,
        Self::Init,
    ];

    /// Whether it runs inside the request rather than after the event.
    pub const fn is_pre(self) -> bool {
        matches!(
            self,
            Self::PreCreate
                | Self::PreModify
                | Self::PreDelete
                | Self::PreJobStateChange
                | Self::PreServerStateChange
                | Self::PreServerMetadataUpdate
                | Self::PreAuth
                | Self::PreUserApiCall
                | Self::PreAdminApiCall
                | Self::PrePayment
                | Self::PrePurchase
                | Self::TaxCalculation
        )
    }

    /// Whether its options are names of API methods rather than words in capitals.
    pub const fn is_api_call(self) -> bool {
        matches!(self, Self::PreUserApiCall | Self::PostUserApiCall | Self::PreAdminApiCall | Self::PostAdminApiCall)
    }
}

/// One function a code block registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Entry {
    /// The global function.
    pub function: String,
    /// The descriptor's reference; unique within the block.
    pub reference: String,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// When it runs.
    pub trigger_type: TriggerType,
    /// Which of the events of that type; `ANY` for all. Capitals.
    pub options: Vec<String>,
    /// Lower runs first.
    pub priority: i64,
    /// For scheduled entries.
    pub schedule: Option<Schedule>,
    /// Only events of customers that have a key of one of these names; empty: all events. Scheduled entries go by none.
    #[serde(default)]
    pub customer_tags: Vec<String>,
}

/// A Lua code block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Script {
    /// Its id.
    pub id: ScriptId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Display name, unique within its owner.
    pub name: String,
    /// Whose it is, and so what it sees and may do.
    pub owner: Scope,
    /// The source in force; empty while none is.
    pub source: String,
    /// What it registered.
    pub entries: Vec<Entry>,
    /// What else it registered: providers, billing methods and so on.
    #[serde(default)]
    pub points: Vec<Point>,
    /// What its header says of itself (`FDLINFO`): `NAME`, `VERSION`.
    #[serde(default)]
    pub info: BTreeMap<String, String>,
    /// The texts of its package, by language and key.
    #[serde(default)]
    pub translations: Translations,
    /// The number of the revision in force; 0 while none is.
    #[serde(default)]
    pub revision: u32,
    /// The number of the newest revision.
    #[serde(default)]
    pub latest_revision: u32,
    /// Whether its entries run.
    pub enabled: bool,
    /// A failing PRE entry lets the event pass instead of refusing it.
    pub fail_open: bool,
    /// Its POST and scheduled runs are held back: what happens meanwhile is kept for them.
    #[serde(default)]
    pub paused: bool,
    /// The feed position from which its POST entries run.
    pub from_seq: u64,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When its source last changed or it was last enabled; its schedules count from here.
    pub modified_at: Timestamp,
}

/// A text that a script had, has, or is to have once it is signed. Never changed but for its signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScriptRevision {
    /// Its id.
    pub id: RevisionId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Of which script.
    pub script_id: ScriptId,
    /// Whose script it is.
    pub owner: Scope,
    /// Counts the script's revisions, from 1.
    pub number: u32,
    /// The text.
    pub source: String,
    /// What it registered.
    pub entries: Vec<Entry>,
    /// What else it registered.
    #[serde(default)]
    pub points: Vec<Point>,
    /// What its header says of itself.
    pub info: BTreeMap<String, String>,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// Who uploaded it; none: the platform or a script.
    pub created_by: Option<UserId>,
    /// Who vouches for it, and since when.
    pub signature: Option<Signature>,
}

/// Who vouches for a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Signature {
    /// When it was signed.
    pub at: Timestamp,
    /// By whom; none: an API key of nobody.
    pub by: Option<UserId>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits behind an earlier run of the same entry and resource that is being retried.
    Pending,
    /// A PRE run that has reached outside; what comes of it is not known yet.
    Running,
    /// Failed; tried again at `next_at`.
    Retrying,
    /// Done.
    Succeeded,
    /// A PRE run that refused.
    Refused,
    /// A PRE run that failed, or a POST run without tries left: the dead-letter list.
    Dead,
    /// Passed over on request.
    Skipped,
}

/// One run of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScriptRun {
    /// Derived from script, entry and event, so that a repeat finds itself.
    pub id: RunId,
    /// Counts changes, from 1.
    pub version: u64,
    /// Of which block.
    pub script_id: ScriptId,
    /// Of which of its functions.
    pub function: String,
    /// Whose block it is.
    pub owner: Scope,
    /// The event's place in the feed; none for PRE and scheduled runs.
    pub seq: Option<u64>,
    /// The option that fired.
    pub option: String,
    /// The record the event is about.
    pub resource_id: Option<Uuid>,
    /// What set it off.
    pub cause: Cause,
    /// How it stands.
    pub state: RunState,
    /// Tries so far.
    pub attempts: u32,
    /// Next try.
    pub next_at: Option<Timestamp>,
    /// Time of the last try, microseconds.
    pub duration_us: u64,
    /// What it printed, cut at 64 KiB.
    pub log: String,
    /// What it returned, or its error.
    pub result: String,
    /// When the event happened.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What an action was asked for that nobody waits for, for it is done also when the program ends in between. Dropped when
    /// the run ends, for it may hold what is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Box<AskedAction>>,
}

/// An action of a provider as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskedAction {
    /// The action.
    pub key: String,
    /// The provider's unique name.
    pub provider_type: String,
    /// Its parameters, filled in.
    pub parameters: BTreeMap<String, String>,
    /// Who asked, if somebody did.
    pub user_id: Option<UserId>,
    /// How many runs stand behind it.
    pub depth: u8,
}
