//! What a block registers: descriptor tables read leniently in every spelling that published scripts use.

mod options;
mod point;

pub use options::{options_of, strange_options};
pub(crate) use point::{Belongings, value};

use crate::ScriptError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use sutler_model::{Entry, Missed, Point, Schedule, TriggerType};

/// What a block registered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// Triggers of the types that are raised here, and `init` where the block has one.
    pub entries: Vec<Entry>,
    /// Entry points of other kinds: providers, billing methods and so on.
    pub points: Vec<Point>,
    /// The `FDLINFO` header.
    pub info: BTreeMap<String, String>,
    /// What its author would want to know and what keeps nothing from running: functions that are named and not there.
    pub notes: Vec<String>,
}

impl Registration {
    /// Whether a function is registered already: named twice, it still runs once.
    pub(crate) fn has(&self, function: &str) -> bool {
        self.entries.iter().any(|entry| entry.function == function)
            || self.points.iter().any(|point| point.function == function)
    }
}

/// What one entry point is.
#[derive(Debug)]
pub(crate) enum Described {
    Trigger(Entry),
    Point(Point, Belongings),
}

/// What is known of a block's `init`, which has no descriptor.
pub(crate) fn init() -> Entry {
    Entry {
        function: INIT.to_owned(),
        reference: INIT.to_owned(),
        name: INIT.to_owned(),
        description: "Runs after the block was loaded".to_owned(),
        trigger_type: TriggerType::Init,
        options: vec!["ANY".to_owned()],
        priority: 0,
        schedule: None,
        customer_tags: Vec::new(),
    }
}

/// The global function that runs after a block was loaded.
pub(crate) const INIT: &str = "init";

/// The other kinds of entry point.
const OTHER_APIS: [&str; 6] =
    ["BILLING", "MEASURE", "CONFIG_PROVIDER", "PLUGGABLE_PROVIDER", "PAYMENT_PROVIDER", "REPORT"];

/// Shortest time between scheduled runs, milliseconds.
const SHORTEST_MS: u64 = 1_000;

/// Reads the descriptor that `function` returned.
///
/// # Errors
/// What is wrong with it, in words that name the function.
pub(crate) fn read(function: &str, descriptor: &Value) -> Result<Described, ScriptError> {
    let wrong = |what: String| ScriptError::new(format!("the descriptor of `{function}` {what}"));
    let Value::Object(fields) = descriptor else {
        return Err(wrong("is not a table".to_owned()));
    };
    let text = |name: &str| get(fields, name).and_then(as_text);
    let api = text("api").unwrap_or_default().to_uppercase();
    let trigger_type = text("triggerType").map(|word| word.trim().to_uppercase());
    if trigger_type.is_none() || (!api.is_empty() && !api.starts_with("TRIGGER")) {
        let known =
            OTHER_APIS.iter().any(|known| api.starts_with(known) || (known.starts_with(&api) && !api.is_empty()));
        return match known {
            true => point::read(function, &api, fields).map(|(point, own)| Described::Point(point, own)).map_err(wrong),
            false if api.is_empty() || api.starts_with("TRIGGER") => Err(wrong("has no `triggerType`".to_owned())),
            false => Err(wrong(format!("has the unknown `api` \"{api}\""))),
        };
    }
    let word = trigger_type.unwrap_or_default();
    // `init` has a type of its own, which no descriptor may claim.
    let known = serde_json::from_value::<TriggerType>(Value::String(word.clone())).ok();
    let trigger_type = known
        .filter(|known| *known != TriggerType::Init)
        .ok_or_else(|| wrong(format!("has the unknown `triggerType` \"{word}\"")))?;
    let schedule = match (trigger_type, get(fields, "schedule")) {
        (TriggerType::Scheduled, Some(table)) => Some(schedule(table).map_err(wrong)?),
        (TriggerType::Scheduled, None) => return Err(wrong("is SCHEDULED and has no `schedule`".to_owned())),
        (_, _) => None,
    };
    Ok(Described::Trigger(Entry {
        function: function.to_owned(),
        reference: text("ref").unwrap_or_else(|| function.to_owned()),
        name: text("name").unwrap_or_else(|| function.to_owned()),
        description: text("description").unwrap_or_default(),
        trigger_type,
        options: options(get(fields, "triggerOptions"), trigger_type).map_err(wrong)?,
        priority: match get(fields, "priority") {
            None | Some(Value::Null) => 0,
            #[allow(clippy::cast_possible_truncation)] // saturates, and the order of such extremes is all the same
            Some(value) => {
                as_number(value).ok_or_else(|| wrong("has a `priority` that is not a number".to_owned()))? as i64
            }
        },
        schedule,
        customer_tags: point::words(fields, "includeCustomerTags").map_err(wrong)?,
    }))
}

fn options(value: Option<&Value>, trigger_type: TriggerType) -> Result<Vec<String>, String> {
    let any = || vec!["ANY".to_owned()];
    let read = |word: &str| match word.trim() {
        // Names of methods, which scripts compare as they are: `createServer`.
        name if trigger_type.is_api_call() && !name.eq_ignore_ascii_case("ANY") => name.to_owned(),
        word => word.to_uppercase(),
    };
    match value {
        None | Some(Value::Null) => Ok(any()),
        Some(Value::Array(words)) if words.is_empty() => Ok(any()),
        Some(Value::Array(words)) => words
            .iter()
            .map(|word| as_text(word).map(|word| read(&word)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| "has `triggerOptions` that are not all texts".to_owned()),
        Some(Value::String(word)) => Ok(vec![read(word)]),
        Some(_) => Err("has `triggerOptions` that are not a list".to_owned()),
    }
}

/// Reads `{ start = { HOUR = 22 }, frequency = { hours = 24 } }` in either spelling.
fn schedule(value: &Value) -> Result<Schedule, String> {
    let Value::Object(fields) = value else {
        return Err("has a `schedule` that is not a table".to_owned());
    };
    let seconds = |part: &str, value: Option<&Value>| -> Result<Option<f64>, String> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) if list.is_empty() => Ok(None),
            Some(Value::Object(units)) => {
                let mut sum = 0.0;
                for (unit, amount) in units {
                    let amount = as_number(amount)
                        .filter(|n| n.is_finite() && *n >= 0.0)
                        .ok_or_else(|| format!("has a `schedule.{part}.{unit}` that is not a number from 0"))?;
                    sum += amount
                        * match unit.to_uppercase().trim_end_matches('S') {
                            "SECOND" => 1.0,
                            "MINUTE" => 60.0,
                            "HOUR" => 3_600.0,
                            "DAY" => 86_400.0,
                            "WEEK" => 604_800.0,
                            "MILLISECOND" => 0.001,
                            _ => return Err(format!("has an unknown unit `{unit}` in `schedule.{part}`")),
                        };
                }
                Ok(Some(sum))
            }
            Some(_) => Err(format!("has a `schedule.{part}` that is not a table")),
        }
    };
    let every_months = months(get(fields, "frequency"))?;
    let mut start = get(fields, "start").cloned();
    let start_day = match &mut start {
        Some(Value::Object(units)) if every_months > 0 => day_of_month(units)?,
        _ => None,
    };
    let start = seconds("start", start.as_ref())?;
    if start.is_some_and(|s| s >= 86_400.0) {
        return Err("has a `schedule.start` that is no time of day".to_owned());
    }
    let every = match every_months {
        0 => seconds("frequency", get(fields, "frequency"))?.ok_or("has a `schedule` without `frequency`")?,
        _ => 0.0,
    };
    // Both are known not to be negative; a century is beyond every schedule and within every integer.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let (start_s, every_ms) = (start.map(|s| s as u32), (every.min(3.2e9) * 1000.0).round() as u64);
    if every_ms < SHORTEST_MS && every_months == 0 {
        return Err(format!("has a `schedule.frequency` below {SHORTEST_MS} ms"));
    }
    let missed = match get(fields, "missed").filter(|value| !value.is_null()).map(as_text) {
        None => Missed::default(),
        Some(word) => match word.unwrap_or_default().trim().to_uppercase().as_str() {
            "SKIP" => Missed::Skip,
            "ONCE" => Missed::Once,
            "EACH" => Missed::Each,
            _ => return Err("has a `schedule.missed` that is none of skip, once and each".to_owned()),
        },
    };
    Ok(Schedule { start_s, start_day, every_ms, every_months, missed })
}

/// Takes the day of the month out of the start of a schedule in months.
fn day_of_month(units: &mut Map<String, Value>) -> Result<Option<u8>, String> {
    let name = units.keys().find(|unit| unit.to_uppercase().trim_end_matches('S') == "DAY").cloned();
    let Some(day) = name.and_then(|name| units.remove(&name)) else { return Ok(None) };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 1 to 31
    match as_number(&day) {
        Some(day) if day.fract() == 0.0 && (1.0..=31.0).contains(&day) => Ok(Some(day as u8)),
        _ => Err("has a `schedule.start` with a day that is none of a month".to_owned()),
    }
}

/// The months of a frequency that is in months and years; 0 for one that is in other units.
fn months(frequency: Option<&Value>) -> Result<u32, String> {
    let Some(Value::Object(units)) = frequency else { return Ok(0) };
    let (mut sum, mut found) = (0.0, 0);
    for (unit, amount) in units {
        let each = match unit.to_uppercase().trim_end_matches('S') {
            "MONTH" => 1.0,
            "YEAR" => 12.0,
            _ => continue,
        };
        found += 1;
        sum += each * as_number(amount).unwrap_or(f64::NAN);
    }
    // A century, as for other units.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    match found {
        0 => Ok(0),
        _ if found < units.len() => Err("mixes months with other units in `schedule.frequency`".to_owned()),
        _ if sum.fract() == 0.0 && (1.0..=1_200.0).contains(&sum) => Ok(sum as u32),
        _ => Err("has a `schedule.frequency` that is no whole number of months from 1 to 1200".to_owned()),
    }
}

/// A field by its name, letter case and a plural `s` aside.
fn get<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).or_else(|| {
        let bare = |text: &str| text.to_lowercase().trim_end_matches('s').to_owned();
        let wanted = bare(name);
        fields.iter().find(|(key, _)| bare(key) == wanted).map(|(_, value)| value)
    })
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The `FDLINFO` object in the first comment of a source.
pub(crate) fn info(source: &str) -> BTreeMap<String, String> {
    // Only a header counts: the object stands before the first code.
    let Some(at) = source.find("FDLINFO") else { return BTreeMap::new() };
    let Some(open) = source[at..].find('{').map(|n| at + n) else { return BTreeMap::new() };
    let comment = source[..at].trim_start();
    if !comment.starts_with("--") {
        return BTreeMap::new();
    }
    // In a block of line comments each line begins with dashes; those inside texts stay.
    let body: String =
        source[open..].lines().map(|line| line.trim_start().trim_start_matches("--")).collect::<Vec<_>>().join("\n");
    let object = serde_json::Deserializer::from_str(&body).into_iter::<Map<String, Value>>().next();
    let Some(Ok(fields)) = object else { return BTreeMap::new() };
    fields.into_iter().filter_map(|(key, value)| Some((key, as_text(&value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Every trigger type of the language.
    const TRIGGER_TYPES: [&str; 27] = [
        "PRE_CREATE",
        "POST_CREATE",
        "PRE_MODIFY",
        "POST_MODIFY",
        "PRE_DELETE",
        "POST_DELETE",
        "PRE_JOB_STATE_CHANGE",
        "POST_JOB_STATE_CHANGE",
        "PRE_SERVER_STATE_CHANGE",
        "POST_SERVER_STATE_CHANGE",
        "PRE_SERVER_METADATA_UPDATE",
        "PRE_AUTH",
        "POST_AUTH",
        "PRE_USER_API_CALL",
        "POST_USER_API_CALL",
        "PRE_ADMIN_API_CALL",
        "POST_ADMIN_API_CALL",
        "PRE_PAYMENT",
        "POST_PAYMENT",
        "PRE_PURCHASE",
        "POST_PURCHASE",
        "POST_UNIT_TRANSACTION",
        "POST_BILLING",
        "POST_COLLECTION",
        "POST_EXCEPTION",
        "TAX_CALCULATION",
        "SCHEDULED",
    ];

    fn entry(descriptor: Value) -> Entry {
        match read("f", &descriptor).unwrap() {
            Described::Trigger(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    fn scheduled(schedule: Value) -> Result<Schedule, String> {
        read("f", &json!({"api": "TRIGGER", "triggerType": "SCHEDULED", "schedule": schedule}))
            .map(|d| match d {
                Described::Trigger(entry) => entry.schedule.unwrap(),
                other => panic!("{other:?}"),
            })
            .map_err(|e| e.message)
    }

    #[test]
    fn both_schedule_spellings_mean_the_same() {
        let daily = Schedule {
            start_s: Some(22 * 3600),
            start_day: None,
            every_ms: 86_400_000,
            every_months: 0,
            missed: Missed::Once,
        };
        assert_eq!(
            scheduled(json!({"start": {"hour": 22, "minute": 0, "second": 0}, "frequency": {"hours": 24}})).unwrap(),
            daily
        );
        assert_eq!(scheduled(json!({"start": {"HOUR": 22}, "frequency": {"HOUR": 24}})).unwrap(), daily);
        assert_eq!(
            scheduled(json!({"FREQUENCY": {"MINUTES": "1"}})).unwrap(),
            Schedule { start_s: None, every_ms: 60_000, ..daily }
        );
        assert_eq!(scheduled(json!({"frequency": {"seconds": 300}})).unwrap().every_ms, 300_000);
        for (frequency, months) in [
            (json!({"MONTH": 1}), 1),
            (json!({"months": "3"}), 3),
            (json!({"Year": 1, "months": 6}), 18),
            (json!({"years": 0.5}), 6),
        ] {
            let schedule = scheduled(json!({"frequency": frequency})).unwrap();
            assert_eq!((schedule.every_ms, schedule.every_months), (0, months), "{frequency}");
        }
        let monthly = |start: Value| scheduled(json!({"start": start, "frequency": {"MONTH": 1}}));
        let first = monthly(json!({"days": "31", "hour": 2})).unwrap();
        assert_eq!((first.start_day, first.start_s, first.every_months), (Some(31), Some(7200), 1));
        assert_eq!(monthly(json!({"DAY": 1})).map(|s| (s.start_day, s.start_s)), Ok((Some(1), Some(0))));
        assert_eq!(monthly(json!({"hour": 2})).map(|s| s.start_day), Ok(None));
        for wrong in [json!({"day": 0}), json!({"day": 32}), json!({"day": 1.5}), json!({"day": "first"})] {
            assert!(monthly(wrong).unwrap_err().contains("none of a month"));
        }
        let daily = scheduled(json!({"start": {"day": 1}, "frequency": {"hours": 24}}));
        assert!(daily.unwrap_err().contains("no time of day"));
        assert_eq!(
            scheduled(json!({"start": {"HOUR": 23, "MINUTE": 59, "SECOND": 59}, "frequency": {"HOUR": 24}}))
                .unwrap()
                .start_s,
            Some(86_399)
        );
    }

    #[test]
    fn names_of_api_methods_keep_their_case_and_other_options_have_none() {
        let options = |trigger: &str, options: Value| match read(
            "f",
            &json!({"triggerType": trigger, "triggerOptions": options}),
        ) {
            Ok(Described::Trigger(entry)) => entry.options,
            other => panic!("{other:?}"),
        };
        assert_eq!(options("POST_USER_API_CALL", json!([" createServer ", "any"])), ["createServer", "ANY"]);
        assert_eq!(options("PRE_ADMIN_API_CALL", json!("modifyServer")), ["modifyServer"]);
        assert_eq!(options("POST_AUTH", json!(["success"])), ["SUCCESS"]);
    }

    #[test]
    fn a_schedule_says_what_becomes_of_missed_times() {
        for (word, meant) in [("skip", Missed::Skip), ("ONCE", Missed::Once), ("Each", Missed::Each)] {
            let schedule = scheduled(json!({"frequency": {"HOUR": 1}, "missed": word})).unwrap();
            assert_eq!(schedule.missed, meant);
        }
    }

    #[test]
    fn a_schedule_that_cannot_be_kept_is_refused() {
        for (schedule, word) in [
            (json!({"frequency": {"HOUR": 1}, "missed": "never"}), "schedule.missed"),
            (json!({"start": {"HOUR": 22}}), "without `frequency`"),
            (json!({"frequency": {"HOUR": 0}}), "below 1000 ms"),
            (json!({"frequency": {"fortnight": 1}}), "fortnight"),
            (json!({"frequency": {"MONTH": 1, "DAY": 1}}), "mixes months"),
            (json!({"frequency": {"MONTH": 0.5}}), "no whole number of months"),
            (json!({"frequency": {"MONTH": 0}}), "no whole number of months"),
            (json!({"frequency": {"MONTH": "soon"}}), "no whole number of months"),
            (json!({"start": {"MONTH": 1}, "frequency": {"MONTH": 1}}), "unknown unit `MONTH` in `schedule.start`"),
            (json!({"frequency": {"HOUR": "soon"}}), "HOUR"),
            (json!({"start": {"HOUR": 24}, "frequency": {"HOUR": 1}}), "time of day"),
            (json!("daily"), "not a table"),
        ] {
            let message = scheduled(schedule.clone()).unwrap_err();
            assert!(message.contains(word) && message.contains("`f`"), "{schedule}: {message}");
        }
    }

    #[test]
    fn missing_fields_have_defaults_and_options_are_capitals() {
        let e =
            entry(json!({"triggerType": "post_create", "triggerOptions": ["server", "CUSTOMER"], "priority": "-8000"}));
        assert_eq!((e.reference.as_str(), e.name.as_str(), e.priority), ("f", "f", -8000));
        assert_eq!(e.options, ["SERVER", "CUSTOMER"]);
        assert_eq!(entry(json!({"api": "TRIGGER", "triggerType": "PRE_CREATE"})).options, ["ANY"]);
        let tagged = json!({"triggerType": "PRE_CREATE", "includeCustomerTags": ["vip", 7]});
        assert_eq!((e.customer_tags, entry(tagged).customer_tags), (vec![], vec!["vip".to_owned(), "7".to_owned()]));
        assert_eq!(
            entry(json!({"api": "TRIGGER", "triggerType": "PRE_CREATE", "triggerOption": "SERVER"})).options,
            ["SERVER"]
        );
    }

    #[test]
    fn every_type_of_the_language_is_known_and_others_are_refused() {
        let api = |d: Value| match read("f", &d).unwrap() {
            Described::Point(point, _) => point.kind.api(),
            other => panic!("{other:?}"),
        };
        assert_eq!(api(json!({"api": "BILLING", "ref": "x"})), "BILLING");
        assert_eq!(api(json!({"api": "report"})), "REPORT");
        for word in TRIGGER_TYPES {
            let schedule = json!({"frequency": {"HOUR": 1}});
            let read = read("f", &json!({"api": "TRIGGER", "triggerType": word, "schedule": schedule}));
            assert!(matches!(read, Ok(Described::Trigger(_))), "{word}: {read:?}");
        }
        for (descriptor, word) in [
            (json!({"api": "TRIGGER", "triggerType": "PRE_LUNCH"}), "PRE_LUNCH"),
            (json!({"api": "TRIGGER", "triggerType": "INIT"}), "INIT"),
            (json!({"api": "LUNCH"}), "LUNCH"),
            (json!({"api": "TRIGGER"}), "no `triggerType`"),
            (json!(null), "not a table"),
        ] {
            let error = read("f", &descriptor).unwrap_err();
            assert!(error.message.contains(word), "{descriptor}: {error}");
        }
    }

    #[test]
    fn the_header_is_read_from_block_and_line_comments() {
        let block =
            "--[[ Copyright\nFDLINFO {\n \"NAME\": \"Ticket\", \"VERSION\": \"1.2\" } ]]\nfunction register() end";
        assert_eq!(info(block)["NAME"], "Ticket");
        let lines = "-- FDLINFO {\n--   \"NAME\": \"T\",\n--   \"VERSION\": 2 }\n";
        assert_eq!(info(lines)["VERSION"], "2");
        let equals = "--[[ FDLINFO = {\"NAME\":\"T\"} ]]";
        assert_eq!(info(equals)["NAME"], "T");
        assert!(info("local FDLINFO = {}").is_empty());
        assert!(info("-- FDLINFO {broken").is_empty());
    }
}
