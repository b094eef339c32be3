//! API keys: credentials for programs, never wider than their user.

use crate::support::{World, eventually};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};
use sutler_model::Timestamp;

#[tokio::test]
async fn a_key_acts_for_its_user_within_its_scopes_until_it_is_revoked() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let made = ada.post("/api-keys", json!({ "name": "ci", "scopes": ["servers_read"] })).await.expect(201);
    let secret = made.body["secret"].as_str().unwrap();
    assert!(secret.starts_with("sk_"));
    let program = world.program.client().with_token(secret);
    program.get("/servers").await.expect(200);
    program.post("/servers", world.server("web-1")).await.problem(403, "forbidden");
    program.get("/customers").await.problem(403, "forbidden");
    let listed = ada.get("/api-keys").await.expect(200);
    assert_eq!(listed.items().len(), 1);
    assert!(!listed.text.contains("secret"), "{}", listed.text);
    ada.delete(&format!("/api-keys/{}", made.id())).await.expect(204);
    program.get("/servers").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_key_cannot_be_made_wider_than_its_maker() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let wide = json!({ "name": "wide", "scopes": ["servers_read", "operator_read"] });
    let refused = ada.post("/api-keys", wide).await.problem(422, "invalid");
    assert_eq!(refused.fields(), ["scopes.1"]);
    let narrow = json!({ "name": "narrow", "scopes": ["keys_write", "servers_read"] });
    let secret = ada.post("/api-keys", narrow).await.expect(201).body["secret"].as_str().unwrap().to_owned();
    let child = world.program.client().with_token(&secret).post("/api-keys", json!({ "name": "child" })).await;
    let child = child.expect(201).body["secret"].as_str().unwrap().to_owned();
    world.program.client().with_token(&child).post("/servers", world.server("a")).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_key_that_lies_in_the_past_is_refused_and_one_that_ends_is_told_when() {
    let world = World::new().await;
    let past = json!({ "name": "old", "expires_at": "2020-01-01T00:00:00Z" });
    let refused = world.ada.client.post("/api-keys", past).await.problem(422, "invalid");
    assert_eq!(refused.fields(), ["expires_at"]);
    let future = json!({ "name": "new", "expires_at": "2099-01-01T00:00:00+01:00" });
    let made = world.ada.client.post("/api-keys", future).await.expect(201);
    assert_eq!(made.body["expires_at"], "2098-12-31T23:00:00.000Z");
}

#[tokio::test]
async fn a_key_stops_working_when_its_time_has_come() {
    let world = World::new().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let soon = Timestamp(now).plus_ms(3000).to_string();
    let made = world.ada.client.post("/api-keys", json!({ "name": "brief", "expires_at": soon })).await.expect(201);
    let program = world.program.client().with_token(made.body["secret"].as_str().unwrap());
    eventually("the key ends", async || (program.get("/me").await.status == 401).then_some(())).await;
    world.ada.client.get("/me").await.expect(200);
}

#[tokio::test]
async fn one_customers_keys_are_nothing_to_another() {
    let world = World::new().await;
    let made = world.ada.client.post("/api-keys", json!({ "name": "ci" })).await.expect(201);
    assert!(world.bob.client.get("/api-keys").await.expect(200).items().is_empty());
    world.bob.client.delete(&format!("/api-keys/{}", made.id())).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_api_key_is_not_a_session_to_sign_out_of() {
    let world = World::new().await;
    let made = world.ada.client.post("/api-keys", json!({ "name": "ci" })).await.expect(201);
    let program = world.program.client().with_token(made.body["secret"].as_str().unwrap());
    program.delete("/sessions/current").await.problem(409, "state");
}
