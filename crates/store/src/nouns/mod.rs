//! What the store knows of each noun: its key, and what it can be found by. One file per noun.

mod api_key;
mod billing_entity;
mod blob;
mod customer;
mod datum;
mod disk;
mod image;
mod interval;
mod invoice;
pub(crate) mod job;
mod measurement;
mod node;
mod notice;
mod payment;
mod plan;
mod pluggable;
mod receipt;
mod remains;
mod script;
mod script_revision;
mod script_run;
mod server;
mod session;
mod user;

pub use interval::{interval_key, interval_prefix};
pub use measurement::measurement_prefix;

use crate::{Error, Field, Index, IndexKeys, Record, history, msgpack};
use serde::Serialize;
use sutler_model::{self as model, Noun, ResourceKey};

/// Runs `$body` with `$record` standing for the record type of `$noun`.
macro_rules! for_noun {
    ($noun:expr, $record:ident => $body:expr) => {{
        macro_rules! with {
            ($type:ty) => {{
                type $record = $type;
                $body
            }};
        }
        match $noun {
            Noun::BillingEntity => with!(model::BillingEntity),
            Noun::Customer => with!(model::Customer),
            Noun::User => with!(model::User),
            Noun::ApiKey => with!(model::ApiKey),
            Noun::Session => with!(model::Session),
            Noun::Plan => with!(model::Plan),
            Noun::Node => with!(model::Node),
            Noun::Image => with!(model::Image),
            Noun::Server => with!(model::Server),
            Noun::Disk => with!(model::Disk),
            Noun::Job => with!(model::Job),
            Noun::Script => with!(model::Script),
            Noun::ScriptRun => with!(model::ScriptRun),
            Noun::Interval => with!(model::Interval),
            Noun::Invoice => with!(model::Invoice),
            Noun::Receipt => with!(model::Receipt),
            Noun::ScriptRevision => with!(model::ScriptRevision),
            Noun::Notice => with!(model::Notice),
            Noun::Blob => with!(model::Blob),
            Noun::Datum => with!(model::Datum),
            Noun::PluggableResource => with!(model::PluggableResource),
            Noun::BlobContent => with!(model::BlobContent),
            Noun::Remains => with!(model::Remains),
            Noun::Measurement => with!(model::Measurement),
            Noun::PaymentMethod => with!(model::PaymentMethod),
            Noun::PaymentInstance => with!(model::PaymentInstance),
            Noun::Transaction => with!(model::Transaction),
        }
    }};
}

/// Fields of `noun` never shown outside.
pub(crate) fn secrets(noun: Noun) -> &'static [&'static str] {
    for_noun!(noun, R => R::SECRETS)
}

/// Whether records of `noun` can stop being live.
pub(crate) fn has_history(noun: Noun) -> bool {
    for_noun!(noun, R => !R::HISTORY.is_empty())
}

/// Takes a stored live record into the index.
pub(crate) fn load(noun: Noun, bytes: &[u8], index: &Index) -> Result<(), Error> {
    for_noun!(noun, R => {
        index.load(&msgpack::read::<R>(bytes, noun.name())?);
        Ok(())
    })
}

/// Where a stored record belongs: whether it is live, and its entries in the history index if not.
pub(crate) fn place(noun: Noun, bytes: &[u8]) -> Result<(bool, Vec<Vec<u8>>), Error> {
    for_noun!(noun, R => {
        let record = msgpack::read::<R>(bytes, noun.name())?;
        if record.live() {
            return Ok((true, Vec::new()));
        }
        let entries = history::entries(noun, history::Rule::of::<R>(), &record.key(), &record.index()).collect();
        Ok((false, entries))
    })
}

/// Whether a stored record says that its calls are never made again.
pub(crate) fn over(noun: Noun, bytes: &[u8]) -> Result<bool, Error> {
    for_noun!(noun, R => Ok(msgpack::read::<R>(bytes, noun.name())?.over()))
}

/// Whether a stored record says that a run for it may be asked for again.
pub(crate) fn awaits_run(noun: Noun, bytes: &[u8]) -> Result<bool, Error> {
    for_noun!(noun, R => Ok(msgpack::read::<R>(bytes, noun.name())?.awaits_run()))
}

/// The place in the feed of the event behind a stored run of a script.
pub(crate) fn event_of(bytes: &[u8]) -> Result<Option<u64>, Error> {
    Ok(msgpack::read::<model::ScriptRun>(bytes, Noun::ScriptRun.name())?.seq)
}

/// The parts of [`Record`] that are the same for all nouns with an `id`.
macro_rules! identified {
    () => {
        fn key(&self) -> Vec<u8> {
            self.id.0.as_bytes().to_vec()
        }

        fn id(&self) -> uuid::Uuid {
            self.id.0
        }

        fn version(&self) -> u64 {
            self.version
        }

        fn set_version(&mut self, version: u64) {
            self.version = version;
        }
    };
}
use identified;

impl IndexKeys {
    /// Findable by `name`, in any case.
    fn named(&mut self, name: &str) -> &mut Self {
        self.by(Field::Name, name.to_lowercase())
    }

    /// Findable by a reference that may be absent.
    fn by_id(&mut self, field: Field, id: Option<impl Into<uuid::Uuid>>) -> &mut Self {
        match id {
            Some(id) => self.by(field, id.into().as_bytes()),
            None => self,
        }
    }

    /// Findable by `name` and `name=value` of each key.
    fn keyed(&mut self, keys: &[ResourceKey]) -> &mut Self {
        for key in keys {
            self.by(Field::Key, &key.name).by(Field::Key, format!("{}={}", key.name, key.value));
        }
        self
    }

    /// Findable by a state's word: the one it is stored and shown under.
    fn in_state(&mut self, state: &impl Serialize) -> &mut Self {
        match serde_json::to_value(state) {
            Ok(serde_json::Value::String(word)) => self.by(Field::State, word),
            _ => self,
        }
    }

    /// Findable by the runs of scripts that it names.
    fn naming(&mut self, runs: impl IntoIterator<Item = model::RunId>) -> &mut Self {
        // Each once: an entry that came twice would be taken away with the first of the two.
        for run in runs.into_iter().collect::<std::collections::BTreeSet<_>>() {
            self.by(Field::Run, run.0.as_bytes());
        }
        self
    }

    /// What start-up must pick up.
    fn pending(&mut self, pending: bool) -> &mut Self {
        if pending { self.by(Field::Pending, b"1") } else { self }
    }

    /// Findable by the owner of a script or run.
    fn owned(&mut self, owner: model::Scope) -> &mut Self {
        match owner {
            model::Scope::Provider => self,
            model::Scope::Entity(id) => self.by_id(Field::BillingEntity, Some(id)),
            model::Scope::Customer(id) => self.by_id(Field::Customer, Some(id)),
        }
    }
}

/// The run behind a cause.
fn run_behind(cause: &model::Cause) -> Option<model::RunId> {
    match cause {
        model::Cause::Run { run_id, .. } => Some(*run_id),
        _ => None,
    }
}

/// The bytes that stand for an owner within a unique value.
fn owner_bytes(owner: model::Scope) -> Vec<u8> {
    match owner {
        model::Scope::Provider => vec![0],
        model::Scope::Entity(id) => [&[1], id.0.as_bytes().as_slice()].concat(),
        model::Scope::Customer(id) => [&[2], id.0.as_bytes().as_slice()].concat(),
    }
}
