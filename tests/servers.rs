//! Servers: from request to running guest to nothing left.

use crate::support::{Reply, World, eventually};
use serde_json::json;

#[tokio::test]
async fn a_server_lives_through_its_jobs_from_creation_to_deletion() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let job = ada.post("/servers", world.server("web-1")).await.expect(202);
    assert_eq!(job.header("location"), format!("/api/v1/jobs/{}", job.id()));
    assert_eq!(job.body["kind"], "create_server");
    let done = ada.finished(&job.id()).await;
    assert_eq!((&done["state"], &done["progress_percent"]), (&json!("successful"), &json!(100)), "{done}");
    let id = done["item_id"].as_str().unwrap();
    let server = ada.get(&format!("/servers/{id}")).await.expect(200);
    assert_eq!((&server.body["state"], &server.body["customer_id"]), (&json!("running"), &json!(world.ada.id)));
    assert!(server.body["nics"][0]["mac"].as_str().unwrap().starts_with("52:54:00:"));
    let disks = ada.get(&format!("/disks?server_id={id}")).await.expect(200);
    assert_eq!((disks.items().len(), &disks.items()[0]["state"]), (1, &json!("ready")));

    for (action, state) in [("stop", "stopped"), ("start", "running"), ("reboot", "running")] {
        let body = json!({ "action": action, "force": action == "stop" });
        let job = ada.post(&format!("/servers/{id}/actions"), body).await.expect(202);
        let done = ada.finished(&job.id()).await;
        assert_eq!(done["state"], "successful", "{action}: {done}");
        ada.server_in(id, state).await;
    }
    let job = ada.delete(&format!("/servers/{id}")).await.expect(202);
    assert_eq!(ada.finished(&job.id()).await["state"], "successful");
    ada.get(&format!("/servers/{id}")).await.problem(404, "not_found");
    assert!(ada.get("/servers").await.items().is_empty());
    let kinds: Vec<_> = ada.get("/jobs?fields=kind,state").await.expect(200).items().to_vec();
    assert_eq!(kinds.len(), 5);
    assert!(kinds.iter().all(|job| job["state"] == "successful"), "{kinds:?}");
}

#[tokio::test]
async fn a_step_that_fails_for_good_is_undone_and_says_why() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let fault = json!({ "call": "start", "times": 1, "error": "permanent" });
    world.admin.post("/simulation/faults", fault).await.expect(204);
    let job = ada.post("/servers", world.server("web-1")).await.expect(202);
    let done = ada.finished(&job.id()).await;
    assert_eq!(done["state"], "failed", "{done}");
    assert!(done["error"]["message"].is_string(), "{done}");
    assert!(done["error"].get("operator_message").is_none(), "a customer sees no operator's text: {done}");
    let seen_by_admin = world.admin.get(&format!("/jobs/{}", job.id())).await.expect(200);
    assert!(seen_by_admin.body["error"]["message"].is_string());
}

#[tokio::test]
async fn a_step_that_fails_for_now_is_tried_again() {
    let world = World::new().await;
    let fault = json!({ "call": "ensure_disk", "times": 2, "error": "transient" });
    world.admin.post("/simulation/faults", fault).await.expect(204);
    world.running_server(&world.ada.client, "web-1").await;
}

#[tokio::test]
async fn faults_can_be_ordered_by_operators_only_and_must_make_sense() {
    let world = World::new().await;
    let fault = json!({ "call": "start" });
    world.ada.client.post("/simulation/faults", fault).await.problem(403, "forbidden");
    for (body, field) in [
        (json!({ "call": "dance", "delay_ms": 1 }), "call"),
        (json!({ "delay_ms": 1 }), "call"),
        (json!({ "call": "start", "job": "create_server", "delay_ms": 1 }), "call"),
        (json!({ "call": "start", "step": "boot", "delay_ms": 1 }), "step"),
        (json!({ "job": "dance", "delay_ms": 1 }), "job"),
        (json!({ "job": "start_server", "step": "dance", "delay_ms": 1 }), "step"),
        (json!({ "call": "start", "times": 0, "delay_ms": 1 }), "times"),
        (json!({ "call": "start", "error": "odd" }), "error"),
        (json!({ "call": "start" }), "error"),
    ] {
        let reply = world.admin.post("/simulation/faults", body).await.problem(422, "invalid");
        assert_eq!(reply.fields(), [field]);
    }
}

#[tokio::test]
async fn the_next_job_or_step_of_a_kind_fails_on_order() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let order = async |fault| world.admin.post("/simulation/faults", fault).await.expect(204);
    order(json!({ "job": "create_server", "error": "permanent" })).await;
    let job = ada.post("/servers", world.server("web-1")).await.expect(202);
    let failed = ada.finished(&job.id()).await;
    assert_eq!((&failed["state"], &failed["error"]["code"]), (&json!("failed"), &json!("failed")), "{failed}");

    // The work is done and its answer lost: the step is done again, and nothing is there twice.
    order(json!({ "job": "create_server", "step": "ensure_disks", "error": "deadline", "times": 2 })).await;
    order(json!({ "job": "start_server", "error": "transient", "delay_ms": 5 })).await;
    let waiting = world.admin.get("/simulation/faults").await.expect(200);
    assert_eq!(waiting.items().len(), 2, "{}", waiting.text);
    assert_eq!(waiting.items()[1]["step"], "define_domain", "a job's fault is one of its first step");
    let job = ada.post("/servers", world.server("web-2")).await.expect(202);
    let done = ada.finished(&job.id()).await;
    assert_eq!(done["state"], "successful", "{done}");
    let left = world.admin.get("/simulation/faults").await.expect(200);
    assert_eq!(left.items().len(), 1, "only the one for another kind of job: {}", left.text);

    world.admin.delete("/simulation/faults").await.expect(204);
    assert!(world.admin.get("/simulation/faults").await.expect(200).items().is_empty());
}

#[tokio::test]
async fn a_waiting_job_can_be_cancelled_and_leaves_nothing_behind() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let slow = json!({ "call": "ensure_disk", "times": 50, "error": "transient", "delay_ms": 50 });
    world.admin.post("/simulation/faults", slow).await.expect(204);
    let job = ada.post("/servers", world.server("web-1")).await.expect(202);
    let asked = ada.post(&format!("/jobs/{}/cancel", job.id()), json!({})).await.expect(202);
    assert_eq!(asked.body["cancel_requested"], true);
    let done = ada.finished(&job.id()).await;
    assert_eq!(done["state"], "cancelled", "{done}");
    ada.post(&format!("/jobs/{}/cancel", job.id()), json!({})).await.problem(409, "state");
}

#[tokio::test]
async fn an_action_that_is_not_possible_now_names_the_job_in_the_way() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let id = world.running_server(ada, "web-1").await;
    let slow = json!({ "call": "stop", "times": 1, "delay_ms": 8000 });
    world.admin.post("/simulation/faults", slow).await.expect(204);
    let job = ada.delete(&format!("/servers/{id}")).await.expect(202);
    let refused = ada.post(&format!("/servers/{id}/actions"), json!({ "action": "start" })).await;
    let refused = refused.problem(409, "state");
    assert_eq!(refused.body["job_id"], job.id());
}

#[tokio::test]
async fn what_a_running_server_uses_is_told_to_those_who_may_see_it() {
    let world = World::with(&[("SUTLER_COMPUTE_POLL_MS", "200")]).await;
    let ada = &world.ada.client;
    let id = world.running_server(ada, "web-1").await;
    let path = format!("/servers/{id}/statistics");
    let used = |reply: &Reply| reply.body["cpu_ns"].as_u64();
    let before = used(&ada.get(&path).await.expect(200)).expect("it runs");
    eventually("it has used more", async || {
        let now = ada.get(&path).await.expect(200);
        (used(&now)? > before).then_some(())
    })
    .await;
    world.bob.client.get(&path).await.problem(404, "not_found");

    eventually("its node is measured", async || {
        let text = world.admin.get("/metrics").await.text;
        let value = |name: &str| -> Option<f64> {
            text.lines().find(|l| l.starts_with(name))?.rsplit_once(' ')?.1.parse().ok()
        };
        (value("sutler_node_memory_used_bytes")? > 0.0 && value("sutler_node_cpus_busy")? > 0.0).then_some(())
    })
    .await;

    let job = ada.post(&format!("/servers/{id}/actions"), json!({ "action": "stop", "force": true })).await.expect(202);
    ada.finished(&job.id()).await;
    eventually("a stopped server uses nothing", async || {
        let reply = ada.get(&path).await.expect(200);
        (reply.body == json!({ "server_id": id })).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_quota_is_kept_and_told() {
    let world = World::new().await;
    let quota = json!({ "quota": { "servers": 1, "cpus": 8, "memory_mib": 4096, "disk_gib": 100 } });
    world.admin.patch(&format!("/customers/{}", world.ada.id), quota).await.expect(200);
    world.running_server(&world.ada.client, "web-1").await;
    let refused = world.ada.client.post("/servers", world.server("web-2")).await.problem(409, "quota");
    assert!(refused.body["detail"].as_str().unwrap().contains("1 servers"), "{}", refused.text);
}

#[tokio::test]
async fn a_name_is_taken_once_within_a_customer() {
    let world = World::new().await;
    world.running_server(&world.ada.client, "web-1").await;
    let refused = world.ada.client.post("/servers", world.server("web-1")).await.problem(409, "taken");
    assert_eq!(refused.fields(), ["name"]);
    world.running_server(&world.bob.client, "web-1").await;
}

#[tokio::test]
async fn a_guest_that_dies_behind_our_back_is_seen() {
    let world = World::with(&[("SUTLER_COMPUTE_POLL_MS", "50")]).await;
    let ada = &world.ada.client;
    let id = world.running_server(ada, "web-1").await;
    let stop = json!({ "action": "stop", "force": true });
    let job = ada.post(&format!("/servers/{id}/actions"), stop).await.expect(202);
    ada.finished(&job.id()).await;
    let nodes = world.admin.get("/nodes").await.expect(200);
    let node = nodes.items()[0]["id"].as_str().unwrap().to_owned();
    // The node goes on being looked at.
    let first = nodes.items()[0]["seen_at"].clone();
    eventually("the node is seen again", async || {
        let now = world.admin.get(&format!("/nodes/{node}")).await.expect(200);
        (now.body["seen_at"] != first).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_between_the_seller_and_its_scripts_are_not_shown_to_customers() {
    let world = World::new().await;
    let keys = json!({ "keys": [
        { "name": "tier", "value": "gold", "kind": "billing_entity" },
        { "name": "env", "value": "prod", "kind": "user" }
    ] });
    let id = world.running_server(&world.ada.client, "web-1").await;
    world.admin.patch(&format!("/servers/{id}"), keys).await.expect(200);
    let seen = world.ada.client.get(&format!("/servers/{id}")).await.expect(200);
    assert_eq!(seen.body["keys"], json!([{ "name": "env", "value": "prod", "kind": "user" }]));
    let found = world.ada.client.get("/servers?key=env%3Dprod").await.expect(200);
    assert_eq!(found.items().len(), 1);
    assert!(world.ada.client.get("/servers?key=env%3Dtest").await.items().is_empty());
}

#[tokio::test]
async fn a_job_for_later_is_shown_as_such_and_can_be_taken_back() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let id = world.running_server(ada, "web-1").await;
    let stop = json!({ "action": "stop", "start_at": "2099-01-01T00:00:00Z" });
    let refused = ada.post(&format!("/servers/{id}/actions"), stop).await.expect(422);
    assert!(refused.body.to_string().contains("start_at"), "{}", refused.body);
    let at = sutler_model::Timestamp(
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap(),
    );
    let later = json!(at.plus_ms(3_600_000));
    let job =
        ada.post(&format!("/servers/{id}/actions"), json!({ "action": "stop", "start_at": later })).await.expect(202);
    assert_eq!((&job.body["scheduled"], &job.body["start_at"]), (&json!(true), &later));
    assert_eq!(ada.get(&format!("/servers/{id}")).await.body["state"], "running");
    let listed = ada.get("/jobs?scheduled=true").await;
    assert_eq!((listed.items().len(), &listed.items()[0]["id"]), (1, &json!(job.id())));
    world.bob.client.post(&format!("/jobs/{}/cancel", job.id()), json!({})).await.problem(404, "not_found");
    let taken = ada.post(&format!("/jobs/{}/cancel", job.id()), json!({})).await.expect(202);
    assert_eq!((&taken.body["state"], &taken.body["scheduled"]), (&json!("cancelled"), &json!(false)));
    assert!(ada.get("/jobs?scheduled=true").await.items().is_empty());
}
