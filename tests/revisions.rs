//! The texts that a trigger had: kept, compared, signed, gone back to; and pausing.

use crate::{
    support::{Client, World, eventually, world},
    triggers::block,
};
use serde_json::{Value, json};

/// A text whose runs print `word`.
fn saying(word: &str) -> String {
    block("POST_CREATE", &format!("print('{word}')"))
}

/// What the runs of a trigger printed, each once.
async fn said(client: &Client, trigger: &str) -> Vec<String> {
    let runs = client.get(&format!("/triggers/{trigger}/runs?state=succeeded")).await.expect(200);
    let mut words = Vec::new();
    for run in runs.items() {
        let run = client.get(&format!("/runs/{}", run["id"].as_str().unwrap())).await.expect(200);
        words.push(run.body["log"].as_str().unwrap().trim().to_owned());
    }
    words.sort();
    words.dedup();
    words
}

#[tokio::test]
async fn every_text_is_kept_and_any_can_be_put_in_force_again() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let made = ada.post("/triggers", json!({ "name": "say", "source": saying("one") })).await.expect(201);
    let (id, path) = (made.id(), format!("/triggers/{}", made.id()));
    assert_eq!((&made.body["revision"], &made.body["latest_revision"]), (&json!(1), &json!(1)));
    ada.patch(&path, json!({ "source": saying("two") })).await.expect(200);
    let same = ada.patch(&path, json!({ "source": saying("two") })).await.expect(200);
    assert_eq!(same.body["latest_revision"], 2, "the same text is no new revision");

    let listed = ada.get(&format!("{path}/revisions")).await.expect(200);
    let numbers: Vec<&Value> = listed.items().iter().map(|revision| &revision["number"]).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(listed.items().iter().all(|revision| revision.get("source").is_none()), "lists leave texts out");
    assert_eq!(listed.items()[0]["created_by"], world.ada.user);
    let first = ada.get(&format!("{path}/revisions/1")).await.expect(200);
    assert_eq!(first.body["source"], saying("one"));
    let diff = ada.get(&format!("{path}/revisions/2/diff")).await.expect(200);
    let text = diff.body["diff"].as_str().unwrap();
    assert!(text.starts_with("--- revision 1\n+++ revision 2\n"), "{text}");
    assert!(text.contains("-            print('one')\n+            print('two')\n"), "{text}");
    let whole = ada.get(&format!("{path}/revisions/1/diff")).await.expect(200);
    assert!(whole.body["diff"].as_str().unwrap().contains("+            print('one')\n"));
    assert_eq!(ada.get(&format!("{path}/revisions/2/diff?from=2")).await.expect(200).body["diff"], "");

    let back = ada.post(&format!("{path}/revisions/1/activate"), json!({})).await.expect(200);
    assert_eq!((&back.body["revision"], &back.body["latest_revision"]), (&json!(1), &json!(2)));
    world.running_server(ada, "web-1").await;
    eventually("the older text runs", async || (said(ada, &id).await == ["one"]).then_some(())).await;

    for (bad, status, kind) in [("3", 404, "not_found"), ("0", 404, "not_found"), ("x", 400, "malformed")] {
        ada.get(&format!("{path}/revisions/{bad}")).await.problem(status, kind);
        ada.post(&format!("{path}/revisions/{bad}/activate"), json!({})).await.problem(status, kind);
    }
    ada.get(&format!("{path}/revisions/2/diff?from=9")).await.problem(404, "not_found");
    ada.delete(&path).await.expect(204);
    ada.get(&format!("{path}/revisions")).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_header_of_a_text_fills_its_information() {
    let world = World::new().await;
    let source = format!("--[[ FDLINFO {{ \"NAME\": \"Say\", \"VERSION\": \"1.2\" }} ]]\n{}", saying("one"));
    let made = world.ada.client.post("/triggers", json!({ "name": "say", "source": source })).await.expect(201);
    assert_eq!(made.body["info"], json!({ "NAME": "Say", "VERSION": "1.2" }));
}

#[tokio::test]
async fn where_signatures_are_required_a_text_takes_effect_only_once_signed() {
    let world = World::with(&[("SUTLER_LUA_SIGNING_REQUIRED", "true")]).await;
    let (ada, admin) = (&world.ada.client, &world.admin);
    let made = ada.post("/triggers", json!({ "name": "say", "source": saying("one") })).await.expect(201);
    let (id, path) = (made.id(), format!("/triggers/{}", made.id()));
    assert_eq!((&made.body["revision"], &made.body["entries"]), (&json!(0), &json!([])));
    ada.post(&format!("{path}/revisions/1/activate"), json!({})).await.problem(409, "state");
    ada.post(&format!("{path}/revisions/1/sign"), json!({})).await.problem(403, "forbidden");

    let signed = admin.post(&format!("{path}/revisions/1/sign"), json!({})).await.expect(200);
    assert!(signed.body["signature"]["at"].is_string() && signed.body["signature"]["by"].is_string());
    ada.patch(&path, json!({ "source": saying("two") })).await.expect(200);
    world.running_server(ada, "web-1").await;
    eventually("the signed text runs", async || (said(ada, &id).await == ["one"]).then_some(())).await;

    admin.post(&format!("{path}/revisions/2/sign"), json!({})).await.expect(200);
    assert_eq!(ada.get(&path).await.expect(200).body["revision"], 2);
    let back = ada.post(&format!("{path}/revisions/1/activate"), json!({})).await.expect(200);
    assert_eq!(back.body["revision"], 1, "an older signed text needs no new signature");
}

#[tokio::test]
async fn a_paused_trigger_keeps_its_events_over_a_restart_and_catches_up() {
    let world = World::new().await;
    let client = &world.ada.client;
    let made = client.post("/triggers", json!({ "name": "say", "source": saying("one") })).await.expect(201);
    let path = format!("/triggers/{}", made.id());
    client.patch(&path, json!({ "paused": true })).await.expect(200);
    world.running_server(client, "web-1").await;
    world.running_server(client, "web-2").await;
    let waiting = eventually("its events wait", async || {
        let runs = client.get(&format!("{path}/runs?state=pending")).await.expect(200);
        (!runs.items().is_empty()).then(|| runs.items().len())
    })
    .await;
    assert!(said(client, &made.id()).await.is_empty());
    let program = world.program.kill_and_restart().await;
    let ada = program.client().sign_in("ada@example.org", world::PASSWORD).await;
    assert!(said(&ada, &made.id()).await.is_empty());
    ada.patch(&path, json!({ "paused": false })).await.expect(200);
    eventually("what waited runs", async || {
        let runs = ada.get(&format!("{path}/runs?state=succeeded&limit=200")).await.expect(200);
        (runs.items().len() >= waiting).then_some(())
    })
    .await;
    let left = ada.get(&format!("{path}/runs?state=pending")).await.expect(200);
    assert!(left.items().is_empty());
}
