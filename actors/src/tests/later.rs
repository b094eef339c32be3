//! Jobs accepted for a later time, by a clock that the test sets.

use crate::{
    ActionAsked, Error, Idempotency, ServerAction, Settings,
    testing::{Bench, all},
};
use std::sync::atomic::{AtomicI64, Ordering};
use sutler_model::{Customer, Job, JobState, Server, ServerId, ServerState, Timestamp};
use sutler_store::Options;

const HOUR_MS: i64 = 3_600_000;

/// A bench over a folder, by a clock of its own.
macro_rules! clocked {
    () => {{
        static NOW: AtomicI64 = AtomicI64::new(1_800_000_000_000);
        let options = || Options { clock: || Timestamp(NOW.load(Ordering::SeqCst)), ..Options::default() };
        let settings = || Settings { node_poll_ms: 50, retry_base_ms: 1, ..Settings::default() };
        (&NOW, async move |root: &std::path::Path| Bench::start_by(root, settings(), options()).await)
    }};
}

async fn asked(bench: &Bench, id: ServerId, action: ServerAction, at: i64, key: &str) -> Job {
    let key = Idempotency { key: key.into(), request_hash: "same".into() };
    let asked = ActionAsked { start_at: Some(Timestamp(at)), key: Some(key), ..ActionAsked::default() };
    bench.system.act_on_server(&bench.caller, id, action, asked).await.expect("accepted")
}

async fn stopped_server(bench: &Bench) -> Server {
    let job = bench.create("web", false).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.server("web").await.expect("the server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_for_later_waits_over_a_restart_holds_up_nobody_and_begins_in_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (now, start) = clocked!();
    let bench = start(folder.path()).await;
    let server = stopped_server(&bench).await;
    let at = now.load(Ordering::SeqCst) + HOUR_MS;
    let later = asked(&bench, server.id, ServerAction::Start, at, "later").await;
    assert_eq!((later.state, later.scheduled, later.start_at), (JobState::NotStarted, true, Some(Timestamp(at))));
    assert_eq!(asked(&bench, server.id, ServerAction::Start, at, "later").await.id, later.id, "the same key");
    let same = bench.server("web").await.expect("the server");
    assert_eq!((same.state, same.job_id, same.version), (ServerState::Stopped, None, server.version));

    // What is asked for now does not wait for it.
    let job = bench.act(server.id, ServerAction::Start, "now").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let job = bench.act(server.id, ServerAction::Stop { force: true }, "off").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.stop().await;
    drop(bench);

    now.fetch_add(HOUR_MS / 2, Ordering::SeqCst);
    let bench = start(folder.path()).await;
    // A round of the whole machinery, and still it waits.
    let job = bench.create("other", false).await;
    bench.ended(job.id).await;
    let waiting = bench.system.store().get::<Job>(later.id).await.expect("read").expect("the job");
    assert_eq!((waiting.state, waiting.scheduled), (JobState::NotStarted, true));

    now.fetch_add(HOUR_MS, Ordering::SeqCst);
    let done = bench.ended(later.id).await;
    assert_eq!((done.state, done.scheduled), (JobState::Successful, false), "{done:#?}");
    assert!(done.started_at.is_some_and(|started| started.0 >= at));
    assert_eq!(bench.server("web").await.expect("the server").state, ServerState::Running);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_for_later_takes_its_name_at_once_and_is_undone_when_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let (now, start) = clocked!();
    let bench = start(folder.path()).await;
    // A clock that jumps further makes the nodes' last sight too old to place anything on them.
    let at = Some(Timestamp(now.load(Ordering::SeqCst) + 2_000));
    let create = async |name: &str| {
        bench.system.create_server_at(&bench.caller, bench.customer, bench.new_server(name, true), at, None).await
    };
    let kept = create("kept").await.expect("accepted");
    let dropped = create("dropped").await.expect("accepted");
    assert!(matches!(create("kept").await, Err(Error::Taken { .. })));
    assert_eq!(bench.promised(), 0, "nothing is placed before its time");
    bench.system.cancel_job(&bench.caller, dropped.id).await.expect("cancelled");
    assert_eq!(bench.ended(dropped.id).await.state, JobState::Cancelled);
    now.fetch_add(2_000, Ordering::SeqCst);
    assert_eq!(bench.ended(kept.id).await.state, JobState::Successful);
    assert_eq!(bench.server("kept").await.expect("the server").state, ServerState::Running);
    assert_eq!(all::<Customer>(&bench.system).await.len(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_for_later_is_held_against_the_server_as_it_is_by_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let (now, start) = clocked!();
    let bench = start(folder.path()).await;
    let server = stopped_server(&bench).await;
    let at = now.load(Ordering::SeqCst) + HOUR_MS;
    let reboot = asked(&bench, server.id, ServerAction::Reboot { force: true }, at, "reboot").await;
    let delete = asked(&bench, server.id, ServerAction::Delete, at + HOUR_MS, "delete").await;
    let start_gone = asked(&bench, server.id, ServerAction::Start, at + 2 * HOUR_MS, "gone").await;
    let cancelled = asked(&bench, server.id, ServerAction::Start, at, "cancelled").await;
    let cancelled = bench.system.cancel_job(&bench.caller, cancelled.id).await.expect("cancelled");
    assert_eq!((cancelled.state, cancelled.scheduled), (JobState::Cancelled, false));
    now.fetch_add(HOUR_MS + 1, Ordering::SeqCst);
    let reboot = bench.ended(reboot.id).await;
    assert_eq!(reboot.state, JobState::Failed);
    let error = reboot.error.expect("the reason");
    assert_eq!((error.code.as_str(), error.message.contains("stopped; start it")), ("state", true), "{error:?}");
    now.fetch_add(HOUR_MS, Ordering::SeqCst);
    assert_eq!(bench.ended(delete.id).await.state, JobState::Successful);
    assert!(bench.server("web").await.is_none());
    now.fetch_add(HOUR_MS, Ordering::SeqCst);
    let gone = bench.ended(start_gone.id).await;
    assert_eq!(
        (gone.state, gone.error.expect("the reason").message.as_str()),
        (JobState::Failed, "the server is gone")
    );
    let year = Some(Timestamp(now.load(Ordering::SeqCst) + 400 * 24 * HOUR_MS));
    let asked = ActionAsked { start_at: year, ..ActionAsked::default() };
    let far = bench.system.act_on_server(&bench.caller, server.id, ServerAction::Start, asked).await;
    assert!(matches!(far, Err(Error::Invalid(_))), "{far:?}");
    bench.stop().await;
}
