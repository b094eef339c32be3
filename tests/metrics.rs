//! Health and metrics.

use crate::support::World;
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

#[tokio::test]
async fn a_credential_without_the_right_to_operate_reads_no_metrics() {
    let world = World::new().await;
    world.ada.client.get("/metrics").await.problem(403, "forbidden");
    world.admin.get("/metrics").await.expect(200);
}
