use super::*;
use crate::{
    Compute,
    compute::{GuestSpec, GuestState, NodeEvent, Stop},
    storage::DiskSpec,
};

fn id(n: u64) -> ServerId {
    ServerId::new(n, [1; 10])
}

fn spec(n: u64) -> GuestSpec {
    GuestSpec { id: id(n), cpu: 1, memory_mib: 64, disks: vec![], seed: None, nics: vec![], kernel: None }
}

async fn running(compute: &dyn Compute, n: u64) {
    compute.define(&spec(n)).await.unwrap();
    compute.start(id(n)).await.unwrap();
}

#[tokio::test]
async fn a_world_kept_in_a_file_outlives_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config { file: Some(dir.path().join("world")), ..Config::default() };
    let world = Simulated::new(config()).unwrap();
    let node = world.drivers("a");
    running(&*node.compute, 1).await;
    running(&*node.compute, 2).await;
    node.storage.ensure_disk(&DiskSpec { id: DiskId::new(1, [2; 10]), size_gib: 1, image: None }).await.unwrap();
    node.compute.stop(id(2), Stop::Force).await.unwrap();
    assert!(Simulated::new(config()).err().unwrap().to_string().contains("opening"), "two processes never share it");
    drop((node, world));
    // A kill in the middle of a write leaves a torn line.
    let mut torn = std::fs::read(dir.path().join("world")).unwrap();
    torn.extend_from_slice(b"{\"guest\":{\"id\":\"01");
    std::fs::write(dir.path().join("world"), torn).unwrap();

    let world = Simulated::new(config()).unwrap();
    assert_eq!(world.guest(id(1)).unwrap().state, GuestState::Running);
    assert_eq!(world.guest(id(2)).unwrap().state, GuestState::Stopped);
    assert_eq!(world.disks(), [DiskId::new(1, [2; 10])]);
    assert_eq!(world.drivers("a").compute.see_all().await.unwrap().len(), 2);
    assert_eq!(world.drivers("b").compute.see_all().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_long_history_is_written_anew_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("world");
    let config = || Config { file: Some(file.clone()), ..Config::default() };
    let world = Simulated::new(config()).unwrap();
    let node = world.drivers("a");
    running(&*node.compute, 1).await;
    for _ in 0..600 {
        node.compute.stop(id(1), Stop::Force).await.unwrap();
        node.compute.start(id(1)).await.unwrap();
    }
    drop((node, world));
    let long = file.metadata().unwrap().len();
    let world = Simulated::new(config()).unwrap();
    assert!(file.metadata().unwrap().len() < long / 100);
    assert_eq!(world.guest(id(1)).unwrap().state, GuestState::Running);
    assert!(Simulated::new(config()).is_err(), "the new file is locked too");
    assert!(world.kill(id(1)));
    drop(world);
    assert_eq!(Simulated::new(config()).unwrap().guest(id(1)).unwrap().state, GuestState::Crashed);
}

#[tokio::test]
async fn a_foreign_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("world");
    std::fs::write(&file, "not ours\n").unwrap();
    let config = Config { file: Some(file.clone()), ..Config::default() };
    assert!(matches!(Simulated::new(config), Err(Error::Permanent { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), b"not ours\n");
}

#[tokio::test(start_paused = true)]
async fn faults_strike_as_often_as_asked_and_as_described() {
    let world = Simulated::new(Config::default()).unwrap();
    let node = world.drivers("a").compute;
    node.define(&spec(1)).await.unwrap();
    let fault = |error| Fault { call: "start".into(), times: 1, error: Some(error), ..Fault::default() };

    world.fault(Fault { times: 2, ..fault(FaultError::Transient) });
    node.see(id(1)).await.unwrap();
    assert!(node.start(id(1)).await.unwrap_err().is_transient());
    assert!(node.start(id(1)).await.unwrap_err().is_transient());
    assert_eq!(world.guest(id(1)).unwrap().state, GuestState::Stopped);

    world.fault(fault(FaultError::Deadline));
    assert!(matches!(node.start(id(1)).await, Err(Error::Deadline { .. })));
    assert_eq!(world.guest(id(1)).unwrap().state, GuestState::Running, "the work was done, the answer was lost");
    node.start(id(1)).await.unwrap();

    world.fault(Fault { call: "*".into(), times: 1, hang: true, ..Fault::default() });
    let before = tokio::time::Instant::now();
    assert!(matches!(node.stop(id(1), Stop::Force).await, Err(Error::Deadline { .. })));
    assert_eq!(before.elapsed().as_millis(), 10_000);
    assert_eq!(world.guest(id(1)).unwrap().state, GuestState::Running);

    world.fault(fault(FaultError::Permanent));
    world.clear_faults();
    node.start(id(1)).await.unwrap();
}

#[tokio::test]
async fn accidents_are_seen_as_they_are_on_real_nodes() {
    let world = Simulated::new(Config::default()).unwrap();
    let node = world.drivers("a").compute;
    let mut events = node.events();
    running(&*node, 1).await;
    assert!(world.freeze(id(1)));
    assert_eq!(node.see(id(1)).await.unwrap().unwrap().state, GuestState::Frozen);
    assert!(node.stats().await.unwrap().is_empty());
    assert!(world.thaw(id(1)) && world.kill(id(1)) && !world.kill(id(1)));
    assert!(world.start_by_hand(id(1)) && world.kill_unseen(id(1)));
    world.disconnect("a");
    assert!(matches!(node.see_all().await, Err(Error::Disconnected { .. })));
    world.reconnect("a");
    assert!(world.lose(id(1)));
    assert_eq!(node.see(id(1)).await.unwrap(), None);

    let mut seen = vec![];
    while let Ok(event) = events.try_recv() {
        seen.push(event);
    }
    let guest = |state| NodeEvent::Guest(SeenGuest { id: id(1), state });
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert_eq!(seen[..3], [guest(GuestState::Running), guest(GuestState::Crashed), guest(GuestState::Running)]);
    assert!(matches!(seen[3], NodeEvent::Disconnected(_)));
    assert_eq!(seen[4], NodeEvent::Connected);
}

#[tokio::test]
async fn callers_in_one_process_share_the_world_of_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let one = Simulated::in_folder(dir.path()).unwrap();
    let two = Simulated::in_folder(dir.path()).unwrap();
    one.drivers("a").compute.define(&spec(1)).await.unwrap();
    assert!(two.guest(id(1)).is_some());
}
