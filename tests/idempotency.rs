//! The same key and request get the same answer, and change nothing twice.

use crate::support::World;
use serde_json::json;

#[tokio::test]
async fn a_repeated_request_for_a_job_gets_the_same_job() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let first = ada.post_keyed("/servers", "key-1", world.server("web-1")).await.expect(202);
    let again = ada.post_keyed("/servers", "key-1", world.server("web-1")).await.expect(202);
    assert_eq!(again.id(), first.id());
    ada.finished(&first.id()).await;
    let later = ada.post_keyed("/servers", "key-1", world.server("web-1")).await.expect(202);
    assert_eq!((later.id(), &later.body["state"]), (first.id(), &json!("successful")));
    ada.post_keyed("/servers", "key-1", world.server("web-2")).await.problem(422, "key_reused");
    assert_eq!(ada.get("/servers").await.items().len(), 1);
    let of_bob = world.bob.client.post_keyed("/servers", "key-1", world.server("web-1")).await.expect(202);
    assert_ne!(of_bob.id(), first.id(), "keys belong to their users");
}

#[tokio::test]
async fn a_repeated_creation_answers_as_before_also_after_a_crash() {
    let world = World::new().await;
    let body = json!({ "name": "Carol", "plan_id": world.plan });
    let first = world.admin.post_keyed("/customers", "key-1", body.clone()).await.expect(201);
    let again = world.admin.post_keyed("/customers", "key-1", body.clone()).await.expect(201);
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, "true"));
    assert_eq!(again.header("etag"), first.header("etag"));
    let other = json!({ "name": "Dave", "plan_id": world.plan });
    world.admin.post_keyed("/customers", "key-1", other).await.problem(422, "key_reused");

    let token = world.admin.token.clone().unwrap();
    let program = world.program.kill_and_restart().await;
    let admin = program.client().with_token(&token);
    let late = admin.post_keyed("/customers", "key-1", body).await.expect(201);
    assert_eq!(late.body, first.body);
    assert_eq!(admin.get("/customers?name=carol").await.items().len(), 1);
}

#[tokio::test]
async fn a_refused_request_may_be_mended_and_sent_again_under_its_key() {
    let world = World::new().await;
    let wrong = json!({ "name": " ", "plan_id": world.plan });
    world.admin.post_keyed("/customers", "key-1", wrong).await.problem(422, "invalid");
    let right = json!({ "name": "Carol", "plan_id": world.plan });
    world.admin.post_keyed("/customers", "key-1", right).await.expect(201);
}

#[tokio::test]
async fn a_repeated_secret_is_not_shown_twice_nor_made_twice() {
    let world = World::new().await;
    let body = json!({ "name": "ci" });
    world.ada.client.post_keyed("/api-keys", "key-1", body.clone()).await.expect(201);
    world.ada.client.post_keyed("/api-keys", "key-1", body).await.problem(409, "already_done");
    assert_eq!(world.ada.client.get("/api-keys").await.items().len(), 1);
}

#[tokio::test]
async fn repeats_at_the_same_time_make_one_record() {
    let world = World::new().await;
    let requests = (0..8).map(|_| {
        let (admin, plan) = (world.admin.clone(), world.plan.clone());
        tokio::spawn(async move {
            admin.post_keyed("/customers", "key-1", json!({ "name": "Carol", "plan_id": plan })).await
        })
    });
    let mut created = 0;
    for request in requests.collect::<Vec<_>>() {
        let reply = request.await.unwrap();
        match reply.status {
            201 => created += 1,
            _ => drop(reply.problem(409, "in_progress")),
        }
    }
    assert!(created >= 1);
    assert_eq!(world.admin.get("/customers?name=carol").await.items().len(), 1);
}

#[tokio::test]
async fn a_key_must_be_fit_for_a_header() {
    let world = World::new().await;
    for bad in ["", "with blank", &"x".repeat(256)] {
        let reply = world.ada.client.post_keyed("/servers", bad, world.server("web-1")).await;
        assert_eq!(reply.problem(400, "malformed").fields(), ["Idempotency-Key"]);
    }
}

#[tokio::test]
async fn another_query_is_another_request() {
    let world = World::new().await;
    let delete = async |query: &str| {
        let request = world.admin.request(reqwest::Method::DELETE, &format!("/customers/{}{query}", world.ada.id));
        let answer = request.header("idempotency-key", "key-1").send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    let (status, first) = delete("?cascade=true").await;
    assert_eq!(status, 202, "{first}");
    assert_eq!(delete("?cascade=true").await.1["id"], first["id"]);
    let (status, refused) = delete("").await;
    assert_eq!((status, &refused["type"]), (422, &json!("key_reused")), "{refused}");
}
