//! Images that customers make of their servers.

use crate::support::World;
use serde_json::json;

#[tokio::test]
async fn a_customer_makes_an_image_of_a_stopped_server_and_servers_of_the_image() {
    let world = World::new().await;
    let (ada, bob) = (&world.ada.client, &world.bob.client);
    let server = world.running_server(ada, "web").await;
    let body = json!({ "name": "golden", "server_id": server });
    let refused = ada.post("/images", body.clone()).await.problem(409, "state");
    assert!(refused.text.contains("stop it before an image is made of it"), "{}", refused.text);
    let stop = ada.post(&format!("/servers/{server}/actions"), json!({ "action": "stop", "force": true })).await;
    ada.finished(&stop.expect(202).id()).await;

    let job = ada.post("/images", body).await.expect(202);
    assert_eq!((&job.body["kind"], &job.body["item_noun"]), (&json!("create_image"), &json!("image")));
    let done = ada.finished(&job.id()).await;
    assert_eq!(
        (&done["state"], &done["done"]),
        (&json!("successful"), &json!(["copy_disk", "share_image", "publish"]))
    );
    let id = done["item_id"].as_str().expect("an id");
    let image = ada.get(&format!("/images/{id}")).await.expect(200).body;
    assert_eq!((&image["state"], &image["size_gib"]), (&json!("ready"), &json!(1)));
    assert_eq!((&image["customer_id"], &image["base"]["name"]), (&json!(world.ada.id), &json!("web")));
    assert_eq!(image["storage_key"], "", "where it lies is for operators");
    let jobs = ada.get(&format!("/jobs?item_id={server}")).await;
    assert!(jobs.items().iter().any(|job| job["kind"] == "create_image"), "{}", jobs.text);

    let disk = ada.get(&format!("/disks?server_id={server}")).await.items()[0]["id"].clone();
    let copy = ada.post("/images", json!({ "name": "copy", "disk_id": disk })).await.expect(202);
    assert_eq!(ada.finished(&copy.id()).await["state"], "successful");

    let clone = json!({ "name": "clone", "cpu": 1, "memory_mib": 256, "disk_gib": 1, "image_id": id });
    let built = ada.post("/servers", clone.clone()).await.expect(202);
    assert_eq!(ada.finished(&built.id()).await["state"], "successful");

    // To others neither the server nor the image is there.
    bob.post("/images", json!({ "name": "stolen", "server_id": server })).await.expect(404);
    bob.post("/images", json!({ "name": "stolen", "disk_id": disk })).await.expect(404);
    bob.get(&format!("/images/{id}")).await.expect(404);
    bob.post("/servers", clone).await.expect(422);
    assert!(!bob.get("/images").await.text.contains(id));

    // Offered to all, it does not say where it came from.
    ada.patch(&format!("/images/{id}"), json!({ "published": true })).await.expect(403);
    let open = world.admin.patch(&format!("/images/{id}"), json!({ "published": true })).await.expect(200);
    assert_eq!(open.body["base"]["name"], "web");
    let seen = bob.get(&format!("/images/{id}")).await.expect(200);
    assert!(!seen.text.contains(&server) && !seen.text.contains(&world.ada.id), "{}", seen.text);
}

#[tokio::test]
async fn an_image_is_made_of_one_thing_and_says_what_is_wrong_with_the_rest() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let server = world.running_server(ada, "web").await;
    let nil = uuid::Uuid::nil();
    for (body, field) in [
        (json!({ "name": "x" }), "server_id"),
        (json!({ "name": "x", "server_id": server, "disk_id": nil }), "server_id"),
        (json!({ "name": "x", "server_id": server, "size_gib": 1 }), "size_gib"),
        (json!({ "name": "", "server_id": server }), "name"),
        (json!({ "name": "x", "file": "/tmp/x" }), "size_gib"),
        (json!({ "name": "x", "file": "/tmp/x", "size_gib": 1, "start_at": "2999-01-01T00:00:00Z" }), "start_at"),
        (json!({ "name": "x", "server_id": server, "start_at": "2999-01-01T00:00:00Z" }), "start_at"),
    ] {
        let refused = ada.post("/images", body.clone()).await.problem(422, "invalid");
        assert_eq!(refused.fields(), [field], "{body}");
    }
    ada.post("/images", json!({ "name": "x", "file": "/etc/passwd", "size_gib": 1 })).await.expect(403);
    let image = format!("/images/{}", world.image);
    let wrong = world.admin.patch(&image, json!({ "state": "deleting" })).await.problem(422, "invalid");
    assert_eq!(wrong.fields(), ["state"]);
    ada.patch(&image, json!({ "name": "mine" })).await.expect(404);
    let retired = world.admin.patch(&image, json!({ "state": "retired" })).await.expect(200);
    assert!(retired.body["retired_at"].is_string(), "{}", retired.text);
    assert_eq!(ada.post("/servers", world.server("late")).await.problem(422, "invalid").fields(), ["image_id"]);
}
