//! Wanted and seen state.

use crate::testing::Bench;
use std::path::Path;
use sutler_drivers::{
    compute::GuestState,
    simulated::{Config, Fault, FaultError, Simulated},
};
use sutler_model::{Cause, Evidence, JobState, Kvm, Meter, Node, NodeState, Server, ServerState, Wanted};
use sutler_store::{ChangeSet, Options, Store};

async fn running(bench: &Bench, name: &str) -> Server {
    let job = bench.create(name, true).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.looked().await;
    bench.server(name).await.expect("the server")
}

impl Bench {
    /// Waits until the node was looked at once more.
    async fn looked(&self) {
        let before = self.node().await.seen_at;
        self.until(async || self.node().await.seen_at > before).await;
    }

    async fn node(&self) -> Node {
        crate::testing::all::<Node>(&self.system).await.remove(0)
    }

    async fn until_state(&self, name: &str, state: ServerState) {
        self.until(async || self.server(name).await.is_some_and(|s| s.state == state && s.job_id.is_none())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_killed_behind_our_back_is_started_again_and_not_billed_meanwhile() {
    let bench = Bench::start().await;
    let server = running(&bench, "one").await;
    assert!(bench.world.kill(server.id));
    bench.until(async || bench.jobs().await.len() == 2).await;
    bench.until_state("one", ServerState::Running).await;
    assert_eq!(bench.world.guest(server.id).map(|g| g.state), Some(GuestState::Running));
    let cpu: Vec<_> = bench.intervals().await.into_iter().filter(|i| i.key.meter == Meter::Cpu).collect();
    assert_eq!(cpu.len(), 2, "one interval before the kill, one after");
    assert_eq!(cpu[0].evidence, Some(Evidence::Seen));
    assert!(cpu[0].end.is_some_and(|end| end <= cpu[1].key.start));
    assert_eq!(cpu[1].end, None);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_crashes_again_and_again_is_left_stopped_with_the_reason() {
    let bench = Bench::start().await;
    let server = running(&bench, "one").await;
    let restarts = bench.system.core().settings.crash_restarts_max as usize;
    for crash in 0..=restarts {
        bench.until_state("one", ServerState::Running).await;
        bench.looked().await;
        assert!(bench.world.kill(server.id), "crash {crash}");
        bench.until(async || bench.server("one").await.is_some_and(|s| s.state != ServerState::Running)).await;
    }
    bench.until_state("one", ServerState::Stopped).await;
    let server = bench.server("one").await.expect("the server");
    assert_eq!(server.wanted, Wanted::Stopped);
    assert!(server.state_reason.is_some_and(|r| r.contains("again and again")));
    assert_eq!(bench.jobs().await.len(), 1 + restarts);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_shut_down_from_inside_stays_off() {
    let bench = Bench::start().await;
    let server = running(&bench, "one").await;
    assert!(bench.world.shut_down(server.id));
    bench.until_state("one", ServerState::Stopped).await;
    assert_eq!(bench.server("one").await.expect("the server").wanted, Wanted::Stopped);
    assert_eq!(bench.open_meters().await, ["disk"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_started_by_hand_is_taken_in_and_metered() {
    let bench = Bench::start().await;
    let job = bench.create("one", false).await;
    bench.ended(job.id).await;
    let server = bench.server("one").await.expect("the server");
    assert!(bench.world.start_by_hand(server.id));
    bench.until_state("one", ServerState::Running).await;
    assert_eq!(bench.server("one").await.expect("the server").wanted, Wanted::Running);
    assert_eq!(bench.open_meters().await, ["cpu", "disk", "memory"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_guest_is_shown_so_and_recovers_by_itself() {
    let bench = Bench::start().await;
    let server = running(&bench, "one").await;
    assert!(bench.world.freeze(server.id));
    bench.until_state("one", ServerState::Frozen).await;
    assert_eq!(bench.open_meters().await, ["cpu", "disk", "memory"], "it holds its memory still");
    assert_eq!(bench.node().await.state, NodeState::Up, "a frozen guest is that guest's fault, not the node's");
    assert!(bench.world.thaw(server.id));
    bench.until_state("one", ServerState::Running).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_away_comes_back_and_its_guests_are_found_again() {
    let bench = Bench::start().await;
    let server = running(&bench, "one").await;
    bench.world.disconnect("node-1");
    bench.until(async || bench.node().await.state == NodeState::Unresponsive).await;
    assert_eq!(
        bench.server("one").await.map(|s| s.state),
        Some(ServerState::Running),
        "nothing is known, nothing changed"
    );
    assert!(bench.node().await.state_reason.is_some());
    bench.world.reconnect("node-1");
    bench.until(async || bench.node().await.state == NodeState::Up).await;
    assert_eq!(bench.server("one").await.map(|s| s.version), Some(server.version));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_could_not_be_reached_at_the_start_has_room_once_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = Simulated::new(Config { deadline_ms: 100, ..Config::default() }).expect("the world");
    let error = Some(FaultError::Transient);
    world.fault(Fault { call: "capacity".into(), times: 1, error, ..Fault::default() });
    let drivers = world.drivers("node-1");
    let on = |_| drivers.clone();
    let bench = Bench::start_on(folder.path(), Bench::settings(), Options::default(), on).await;
    bench.until(async || bench.node().await.state == NodeState::Up).await;
    running(&bench, "one").await;
    bench.stop().await;
}

/// Runs a server, stops the controller, lets `meanwhile` happen and starts it again.
async fn away(root: &Path, meanwhile: impl FnOnce(&Bench, &Server)) -> Bench {
    let bench = Bench::start_in(root).await;
    let server = running(&bench, "one").await;
    bench.stop().await;
    meanwhile(&bench, &server);
    drop(bench);
    Bench::start_in(root).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_nobody_saw_is_billed_to_the_last_time_the_guest_was_seen_alive() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alive_at = None;
    let bench = away(folder.path(), |bench, server| {
        alive_at = Some(bench.system.core().now());
        assert!(bench.world.kill_unseen(server.id));
    })
    .await;
    bench.until(async || bench.jobs().await.len() == 2).await;
    bench.until_state("one", ServerState::Running).await;
    let cpu: Vec<_> = bench.intervals().await.into_iter().filter(|i| i.key.meter == Meter::Cpu).collect();
    assert_eq!(cpu.len(), 2);
    assert_eq!(cpu[0].evidence, Some(Evidence::LastSeenAlive));
    assert!(cpu[0].end < alive_at, "{:?} lies before the controller stopped", cpu[0].end);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_froze_while_we_were_down_is_found_frozen() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = away(folder.path(), |bench, server| assert!(bench.world.freeze(server.id))).await;
    bench.until_state("one", ServerState::Frozen).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_outlive_the_controller_and_are_found_again_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = away(folder.path(), |_, _| {}).await;
    bench.looked().await;
    let server = bench.server("one").await.expect("the server");
    assert_eq!((server.state, bench.jobs().await.len()), (ServerState::Running, 1));
    let cpu: Vec<_> = bench.intervals().await.into_iter().filter(|i| i.key.meter == Meter::Cpu).collect();
    assert_eq!((cpu.len(), cpu[0].end), (1, None), "its use went on without a break");
    bench.stop().await;
}

/// Makes the one node of a store that is closed be what `change` makes of it.
async fn edit_node(root: &Path, id: sutler_model::NodeId, change: impl FnOnce(&mut Node)) {
    let store = Store::open(&root.join("store.redb"), Options::default()).expect("the store opens");
    let old = store.get::<Node>(id).await.expect("read").expect("the node");
    let mut new = old.clone();
    change(&mut new);
    let mut set = ChangeSet::new(Cause::system("test"));
    set.update(&old, &mut new);
    store.commit(set).await.expect("the change");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_on_kvm_is_remembered_as_long_as_the_host_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_in(folder.path()).await;
    let tested = bench.node().await;
    bench.stop().await;
    drop(bench);
    assert!(matches!(tested.kvm, Kvm::Unusable(_)) && !tested.kvm_host.is_empty(), "{tested:?}");
    // What only a remembered verdict can say here.
    edit_node(folder.path(), tested.id, |node| node.kvm = Kvm::Usable).await;
    let bench = Bench::start_in(folder.path()).await;
    assert_eq!(bench.node().await.kvm, Kvm::Usable, "it is not tested again");
    bench.stop().await;
    drop(bench);
    for before in ["boot before this one", ""] {
        edit_node(folder.path(), tested.id, |node| (node.kvm, node.kvm_host) = (Kvm::Usable, before.into())).await;
        let bench = Bench::start_in(folder.path()).await;
        let now = bench.node().await;
        bench.stop().await;
        assert_eq!((now.kvm, now.kvm_host), (tested.kvm.clone(), tested.kvm_host.clone()), "{before:?}");
    }
}
