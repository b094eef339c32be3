//! Entity tags: changes only at the version one has seen, answers only when they are new.

use crate::support::{Client, Reply, World};
use reqwest::Method;
use serde_json::json;

async fn patch_if(client: &Client, path: &str, tag: &str, body: serde_json::Value) -> Reply {
    client.send(client.request(Method::PATCH, path).header("if-match", tag).json(&body)).await
}

#[tokio::test]
async fn a_change_at_a_stale_version_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let path = format!("/customers/{}", world.ada.id);
    let tag = world.admin.get(&path).await.expect(200).header("etag").to_owned();
    assert_eq!(tag, "\"1\"");
    let renamed = patch_if(&world.admin, &path, &tag, json!({ "name": "Ada & Co" })).await.expect(200);
    assert_eq!((renamed.header("etag"), &renamed.body["version"]), ("\"2\"", &json!(2)));
    let stale = patch_if(&world.admin, &path, &tag, json!({ "name": "Other" })).await.problem(412, "stale");
    assert_eq!(stale.header("etag"), "\"2\"");
    assert_eq!(world.admin.get(&path).await.body["name"], "Ada & Co");
    for tag in ["\"2\"", "\"1\", \"3\"", "*"] {
        patch_if(&world.admin, &path, tag, json!({ "status": "active" })).await.expect(200);
    }
    world.admin.patch(&path, json!({ "name": "Ada" })).await.expect(200);
    for tag in ["W/\"5\"", "\"x\"", "\"99\""] {
        patch_if(&world.admin, &path, tag, json!({ "name": "Other" })).await.problem(412, "stale");
    }
    let bad = patch_if(&world.admin, &path, "5", json!({ "name": "Other" })).await.problem(400, "malformed");
    assert_eq!(bad.fields(), ["If-Match"]);
}

#[tokio::test]
async fn a_condition_tells_nothing_about_another_customers_record() {
    let world = World::new().await;
    let id = world.running_server(&world.ada.client, "web-1").await;
    for tag in ["\"1\"", "\"99\"", "*", "W/\"1\""] {
        let path = format!("/servers/{id}");
        patch_if(&world.bob.client, &path, tag, json!({ "keys": [] })).await.problem(404, "not_found");
        let delete = world.bob.client.request(Method::DELETE, &path).header("if-match", tag);
        world.bob.client.send(delete).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn deleting_can_be_tied_to_a_version_too() {
    let world = World::new().await;
    let id = world.running_server(&world.ada.client, "web-1").await;
    let path = format!("/servers/{id}");
    let ada = &world.ada.client;
    ada.send(ada.request(Method::DELETE, &path).header("if-match", "\"1\"")).await.problem(412, "stale");
    let tag = ada.get(&path).await.header("etag").to_owned();
    ada.send(ada.request(Method::DELETE, &path).header("if-match", tag)).await.expect(202);
}

#[tokio::test]
async fn a_record_that_is_known_is_not_sent_again() {
    let world = World::new().await;
    let path = format!("/customers/{}", world.ada.id);
    let admin = &world.admin;
    let tag = admin.get(&path).await.header("etag").to_owned();
    for known in [tag.as_str(), "\"7\", \"1\"", "W/\"1\"", "*"] {
        let reply = admin.send(admin.request(Method::GET, &path).header("if-none-match", known)).await.expect(304);
        assert_eq!((reply.header("etag"), reply.text.as_str()), (tag.as_str(), ""));
    }
    admin.send(admin.request(Method::GET, &path).header("if-none-match", "\"7\"")).await.expect(200);
}
