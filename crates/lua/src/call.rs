//! What goes into a run and what comes out of it.

use crate::Bean;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, sync::Arc};
use sutler_model::{Cause, RunId, Scope, ScriptId, TriggerType, translation::Translations};
use uuid::Uuid;

/// What one run, and all loaded blocks together, may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of one block's Lua state, with what it takes outside it.
    pub memory_bytes: usize,
    /// Time spent running Lua, not waiting.
    pub cpu_ms: u64,
    /// Time from start to end, waiting included.
    pub deadline_ms: u64,
    /// What `print` and `syslog` may write in one run.
    pub log_bytes: usize,
    /// All loaded blocks together; the least recently used are unloaded beyond it.
    pub resident_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            cpu_ms: 1_000,
            deadline_ms: 60_000,
            log_bytes: 64 << 10,
            resident_bytes: 512 << 20,
        }
    }
}

/// A code block at one version.
#[derive(Clone, Debug)]
pub struct Block {
    /// Whose Lua state it is; a block stays on one thread.
    pub id: ScriptId,
    /// A new version loads the source again.
    pub version: u64,
    /// The source.
    pub source: Arc<str>,
    /// What `translate` answers.
    pub texts: Texts,
}

/// The texts of a block's package and the language they are wanted in.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// All of them.
    pub translations: Arc<Translations>,
    /// The owner's language; none: English.
    pub language: Option<String>,
}

/// For whom a run acts. Handed to the [`crate::Host`] with every call.
#[derive(Clone, Debug)]
pub struct Who {
    /// Whose block it is, and so what it sees and may do.
    pub owner: Scope,
    /// The block's script, where it is one that is kept.
    pub script: Option<ScriptId>,
    /// The run, for idempotency and the record.
    pub run_id: RunId,
    /// How many runs set each other off before this one.
    pub depth: u8,
    /// The run is in no record yet: the host is told before it first reaches outside ([`crate::Host::reaches_out`]).
    pub unrecorded: bool,
    /// An earlier try may have made calls already: what one has done is not done again.
    pub repeated: bool,
    /// Nothing changes: what the run would write and send is noted in [`Outcome::writes`] and [`Outcome::calls`], and
    /// answered as if it had been done. Such a run begins with a Lua state of its own.
    pub rehearsal: bool,
}

/// One run of one function.
#[derive(Clone, Debug)]
pub struct Call {
    /// The block.
    pub block: Block,
    /// Its global function.
    pub function: String,
    /// For whom.
    pub who: Who,
    /// The `p` table.
    pub params: Params,
    /// What the run may use.
    pub limits: Limits,
}

/// The members of `p` (`fdl.md` 1.4).
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// `p.input`.
    pub input: Input,
    /// `p.triggerOption`.
    pub option: String,
    /// `p.beUUID`.
    pub be_uuid: String,
    /// `p.customer`.
    pub customer: Option<Bean>,
    /// `p.user`.
    pub user: Option<Bean>,
    /// `p.timeStamp`.
    pub timestamp_ms: i64,
    /// What the global `event` says besides.
    pub origin: Origin,
    /// `p.resource`; what the script changes on it comes back in [`Outcome::resource`].
    pub resource: Option<Bean>,
    /// Further members.
    pub more: Vec<(&'static str, Member)>,
    /// Nobody asks what the script leaves of `input` and `resource`: the outcome does not tell.
    pub spent: bool,
}

/// A further member of `p`.
#[derive(Clone, Debug)]
pub enum Member {
    /// A Lua table of texts: `p.parameters`, `p.resourceValues`.
    Texts(BTreeMap<String, String>),
    /// The same; those under these keys are masked wherever they turn up in the run's record.
    Secrets(BTreeMap<String, String>, Vec<String>),
    /// [`Params::resource`] under another name.
    Resource,
    /// A value; objects with `@bean` are beans.
    Value(Value),
    /// `p.measureComp`: what was measured of a resource.
    Measures(Uuid),
    /// `p.billingComp`: what a plan fills in for a billing method.
    Billing(BTreeMap<String, String>),
}

/// What set a run off.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The trigger's type.
    pub trigger: Option<TriggerType>,
    /// The event's place in the change feed, if it has one.
    pub seq: Option<u64>,
    /// How many times the run was begun, this one included; 0: not known.
    pub attempt: u32,
    /// Why the change happened. Of it the script is told what its owner may know.
    pub cause: Option<Cause>,
}

/// The subject of an event.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// A resource; what the script changes on it comes back in [`Outcome::input`].
    Bean(Bean),
    /// What a server finds when it starts: a Lua array of the server's bean and the XML document of its metadata. What the
    /// script changes comes back in [`Outcome::input`] and [`Outcome::document`]; texts given to `addCloudInitData` are the
    /// bean's property `cloudInitData`.
    Metadata {
        /// The server.
        server: Bean,
        /// XML text.
        document: String,
    },
    /// A scheduled run: due time, interval and current time in milliseconds.
    Numbers(Vec<f64>),
    /// A login name, for example.
    Text(String),
    /// None.
    #[default]
    Nil,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// The input bean as the script left it.
    pub input: Option<Bean>,
    /// The document of [`Input::Metadata`] as the script left it.
    pub document: Option<String>,
    /// [`Params::resource`] as the script left it.
    pub resource: Option<Bean>,
    /// Which properties without parts a setter set on it, also to what they were.
    pub resource_set: Vec<String>,
    /// What it returned; null for a failure.
    pub returned: Value,
    /// What it printed, cut at the limit.
    pub log: String,
    /// What it returned, as JSON text; for a failure its error.
    pub result: String,
    /// From start to end, waiting included.
    pub duration_us: u64,
    /// Time spent running Lua, not waiting.
    pub cpu_us: u64,
    /// The requests it sent.
    pub calls: Vec<OutboundCall>,
    /// Whether it may have changed something outside: it sent a request or called an operation that may write.
    pub reached_out: bool,
    /// What it would have done on the platform; of rehearsals only.
    pub writes: Vec<Write>,
}

impl Outcome {
    /// The end of a run that could not begin.
    pub fn refused(why: impl Into<String>) -> Self {
        let error = ScriptError::new(why);
        Self {
            result: error.to_string(),
            exit: Exit::Failed(error),
            input: None,
            document: None,
            resource: None,
            resource_set: Vec::new(),
            returned: Value::Null,
            log: String::new(),
            duration_us: 0,
            cpu_us: 0,
            calls: Vec::new(),
            reached_out: false,
            writes: Vec::new(),
        }
    }
}

/// An operation that a rehearsal did not carry out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Its name in the language.
    pub operation: String,
    /// Its arguments.
    pub args: Vec<Value>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did its work.
    Success,
    /// It had nothing to do.
    Continue,
    /// It refuses the event, and why.
    Refused(String),
    /// It raised an error.
    Failed(ScriptError),
    /// It used more than it may.
    Stopped(Limit),
}

/// A limit that ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::cpu_ms`].
    Cpu,
    /// [`Limits::deadline_ms`].
    Deadline,
    /// [`Limits::memory_bytes`].
    Memory,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "the script ran longer than its CPU time allows",
            Self::Deadline => "the script did not end before its deadline",
            Self::Memory => "the script used more memory than it may",
        })
    }
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ScriptError {
    /// The line of the source, from 1.
    pub line: Option<u32>,
    /// In words.
    pub message: String,
}

impl ScriptError {
    /// An error that no single line causes.
    pub fn new(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into() }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A request that a run sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundCall {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// Where to, without user name, password and query.
    pub url: String,
    /// What came back; none: nothing did.
    pub status: Option<u16>,
    /// Why nothing came back.
    pub error: Option<String>,
    /// Body sent and received, bytes.
    pub sent_bytes: u64,
    /// See above.
    pub received_bytes: u64,
    /// From start to end.
    pub duration_us: u64,
}
