//! Rate limits: by credential, by address, and harder for sign-ins.

use crate::support::{Program, World};
use serde_json::json;

#[tokio::test]
async fn a_credential_that_asks_too_much_is_told_when_to_come_back() {
    let settings = [("SUTLER_LIMITS_REQUESTS_PER_SECOND", "1"), ("SUTLER_LIMITS_REQUEST_BURST", "20")];
    let program = Program::with(&settings).await;
    let admin = program.admin().await;
    let other = admin.post("/api-keys", json!({ "name": "other" })).await.expect(201);
    let other = program.client().with_token(other.body["secret"].as_str().unwrap());
    let mut limited = None;
    for _ in 0..40 {
        let reply = admin.get("/me").await;
        if reply.status == 429 {
            limited = Some(reply.problem(429, "rate_limited"));
            break;
        }
        reply.expect(200);
    }
    let limited = limited.expect("forty requests at once are more than twenty");
    assert!(limited.header("retry-after").parse::<u32>().unwrap() >= 1);
    other.get("/me").await.expect(200);
}

#[tokio::test]
async fn an_address_is_limited_before_its_credentials_are_looked_at() {
    let settings = [("SUTLER_LIMITS_REQUESTS_PER_SECOND", "1"), ("SUTLER_LIMITS_REQUEST_BURST", "5")];
    let program = Program::with(&settings).await;
    let client = program.client().with_token("guess");
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(client.get("/me").await.status);
    }
    assert!(seen[0] == 401 && seen.contains(&429), "{seen:?}");
}

#[tokio::test]
async fn guessing_a_password_is_slow() {
    let world = World::with(&[("SUTLER_LIMITS_SIGN_INS_PER_MINUTE", "5")]).await;
    let client = world.program.client();
    let guess = json!({ "email": "bob@example.org", "password": "a wrong pass phrase" });
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(client.post("/sessions", guess.clone()).await.status);
    }
    assert_eq!(seen.iter().filter(|s| **s == 429).count(), 4, "bob himself signed in once: {seen:?}");
    // Others at the same address still get in.
    client.sign_in("ada@example.org", "a long pass phrase").await;
}
