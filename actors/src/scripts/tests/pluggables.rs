//! Pluggable resources and reports.

use super::*;
use crate::{NewPluggable, PluggablePatch};
use std::collections::BTreeMap;
use sutler_model::{Noun, PluggableResource, pluggable::PluggableState};

/// A provider of notes that count their turns, and a report over them.
pub(super) const NOTES: &str = r##"
    function register() return { "note_provider", "note_report" } end

    function note_provider(p)
        return {
            ref = "notes", name = "Notes", api = "PLUGGABLE_PROVIDER", version = 1,
            providerType = "NOTE", providerGroup = "SKYLINE_CUSTOM_WIDGET", providerIcon = "FONT_ICON_RETWEET",
            createFunction = { executionFunction = "note_create", invocationLevel = { "CUSTOMER" } },
            modifyFunction = { executionFunction = "note_modify" },
            deleteFunction = { executionFunction = "note_delete" },
            advertiseFunction = { executionFunction = "note_advertise" },
            productComponentTypes = { { name = "Note", referenceField = "NOTE", optional = false,
                configurableList = {
                    { key = "text", name = "Text", required = true },
                    { key = "pin", name = "Pin", validator = { validatorType = "PASSWORD" } },
                    { key = "made", name = "Made", readOnly = true } } } },
            actionFunctions = { { key = "read", name = "Read", returnType = "STRING", executionFunction = "note_read" } },
        }
    end

    local yes = { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }

    function note_create(p)
        if p.resourceValues.text == "forbidden" then
            return { returnCode = "FAILED", errorCode = 502, errorString = "no such notes here", success = false }
        end
        p.resource:getResourceValues():put("made", p.resource:getResourceName() .. ":" .. p.resourceValues.text)
        return yes
    end

    function note_modify(p)
        local old = adminAPI:getResource(p.resource:getResourceUUID(), true)
        if p.resourceValues.text == "forbidden" then error("not that") end
        p.resource:getResourceValues():put("made", old:getResourceValues():get("text") .. " then " .. p.resourceValues.text)
        return yes
    end

    function note_delete(p)
        if p.resourceValues.text == "sticky" then
            return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "false" }
        end
        return yes
    end

    function note_advertise(p)
        if p.resourceValues.text ~= "world" then error("without its values") end
        return yes
    end
    function note_read(p) return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = p.resource:getResourceValues():get("made") } end

    function note_report(p)
        if p == nil then
            return { ref = "count", name = "How many", api = "REPORT", version = 1, invocationLevel = "CUSTOMER",
                supportedReportChartTypes = { "COLUMN" }, inputValues = { { key = "word", required = true } } }
        end
        local filter = new("SearchFilter")
        local condition = new("FilterCondition")
        condition:setField("resourceValues.text")
        condition:setValue({ p.inputValues.word })
        condition:setCondition(new("Condition", "IS_EQUAL_TO"))
        filter:addCondition(condition)
        local found = adminAPI:listResources(filter, nil, new("ResourceType", "PLUGGABLE_RESOURCE"))
        return "found " .. found:getTotalCount()
    end
"##;

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Bench {
    pub(super) fn note(&self, name: &str, text: &str) -> NewPluggable {
        NewPluggable {
            id: None,
            name: name.into(),
            provider_type: "note".into(),
            customer_id: Some(self.customer),
            values: texts(&[("text", text)]),
            keys: Vec::new(),
        }
    }

    async fn notes(&self) -> Vec<PluggableResource> {
        all(&self.system).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pluggable_resource_lives_by_its_providers_functions() {
    let bench = Bench::start().await;
    bench.script("notes", Scope::Provider, NOTES.to_owned()).await;
    let (system, caller) = (&bench.system, &bench.caller);
    let made = system.create_pluggable(caller, bench.note("one", "hello")).await.unwrap();
    assert_eq!((made.state, made.values["made"].as_str()), (PluggableState::Active, "one:hello"));
    let patch = PluggablePatch { values: texts(&[("text", "world")]), ..PluggablePatch::default() };
    let changed = system.update_pluggable(caller, made.id, None, patch).await.unwrap();
    assert_eq!(changed.values["made"], "hello then world", "the function saw what was and what is to be");
    let read = system.invoke_pluggable(caller, made.id, "read", &texts(&[])).await.unwrap().answer.unwrap();
    assert_eq!(read.content, "hello then world");
    assert!(system.invoke_pluggable(caller, made.id, "advertise", &texts(&[])).await.is_ok());

    let refused = system.create_pluggable(caller, bench.note("two", "forbidden")).await.unwrap_err().to_string();
    assert!(refused.contains("no such notes here (502)"), "{refused}");
    assert_eq!(bench.notes().await.len(), 1, "what is refused leaves nothing");
    let patch = PluggablePatch { values: texts(&[("text", "forbidden")]), ..PluggablePatch::default() };
    let failed = system.update_pluggable(caller, made.id, None, patch).await.unwrap_err().to_string();
    assert!(failed.contains("not that"), "{failed}");
    let kept = bench.notes().await.remove(0);
    assert_eq!((kept.state, kept.values["text"].as_str()), (PluggableState::Active, "world"), "it stays as it was");
    let runs = bench.runs().await;
    let run = runs.iter().find(|run| run.function == "note_modify" && run.state == RunState::Dead).expect("recorded");
    assert!(run.result.contains("not that"), "{run:?}");
    let reason = kept.state_reason.expect("why");
    assert!(reason.contains(&run.id.to_string()) && !reason.contains("not that"), "{reason}");

    let patch = PluggablePatch { values: texts(&[("text", "sticky")]), ..PluggablePatch::default() };
    system.update_pluggable(caller, made.id, None, patch).await.unwrap();
    assert!(system.delete_pluggable(caller, made.id, None).await.unwrap_err().to_string().contains("said no"));
    let patch = PluggablePatch { values: texts(&[("text", "loose")]), ..PluggablePatch::default() };
    system.update_pluggable(caller, made.id, None, patch).await.unwrap();
    system.delete_pluggable(caller, made.id, None).await.unwrap();
    assert_eq!(bench.notes().await, []);
    let bad = NewPluggable { values: texts(&[("made", "me")]), ..bench.note("three", "x") };
    let wrong = system.create_pluggable(caller, bad).await.unwrap_err().to_string();
    assert!(wrong.contains("values.made") && wrong.contains("values.text"), "{wrong}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_cut_off_by_a_crash_is_taken_up_under_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start_with(folder.path(), settings()).await;
    bench.script("notes", Scope::Provider, NOTES.to_owned()).await;
    let made = bench.system.create_pluggable(&bench.caller, bench.note("one", "hello")).await.unwrap();
    // As a crash right after the commit that accepted it would leave it.
    let mut cut = PluggableResource {
        id: bench.system.core().new_id(),
        version: 0,
        name: "two".into(),
        values: texts(&[("text", "again")]),
        state: PluggableState::Creating,
        ..made.clone()
    };
    let mut set = ChangeSet::new(bench.caller.cause.clone());
    set.create(&mut cut);
    bench.system.store().commit(set).await.unwrap();
    bench.stop().await;
    drop(bench);

    let bench = Bench::start_with(folder.path(), settings()).await;
    let two = async || bench.notes().await.into_iter().find(|note| note.id == cut.id);
    bench.until(async || two().await.is_some_and(|note| note.state == PluggableState::Active)).await;
    assert_eq!(two().await.unwrap().values["made"], "two:again");
    let runs = bench.runs().await;
    let runs: Vec<_> = runs.iter().filter(|run| run.resource_id == Some(cut.id.0)).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_make_change_and_delete_pluggable_resources_once_each() {
    let bench = Bench::start().await;
    bench.script("notes", Scope::Provider, NOTES.to_owned()).await;
    let body = r#"
        local skeleton = new("PluggableResource")
        skeleton:setResourceName("made by a script")
        skeleton:setProviderType("NOTE")
        skeleton:setCustomerUUID(p.customer:getResourceUUID())
        skeleton:getResourceValues():put("text", "first")
        local job = adminAPI:createPluggableResource(skeleton, nil)
        assert(job:getStatus():name() == "SUCCESSFUL" and job:getJobType():name() == "CREATE_PLUGGABLE_RESOURCE")
        local note = adminAPI:getResource(job:getItemUUID(), true)
        print(note:getResourceValues():get("made"))
        note:getResourceValues():put("text", "second")
        adminAPI:modifyPluggableResource(note, nil)
        print(adminAPI:getResource(job:getItemUUID(), true):getResourceValues():get("made"))
        print(adminAPI:invokeAction(job:getItemUUID(), "read", new("Map"), nil):getInfo())
        adminAPI:deleteResource(job:getItemUUID(), true, nil)
        print(tostring(adminAPI:getResource(job:getItemUUID(), true)))
    "#;
    bench.script("user", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.function == "on_event")).await;
    let run = runs.iter().find(|run| run.function == "on_event").unwrap();
    assert_eq!((run.state, run.attempts), (RunState::Succeeded, 1), "{run:?}");
    assert_eq!(
        run.log.lines().collect::<Vec<_>>(),
        ["made by a script:first", "first then second", "first then second", "nil"]
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_made_for_those_it_is_for_and_sees_what_its_owner_may() {
    let bench = Bench::start().await;
    let script = bench.script("notes", Scope::Provider, NOTES.to_owned()).await;
    bench.system.create_pluggable(&bench.caller, bench.note("one", "hello")).await.unwrap();
    let (stranger_id, stranger) = bench.stranger().await;
    let report = bench.system.make_report(&stranger, script.id, "count", &texts(&[("word", "hello")])).await.unwrap();
    assert_eq!(report.answer.unwrap().content, "found 1", "the provider's report says what it may");
    let wrong = bench.system.make_report(&bench.caller, script.id, "count", &texts(&[])).await.unwrap_err().to_string();
    assert!(wrong.contains("values.word: is missing"), "{wrong}");
    // What a customer's own report sees is the customer's.
    let own = bench.script("own", Scope::Customer(stranger_id), NOTES.to_owned()).await;
    let report = bench.system.make_report(&stranger, own.id, "count", &texts(&[("word", "hello")])).await.unwrap();
    assert_eq!(report.answer.unwrap().content, "found 0");
    let note = bench.notes().await.remove(0);
    let missing = bench.system.delete_pluggable(&stranger, note.id, None).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { noun: Noun::PluggableResource, .. }), "{missing}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_made_by_the_function_that_its_descriptor_names() {
    let bench = Bench::start().await;
    let source = |execution: &str| {
        format!(
            r#"
            function register() return {{ "describe" }} end
            function describe(p)
                if p ~= nil then error("not this one") end
                return {{ ref = "sum", name = "Sum", api = "REPORT", version = 1, executionFunction = {execution} }}
            end
            function make(p) return "made" end
            "#
        )
    };
    let (_, stranger) = bench.stranger().await;
    let plain = bench.script("plain", Scope::Provider, source(r#""make""#)).await;
    let table = r#"{ executionFunction = "make", invocationLevel = { "CUSTOMER" } }"#;
    let table = bench.script("table", Scope::Provider, source(table)).await;
    let none = texts(&[]);
    for (script, caller, made) in [(&plain, &bench.caller, true), (&plain, &stranger, false), (&table, &stranger, true)]
    {
        let report = bench.system.make_report(caller, script.id, "sum", &none).await;
        let content = report.ok().and_then(|report| report.answer).map(|answer| answer.content);
        assert_eq!(content, made.then(|| "made".into()), "{}", script.name);
    }
    let body = r#"print(adminAPI:invokeReportMethod(adminAPI:listResources(nil, nil,
        new("ResourceType", "REPORT_METHOD")):getList():get(0):getResourceUUID(), nil))"#;
    bench.script("asks", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.function == "on_event")).await;
    assert_eq!(runs.iter().find(|run| run.function == "on_event").unwrap().log, "made\n");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_answers_each_change_of_a_resource_with_another_comes_to_an_end() {
    let bench = Bench::start().await;
    bench.script("notes", Scope::Provider, NOTES.to_owned()).await;
    let again = r#"
        p.input:getResourceValues():put("text", p.input:getResourceValues():get("text") .. "!")
        adminAPI:modifyPluggableResource(p.input, nil)
    "#;
    let again = bench.script("again", Scope::Provider, block("POST_MODIFY", r#""PLUGGABLE_RESOURCE""#, again)).await;
    let made = bench.system.create_pluggable(&bench.caller, bench.note("one", "hello")).await.unwrap();
    let patch = PluggablePatch { values: texts(&[("text", "world")]), ..PluggablePatch::default() };
    bench.system.update_pluggable(&bench.caller, made.id, None, patch).await.unwrap();
    let mine = |runs: &[ScriptRun]| runs.iter().filter(|run| run.script_id == again.id).cloned().collect::<Vec<_>>();
    let runs =
        bench.runs_until(|runs| mine(runs).iter().any(|run| run.state == RunState::Dead) || runs.len() > 100).await;
    let dead = mine(&runs).into_iter().filter(|run| run.state == RunState::Dead).collect::<Vec<_>>();
    let [dead] = &dead[..] else { panic!("it goes on and on: {} runs", runs.len()) };
    assert!(dead.result.contains("runs set each other off before this one"), "{}", dead.result);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_has_begun_comes_to_its_end_also_when_whoever_asked_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let bench = super::reaching::asking(folder.path()).await;
    let (url, mut asked) = super::reaching::peer().await;
    let create = "function note_create(p)";
    let source = NOTES.replace(create, &format!("{create} http.get('{url}')"));
    bench.script("notes", Scope::Provider, source).await;
    let socket = tokio::select! {
        made = bench.system.create_pluggable(&bench.caller, bench.note("one", "hello")) => panic!("{made:?}"),
        socket = asked.recv() => socket.unwrap(),
    };
    assert_eq!(bench.notes().await.remove(0).state, PluggableState::Creating);
    super::reaching::answer(socket).await;
    bench.until(async || bench.notes().await.remove(0).state == PluggableState::Active).await;
    assert_eq!(bench.notes().await.remove(0).values["made"], "one:hello");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_find_what_providers_describe_with_their_forms_and_actions() {
    let bench = Bench::start().await;
    let told = r#"print(p.resource:getCustomerName() .. " " .. p.resource:getProviderName() .. " " .. p.resource:getProviderGroup())"#;
    let notes = NOTES.replace("function note_create(p)", &format!("function note_create(p)\n{told}"));
    bench.script("notes", Scope::Provider, notes).await;
    let note = bench.system.create_pluggable(&bench.caller, bench.note("one", "hello")).await.unwrap();
    let body = format!(
        r#"
        local note = adminAPI:getResource("{}", true)
        local provider = adminAPI:getResource(note:getProviderUUID(), true)
        print(provider:getResourceType():name() .. " " .. provider:getProviderType() .. " " .. tostring(provider:isInUse()))
        for _, actions in ipairs({{ note:getProviderActionDefinitions(), provider:getActionDefinitions() }}) do
            local read = actions:get("read")
            print(read:getName() .. " " .. read:getReturnType():name() .. " " .. read:getExecutionFunction())
        end
        local part = provider:getProductComponentTypes():get(0)
        local pin = part:getConfigurableList():get(1)
        print(part:getReferenceField() .. " " .. pin:getKey() .. " " .. pin:getValidator():getValidatorType():name())
        local report = adminAPI:listResources(nil, nil, new("ResourceType", "REPORT_METHOD")):getList():get(0)
        print(report:getInvocationLevel():name())
        "#,
        note.id
    );
    bench.script("look", Scope::Provider, block("POST_CREATE", r#""USER""#, &body)).await;
    bench.user("ada").await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.function == "on_event")).await;
    let log = |function: &str| -> Vec<String> {
        let run = runs.iter().find(|run| run.function == function).unwrap();
        assert_eq!(run.state, RunState::Succeeded, "{run:?}");
        run.log.lines().map(str::to_owned).collect()
    };
    assert_eq!(log("note_create"), ["Customer Notes SKYLINE_CUSTOM_WIDGET"]);
    assert_eq!(
        log("on_event"),
        [
            "PLUGGABLE_PROVIDER NOTE true",
            "Read STRING note_read",
            "Read STRING note_read",
            "NOTE pin PASSWORD",
            "CUSTOMER"
        ]
    );
    bench.stop().await;
}
