//! One call of a script: who asks, and with which arguments.

use super::{Platform, failed};
use crate::{
    Caller,
    scripts::beans::{ALL, Beans, Described},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use sutler_lua::{Bean, HostError, Who};
use sutler_model::{Cause, JobId, RunCall, Timestamp};
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
    /// The id of the record that this call creates: the same in every try of the run, in the order of the events.
    pub fn new_id(&self) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(self.who.run_id.0);
        hash.update(self.call_no.to_be_bytes());
        let hash = hash.finalize();
        let mut tail = [0; 10];
        tail.copy_from_slice(&hash[..10]);
        let ms = self.who.run_id.event_at().0.max(0).unsigned_abs();
        uuid::Builder::from_unix_timestamp_millis(ms, &tail).into_uuid()
    }

    /// The bean of a record, as an answer.
    pub async fn answer<R: Described>(&self, record: R) -> Result<Value, HostError> {
        Ok(super::keys::tagged(self.bean(record).await?))
    }

    /// The bean of a record as the script sees it.
    pub async fn bean<R: Described>(&self, record: R) -> Result<Bean, HostError> {
        let owner = self.who.owner;
        let read = self.platform.store.read(move |snapshot| Beans::new(snapshot, owner, ALL).bean(record));
        read.await.map_err(failed)
    }

    /// Says, before an operation does anything, whether it is to be done at once. The error of one for later is answered
    /// with its job instead.
    pub fn at_once(&self, index: usize) -> Result<(), HostError> {
        let Some(at) = self.args.when(index)?.filter(|at| *at > self.platform.store.now()) else { return Ok(()) };
        // Asked once: the first answer stands.
        let _ = self.later.set((index, at));
        Err(HostError::Unsupported(format!("{} at a later time (`when`)", self.args.operation)))
    }
}

/// Numbers below are seconds since 1970 (until the year 5138), above milliseconds (from 1973 on).
const SECONDS_BELOW: f64 = 1e11;

/// The arguments of a call.
pub(super) struct Args<'a> {
    pub operation: &'a str,
    pub values: Vec<Value>,
}

impl Args<'_> {
    /// What the changes of the call are put down to.
    pub fn cause(&self, who: &Who, number: u32, job_id: Option<JobId>) -> Cause {
        // A text that is no id may be a password.
        let id = |value: &Value| value.as_str().or_else(|| value.get("resourceUUID")?.as_str())?.parse().ok();
        let operation = match self.get(1).as_str() {
            // Starting is not asked for where stopping was.
            Some(status) if self.operation == "changeServerStatus" => format!("{} {status}", self.operation),
            _ => self.operation.to_owned(),
        };
        let call = RunCall { number, operation, about: self.values.iter().find_map(id), job_id };
        let depth = who.depth.saturating_add(1);
        Cause::Run { run_id: who.run_id, depth, by_call: Some(Box::new(call)) }
    }

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
                // Seconds, as in filters: nobody means the first years after 1970, and a deletion would begin at once.
                Some(seconds) if (0.0..SECONDS_BELOW).contains(&seconds) => {
                    Ok(Some(Timestamp((seconds * 1000.0) as i64)))
                }
                Some(ms) if (0.0..9_007_199_254_740_992.0).contains(&ms) => Ok(Some(Timestamp(ms as i64))),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}
