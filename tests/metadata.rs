//! What owners keep on their resources for programs.

use crate::support::{Client, World};
use reqwest::Method;
use serde_json::{Value, json};

async fn put(client: &Client, path: &str, body: Value) -> crate::support::Reply {
    client.send(client.request(Method::PUT, path).json(&body)).await
}

#[tokio::test]
async fn owners_and_sellers_read_and_write_all_parts_and_others_what_is_public() {
    let world = World::new().await;
    let (ada, bob, admin) = (&world.ada.client, &world.bob.client, &world.admin);
    let server = world.running_server(ada, "web").await;
    let (_, viewer) = world.user(&world.ada.id, "vera", "customer_viewer").await;
    let all = json!({ "public": "<a>1</a>", "restricted": "<b/>", "private": "<c>&amp;</c>" });
    for path in [format!("/servers/{server}/metadata"), format!("/customers/{}/metadata", world.ada.id)] {
        assert_eq!(ada.get(&path).await.expect(200).body, json!({ "public": "", "restricted": "", "private": "" }));
        assert_eq!(put(ada, &path, all.clone()).await.expect(200).body, all);
        assert_eq!(admin.get(&path).await.expect(200).body, all);
        // The record itself shows none of it.
        let record = ada.get(path.trim_end_matches("/metadata")).await.expect(200);
        assert!(!record.text.contains("metadata"), "{}", record.text);
        bob.get(&path).await.expect(404);
        put(bob, &path, all.clone()).await.expect(404);
        assert_eq!(put(ada, &path, json!({ "public": "<a>2</a>" })).await.expect(200).body["private"], "");
    }
    let path = format!("/servers/{server}/metadata");
    viewer.get(&path).await.expect(200);
    put(&viewer, &path, all.clone()).await.expect(403);
    let wrong = put(ada, &path, json!({ "restricted": "<a>" })).await.problem(422, "invalid");
    assert_eq!(wrong.fields(), ["restricted"]);
    let long = put(ada, &path, json!({ "private": "x".repeat(20_000) })).await.problem(422, "invalid");
    assert_eq!(long.fields(), ["private"]);
    let stale = ada.request(Method::PUT, &path).header("if-match", "\"1\"").json(&all);
    ada.send(stale).await.expect(412);

    // An image is offered to all; a billing entity is its own people's.
    let image = format!("/images/{}/metadata", world.image);
    put(ada, &image, all.clone()).await.expect(404);
    put(admin, &image, all.clone()).await.expect(200);
    assert_eq!(
        ada.get(&image).await.expect(200).body,
        json!({ "public": "<a>1</a>", "restricted": "", "private": "" })
    );
    let seller = format!("/billing-entities/{}/metadata", world.provider);
    put(admin, &seller, all.clone()).await.expect(200);
    assert_eq!(admin.get(&seller).await.expect(200).body, all);
    ada.get(&seller).await.expect(404);
    put(ada, &seller, all).await.expect(404);
}

#[tokio::test]
async fn metadata_is_given_for_one_run_alone_and_settings_are_held_to_their_forms() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let server = world.running_server(ada, "web").await;
    let actions = format!("/servers/{server}/actions");
    let told = json!({ "public": "<run>7</run>" });
    let meaningless = json!({ "action": "stop", "metadata": told });
    assert_eq!(ada.post(&actions, meaningless).await.problem(422, "invalid").fields(), ["metadata"]);
    let wrong = json!({ "action": "reboot", "metadata": { "public": "<run>" } });
    assert_eq!(ada.post(&actions, wrong).await.problem(422, "invalid").fields(), ["public"]);
    let reboot = ada.post(&actions, json!({ "action": "reboot", "metadata": told })).await.expect(202);
    assert_eq!(ada.finished(&reboot.id()).await["state"], "successful");
    assert!(!ada.get(&format!("/servers/{server}")).await.text.contains("<run>"));

    let path = format!("/servers/{server}");
    let unknown = json!({ "provider_values": { "NONE": { "x": "y" } } });
    assert_eq!(ada.patch(&path, unknown).await.problem(422, "invalid").fields(), ["provider_values.NONE"]);
}

#[tokio::test]
async fn servers_and_customers_are_deleted_at_a_later_time() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let server = world.running_server(ada, "web").await;
    let far = "2999-01-01T00:00:00Z";
    let refused = ada.delete(&format!("/servers/{server}?start_at={far}")).await.problem(422, "invalid");
    assert_eq!(refused.fields(), ["start_at"]);
    let at = |ms: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis();
        sutler_model::Timestamp(i64::try_from(now).expect("a time") + ms).to_string()
    };
    let later = ada.delete(&format!("/servers/{server}?start_at={}", at(3_600_000))).await.expect(202);
    assert_eq!(later.body["scheduled"], true);
    assert_eq!(ada.get(&format!("/servers/{server}")).await.body["state"], "running");
    let cancelled = ada.post(&format!("/jobs/{}/cancel", later.id()), json!({})).await.expect(202);
    assert_eq!(cancelled.body["state"], "cancelled");

    let customer = format!("/customers/{}", world.ada.id);
    // What it has counts when the time has come.
    let kept = world.admin.delete(&format!("{customer}?start_at={}", at(200))).await.expect(202);
    let kept = world.admin.finished(&kept.id()).await;
    assert_eq!((&kept["state"], &kept["error"]["code"]), (&json!("failed"), &json!("servers_left")));
    let soon = ada.delete(&format!("/servers/{server}?start_at={}", at(200))).await.expect(202);
    assert_eq!(ada.finished(&soon.id()).await["state"], "successful");
    ada.get(&format!("/servers/{server}")).await.expect(404);
    let gone = world.admin.delete(&format!("{customer}?start_at={}", at(200))).await.expect(202);
    assert_eq!(world.admin.finished(&gone.id()).await["state"], "successful");
    assert_eq!(world.admin.get(&customer).await.body["status"], "closed");
}
