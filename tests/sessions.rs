//! Signing in and out.

use crate::support::{Program, World};
use serde_json::json;

#[tokio::test]
async fn signing_in_gives_a_session_and_signing_out_ends_it() {
    let world = World::new().await;
    let me = world.ada.client.get("/me").await.expect(200);
    assert_eq!(me.body["user"]["email"], "ada@example.org");
    assert_eq!(me.body["scope"], json!({ "kind": "customer", "id": world.ada.id }));
    assert!(me.body["user"].get("password_hash").is_none());
    world.ada.client.delete("/sessions/current").await.expect(204);
    world.ada.client.get("/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn wrong_passwords_and_unknown_addresses_look_the_same() {
    let program = Program::start().await;
    let client = program.client();
    let mut seen = Vec::new();
    for email in ["admin@localhost", "nobody@localhost", "", "a\u{0}b"] {
        let body = json!({ "email": email, "password": "not the password" });
        let reply = client.post("/sessions", body).await.problem(401, "unauthenticated");
        seen.push(reply.body["detail"].clone());
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    let long = json!({ "email": "admin@localhost", "password": "x".repeat(100_000) });
    client.post("/sessions", long).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn e_mail_addresses_are_one_in_any_case() {
    let world = World::new().await;
    world.program.client().sign_in("ADA@Example.org", "a long pass phrase").await.get("/me").await.expect(200);
}

#[tokio::test]
async fn a_locked_user_is_out_at_once() {
    let world = World::new().await;
    world.ada.client.get("/me").await.expect(200);
    world.admin.patch(&format!("/users/{}", world.ada.user), json!({ "locked": true })).await.expect(200);
    world.ada.client.get("/me").await.problem(401, "unauthenticated");
    let again = json!({ "email": "ada@example.org", "password": "a long pass phrase" });
    world.program.client().post("/sessions", again).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_changed_role_counts_at_once() {
    let world = World::new().await;
    let (id, eve) = world.user(&world.ada.id, "eve", "customer_viewer").await;
    eve.post("/servers", world.server("web-1")).await.problem(403, "forbidden");
    world.ada.client.patch(&format!("/users/{id}"), json!({ "role": "customer_member" })).await.expect(200);
    let eve = world.program.client().sign_in("eve@example.org", "a long pass phrase").await;
    eve.post("/servers", world.server("web-1")).await.expect(202);
}

#[tokio::test]
async fn sessions_and_keys_survive_a_restart() {
    let world = World::new().await;
    let token = world.ada.client.token.clone().unwrap();
    let program = world.program.kill_and_restart().await;
    program.client().with_token(&token).get("/me").await.expect(200);
}

#[tokio::test]
async fn only_whole_tokens_with_the_right_secret_pass() {
    let program = Program::start().await;
    let token = program.admin().await.token.unwrap();
    let mut wrong = token.clone().into_bytes();
    let last = wrong.len() - 1;
    wrong[last] = if wrong[last] == b'0' { b'1' } else { b'0' };
    let wrong = String::from_utf8(wrong).unwrap();
    let key = token.replacen("ss_", "sk_", 1);
    for bad in ["", "x", "ss__", &wrong, &key, &token[..40], &format!("{token}00")] {
        program.client().with_token(bad).get("/me").await.problem(401, "unauthenticated");
    }
    let basic = program.client().request(reqwest::Method::GET, "/me").basic_auth("admin@localhost", Some("x"));
    let reply = program.client().send(basic).await.problem(401, "unauthenticated");
    assert!(reply.header("www-authenticate").starts_with("Bearer"));
}
