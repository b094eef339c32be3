//! Test runs and replays: what a script would have done, and that it did not.

use super::*;
use crate::{ReplayRequest, TestRequest, Verdict};
use sutler_model::{Noun, ServerId, Timestamp};

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
