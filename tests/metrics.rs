//! Health and metrics.

use crate::support::{World, eventually};
use std::{
    io::Write,
    process::{Command, Stdio},
};

#[tokio::test]
async fn metrics_are_well_formed_and_tell_what_is_going_on() {
    let world = World::new().await;
    world.running_server(&world.ada.client, "web-1").await;
    world.program.client().get("/healthz").await.expect(200);
    let metrics = world.program.client().get("/metrics").await.expect(200).text;
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (package prometheus)");
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    for line in [
        "sutler_servers{state=\"running\"} 1",
        "sutler_node_up{node=\"local\"} 1",
        "sutler_node_guests{node=\"local\"} 1",
        "sutler_records{noun=\"customer\"} 2",
        "sutler_jobs_total{kind=\"create_server\",state=\"successful\"} 1",
        "sutler_http_request_seconds_count{route=\"/api/v1/servers\",method=\"POST\",status=\"2xx\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is missing from:\n{metrics}");
    }
    for name in [
        "sutler_store_commits_total",
        "sutler_store_batch_size_bucket",
        "sutler_store_file_bytes",
        "sutler_actors_awake",
        "sutler_actors_quarantined",
        "sutler_actor_restarts_total",
        "sutler_mailbox_depth",
        "sutler_node_memory_bytes",
        "sutler_trigger_runs_pending",
        "sutler_build_info",
    ] {
        assert!(
            metrics.contains(&format!("\n{name}{{")) || metrics.contains(&format!("\n{name} ")),
            "{name}:\n{metrics}"
        );
    }
    let ids = [&world.ada.id, &world.ada.user];
    assert!(ids.iter().all(|id| !metrics.contains(id.as_str())), "series are bounded: no ids in labels");
}

/// Runs a command and answers what it printed.
fn said(command: &str, args: &[&str]) -> String {
    let output = Command::new(command).args(args).output().expect(command);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_nearly_full_disk_stops_writing_and_not_reading() {
    // Room for what others do on the disk meanwhile, and more than that to fill it.
    const ROOM_MIB: u64 = 3 * 1024;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().to_str().expect("a plain path");
    let free = said("df", &["--output=avail", "-BM", place]);
    let free: u64 = free.lines().nth(1).and_then(|l| l.trim().trim_end_matches('M').parse().ok()).expect("a size");
    let reserve = free.checked_sub(ROOM_MIB).expect("a disk with 3 GiB to spare").to_string();
    let world = World::with(&[("SUTLER_STORE_RESERVE_MIB", &reserve)]).await;
    world.program.client().get("/healthz").await.expect(200);
    said("fallocate", &["-l", &format!("{}M", ROOM_MIB * 3 / 2), &format!("{place}/filler")]);
    let ada = &world.ada.client;
    eventually("writes are refused", async || {
        let reply = ada.post("/api-keys", serde_json::json!({ "name": "ci" })).await;
        (reply.status != 201).then(|| assert!(!reply.problem(503, "busy").header("retry-after").is_empty()))
    })
    .await;
    // A probe's answer holds for a second.
    eventually("health says so", async || {
        let reply = world.program.client().get("/healthz").await;
        (reply.status != 200).then(|| reply.problem(503, "unhealthy"))
    })
    .await;
    ada.get("/me").await.expect(200);
    ada.get("/servers").await.expect(200);
    drop(folder);
    eventually("writes go on", async || {
        (ada.post("/api-keys", serde_json::json!({ "name": "ci" })).await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_credential_without_the_right_to_operate_reads_no_metrics() {
    let world = World::new().await;
    world.ada.client.get("/metrics").await.problem(403, "forbidden");
    let nobody = world.program.client();
    let passed_on = nobody.request(reqwest::Method::GET, "/metrics").header("x-forwarded-for", "192.0.2.1");
    nobody.send(passed_on).await.problem(401, "unauthenticated");
    world.admin.get("/metrics").await.expect(200);
}
