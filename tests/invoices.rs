//! From use to invoice: exact, numbered without gaps, each line open to its intervals.

use crate::support::{Client, Reply, World, eventually};
use serde_json::json;

/// Closes a customer's period up to now, as soon as late events cannot fall into it any more.
pub async fn close(world: &World, customer: &str) -> Reply {
    close_by(&world.admin, customer).await
}

/// The same, asked for by `admin`.
pub async fn close_by(admin: &Client, customer: &str) -> Reply {
    let path = format!("/customers/{customer}");
    let to = admin.get(&format!("{path}/invoice-preview")).await.expect(200).body["to"].clone();
    eventually("the period can be closed", async || {
        let reply = admin.post(&format!("{path}/invoices"), json!({ "to": to })).await;
        if reply.status == 422 {
            assert_eq!(reply.problem(422, "invalid").fields(), ["to"]);
            return None;
        }
        Some(reply.expect(201))
    })
    .await
}

#[tokio::test]
async fn a_line_of_an_invoice_opens_to_the_intervals_behind_it() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let id = world.running_server(ada, "web-1").await;
    let stop = json!({ "action": "stop", "force": true });
    let job = ada.post(&format!("/servers/{id}/actions"), stop).await.expect(202);
    ada.finished(&job.id()).await;
    let preview = ada.get(&format!("/customers/{}/invoice-preview", world.ada.id)).await.expect(200);
    assert!(preview.body["number"].is_null() && preview.body["id"].is_null());
    assert_eq!(preview.body["currency"], "EUR");
    let lines = preview.body["lines"].as_array().unwrap();
    let meters: Vec<_> = lines.iter().map(|l| l["meter"].as_str().unwrap()).collect();
    assert_eq!(meters, ["cpu", "memory", "disk"]);
    for line in lines {
        let intervals = ada.get(line["intervals_url"].as_str().unwrap()).await.expect(200);
        assert_eq!(intervals.items().len() as u64, line["intervals"].as_u64().unwrap(), "{line}");
        assert!(intervals.items().iter().all(|i| i["meter"] == line["meter"]), "{}", intervals.text);
        assert!(line["amount"].as_str().unwrap().parse::<f64>().is_ok() && line["unit_ms"].is_string(), "{line}");
    }
    let cpu = ada.get(lines[0]["intervals_url"].as_str().unwrap()).await;
    assert_eq!(cpu.items()[0]["evidence"], "seen");
}

#[tokio::test]
async fn invoices_are_numbered_without_gaps_and_kept() {
    let world = World::new().await;
    let ada = &world.ada.client;
    world.running_server(ada, "web-1").await;
    let path = format!("/customers/{}", world.ada.id);
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let closed = close(&world, &world.ada.id).await;
        numbers.push(closed.body["number"].as_u64().unwrap());
        let shown = ada.get(closed.header("location").trim_start_matches("/api/v1")).await.expect(200);
        assert_eq!(shown.body, closed.body);
    }
    assert_eq!(numbers, [1, 2]);
    let listed = ada.get("/invoices").await.expect(200);
    assert_eq!(listed.items().len(), 2);
    assert!(listed.items()[0].get("lines").is_none());
    ada.post(&format!("{path}/invoices"), json!({ "to": "2026-01-01T00:00:00Z" })).await.problem(403, "forbidden");
}

#[tokio::test]
async fn usage_comes_in_pages() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let id = world.running_server(ada, "web-1").await;
    for _ in 0..2 {
        let job = ada.post(&format!("/servers/{id}/actions"), json!({ "action": "stop", "force": true })).await;
        ada.finished(&job.expect(202).id()).await;
        let job = ada.post(&format!("/servers/{id}/actions"), json!({ "action": "start" })).await;
        ada.finished(&job.expect(202).id()).await;
    }
    let base = format!(
        "/customers/{}/usage?from=2026-01-01T00:00:00Z&to=2099-01-01T00:00:00Z&resource={id}&meter=cpu",
        world.ada.id
    );
    let all = ada.get(&base).await.expect(200);
    assert_eq!(all.items().len(), 3);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = ada.get(&format!("{base}&limit=1{cursor}")).await.expect(200);
        paged.extend(page.items().to_vec());
        match page.body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all.items());
    let missing = ada.get(&format!("/customers/{}/usage?from=2026-01-01T00:00:00Z", world.ada.id)).await;
    missing.problem(400, "malformed");
}
