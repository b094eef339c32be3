//! Customers, their sellers and their people.

use crate::support::{World, world};
use serde_json::json;

#[tokio::test]
async fn a_suspended_customer_may_look_and_not_create() {
    let world = World::new().await;
    let path = format!("/customers/{}", world.ada.id);
    world.admin.patch(&path, json!({ "status": "suspended" })).await.expect(200);
    world.ada.client.get("/servers").await.expect(200);
    world.ada.client.post("/servers", world.server("web-1")).await.problem(403, "suspended");
    world.admin.patch(&path, json!({ "status": "active" })).await.expect(200);
    world.running_server(&world.ada.client, "web-1").await;
}

#[tokio::test]
async fn a_customers_name_is_taken_once_within_its_seller() {
    let world = World::new().await;
    let body = json!({ "name": "ADA", "plan_id": world.plan });
    assert_eq!(world.admin.post("/customers", body).await.problem(409, "taken").fields(), ["name"]);
}

#[tokio::test]
async fn a_user_can_be_renamed_and_deleted_with_all_that_lets_them_in() {
    let world = World::new().await;
    let (id, eve) = world.user(&world.ada.id, "eve", "customer_member").await;
    let key = eve.post("/api-keys", json!({ "name": "ci" })).await.expect(201);
    let key = world.program.client().with_token(key.body["secret"].as_str().unwrap());
    let renamed = eve.patch(&format!("/users/{id}"), json!({ "first_name": "Eva" })).await.expect(200);
    assert_eq!((&renamed.body["first_name"], &renamed.body["version"]), (&json!("Eva"), &json!(2)));
    world.bob.client.delete(&format!("/users/{id}")).await.problem(404, "not_found");
    world.ada.client.delete(&format!("/users/{id}")).await.expect(204);
    for gone in [&eve, &key] {
        gone.get("/me").await.problem(401, "unauthenticated");
    }
    world.ada.client.get(&format!("/users/{id}")).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_e_mail_address_belongs_to_one_person() {
    let world = World::new().await;
    let body = json!({ "email": "ADA@example.org", "first_name": "A", "last_name": "B", "role": "customer_admin",
        "customer_id": world.bob.id, "password": world::PASSWORD });
    assert_eq!(world.admin.post("/users", body).await.problem(409, "taken").fields(), ["email"]);
}

#[tokio::test]
async fn passwords_are_checked_and_never_repeated() {
    let world = World::new().await;
    let path = format!("/users/{}", world.ada.user);
    for bad in ["short", &"x".repeat(257)] {
        let reply = world.ada.client.patch(&path, json!({ "password": bad })).await.problem(422, "invalid");
        assert_eq!(reply.fields(), ["password"]);
        assert!(!reply.text.contains(bad));
    }
    world.ada.client.patch(&path, json!({ "password": "another pass phrase" })).await.expect(200);
    world.program.client().sign_in("ada@example.org", "another pass phrase").await.get("/me").await.expect(200);
    let old = json!({ "email": "ada@example.org", "password": world::PASSWORD });
    world.program.client().post("/sessions", old).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_warning_level_is_set_kept_and_taken_away() {
    let world = World::new().await;
    let path = format!("/customers/{}", world.ada.id);
    let level =
        async |body: serde_json::Value| world.admin.patch(&path, body).await.expect(200).body["warning_level"].clone();
    assert_eq!(level(json!({ "warning_level": "12.50" })).await, json!("12.5"));
    assert_eq!(level(json!({ "name": "Ada & Co" })).await, json!("12.5"), "what is left out stays");
    assert_eq!(level(json!({ "warning_level": null })).await, json!(null));
    for bad in [json!("much"), json!(12.5), json!("1e3")] {
        let reply = world.admin.patch(&path, json!({ "warning_level": bad })).await.problem(422, "invalid");
        assert_eq!(reply.fields(), ["warning_level"]);
    }
}

#[tokio::test]
async fn a_customer_is_deleted_with_its_servers_by_jobs_below_one() {
    let world = World::new().await;
    for name in ["web-1", "web-2"] {
        world.running_server(&world.ada.client, name).await;
    }
    let path = format!("/customers/{}", world.ada.id);
    world.ada.client.delete(&format!("{path}?cascade=true")).await.problem(403, "forbidden");
    world.bob.client.delete(&path).await.problem(404, "not_found");
    let refused = world.admin.delete(&path).await.problem(409, "state");
    assert!(refused.body["detail"].as_str().unwrap().contains("still has 2 servers"), "{}", refused.text);
    let job = world.admin.delete(&format!("{path}?cascade=true")).await.expect(202);
    assert_eq!((&job.body["kind"], &job.body["item_id"]), (&json!("delete_customer"), &json!(world.ada.id)));
    let done = world.admin.finished(&job.id()).await;
    assert_eq!(done["state"], "successful", "{done}");
    let below = world.admin.get(&format!("/jobs?parent_id={}", job.id())).await.expect(200);
    let kinds: Vec<_> = below.items().iter().map(|job| (job["kind"].clone(), job["state"].clone())).collect();
    assert_eq!(kinds, vec![(json!("delete_server"), json!("successful")); 2]);
    assert_eq!(world.admin.get(&path).await.expect(200).body["status"], "closed");
    assert!(world.admin.get(&format!("/servers?customer_id={}", world.ada.id)).await.items().is_empty());
}
