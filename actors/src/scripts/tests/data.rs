//! What scripts keep in the store.

use super::*;
use sutler_model::{DataSpace, Datum, Noun, ScriptId, Timestamp};
use sutler_store::{Field, Filter};

/// What a script's log says once its runs are over.
async fn logs(bench: &Bench, count: usize) -> Vec<String> {
    let runs = bench.runs_until(|runs| runs.iter().filter(|r| r.state == RunState::Succeeded).count() == count).await;
    runs.into_iter().map(|run| run.log).collect()
}

async fn data(bench: &Bench, script: ScriptId) -> Vec<Datum> {
    let filter = Filter::<Datum>::new().is(Field::Script, script.0.as_bytes());
    bench.system.store().read(move |snapshot| snapshot.all(filter)).await.expect("read")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_is_kept_over_versions_and_counts_each_event_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let body = |text: &str| block("POST_CREATE", "'USER'", &format!("local n = kv.incr('users') {text} print(n)"));
    let script = bench
        .script(
            "count",
            Scope::Provider,
            body("if n == 2 and not kv.get('failed') then kv.set('failed', 1) error('again') end"),
        )
        .await;
    bench.user("one").await;
    // One after the other: runs about different records do not wait for each other.
    logs(&bench, 1).await;
    bench.user("two").await;
    // The second run did its count and failed; its repetition is told the same number.
    assert_eq!(logs(&bench, 2).await, ["1\n", "2\n"]);
    let patch = ScriptPatch { source: Some(body("")), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, patch).await.expect("the new text");
    bench.user("three").await;
    assert_eq!(logs(&bench, 3).await, ["1\n", "2\n", "3\n"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_keeps_is_hidden_in_the_feed_apart_from_others_and_goes_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let keep = |value: &str| {
        block(
            "POST_CREATE",
            "'USER'",
            &format!(
                "print(kv.get('token')) kv.set('token', '{value}') dataStore:resetPrivateDataMap('r', {{ p = '{value}' }})"
            ),
        )
    };
    let first = bench.script("first", Scope::Provider, keep("hush-hush-1")).await;
    let second = bench.script("second", Scope::Customer(bench.customer), keep("hush-hush-2")).await;
    let from = *bench.system.store().watch().borrow();
    bench.user("one").await;
    assert_eq!(logs(&bench, 2).await, ["nil\n", "nil\n"], "neither sees the other's");
    assert_eq!((data(&bench, first.id).await.len(), data(&bench, second.id).await.len()), (2, 2));
    bench.system.delete_script(&bench.caller, first.id, None).await.expect("deleted");
    assert_eq!((data(&bench, first.id).await.len(), data(&bench, second.id).await.len()), (0, 2));
    let shown = bench.system.store().feed(from + 1, 1_000).unwrap().into_iter().map(|entry| entry.masked());
    let shown: Vec<_> = shown.flat_map(|entry| entry.changes).filter(|change| change.noun == Noun::Datum).collect();
    // Four came to be and two went.
    assert_eq!(shown.len(), 6);
    assert!(!format!("{shown:?}").contains("hush-hush"), "{shown:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_not_there_and_makes_room_when_a_script_keeps_too_much() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let body = "print(kv.get('k0'), #kv.list('k', { limit = 5 }), pcall(kv.set, 'more', 1))";
    let script = bench.script("full", Scope::Provider, block("POST_CREATE", "'USER'", body)).await;
    fill(&bench, script.id, 0..10_000, None).await;
    bench.user("one").await;
    let log = logs(&bench, 1).await.remove(0);
    assert!(
        log.starts_with("0\t5\tfalse\tscript:8: CANNOT_EXCEED_MAX_STORAGE_SIZE: a script keeps at most 10000 values"),
        "{log}"
    );

    let other = bench.script("ended", Scope::Provider, block("POST_CREATE", "'USER'", body)).await;
    fill(&bench, other.id, 0..10_000, Some(Timestamp(1))).await;
    bench.user("two").await;
    let logs = logs(&bench, 3).await;
    assert_eq!(logs.iter().filter(|log| log.as_str() == "nil\t0\ttrue\n").count(), 1, "{logs:?}");
    let kept = data(&bench, other.id).await;
    assert_eq!(kept.iter().map(|datum| datum.key.as_str()).collect::<Vec<_>>(), ["more"]);
    bench.stop().await;
}

/// Puts many values into a script's store at once.
async fn fill(bench: &Bench, script_id: ScriptId, numbers: std::ops::Range<u32>, expires_at: Option<Timestamp>) {
    let mut set = ChangeSet::new(bench.caller.cause.clone());
    for number in numbers {
        let key = format!("k{number}");
        set.create(&mut Datum {
            id: Datum::id_of(script_id, DataSpace::Kv, &key),
            version: 0,
            script_id,
            space: DataSpace::Kv,
            key,
            value: Some(number.to_string()),
            expires_at,
            done: Vec::new(),
            updated_at: Timestamp(0),
        });
    }
    bench.system.store().commit(set).await.expect("the values");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_count_at_the_same_time_lose_no_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    bench
        .script(
            "a",
            Scope::Provider,
            block("POST_CREATE", "'USER'", "for _ = 1, 5 do kv.incr('n') end print(kv.get('n'))"),
        )
        .await;
    let names: Vec<String> = (0..10).map(|n| format!("user{n}")).collect();
    futures_util::future::join_all(names.iter().map(|name| bench.user(name))).await;
    let counts: Vec<u32> = logs(&bench, 10).await.iter().map(|log| log.trim().parse().expect("a number")).collect();
    assert_eq!(counts.iter().max(), Some(&50), "{counts:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_told_of_its_event_and_a_customer_not_by_whom() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let body = "print(event.type, event.seq > 0, event.attempt, event.cause.kind, event.cause.part)
        if event.attempt == 1 then error('again') end";
    bench.script("all", Scope::Provider, block("POST_CREATE", "'USER'", body)).await;
    bench.script("own", Scope::Customer(bench.customer), block("POST_CREATE", "'USER'", body)).await;
    bench.user("one").await;
    let mut logs = logs(&bench, 2).await;
    logs.sort();
    assert_eq!(logs, ["POST_CREATE\ttrue\t2\tsystem\tnil\n", "POST_CREATE\ttrue\t2\tsystem\ttest\n"]);
    bench.stop().await;
}
