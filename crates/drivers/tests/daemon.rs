//! The contract on a libvirt daemon started here, and what happens when it goes away.

use crate::{contract, libvirtd::Daemon, support};
use sutler_drivers::{
    Drivers, Error,
    compute::{GuestState, NodeEvent, Stop},
    open_node,
};

async fn open(daemon: &Daemon) -> Drivers {
    open_node(&daemon.uri(), &daemon.dir.path().join("data")).await.unwrap()
}

#[tokio::test]
async fn a_daemon_keeps_the_contract() {
    let Some(daemon) = Daemon::running() else { return };
    let (drivers, dir) = (open(&daemon).await, daemon.dir.path());
    let spec = support::echoing(&drivers, dir).await;
    contract::a_guest_lives_and_every_call_may_be_repeated(&drivers, spec).await;
    contract::an_unknown_guest_is_absent_and_no_accident(&drivers).await;
    contract::a_node_says_what_it_has(&drivers).await;
    contract::storage_calls_may_be_repeated(&drivers, dir).await;
    contract::an_interface_keeps_its_address(&drivers).await;
    contract::a_console_goes_both_ways(&drivers, dir).await;
    contract::a_killed_guest_reads_crashed(&drivers).await;
}

#[tokio::test]
async fn a_frozen_guest_reads_frozen_and_holds_up_nobody() {
    let Some(daemon) = Daemon::running() else { return };
    contract::a_frozen_guest_reads_frozen_and_holds_up_nobody(&open(&daemon).await).await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_and_comes_back_is_found_again_with_its_guests() {
    let Some(daemon) = Daemon::running() else { return };
    let drivers = open(&daemon).await;
    let (compute, ids) = (&*drivers.compute, [support::server_id(), support::server_id()]);
    let _reap = ids.map(support::Reap);
    for id in ids {
        compute.define(&support::bare(id)).await.unwrap();
        compute.start(id).await.unwrap();
    }
    let mut events = compute.events();
    daemon.kill();
    support::event(&mut events, "disconnected", |e| matches!(e, NodeEvent::Disconnected(_))).await;
    assert!(matches!(compute.see(ids[0]).await, Err(Error::Disconnected { .. })));
    support::signal(ids[1], "-KILL");
    daemon.start();
    support::event(&mut events, "connected", |e| *e == NodeEvent::Connected).await;
    support::eventually_seen(compute, ids[0], GuestState::Running).await;
    support::eventually_seen(compute, ids[1], GuestState::Crashed).await;

    // Events come on the new connection too: somebody starts a guest by hand.
    assert!(daemon.virsh(&["start", &format!("sutler-{}", ids[1])]));
    support::state_event(&mut events, ids[1], GuestState::Running).await;
    for id in ids {
        compute.stop(id, Stop::Force).await.unwrap();
        compute.undefine(id).await.unwrap();
    }
}

#[tokio::test]
async fn a_daemon_that_comes_late_is_waited_for() {
    let Some(daemon) = Daemon::prepare() else { return };
    let drivers = open(&daemon).await;
    let mut events = drivers.compute.events();
    assert!(matches!(drivers.compute.capacity().await, Err(Error::Disconnected { .. })));
    daemon.start();
    support::event(&mut events, "connected", |e| *e == NodeEvent::Connected).await;
    contract::a_node_says_what_it_has(&drivers).await;
}

#[tokio::test]
async fn a_daemon_that_hangs_is_unresponsive_until_it_answers() {
    let Some(daemon) = Daemon::running() else { return };
    let drivers = open(&daemon).await;
    let mut events = drivers.compute.events();
    drivers.compute.capacity().await.unwrap();
    daemon.signal("-STOP", "libvirtd.pid");
    let answer = drivers.compute.capacity().await;
    assert!(matches!(answer, Err(Error::Deadline { .. } | Error::Disconnected { .. })), "{answer:?}");
    support::event(&mut events, "disconnected", |e| matches!(e, NodeEvent::Disconnected(_))).await;
    daemon.signal("-CONT", "libvirtd.pid");
    support::event(&mut events, "connected", |e| *e == NodeEvent::Connected).await;
    contract::a_node_says_what_it_has(&drivers).await;
}
