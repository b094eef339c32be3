//! The contract on the embedded QEMU driver, and what only it promises: guests outlive the process.
//!
//! libvirt gives a process one embedded driver with one root, so each test here is a process of its own.

use crate::{contract, support};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};
use sutler_drivers::{
    Drivers, Error,
    compute::{GuestState, Stop},
    open_node,
};
use sutler_model::ServerId;

/// In a test's own process: the folder to work in.
const FOLDER: &str = "SUTLER_TEST_FOLDER";
/// In a test's own process: what to do, where a test has several.
const ACT: &str = "SUTLER_TEST_ACT";

async fn open(dir: &Path) -> Result<Drivers, Error> {
    open_node(&format!("qemu:///embed?root={}", dir.join("root").display()), dir).await
}

/// Starts this test anew in its own process.
fn own_process(test: &str, act: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, dir)
        .env(ACT, act)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs `body` in a process of its own, with a folder of its own.
async fn alone(test: &str, body: impl AsyncFnOnce(&Path)) {
    if let Ok(dir) = std::env::var(FOLDER) {
        return body(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = own_process(test, "", dir.path()).wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

#[tokio::test]
async fn the_embedded_driver_keeps_the_contract() {
    alone("embed::the_embedded_driver_keeps_the_contract", async |dir| {
        let drivers = open(dir).await.unwrap();
        let spec = support::echoing(&drivers, dir).await;
        contract::a_guest_lives_and_every_call_may_be_repeated(&drivers, spec).await;
        contract::an_unknown_guest_is_absent_and_no_accident(&drivers).await;
        contract::a_node_says_what_it_has(&drivers).await;
        contract::storage_calls_may_be_repeated(&drivers, dir).await;
        contract::an_interface_keeps_its_address(&drivers).await;
    })
    .await;
}

#[tokio::test]
async fn a_console_goes_both_ways() {
    alone("embed::a_console_goes_both_ways", async |dir| {
        contract::a_console_goes_both_ways(&open(dir).await.unwrap(), dir).await;
    })
    .await;
}

#[tokio::test]
async fn a_killed_guest_reads_crashed() {
    alone("embed::a_killed_guest_reads_crashed", async |dir| {
        contract::a_killed_guest_reads_crashed(&open(dir).await.unwrap()).await;
    })
    .await;
}

#[tokio::test]
async fn a_frozen_guest_reads_frozen_and_holds_up_nobody() {
    alone("embed::a_frozen_guest_reads_frozen_and_holds_up_nobody", async |dir| {
        contract::a_frozen_guest_reads_frozen_and_holds_up_nobody(&open(dir).await.unwrap()).await;
    })
    .await;
}

#[tokio::test]
async fn a_hung_guest_is_found_out_and_holds_up_nobody() {
    alone("embed::a_hung_guest_is_found_out_and_holds_up_nobody", async |dir| {
        contract::a_hung_guest_is_found_out_and_holds_up_nobody(&open(dir).await.unwrap()).await;
    })
    .await;
}

/// Starts guests, says their ids, and waits to be killed.
async fn start_guests(dir: &Path) {
    let drivers = open(dir).await.unwrap();
    let mut ids = vec![];
    for _ in 0..3 {
        let spec = support::echoing(&drivers, dir).await;
        drivers.compute.define(&spec).await.unwrap();
        drivers.compute.start(spec.id).await.unwrap();
        ids.push(spec.id.to_string());
    }
    // On a line of its own: the test harness has begun one.
    std::io::stdout().write_all(format!("\nguests: {}\n", ids.join(" ")).as_bytes()).unwrap();
    std::future::pending().await
}

/// Finds the guests: one that runs, one that was killed, one that was stopped.
async fn find_guests(dir: &Path, ids: &[ServerId]) {
    let drivers = open(dir).await.unwrap();
    let compute = &*drivers.compute;
    support::eventually_seen(compute, ids[0], GuestState::Running).await;
    support::eventually_seen(compute, ids[1], GuestState::Crashed).await;
    support::eventually_seen(compute, ids[2], GuestState::Frozen).await;
    let mut console = compute.console(ids[0]).await.unwrap();
    support::hear(&mut console, crate::guest::READY).await;
    console.input.send(b"still here".to_vec()).await.unwrap();
    support::hear(&mut console, b"still here").await;
    support::signal(ids[2], "-CONT");
    support::eventually_seen(compute, ids[2], GuestState::Running).await;
    for &id in ids {
        compute.stop(id, Stop::Force).await.unwrap();
        compute.undefine(id).await.unwrap();
    }
}

#[tokio::test]
async fn guests_outlive_a_killed_process_and_are_found_in_their_true_state() {
    let name = "embed::guests_outlive_a_killed_process_and_are_found_in_their_true_state";
    let parse = |text: &str| text.split(' ').map(|id| id.parse().unwrap()).collect::<Vec<ServerId>>();
    if let Ok(dir) = std::env::var(FOLDER) {
        return match std::env::var(ACT).unwrap().as_str() {
            "start" => start_guests(Path::new(&dir)).await,
            ids => find_guests(Path::new(&dir), &parse(ids)).await,
        };
    }
    let dir = tempfile::tempdir().unwrap();
    let mut first = own_process(name, "start", dir.path());
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let ids = lines.find_map(|l| l.unwrap().strip_prefix("guests: ").map(str::to_owned));
    let ids = ids.expect("the process says its guests");
    let _reap: Vec<_> = parse(&ids).into_iter().map(support::Reap).collect();

    let taken = open(dir.path()).await.err().expect("the root is in use");
    assert!(matches!(&taken, Error::Permanent { source: Some(s), .. } if s.to_string().contains("another process")));

    first.kill().unwrap();
    first.wait().unwrap();
    support::signal(parse(&ids)[1], "-KILL");
    support::signal(parse(&ids)[2], "-STOP");
    let second = own_process(name, &ids, dir.path()).wait_with_output().unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stdout));
}

#[tokio::test]
async fn a_second_embedded_driver_and_a_long_root_are_refused() {
    alone("embed::a_second_embedded_driver_and_a_long_root_are_refused", async |dir| {
        let why = |e: Error| match e {
            Error::Permanent { source: Some(s), .. } => s.to_string(),
            other => panic!("{other:?}"),
        };
        let refused = why(open(&dir.join("x".repeat(60))).await.err().unwrap());
        assert!(refused.contains("shorter"), "{refused}");
        let drivers = open(dir).await.unwrap();
        let other = dir.join("other");
        for folder in [dir, &other] {
            let second = why(open(folder).await.err().unwrap());
            assert!(second.contains("this process has used"), "{second}");
        }
        drop(drivers);
        // The root is given back once the last call has ended.
        support::eventually("the root is free", async || open(dir).await.is_ok()).await;
    })
    .await;
}
