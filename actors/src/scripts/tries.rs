//! What the tries of a run have changed, kept until the run has ended: a try after one that failed changes nothing twice.
//!
//! A script that reads a count, writes it one higher and then fails would else count its own tries. What creates has its id
//! from run and call and is found again in the store, after a crash too; this is for all other calls, and in memory alone.

use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};
use sutler_model::RunId;

/// Runs whose answers are kept at once. Beyond that the oldest, which have failed longest, change anew.
const RUNS_MAX: usize = 1_000;
/// Answers kept of a run.
const ANSWERS_MAX: usize = 256;

/// Runs that are being tried or will be again, and have changed something.
#[derive(Default)]
pub(super) struct Tries(Mutex<Known>);

#[derive(Default)]
struct Known {
    runs: HashMap<RunId, HashMap<u32, Answer>>,
    order: VecDeque<RunId>,
}

struct Answer {
    operation: String,
    /// What it was asked for, so that a try which takes another way gets no answer to another question.
    about: Option<String>,
    value: Value,
}

impl Tries {
    /// A run will not be tried again.
    pub(super) fn end(&self, run: RunId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.runs.remove(&run).is_some() {
            known.order.retain(|other| *other != run);
        }
    }

    /// What an earlier try was answered to this call.
    pub(super) fn answer(&self, run: RunId, call_no: u32, operation: &str, args: &[Value]) -> Option<Value> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = known.runs.get(&run)?.get(&call_no)?;
        (answer.operation == operation && answer.about.as_deref() == about(args)).then(|| answer.value.clone())
    }

    /// Keeps the answer to a call that may have changed something, of a run that [`Tries::end`] is told of.
    pub(super) fn keep(&self, run: RunId, call_no: u32, operation: &str, args: &[Value], value: &Value) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.runs.contains_key(&run) {
            known.order.push_back(run);
        }
        let answers = known.runs.entry(run).or_default();
        if answers.len() < ANSWERS_MAX {
            let about = about(args).map(str::to_owned);
            answers.insert(call_no, Answer { operation: operation.to_owned(), about, value: value.clone() });
        }
        if known.order.len() > RUNS_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.runs.remove(&oldest);
        }
    }
}

/// Whether a call of this operation may change what is there. What creates and what only reads need no memory of it.
pub(super) fn changes(operation: &str) -> bool {
    const OTHERS: [&str; 8] = ["create", "get", "list", "is", "check", "run", "waitFor", "sendEmail"];
    !OTHERS.iter().any(|prefix| operation.starts_with(prefix))
}

/// The resource that a call names.
fn about(args: &[Value]) -> Option<&str> {
    args.iter().find_map(|value| value.as_str().or_else(|| value.get("resourceUUID")?.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn answers_are_kept_for_the_same_call_of_a_run_until_it_ends() {
        let (tries, run) = (Tries::default(), RunId(Uuid::from_u128(1)));
        let bean = json!([{ "resourceUUID": "a" }]);
        let args = bean.as_array().unwrap();
        assert_eq!(tries.answer(run, 1, "modifyUser", args), None);
        tries.keep(run, 1, "modifyUser", args, &json!("done"));
        assert_eq!(tries.answer(run, 1, "modifyUser", args), Some(json!("done")));
        assert_eq!(tries.answer(run, 2, "modifyUser", args), None);
        assert_eq!(tries.answer(run, 1, "lockUser", args), None);
        assert_eq!(tries.answer(run, 1, "modifyUser", &[json!("b")]), None);
        tries.end(run);
        assert_eq!(tries.answer(run, 1, "modifyUser", args), None);
    }

    #[test]
    fn the_runs_that_changed_something_first_are_forgotten_first() {
        let tries = Tries::default();
        for n in 0..=RUNS_MAX as u128 {
            let run = RunId(Uuid::from_u128(n));
            tries.keep(run, 0, "lockUser", &[], &json!(true));
        }
        assert_eq!(tries.answer(RunId(Uuid::from_u128(0)), 0, "lockUser", &[]), None);
        assert_eq!(tries.answer(RunId(Uuid::from_u128(RUNS_MAX as u128)), 0, "lockUser", &[]), Some(json!(true)));
    }

    #[test]
    fn what_reads_or_creates_is_asked_anew() {
        assert!(changes("addKey") && changes("deleteResource") && changes("changeServerStatus"));
        assert!(!changes("createServer") && !changes("getResource") && !changes("isPermitted"));
    }
}
