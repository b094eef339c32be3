//! Every type of trigger in the language with each of its options: what really happens here raises it, with the `p` that the
//! reference promises, or the reference says why nothing does.

mod scenario;

use super::*;
use scenario::{Scenario, Told, happen};
use std::collections::{BTreeMap, BTreeSet};
use sutler_model::{ScriptRun, TriggerType as Type};

const REFERENCE: &str = include_str!("../../../../docs/reference/triggers.md");

/// An event: the type in the language's spelling, and the option.
type Event = (String, String);

/// The options of a type, from the language's own table.
fn options(kind: Type) -> Vec<&'static str> {
    match sutler_lua::options_of(kind) {
        // What no descriptor can name.
        _ if kind == Type::Init => Vec::new(),
        // Their options are the names of all operations, which `tests/calls.rs` goes through over HTTP.
        None => vec!["createServer"],
        Some(options) if options.is_empty() => vec!["ANY"],
        Some(options) => options,
    }
}

fn word(kind: Type) -> String {
    serde_json::to_value(kind).unwrap().as_str().expect("a word").to_owned()
}

/// All events of the language.
fn vocabulary() -> BTreeSet<Event> {
    let of = |kind: &Type| -> Vec<Event> {
        options(*kind).into_iter().map(|option| (word(*kind), option.to_owned())).collect()
    };
    Type::ALL.iter().flat_map(of).collect()
}

/// What the reference says is never raised.
fn never() -> BTreeSet<Event> {
    let table = REFERENCE.split("that nothing sets off here:").nth(1).expect("the table");
    let rows = table.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with("| `"));
    let mut events = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [kinds, options, because] = cells[..] else { panic!("{row}") };
        assert!(!because.is_empty(), "{row}");
        let list = |cell: &str| cell.split(", ").map(|word| word.trim_matches('`').to_owned()).collect::<Vec<_>>();
        for kind in list(kinds) {
            for option in list(options) {
                assert!(events.insert((kind.clone(), option)), "said twice: {row}");
            }
        }
    }
    events
}

/// A block with a function for each event, which tells what it was given.
fn block_of_all(events: &BTreeSet<Event>) -> String {
    let mut names = Vec::new();
    let mut functions = String::new();
    for (kind, option) in events {
        let name = format!("on_{kind}_{option}");
        functions.push_str(&format!(
            r#"
            function {name}(p)
                if p == nil then return describe("{kind}", "{option}") end
                tell(p)
                return {{ exitState = "SUCCESS" }}
            end
            "#
        ));
        names.push(format!("\"{name}\""));
    }
    format!(
        r#"
        function register() return {{ {} }} end

        function describe(kind, option)
            return {{ ref = kind .. option, name = kind, api = "TRIGGER", version = 1, triggerType = kind,
                triggerOptions = {{ option }}, schedule = {{ frequency = {{ seconds = 1 }} }} }}
        end

        -- What the subject is.
        local function kind(input)
            if type(input) == "string" then return "text" end
            if type(input) == "table" then
                if #input == 3 and type(input[3]) == "number" then return "times" end
                return kind_of(input[1]) .. " and document"
            end
            return kind_of(input)
        end

        function kind_of(bean)
            local _, why = pcall(function() return bean:noSuchMethod() end)
            return (string.match(why, "an? (%a+) has") or why)
        end

        function tell(p)
            local input = kind(p.input)
            local id = input ~= "text" and input ~= "times" and type(p.input) ~= "table" and p.input:getResourceUUID() or ""
            print(new("JSON"):encode({{ input = input, id = id, option = p.triggerOption, seller = p.beUUID,
                time = type(p.timeStamp), customer = p.customer and p.customer:getResourceUUID() or "",
                user = p.user and p.user:getEmail() or "" }}))
        end
        {functions}
        "#,
        names.join(", ")
    )
}

fn function(event: &Event) -> String {
    format!("on_{}_{}", event.0, event.1)
}

/// What of an event has not been told as it must be; none: one run at least was told it all.
fn missing(runs: &[ScriptRun], event: &Told) -> Option<String> {
    let own = runs.iter().filter(|run| run.function == function(&event.event()));
    let own = own.filter(|run| event.resource.is_none_or(|id| run.resource_id == Some(id)));
    let mut nearest: Option<Vec<String>> = None;
    for run in own.filter(|run| run.state == RunState::Succeeded) {
        let wrong = differences(run, event);
        if nearest.as_ref().is_none_or(|least| wrong.len() < least.len()) {
            nearest = Some(wrong);
        }
    }
    match nearest {
        None => Some(format!("{} {} was not raised for {:?}", event.kind, event.option, event.resource)),
        Some(wrong) if wrong.is_empty() => None,
        Some(wrong) => Some(format!("{} {}: {}", event.kind, event.option, wrong.join(", "))),
    }
}

/// Where what a run was told is not as the reference promises.
fn differences(run: &ScriptRun, event: &Told) -> Vec<String> {
    let told: BTreeMap<String, String> =
        serde_json::from_str(run.log.trim()).unwrap_or_else(|error| panic!("{error}: {run:#?}"));
    let of_record = ["_CREATE", "_MODIFY", "_DELETE"].iter().any(|end| event.kind.ends_with(end));
    let same = [
        ("input", event.input.to_owned()),
        (
            "id",
            if of_record { event.resource.map(|id| id.to_string()) } else { told.get("id").cloned() }
                .unwrap_or_default(),
        ),
        ("option", event.option.to_owned()),
        ("time", "number".to_owned()),
        ("seller", event.seller.to_string()),
        ("customer", event.customer.map(|id| id.to_string()).unwrap_or_default()),
        ("user", event.user.clone().unwrap_or_default()),
    ];
    let wrong = same.into_iter().filter(|(name, value)| told.get(*name) != Some(value));
    wrong.map(|(name, value)| format!("p has {name} {:?}, not {value:?}", told.get(name))).collect()
}

#[test]
fn what_the_reference_says_is_never_raised_is_in_the_language() {
    let (all, never) = (vocabulary(), never());
    let strange: Vec<&Event> = never.difference(&all).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert!(never.len() > 200 && all.len() > never.len() + 90, "{} of {}", never.len(), all.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_the_language_is_raised_by_what_really_happens_or_has_a_reason_not_to_be() {
    let (all, never) = (vocabulary(), never());
    let folder = tempfile::tempdir().expect("a folder");
    let scenario: Scenario = happen(folder.path(), block_of_all(&all)).await;
    let expected: BTreeSet<Event> = scenario.told.iter().map(Told::event).collect();
    let forgotten: Vec<&Event> =
        all.iter().filter(|event| !expected.contains(event) && !never.contains(event)).collect();
    assert!(forgotten.is_empty(), "neither made to happen nor said never to: {forgotten:#?}");
    let both: Vec<&Event> = expected.intersection(&never).collect();
    assert!(both.is_empty(), "said never to happen: {both:#?}");

    let bench = &scenario.bench;
    let mut runs = Vec::new();
    let waited = tokio::time::timeout(
        std::time::Duration::from_secs(30),
        bench.until(async || {
            runs = bench.runs().await;
            scenario.told.iter().all(|told| missing(&runs, told).is_none())
        }),
    );
    if waited.await.is_err() {
        let missing: Vec<String> = scenario.told.iter().filter_map(|told| missing(&runs, told)).collect();
        panic!("{}", missing.join("\n"));
    }
    let unexpected: BTreeSet<&str> = (runs.iter())
        .filter(|run| never.iter().any(|event| function(event) == run.function))
        .map(|run| run.function.as_str())
        .collect();
    assert!(unexpected.is_empty(), "raised all the same: {unexpected:?}");
    let failed: Vec<&ScriptRun> = runs.iter().filter(|run| run.state == RunState::Dead).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    bench.stop().await;
}
