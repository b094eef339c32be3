//! Test runs and replays: what a script would have done, and that it did not.

use super::*;
use crate::{ApiCall, ReplayRequest, TestRequest, Verdict};
use sutler_model::{Cause, Noun, ServerId, Timestamp, TriggerType};

const POST: &str = r#"
    local key = new("ResourceKey") key:setName("seen") key:setValue("yes")
    adminAPI:addKey(p.input:getResourceUUID(), key)
    print(p.input:getResourceName())
"#;

/// A server whose creation is over.
async fn made(bench: &Bench, name: &str) -> ServerId {
    let job = bench.create(name, false).await;
    bench.ended(job.id).await;
    ServerId(job.item_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_runs_over_the_last_event_that_fits_and_changes_nothing() {
    let bench = Bench::start().await;
    let script = bench.script("mark", Scope::Provider, block("POST_CREATE", "'SERVER'", POST)).await;
    let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, off).await.unwrap();
    let first = made(&bench, "web-1").await;
    let second = made(&bench, "web-2").await;
    let head = *bench.system.store().watch().borrow();

    let test = |request| bench.system.test_script(&bench.caller, script.id, request);
    let run = test(TestRequest::default()).await.unwrap();
    assert_eq!((run.verdict, run.log.as_str(), run.resource_id), (Verdict::Succeeded, "web-2\n", Some(second.0)));
    assert_eq!(run.writes[0].operation, "addKey");
    assert_eq!(run.writes[0].args[0], second.to_string());

    let all = ReplayRequest { source: None, from: Timestamp(0), from_seq: None, to: None, limit: 100 };
    let replay = bench.system.replay_script(&bench.caller, script.id, all.clone()).await.unwrap();
    let about: Vec<_> = replay.items.iter().map(|run| run.resource_id).collect();
    assert_eq!((about, replay.next_seq), (vec![Some(first.0), Some(second.0)], None));
    let again = test(TestRequest { seq: replay.items[0].seq, ..TestRequest::default() }).await.unwrap();
    assert_eq!(again.log, "web-1\n", "an event can be chosen");

    let part = ReplayRequest { limit: 1, ..all.clone() };
    let part = bench.system.replay_script(&bench.caller, script.id, part).await.unwrap();
    assert_eq!((part.items.len(), part.next_seq), (1, replay.items[1].seq), "and a long period comes in parts");
    let rest = ReplayRequest { from_seq: part.next_seq, ..all };
    let rest = bench.system.replay_script(&bench.caller, script.id, rest).await.unwrap();
    assert_eq!(rest.items.len(), 1);

    assert!(bench.runs().await.is_empty(), "nothing is recorded");
    let server = bench.system.store().get::<Server>(second).await.unwrap().unwrap();
    assert!(server.keys.is_empty(), "nothing is changed");
    let since = bench.system.store().feed(head + 1, 1_000).unwrap();
    assert!(since.iter().all(|entry| entry.changes.iter().all(|change| change.noun == Noun::Node)), "{since:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_entry_is_shown_the_record_as_it_was_stored_and_says_what_it_would_change() {
    let bench = Bench::start().await;
    made(&bench, "web-1").await;
    let refuse = r#"do return { exitState = "FAILURE", reason = "no " .. p.input:getResourceName() } end"#;
    let script = bench.script("rule", Scope::Provider, block("PRE_CREATE", "'SERVER'", refuse)).await;
    let run = bench.system.test_script(&bench.caller, script.id, TestRequest::default()).await.unwrap();
    assert_eq!((run.verdict, run.result.as_str()), (Verdict::Refused, "no web-1"));
    let rename = block("PRE_CREATE", "'SERVER'", "p.input:setResourceName('other')");
    let staged = TestRequest { source: Some(rename), ..TestRequest::default() };
    let run = bench.system.test_script(&bench.caller, script.id, staged).await.unwrap();
    assert_eq!(run.changes, [("resourceName".to_owned(), "web-1".into(), "other".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_at_once_is_told_as_a_job_in_hindsight_and_nobody_is_asked_about_it() {
    let bench = Bench::start().await;
    made(&bench, "web-1").await;
    let cause = Cause::Request { request_id: "r".into(), user_id: None };
    let caller = Caller { cause, ..bench.caller.clone() };
    let plan = all::<Plan>(&bench.system).await.remove(0);
    bench.system.create_customer(&caller, crate::testing::new_customer("Later", &plan)).await.unwrap();
    for (trigger, job) in [("PRE_JOB_STATE_CHANGE", "CREATE_SERVER"), ("POST_JOB_STATE_CHANGE", "CREATE_CUSTOMER")] {
        let source = block(trigger, "'SUCCESSFUL'", "print(p.input:getJobType():name())");
        let script = bench.script(trigger, Scope::Provider, source).await;
        let run = bench.system.test_script(&bench.caller, script.id, TestRequest::default()).await.unwrap();
        assert_eq!(run.log, format!("{job}\n"), "{trigger}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_tested_is_refused_with_the_field() {
    let bench = Bench::start().await;
    let script = bench.script("mark", Scope::Provider, block("POST_CREATE", "'SERVER'", POST)).await;
    let field = async |request: TestRequest| match bench.system.test_script(&bench.caller, script.id, request).await {
        Err(Error::Invalid(errors)) => errors[0].field.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(field(TestRequest::default()).await, "seq", "no server was made yet");
    assert_eq!(field(TestRequest { seq: Some(1), ..TestRequest::default() }).await, "seq");
    assert_eq!(field(TestRequest { function: Some("nope".into()), ..TestRequest::default() }).await, "function");
    let broken = TestRequest { source: Some("function".into()), ..TestRequest::default() };
    let broken = bench.system.test_script(&bench.caller, script.id, broken).await;
    assert!(matches!(broken, Err(Error::Script { line: Some(1), .. })), "{broken:?}");
    let backwards =
        ReplayRequest { source: None, from: Timestamp(1_000), from_seq: None, to: Some(Timestamp(10)), limit: 1 };
    let backwards = bench.system.replay_script(&bench.caller, script.id, backwards).await;
    assert!(matches!(backwards, Err(Error::Invalid(_))), "{backwards:?}");
    let (_, stranger) = bench.stranger().await;
    let hidden = bench.system.test_script(&stranger, script.id, TestRequest::default()).await;
    assert!(matches!(hidden, Err(Error::NotFound { .. })), "{hidden:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_script_replays_its_own_events_alone() {
    let bench = Bench::start().await;
    let (stranger, caller) = bench.stranger().await;
    made(&bench, "web-1").await;
    let owner = Scope::Customer(stranger);
    let new = NewScript {
        name: "spy".into(),
        owner,
        source: block("POST_CREATE", "'ANY'", "print(p.triggerOption)"),
        enabled: true,
        fail_open: false,
    };
    let script = bench.system.create_script(&caller, new).await.unwrap();
    let all = ReplayRequest { source: None, from: Timestamp(0), from_seq: None, to: None, limit: 100 };
    let replay = bench.system.replay_script(&caller, script.id, all).await.unwrap();
    let options: Vec<&str> = replay.items.iter().map(|run| run.option.as_str()).collect();
    assert_eq!(options, ["CUSTOMER"], "its own creation, and nothing of others");
}

/// The outcome of each block, staged in place of what is stored, over the last event that fits.
async fn staged(bench: &Bench, script: &Script, source: String) -> crate::Rehearsal {
    let request = TestRequest { source: Some(source), ..TestRequest::default() };
    bench.system.test_script(&bench.caller, script.id, request).await.expect("run")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_no_record_is_rehearsed_as_it_was_told() {
    let bench = Bench::start().await;
    let ada = bench.user("ada").await;
    let request = |user: Option<&User>| Cause::Request { request_id: "r-1".into(), user_id: user.map(|user| user.id) };
    // Sign-ins, calls and exceptions are in the feed for as long as somebody listens.
    let mut listener = None;
    for trigger in ["POST_AUTH", "POST_USER_API_CALL", "POST_EXCEPTION"] {
        listener = Some(bench.script(trigger, Scope::Provider, block(trigger, r#""ANY""#, "")).await);
    }
    let listener = listener.unwrap();
    bench.system.sign_in_failed(&ada, request(None));
    bench.runs_until(|runs| runs.len() == 1).await;
    bench
        .system
        .open_session(&ada, "hash".into(), 1_000, request(Some(&ada)))
        .await
        .expect("an answer")
        .expect("signed in");
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let mut caller = caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer));
    (caller.user_id, caller.cause) = (Some(ada.id), request(Some(&ada)));
    let call =
        ApiCall { operation: "createServer", method: "POST", path: "/api/v1/servers", changes: true, refusable: true };
    bench.system.begin_call(&caller, call).await.expect("goes on").expect("listened to").ended(201);
    bench.system.request_broke("GET", "/api/v1/me", "r-2");
    let runs = bench.runs_until(|runs| runs.len() == 4).await;

    let login = format!("ada@example.org/{}", bench.customer);
    let say = "print(p.triggerOption, p.input)";
    let say_call = "print(p.triggerOption, p.input:getMethod(), p.input:getStatus())";
    let say_error = "print(p.triggerOption, p.input:getErrorCode())";
    for (trigger, option, body, told) in [
        ("POST_AUTH", "FAIL", say, format!("FAIL\t{login}")),
        ("POST_AUTH", "ANY", say, format!("SUCCESS\t{login}")),
        ("POST_USER_API_CALL", "createServer", say_call, "createServer\tPOST\t201".to_owned()),
        ("POST_EXCEPTION", "API", say_error, "API\tINTERNAL".to_owned()),
    ] {
        let run = staged(&bench, &listener, block(trigger, &format!("\"{option}\""), body)).await;
        assert_eq!((run.verdict, run.log.trim()), (Verdict::Succeeded, told.as_str()), "{trigger}: {}", run.result);
    }
    for (trigger, body) in [
        ("PRE_AUTH", r#"if string.find(p.input, "ada@") then return { exitState = "FAILURE", reason = "no" } end"#),
        ("PRE_USER_API_CALL", r#"do return { exitState = "FAILURE", reason = "no" } end"#),
    ] {
        let run = staged(&bench, &listener, block(trigger, r#""ANY""#, body)).await;
        assert_eq!((run.verdict, run.result.as_str()), (Verdict::Refused, "no"), "{trigger}: {}", run.log);
    }
    let never =
        TestRequest { source: Some(block("POST_EXCEPTION", r#""ACTOR""#, say_error)), ..TestRequest::default() };
    match bench.system.test_script(&bench.caller, listener.id, never).await {
        Err(Error::Invalid(errors)) => {
            assert_eq!(errors[0].field, "seq");
            assert!(errors[0].detail.contains("make one happen"), "{errors:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.runs().await.len(), runs.len(), "nothing is recorded");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_before_a_state_is_rehearsed_with_what_its_trigger_was_shown() {
    let bench = Bench::start().await;
    let say = "print(p.triggerOption, p.input:getStatus(), p.input:getItemName())";
    let options = ["NOT_STARTED", "IN_PROGRESS", "SUCCESSFUL"];
    let source = |option: &str| block("PRE_JOB_STATE_CHANGE", &format!("\"{option}\""), say);
    let mut scripts = Vec::new();
    for option in options {
        scripts.push(bench.script(option, Scope::Provider, source(option)).await);
    }
    made(&bench, "web-1").await;
    let runs = bench.runs_until(|runs| runs.len() == options.len()).await;
    for (script, option) in scripts.iter().zip(options) {
        let real = runs.iter().find(|run| run.script_id == script.id).expect("it was asked");
        let run = bench.system.test_script(&bench.caller, script.id, TestRequest::default()).await.expect("run");
        assert_eq!((run.option.as_str(), &run.log), (option, &real.log));
        assert_eq!((run.verdict, run.trigger_type), (Verdict::Succeeded, TriggerType::PreJobStateChange));
    }
    let no = r#"do return { exitState = "FAILURE", reason = "not " .. p.triggerOption } end"#;
    let no = block("PRE_JOB_STATE_CHANGE", r#""IN_PROGRESS""#, no);
    let run = staged(&bench, &scripts[1], no).await;
    assert_eq!((run.verdict, run.result.as_str()), (Verdict::Refused, "not IN_PROGRESS"));
    bench.stop().await;
}
