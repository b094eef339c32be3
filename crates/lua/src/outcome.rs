//! What a returned value means (`fdl.md` 1.5).

use crate::{Exit, Outcome, ScriptError, meter::Meter, subject::Left};
use serde_json::Value;
use sutler_model::TriggerType;

/// Words by which a PRE trigger refuses: in `exitState` or `returnCode`, or as all that it returns.
const REFUSALS: [&str; 20] = [
    "FAILURE",
    "FAIL",
    "FAILED",
    "REFUSE",
    "REFUSED",
    "CANCEL",
    "CANCELLED",
    "STOP",
    "DENY",
    "DENIED",
    "ABORT",
    "ERROR",
    "REJECT",
    "REJECTED",
    "VETO",
    "VETOED",
    "BLOCK",
    "BLOCKED",
    "TERMINATE",
    "EXCEPTION",
];
/// Longest result kept.
const RESULT_BYTES: usize = 64 << 10;
/// Where its reason may stand.
const REASONS: [&str; 10] = [
    "errorString",
    "reason",
    "message",
    "exitMessage",
    "errorMessage",
    "error",
    "exitReason",
    "exitString",
    "description",
    "returnContent",
];

/// What a function returned.
#[derive(Default)]
pub(crate) struct Returned {
    pub value: Value,
    /// The second value, of those whose first may refuse without a table.
    pub reason: Option<Value>,
}

/// Whether a bare `false` or word refuses. What is asked for tax answers with an amount, and what runs afterwards is asked
/// nothing.
pub(crate) fn asks(trigger: Option<TriggerType>) -> bool {
    trigger.is_some_and(|trigger| trigger.is_pre() && trigger != TriggerType::TaxCalculation)
}

/// Puts an outcome together from how the run ended.
pub(crate) fn read(meter: &Meter, ended: Result<Returned, ScriptError>, left: Left) -> Outcome {
    let Left { input, document, resource, resource_set } = left;
    let returned = ended.as_ref().ok().filter(|_| meter.stopped().is_none());
    let returned = returned.map(|returned| returned.value.clone()).unwrap_or_default();
    let (exit, result) = match (meter.stopped(), ended) {
        (Some(limit), _) => (Exit::Stopped(limit), limit.to_string()),
        (None, Ok(Returned { value: returned, reason })) => {
            let exit = match exit(&returned, reason.as_ref()) {
                Exit::Refused(reason) => Exit::Refused(meter.masked(reason)),
                exit => exit,
            };
            (exit, cut(meter.masked(returned.to_string())))
        }
        (None, Err(mut error)) => {
            error.message = meter.masked(error.message);
            let text = cut(error.to_string());
            (Exit::Failed(error), text)
        }
    };
    Outcome {
        exit,
        input,
        document,
        resource,
        resource_set,
        returned,
        log: meter.take_log(),
        result,
        duration_us: meter.elapsed_us(),
        cpu_us: meter.used_us(),
        calls: meter.take_calls(),
        reached_out: meter.reached_out(),
        writes: meter.take_writes(),
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(RESULT_BYTES));
    text
}

/// The outcome of a run that could not begin.
pub(crate) fn failed(meter: &Meter, error: ScriptError) -> Outcome {
    read(meter, Err(error), Left::default())
}

fn exit(returned: &Value, reason: Option<&Value>) -> Exit {
    match (returned, reason) {
        (Value::Bool(false), Some(reason)) => return refused(text(reason)),
        (Value::String(word), Some(reason)) if is_refusal(word) => return refused(text(reason)),
        _ => {}
    }
    let word = ["exitState", "returnCode"].iter().find_map(|name| member(returned, name)?.as_str());
    // An error table of other functions carries it.
    let failed = member(returned, "success").is_some_and(|success| matches!(success, Value::Bool(false)));
    match word.or_else(|| failed.then_some("FAILURE")) {
        None if returned.is_null() => Exit::Success,
        Some(word) if is_refusal(word) => refused(words(returned)),
        Some(word) if word.trim().to_uppercase().starts_with("SUCCESS") => Exit::Success,
        _ => Exit::Continue,
    }
}

fn is_refusal(word: &str) -> bool {
    REFUSALS.iter().any(|known| word.trim().eq_ignore_ascii_case(known))
}

fn refused(reason: Option<String>) -> Exit {
    Exit::Refused(reason.unwrap_or_else(|| "refused by a trigger".to_owned()))
}

/// The reason that a table gives which refuses, or is raised.
pub(crate) fn words(table: &Value) -> Option<String> {
    REASONS.iter().find_map(|name| text(member(table, name)?))
}

/// A reason: a text, or a table with one inside, as errors may be.
fn text(reason: &Value) -> Option<String> {
    let plain = |value: &Value| value.as_str().filter(|reason| !reason.is_empty()).map(str::to_owned);
    plain(reason).or_else(|| REASONS.iter().find_map(|name| plain(member(reason, name)?)))
}

/// A member by its name in any letter case.
fn member<'a>(table: &'a Value, name: &str) -> Option<&'a Value> {
    let table = table.as_object()?;
    table.get(name).or_else(|| table.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Of a function whose second value counts for nothing.
    fn exit(returned: &Value) -> Exit {
        super::exit(returned, None)
    }

    #[test]
    fn the_two_known_states_and_the_odd_cases_let_the_event_pass() {
        assert_eq!(exit(&json!({"exitState": "SUCCESS"})), Exit::Success);
        assert_eq!(exit(&json!({"returnCode": "SUCCESSFUL"})), Exit::Success);
        assert_eq!(exit(&json!({"exitState": "CONTINUE"})), Exit::Continue);
        assert_eq!(exit(&json!(null)), Exit::Success);
        assert_eq!(exit(&json!({"returnCode": "CONTINUE"})), Exit::Continue);
        assert_eq!(exit(&json!({"exitState": "LUNCH"})), Exit::Continue);
        assert_eq!(exit(&json!(false)), Exit::Continue);
    }

    /// The words in backticks between two parts of the reference.
    fn documented(from: &str, to: &str) -> Vec<String> {
        let reference = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/triggers.md");
        let reference = std::fs::read_to_string(reference).unwrap();
        let (_, part) = reference.split_once(from).unwrap();
        let (part, _) = part.split_once(to).unwrap();
        part.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_reference_names_the_words_and_where_reasons_stand() {
        let mut words = documented("an `exitState` or `returnCode` of", "; without either");
        words.sort();
        let mut known = REFUSALS;
        known.sort_unstable();
        assert_eq!(words, known);
        assert_eq!(documented("The reason that the caller sees is the first of", "in the table"), REASONS);
    }

    #[test]
    fn every_plausible_refusal_carries_its_reason() {
        for word in REFUSALS {
            for reason in REASONS {
                let refused = Exit::Refused("too large".to_owned());
                assert_eq!(exit(&json!({"exitState": word.to_lowercase(), reason: "too large"})), refused);
                assert_eq!(exit(&json!({"returnCode": word, reason: "too large"})), refused);
            }
        }
        assert_eq!(exit(&json!({"exitState": "DENY"})), Exit::Refused("refused by a trigger".to_owned()));
        let refused = Exit::Refused("too large".to_owned());
        assert_eq!(exit(&json!({"exitstate": "FAILURE", "errorstring": "too large"})), refused);
        assert_eq!(exit(&json!({"exitState": "FAILURE", "error": {"code": 4, "message": "too large"}})), refused);
        assert_eq!(exit(&json!({"success": false, "errorString": "too large"})), refused);
    }

    #[test]
    fn a_bare_false_or_word_refuses_with_the_second_value_as_its_reason() {
        let bare = |returned: Value, reason: Value| super::exit(&returned, Some(&reason));
        for word in REFUSALS {
            assert_eq!(bare(json!(word), json!("too large")), Exit::Refused("too large".to_owned()));
            assert_eq!(bare(json!(word.to_lowercase()), json!(null)), refused(None));
            assert_eq!(exit(&json!(word)), Exit::Continue, "of what asks nothing");
        }
        assert_eq!(bare(json!(false), json!("too large")), Exit::Refused("too large".to_owned()));
        assert_eq!(bare(json!(false), json!({"message": "too large"})), Exit::Refused("too large".to_owned()));
        assert_eq!(bare(json!(false), json!(null)), refused(None));
        for other in [json!(true), json!("CONTINUE"), json!("the veto was overruled"), json!(""), json!(0), json!([])] {
            assert_eq!(bare(other.clone(), json!("too large")), Exit::Continue, "{other}");
        }
        assert_eq!(bare(json!(null), json!("too large")), Exit::Success);
    }

    #[test]
    fn only_what_is_asked_beforehand_refuses_so() {
        let asking = TriggerType::ALL.into_iter().filter(|trigger| asks(Some(*trigger)));
        assert!(asking.clone().all(TriggerType::is_pre) && asking.count() == 11);
        assert!(!asks(Some(TriggerType::TaxCalculation)) && !asks(Some(TriggerType::PostCreate)) && !asks(None));
    }
}
