//! The shared suite: every kind of job succeeds; survives each driver call done and its answer lost; leaves nothing
//! behind when a call fails for good; and is killed after every commit of a real process, then resumed.

use crate::{
    ImageSource, remains,
    testing::{Bench, FAR, all},
};
use std::{
    path::Path,
    process::{Command, ExitStatus},
    sync::atomic::{AtomicI64, Ordering},
};
use sutler_drivers::{
    compute::GuestState,
    simulated::{Fault, FaultError},
};
use sutler_model::{DiskState, Image, ImageState, Job, JobState, Server, ServerId, ServerState};
use sutler_store::{Filter, Order};

/// Driver calls that any job makes.
const CALLS: [&str; 14] = [
    "define",
    "start",
    "stop",
    "reset",
    "undefine",
    "see",
    "ensure_disk",
    "ensure_seed",
    "delete_seed",
    "ensure_nic",
    "remove_nics",
    "capture_image",
    "share_image",
    "delete_image",
];

/// The kinds of job, by the names the child process is given.
const KINDS: [&str; 7] = ["create", "start", "stop", "reboot", "reset", "delete", "image"];

/// Commits until this process kills itself; negative: never.
static COMMITS_LEFT: AtomicI64 = AtomicI64::new(-1);

/// Called after each commit of a job: the instant at which the child of the crash test is killed.
pub(crate) fn committed() {
    if COMMITS_LEFT.load(Ordering::SeqCst) >= 0 && COMMITS_LEFT.fetch_sub(1, Ordering::SeqCst) == 0 {
        let pid = std::process::id().to_string();
        let _ = Command::new("kill").args(["-9", &pid]).status();
        loop {
            std::thread::park();
        }
    }
}

impl Bench {
    /// Makes what a job of the kind needs.
    async fn prepare(&self, kind: &str) {
        match kind {
            "create" => {}
            "start" | "image" => {
                let job = self.create("one", false).await;
                assert_eq!(self.ended(job.id).await.state, JobState::Successful);
            }
            _ => {
                let job = self.create("one", true).await;
                assert_eq!(self.ended(job.id).await.state, JobState::Successful);
            }
        }
    }

    /// Asks for the job, with the same idempotency key each time.
    async fn ask_for(&self, kind: &str) -> Job {
        use crate::ServerAction as A;
        let act = |action| async move { self.act(self.prepared().await, action, "key-2").await };
        match kind {
            "create" => self.create("one", true).await,
            "start" => act(A::Start).await,
            "stop" => act(A::Stop { force: true }).await,
            "reboot" => act(A::Reboot { force: false }).await,
            "reset" => act(A::Reboot { force: true }).await,
            "delete" => act(A::Delete).await,
            "image" => {
                let source = ImageSource::Server(self.prepared().await);
                self.image_of(source, "golden", "key-2").await.expect("accepted")
            }
            _ => unreachable!("{kind}"),
        }
    }

    /// The server that was prepared, which may be gone by now.
    async fn prepared(&self) -> ServerId {
        self.jobs().await.first().and_then(|job| job.input.server_id()).expect("a job has made it")
    }

    /// The job was done: the record, the outside and the meters agree.
    async fn check_done(&self, kind: &str) {
        let server = self.server("one").await;
        match kind {
            "delete" => {
                assert_eq!(server, None, "the record is gone");
                assert_eq!(self.world.guests(), vec![], "the guest is gone");
                assert_eq!(self.world.disks().len(), 1, "the data stays for the grace period");
                let disks = self.disks().await;
                assert_eq!(disks[0].state, DiskState::Deleting);
                assert!(disks[0].delete_requested_at.is_some());
                assert_eq!(self.open_meters().await, Vec::<&str>::new());
                self.gives_its_room_back().await;
            }
            "image" => {
                self.check_agrees(&server.expect("the server"), ServerState::Stopped);
                let image = self.made_image().await.expect("the image");
                assert_eq!(
                    (image.state, image.size_gib, image.customer_id),
                    (ImageState::Ready, 10, Some(self.customer))
                );
                assert_eq!(image.sha256.len(), 64);
                let copies = self.world.images().into_iter().filter(|name| *name == image.storage_key).count();
                assert_eq!(copies, self.system.core().nodes.ids().len(), "every node has it");
            }
            "stop" => {
                self.check_agrees(&server.expect("the server"), ServerState::Stopped);
                assert_eq!(self.open_meters().await, ["disk"]);
            }
            _ => {
                self.check_agrees(&server.expect("the server"), ServerState::Running);
                assert_eq!(self.open_meters().await, ["cpu", "disk", "memory"]);
            }
        }
    }

    /// The image that the job made.
    async fn made_image(&self) -> Option<Image> {
        all::<Image>(&self.system).await.into_iter().find(|image| image.base.is_some())
    }

    /// What remains of a server is there exactly when the server is gone.
    async fn check_remains(&self, told: &str) {
        let read = self.system.store().read(|snapshot| {
            let made = snapshot.first(Filter::<Job>::new(), Order::Ascending)?;
            let Some(id) = made.and_then(|job| job.input.server_id()) else { return Ok(None) };
            Ok(Some((snapshot.get::<Server>(id)?.is_none(), remains::find(snapshot, id.into())?.is_some())))
        });
        if let Some((gone, remains)) = read.await.expect("read") {
            assert_eq!(gone, remains, "{told}");
        }
    }

    /// The book of placement follows the commit that others see already.
    async fn gives_its_room_back(&self) {
        self.until(async || self.promised() == 0).await;
    }

    fn check_agrees(&self, server: &Server, state: ServerState) {
        assert_eq!(server.state, state);
        assert_eq!(server.job_id, None);
        let seen = self.world.guest(server.id).map(|g| g.state);
        let expected = if state == ServerState::Running { GuestState::Running } else { GuestState::Stopped };
        assert_eq!(seen, Some(expected), "the guest outside agrees with the record");
        assert_eq!(self.world.guests().len(), 1, "there is one guest");
        assert_eq!(self.world.disks().len(), 1, "and one disk");
    }

    /// The job failed: nothing is left that it made, and the record tells the truth.
    async fn check_reversed(&self, kind: &str) {
        let server = self.server("one").await.expect("a failed job leaves the record with the reason");
        assert_eq!(server.job_id, None);
        if kind == "image" {
            assert_eq!((server.state, &server.state_reason), (ServerState::Stopped, &None), "the server is as it was");
            assert_eq!(self.made_image().await, None, "there is no image");
            assert_eq!(self.world.images().len(), self.system.core().nodes.ids().len(), "and no file of it");
            return;
        }
        assert!(server.state_reason.is_some(), "the reason is in the record");
        let seen = self.world.guest(server.id).map(|g| g.state);
        match kind {
            "create" => {
                assert_eq!(server.state, ServerState::Error);
                assert_eq!((seen, self.world.disks().len()), (None, 0), "nothing is left outside");
                assert_eq!(self.disks().await, vec![]);
                assert_eq!(self.open_meters().await, Vec::<&str>::new());
                self.gives_its_room_back().await;
            }
            // What deletion began is not taken back; asking again finishes it.
            "delete" => assert_eq!(server.state, ServerState::Error),
            _ => {
                let runs = seen == Some(GuestState::Running);
                assert_eq!(server.state == ServerState::Running, runs, "{:?} {seen:?}", server.state);
                let meters = self.open_meters().await;
                assert_eq!(meters.contains(&"cpu"), runs, "metered exactly while it runs");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_job_succeeds() {
    for kind in KINDS {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = started(kind, folder.path()).await;
        bench.prepare(kind).await;
        let job = bench.ask_for(kind).await;
        let job = bench.ended(job.id).await;
        assert_eq!((job.state, &job.error), (JobState::Successful, &None), "{kind}");
        assert_eq!(job.progress_percent, 100);
        bench.check_done(kind).await;
        assert_eq!(bench.ask_for(kind).await.id, job.id, "the same key gets the same job");
        bench.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_may_be_done_and_its_answer_lost() {
    for kind in KINDS {
        for call in CALLS {
            let folder = tempfile::tempdir().expect("a folder");
            let bench = started(kind, folder.path()).await;
            bench.prepare(kind).await;
            bench.world.fault(fault(call, 1, FaultError::Deadline));
            let job = bench.ask_for(kind).await;
            let job = bench.ended(job.id).await;
            assert_eq!((job.state, &job.error), (JobState::Successful, &None), "{kind} with {call} done twice");
            bench.world.clear_faults();
            bench.check_done(kind).await;
            bench.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_call_fails_for_good_is_reversed() {
    let mut failed = 0;
    for kind in KINDS {
        for call in CALLS {
            let folder = tempfile::tempdir().expect("a folder");
            let bench = started(kind, folder.path()).await;
            bench.prepare(kind).await;
            // Only the first such call fails: reversing may need the same call.
            bench.world.fault(fault(call, 1, FaultError::Permanent));
            let job = bench.ask_for(kind).await;
            let job = bench.ended(job.id).await;
            bench.world.clear_faults();
            if job.state == JobState::Successful {
                bench.check_done(kind).await;
            } else {
                assert_eq!(job.state, JobState::Failed, "{kind} with {call} failing");
                assert!(job.error.is_some() && job.done.is_empty());
                bench.check_reversed(kind).await;
                failed += 1;
            }
            bench.stop().await;
        }
    }
    assert!(failed >= 15, "only {failed} of the faults hit a job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_can_be_neither_done_nor_reversed_waits_for_an_operator() {
    let bench = Bench::start().await;
    bench.world.fault(fault("start", 1, FaultError::Permanent));
    bench.world.fault(fault("undefine", 1, FaultError::Permanent));
    let job = bench.create("one", true).await;
    let job = bench.ended(job.id).await;
    assert_eq!(job.state, JobState::NeedsOperator);
    let facts = job.error.and_then(|e| e.operator_message).unwrap_or_default();
    assert!(facts.contains("define_domain"), "the facts name the step: {facts}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transient_failure_is_tried_again_and_then_given_up() {
    let bench = Bench::start().await;
    let tries = bench.system.core().settings.retry_max;
    bench.world.fault(fault("ensure_disk", tries - 1, FaultError::Transient));
    let job = bench.create("one", true).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful, "the last try succeeds");
    bench.world.fault(fault("ensure_disk", tries, FaultError::Transient));
    let job = bench.create("two", true).await;
    let job = bench.ended(job.id).await;
    assert_eq!((job.state, job.error.map(|e| e.code)), (JobState::Failed, Some("unavailable".to_owned())));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_is_reversed() {
    let bench = Bench::start().await;
    bench.world.fault(Fault { call: "define".into(), times: 1, delay_ms: 300, ..Fault::default() });
    let job = bench.create("one", true).await;
    let cancelled = bench.system.cancel_job(&bench.caller, job.id).await.expect("it has not ended");
    assert!(cancelled.cancel_requested);
    let job = bench.ended(job.id).await;
    assert_eq!(job.state, JobState::Cancelled);
    bench.check_reversed("create").await;
    let refused = bench.system.cancel_job(&bench.caller, job.id).await;
    assert!(matches!(refused, Err(crate::Error::State { .. })), "an ended job cannot be cancelled");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_killed_after_any_of_its_commits_is_resumed() {
    for kind in KINDS {
        let folder = tempfile::tempdir().expect("a folder");
        let mut crashes = 0;
        for after in 0.. {
            let root = folder.path().join(after.to_string());
            {
                let bench = started(kind, &root).await;
                bench.prepare(kind).await;
                bench.stop().await;
            }
            let status = run_child("jobs::suite::the_child_of_the_crash_test", &root, kind, after);
            let killed = !status.success();
            // The caller never saw the answer, so it asks again under the same key.
            let bench = started(kind, &root).await;
            bench.check_remains(&format!("{kind} killed after commit {after}")).await;
            let job = bench.ask_for(kind).await;
            let job = bench.ended(job.id).await;
            assert_eq!((job.state, &job.error), (JobState::Successful, &None), "{kind} killed after commit {after}");
            bench.check_done(kind).await;
            bench.check_remains(&format!("{kind} resumed after commit {after}")).await;
            assert_eq!(bench.jobs().await.len(), 1 + usize::from(kind != "create"), "no job was accepted twice");
            bench.stop().await;
            if !killed {
                break;
            }
            crashes += 1;
        }
        assert!(crashes >= 2, "{kind} has at least two commits, {crashes} were survived");
    }
}

/// A bench for a kind of job: what is made for all nodes needs more than one.
async fn started(kind: &str, root: &Path) -> Bench {
    let nodes = if kind == "image" { 2 } else { 1 };
    Bench::start_nodes(root, Bench::settings(), sutler_store::Options::default(), nodes, |drivers| drivers).await
}

fn fault(call: &str, times: u32, error: FaultError) -> Fault {
    Fault { call: call.into(), times, error: Some(error), ..Fault::default() }
}

/// Runs an ignored test in a process of its own, which is killed after so many commits of jobs.
pub(crate) fn run_child(child: &str, root: &Path, kind: &str, after: i64) -> ExitStatus {
    let test = std::env::current_exe().expect("this test's program");
    let output = Command::new(test)
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env("SUTLER_TEST_ROOT", root)
        .env("SUTLER_TEST_KIND", kind)
        .env("SUTLER_TEST_CRASH_AFTER", after.to_string())
        .output()
        .expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout);
    use std::os::unix::process::ExitStatusExt;
    assert!(
        output.status.success() && text.contains("1 passed") || output.status.signal() == Some(9),
        "the child neither finished nor was killed: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.status
}

/// Has this process killed after as many commits as its parent says.
pub(crate) fn die_as_told() {
    let after = var("SUTLER_TEST_CRASH_AFTER").parse().expect("a number");
    COMMITS_LEFT.store(after, Ordering::SeqCst);
}

/// What a parent tells its child.
pub(crate) fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the crash test as a child process"]
async fn the_child_of_the_crash_test() {
    let bench = started(&var("SUTLER_TEST_KIND"), Path::new(&var("SUTLER_TEST_ROOT"))).await;
    die_as_told();
    let job = bench.ask_for(&var("SUTLER_TEST_KIND")).await;
    let job = tokio::time::timeout(FAR, bench.ended(job.id)).await.expect("the job ends");
    assert_eq!(job.state, JobState::Successful);
    bench.stop().await;
}
