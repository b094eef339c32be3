//! What `register` reads out of a source.

use crate::support::{Fixture, Platform};
use sutler_lua::*;
use sutler_model::{Missed, PointKind, Schedule, TriggerType};

async fn register(source: &str) -> Result<Registration, ScriptError> {
    let fixture = Fixture::new();
    fixture.runtime.register(source, fixture.limits).await
}

const TWO: &str = r##"--[[ Copyright © nobody
FDLINFO { "NAME": "Two", "VERSION": "1.3" }
]]
function register()
  return {"on_job", "nightly", "bill"}
end
function on_job(p)
  if (p == nil) then
    return { ref = "job_ref", name = "#__JOB", description = "d", priority = -9000, triggerType = "POST_JOB_STATE_CHANGE",
      triggerOptions = {"SUCCESSFUL", "FAILED"}, api = "TRIGGER", version = 1 }
  end
end
function nightly(p)
  if p == nil then
    return { ref = "n", name = "n", description = "", triggerType = "SCHEDULED", schedule = { start = { hour = 22, minute = 30, second = 0 }, frequency = { hours = 24 } },
      api = "TRIGGER", version = 1 }
  end
end
function bill(p) return { api = "BILLING", ref = "b", permittedPCT = {"A_B"} } end
"##;

#[tokio::test]
async fn entries_other_kinds_and_the_header_are_reported() {
    let registration = register(TWO).await.unwrap();
    let [job, nightly] = &registration.entries[..] else { panic!("{registration:?}") };
    assert_eq!(
        (job.function.as_str(), job.reference.as_str(), job.name.as_str(), job.priority),
        ("on_job", "job_ref", "#__JOB", -9000)
    );
    assert_eq!(
        (job.trigger_type, &job.options[..]),
        (TriggerType::PostJobStateChange, &["SUCCESSFUL".to_owned(), "FAILED".to_owned()][..])
    );
    assert_eq!(
        nightly.schedule,
        Some(Schedule {
            start_s: Some(22 * 3600 + 1800),
            start_day: None,
            every_ms: 86_400_000,
            every_months: 0,
            missed: Missed::Once
        })
    );
    assert_eq!(nightly.options, ["ANY"]);
    let [bill] = &registration.points[..] else { panic!("{registration:?}") };
    let PointKind::Billing(method) = &bill.kind else { panic!("{bill:?}") };
    assert_eq!((bill.function.as_str(), &method.permitted[..]), ("bill", &["A_B".to_owned()][..]));
    assert_eq!((registration.info["NAME"].as_str(), registration.info["VERSION"].as_str()), ("Two", "1.3"));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_line() {
    for (source, line, words) in [
        ("function register(\n  return {}\nend", Some(2), "xpected"),
        ("this is not Lua", Some(1), ""),
        ("<!DOCTYPE html>\n<html>", Some(1), ""),
        ("x = 1", None, "no global function `register`"),
        ("function register() return 'a' end", None, "does not return a list"),
        ("function register() return {1} end", None, "names 1"),
        ("function register() return {'gone'} end", None, "no global function `gone`"),
        (
            "function register() return {'f'} end\n\nfunction f(p) return {api = 'TRIGGER', triggerType = 'PRE_LUNCH'} end",
            Some(3),
            "PRE_LUNCH",
        ),
        ("function register() return {'f'} end\nfunction f(p) return p.input end", Some(2), "index nil"),
        ("\n\nerror('at load')", Some(3), "at load"),
        ("function register() while true do end end", None, "CPU time"),
        ("function register() adminAPI:getResource('x', true) end", Some(1), "while a block registers"),
    ] {
        let mut fixture = Fixture::new();
        fixture.limits.cpu_ms = 200;
        let error = fixture.runtime.register(source, fixture.limits).await.unwrap_err();
        assert_eq!(error.line, line, "{source}: {error}");
        assert!(error.message.contains(words), "{source}: {error}");
    }
}

#[tokio::test]
async fn init_is_found_and_not_run_on_trial() {
    let fixture = Fixture::on(Platform::with(Vec::new()));
    let source = "function register() return {} end function init() userAPI:deleteResource('b-1', true, nil) end";
    let registration = fixture.runtime.register(source, fixture.limits).await.unwrap();
    let entries: Vec<_> = registration.entries.iter().map(|e| (e.function.as_str(), e.trigger_type)).collect();
    assert_eq!(entries, [("init", TriggerType::Init)]);
    assert!(fixture.platform.operations().is_empty());
    // A trigger of that name is a trigger, and no descriptor can claim the type.
    let claims = "function register() return {'init'} end function init(p) return {triggerType = 'TYPE'} end";
    let named = fixture.runtime.register(&claims.replace("TYPE", "POST_CREATE"), fixture.limits).await.unwrap();
    assert_eq!(named.entries.iter().map(|e| e.trigger_type).collect::<Vec<_>>(), [TriggerType::PostCreate]);
    let error = fixture.runtime.register(&claims.replace("TYPE", "INIT"), fixture.limits).await.unwrap_err();
    assert!(error.message.contains("unknown `triggerType`"), "{error}");
}

#[tokio::test]
async fn what_is_named_twice_is_registered_once_and_what_is_named_and_not_there_is_noted() {
    let fixture = Fixture::new();
    let source = r#"
        function register() return { "measure", "provider", "guard", "guard", "provider" } end
        function guard(p) return { api = "TRIGGER", triggerType = "PRE_MODIFY", triggerOptions = { "SERVER" } } end
        function measure(p) return { api = "MEASURE", associatedType = "SERVER", measuredValues = { { key = "n" } } } end
        function provider(p)
            return { api = "CONFIG_PROVIDER", providerType = "P", triggerFunctions = { "guard" },
                measurementFunctions = { "measure" }, resourceConfigs = { { associatedResourceType = "SERVER",
                    productComponentTypes = { { referenceField = "R", actionFunctions = {
                        { key = "a", executionFunction = "guard" }, { key = "b", executionFunction = "gone" } } } } } } }
        end
    "#;
    let found = fixture.runtime.register(source, fixture.limits).await.unwrap();
    assert_eq!(found.entries.iter().map(|entry| entry.function.as_str()).collect::<Vec<_>>(), ["guard"]);
    let points: Vec<_> = found.points.iter().map(|point| (point.function.as_str(), point.kind.api())).collect();
    assert_eq!(points, [("provider", "CONFIG_PROVIDER"), ("measure", "MEASURE")]);
    assert!(matches!(&found.points[1].kind, PointKind::Measure(own) if own.provider_type.as_deref() == Some("P")));
    assert_eq!(found.notes, ["`provider` names `gone` for the action `b`, and the block has no such function"]);
}
