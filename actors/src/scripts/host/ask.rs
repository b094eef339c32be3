//! One call of a script: who asks, with which arguments, and what makes a repeated run repeat nothing.

use super::{Platform, failed, later};
use crate::{
    Caller, Idempotency,
    scripts::beans::{ALL, Beans, Described},
};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use sutler_lua::{Bean, HostError, Who};
use sutler_model::Timestamp;
use sutler_store::Record;
use uuid::Uuid;

/// A call on its way to an operation.
pub(super) struct Ask<'a> {
    pub platform: &'a Platform,
    pub caller: &'a Caller,
    pub who: &'a Who,
    pub args: &'a Args<'a>,
    /// Counts the calls of the run.
    pub call_no: u32,
    /// Set when it is for a later time: which argument says so, and when.
    pub later: OnceLock<(usize, Timestamp)>,
}

impl Ask<'_> {
    /// The key under which a repeated run gets the same job.
    pub fn key(&self) -> Idempotency {
        self.key_of("")
    }

    /// The key of a call that is about one thing, whatever of it the script read this time.
    pub fn key_about(&self, item: Uuid) -> Idempotency {
        self.key_for("", &(self.args.operation, item))
    }

    /// The key of one of several jobs that a call starts.
    pub fn key_of(&self, part: &str) -> Idempotency {
        // A repeated run that counts from the present asks for another time and means the same.
        let is_time = |value: &&Value| match value {
            Value::Number(_) => true,
            Value::String(text) => sutler_lua::date_ms(text).is_some(),
            _ => false,
        };
        let lasting: Vec<&Value> = self.args.values.iter().filter(|value| !is_time(value)).collect();
        self.key_for(part, &(self.args.operation, lasting))
    }

    fn key_for(&self, part: &str, request: &impl Serialize) -> Idempotency {
        let request = serde_json::to_vec(request).unwrap_or_default();
        let request_hash = Sha256::digest(request).iter().map(|byte| format!("{byte:02x}")).collect();
        Idempotency { key: format!("run:{}:{}{part}", self.who.run_id, self.call_no), request_hash }
    }

    /// The id of the record that this call creates: the same in every try of the run, in the order of the events.
    pub fn new_id(&self) -> Uuid {
        // A run's id holds the time of its event.
        let (seconds, nanos) = self.who.run_id.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
        let mut hash = Sha256::new();
        hash.update(self.who.run_id.0);
        hash.update(self.call_no.to_be_bytes());
        let hash = hash.finalize();
        let mut tail = [0; 10];
        tail.copy_from_slice(&hash[..10]);
        let ms = seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000));
        uuid::Builder::from_unix_timestamp_millis(ms, &tail).into_uuid()
    }

    /// What an earlier try of this run has created.
    pub async fn earlier<R: Record>(&self, id: Uuid) -> Result<Option<R>, HostError> {
        self.platform.store.get::<R>(id).await.map_err(failed)
    }

    /// The bean of a record, as an answer.
    pub async fn answer<R: Described>(&self, record: R) -> Result<Value, HostError> {
        Ok(super::keys::tagged(self.bean(record).await?))
    }

    /// The bean of a record as the script sees it.
    pub async fn bean<R: Described>(&self, record: R) -> Result<Bean, HostError> {
        let owner = self.who.owner;
        let read = self.platform.store.read(move |snapshot| Beans::new(snapshot, owner, ALL).bean(&record));
        read.await.map_err(failed)
    }

    /// Says, before an operation does anything, whether it is to be done at once. The error of one for later is answered
    /// with its job instead; so is that of a repeated run whose first try made such a job, though its time may have come.
    pub async fn at_once(&self, index: usize) -> Result<(), HostError> {
        let Some(at) = self.args.when(index)? else { return Ok(()) };
        if at <= self.platform.store.now() && !later::was_deferred(self).await? {
            return Ok(());
        }
        // Asked once: the first answer stands.
        let _ = self.later.set((index, at));
        Err(HostError::Unsupported(format!("{} at a later time (`when`)", self.args.operation)))
    }
}

/// The arguments of a call.
pub(super) struct Args<'a> {
    pub operation: &'a str,
    pub values: Vec<Value>,
}

impl Args<'_> {
    pub fn get(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    pub fn wrong(&self, index: usize, expected: &str) -> HostError {
        HostError::refused("INVALID_INPUT", format!("argument {} of {} must be {expected}", index + 1, self.operation))
    }

    pub fn text(&self, index: usize) -> Result<&str, HostError> {
        self.get(index).as_str().ok_or_else(|| self.wrong(index, "a text"))
    }

    /// A UUID; what is none names nothing that exists.
    pub fn id(&self, index: usize) -> Result<Uuid, HostError> {
        self.text(index)?.parse().map_err(|_| HostError::refused("NO_RESOURCE_FOUND", "there is no such resource"))
    }

    pub fn flag(&self, index: usize) -> bool {
        self.get(index).as_bool().unwrap_or(false)
    }

    /// A bean, such as `a Server`.
    pub fn bean(&self, index: usize, expected: &str) -> Result<&Map<String, Value>, HostError> {
        self.get(index).as_object().ok_or_else(|| self.wrong(index, expected))
    }

    /// The first argument that is a text: of operations whose order of arguments is nowhere written down.
    pub fn any_text(&self) -> Option<&str> {
        self.values.iter().find_map(Value::as_str)
    }

    /// The first argument that is a yes or no.
    pub fn any_flag(&self) -> bool {
        self.values.iter().find_map(Value::as_bool).unwrap_or(false)
    }

    /// The first argument that is a bean.
    pub fn any_bean(&self, expected: &str) -> Result<&Map<String, Value>, HostError> {
        self.values.iter().find_map(Value::as_object).ok_or_else(|| self.wrong(0, expected))
    }

    /// When something is to be done: a date, its milliseconds, or a text in any of the forms of the language.
    pub fn when(&self, index: usize) -> Result<Option<Timestamp>, HostError> {
        let wrong = || {
            let detail = format!(
                "argument {} of {} must be nil or a date: a date object, milliseconds, or `yyyy-MM-dd hh:mm:ss`",
                index + 1,
                self.operation
            );
            HostError::refused("INVALID_DATE_FORMAT", detail)
        };
        match self.get(index) {
            Value::Null => Ok(None),
            Value::String(text) if text.trim().is_empty() => Ok(None),
            Value::String(text) => Ok(Some(Timestamp(sutler_lua::date_ms(text.trim()).ok_or_else(wrong)?))),
            // Whole milliseconds up to 2^53 are exact.
            #[allow(clippy::cast_possible_truncation)]
            Value::Number(number) => match number.as_f64() {
                Some(ms) if (0.0..9_007_199_254_740_992.0).contains(&ms) => Ok(Some(Timestamp(ms as i64))),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}
