//! The event stream: order, scope, resume, and the end of what is kept.

use crate::support::{Client, Program, World, program::DEADLINE};
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// A reader of one stream.
struct Stream {
    response: Response,
    buffer: String,
}

impl Stream {
    async fn open(client: &Client, query: &str, last: Option<u64>) -> Self {
        let mut request = client.request(Method::GET, &format!("/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// The next change: its id and data.
    async fn next(&mut self) -> (u64, Value) {
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let event: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| {
                    event.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(|v| v.trim().to_owned())
                };
                if field("event").as_deref() == Some("change") {
                    let data = serde_json::from_str(&field("data").expect("data")).expect("JSON");
                    return (field("id").expect("an id").parse().expect("a number"), data);
                }
            }
            let piece = tokio::time::timeout(DEADLINE, self.response.chunk()).await.expect("an event in time");
            let piece = piece.expect("the stream goes on").expect("the stream has not ended");
            self.buffer.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// The next change that holds `wanted` among its events.
    async fn until(&mut self, wanted: &str) -> (u64, Value) {
        loop {
            let (id, data) = self.next().await;
            if data["changes"].as_array().unwrap().iter().any(|c| c["event"] == wanted) {
                return (id, data);
            }
        }
    }
}

#[tokio::test]
async fn changes_come_in_order_and_a_reader_resumes_where_it_was() {
    let world = World::new().await;
    let mut stream = Stream::open(&world.ada.client, "", None).await;
    let server = world.running_server(&world.ada.client, "web-1").await;
    let (first, data) = stream.until("server.created").await;
    let created = data["changes"].as_array().unwrap().iter().find(|c| c["event"] == "server.created").unwrap();
    assert_eq!((&created["id"], &data["seq"]), (&json!(server), &json!(first)));
    let name = created["fields"].as_array().unwrap().iter().find(|f| f["name"] == "name").unwrap();
    assert_eq!(name, &json!({ "name": "name", "new": "web-1" }));
    let mut ids = vec![first];
    loop {
        let (id, data) = stream.next().await;
        ids.push(id);
        let states = data["changes"].as_array().unwrap().iter().flat_map(|c| c["fields"].as_array().unwrap().clone());
        if states.into_iter().any(|f| f["name"] == "state" && f["new"] == "running") {
            break;
        }
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    let mut again = Stream::open(&world.ada.client, "", Some(first)).await;
    for id in &ids[1..] {
        assert_eq!(again.next().await.0, *id, "nothing twice, nothing left out");
    }
    let mut from = Stream::open(&world.ada.client, &format!("?from={first}"), None).await;
    assert_eq!(from.next().await.0, first);
}

#[tokio::test]
async fn nobody_sees_another_customers_changes_or_any_secret() {
    let world = World::new().await;
    let mut of_bob = Stream::open(&world.bob.client, "?from=1", None).await;
    let mut of_admin = Stream::open(&world.admin, "?from=1", None).await;
    world.running_server(&world.ada.client, "web-1").await;
    world.bob.client.post("/api-keys", json!({ "name": "marker" })).await.expect(201);
    let mut seen = String::new();
    loop {
        let (_, data) = of_bob.next().await;
        seen.push_str(&data.to_string());
        if data["changes"][0]["event"] == "api_key.created" {
            break;
        }
    }
    assert!(!seen.contains(&world.ada.id) && !seen.contains("web-1"), "{seen}");
    assert!(seen.contains(&world.bob.id), "{seen}");
    let mut all = String::new();
    loop {
        let (_, data) = of_admin.next().await;
        all.push_str(&data.to_string());
        if data["changes"][0]["event"] == "api_key.created" {
            break;
        }
    }
    assert!(all.contains("web-1"));
    for text in [&seen, &all] {
        assert!(!text.contains("$argon2id$") && !text.contains("session."), "{text}");
    }
    assert!(seen.contains("\"***\""), "the field is there, the secret is not");
}

#[tokio::test]
async fn secrets_given_in_forms_are_in_no_event_and_no_answer() {
    let world = World::new().await;
    let (admin, ada) = (&world.admin, &world.ada.client);
    let script = json!({ "name": "support", "source": crate::providers::SUPPORT });
    let script = admin.post("/triggers", script).await.expect(201).id();
    let charge = json!({ "component": "SUPPORT_CONTRACT", "resource_type": "SERVER", "script_id": script,
        "values": { "gold": "9.99" } });
    admin.patch(&format!("/plans/{}", world.plan), json!({ "charges": [charge] })).await.expect(200);
    let server = world.running_server(ada, "web-1").await;
    let settings = format!("/resources/{server}/providers/SUPPORT");
    for pin in ["first-secret-pin", "second-secret-pin"] {
        ada.patch(&settings, json!({ "values": { "level": "GOLD", "pin": pin } })).await.expect(200);
    }
    let ticket = json!({ "name": "help", "provider_type": "TICKET",
        "values": { "subject": "disk", "secret": "first-secret-word" } });
    let ticket = format!("/pluggable-resources/{}", ada.post("/pluggable-resources", ticket).await.expect(201).id());
    ada.patch(&ticket, json!({ "values": { "secret": "second-secret-word" } })).await.expect(200);
    // Their secrets are `sk_live_unguessable` and the pin 987654321.
    let method = crate::payments::method(&world, None).await;
    let (card, registered) = crate::payments::card(&world, &method).await;
    let secrets = ["secret-pin", "secret-word", "unguessable", "987654321"];
    ada.post("/api-keys", json!({ "name": "marker" })).await.expect(201);

    for (client, nouns) in [
        (admin, &["server", "pluggable_resource", "payment_method", "payment_instance", "transaction"][..]),
        (ada, &["server", "pluggable_resource", "payment_instance", "transaction"]),
    ] {
        let mut stream = Stream::open(client, "?from=1", None).await;
        let mut told = String::new();
        loop {
            let (_, data) = stream.next().await;
            told.push_str(&data.to_string());
            if data["changes"][0]["event"] == "api_key.created" {
                break;
            }
        }
        for noun in nouns {
            assert!(told.contains(&format!("\"event\":\"{noun}.")), "nothing is told of the {noun}");
        }
        for secret in secrets {
            assert!(!told.contains(secret), "{secret} is told in an event");
        }
        assert!(told.contains("\"***\""), "that something was set is told");
    }
    let all_settings = format!("/resources/{server}/providers");
    let (server, method) = (format!("/servers/{server}"), format!("/payment-methods/{method}"));
    let (card, registered) = (format!("/payment-instances/{card}"), format!("/transactions/{registered}"));
    for client in [admin, ada] {
        for path in [&server, &all_settings, &ticket, &method, &card, &registered] {
            let shown = client.get(path).await.expect(200);
            assert!(secrets.iter().all(|secret| !shown.text.contains(secret)), "{path}: {}", shown.text);
        }
        for list in ["servers", "pluggable-resources", "payment-methods", "payment-instances", "transactions", "jobs"] {
            let shown = client.get(&format!("/{list}")).await.expect(200);
            assert!(secrets.iter().all(|secret| !shown.text.contains(secret)), "{list}: {}", shown.text);
        }
    }
}

#[tokio::test]
async fn nouns_can_be_chosen() {
    let world = World::new().await;
    let mut stream = Stream::open(&world.ada.client, "?from=1&noun=job", None).await;
    world.running_server(&world.ada.client, "web-1").await;
    let (_, data) = stream.next().await;
    assert!(data["changes"].as_array().unwrap().iter().all(|c| c["noun"] == "job"), "{data}");
    world.ada.client.get("/events?noun=session").await.problem(400, "malformed");
}

#[tokio::test]
async fn positions_that_are_gone_or_never_were_are_told() {
    // Nothing is kept for long, so that entries go while we look.
    let program = Program::with(&[("SUTLER_STORE_FEED_MAX_MIB", "1")]).await;
    let admin = program.admin().await;
    for (header, field) in [("x", "Last-Event-ID"), ("-1", "Last-Event-ID")] {
        let request = admin.request(Method::GET, "/events").header("last-event-id", header);
        assert_eq!(admin.send(request).await.problem(400, "malformed").fields(), [field]);
    }
    let beyond = admin.request(Method::GET, "/events").header("last-event-id", "999999999");
    admin.send(beyond).await.problem(410, "events_trimmed");
    let source = format!("{}\n-- {}", crate::triggers::block("POST_CREATE", ""), "x".repeat(100_000));
    crate::support::eventually("the oldest entries are gone", async || {
        // Each change of a source is two copies in the feed: a few dozen fill the megabyte.
        for n in 0..8 {
            let name = format!("filler {n} {}", uuid::Uuid::now_v7());
            let made = json!({ "name": name, "source": source, "enabled": false });
            let made = admin.post("/triggers", made).await.expect(201).id();
            admin.delete(&format!("/triggers/{made}")).await.expect(204);
        }
        let request = admin.request(Method::GET, "/events?from=1").send().await.expect("an answer");
        (request.status() == 410).then_some(())
    })
    .await;
    let gone = admin.get("/events?from=1").await.problem(410, "events_trimmed");
    assert!(gone.body["detail"].as_str().unwrap().contains("1 was asked for"), "{}", gone.text);
}

#[tokio::test]
async fn a_stream_ends_with_its_credential() {
    let world = World::new().await;
    let mut stream = Stream::open(&world.ada.client, "", None).await;
    world.ada.client.post("/api-keys", json!({ "name": "first" })).await.expect(201);
    stream.until("api_key.created").await;
    world.admin.patch(&format!("/users/{}", world.ada.user), json!({ "locked": true })).await.expect(200);
    let end = tokio::time::timeout(DEADLINE, async { while let Ok(Some(_)) = stream.response.chunk().await {} });
    end.await.expect("the stream ends");
}

#[tokio::test]
async fn one_credential_cannot_hold_streams_without_end() {
    let world = World::new().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(Stream::open(&world.ada.client, "", None).await);
    }
    world.ada.client.get("/events").await.problem(429, "rate_limited");
    Stream::open(&world.bob.client, "", None).await;
    streams.pop();
    crate::support::eventually("a place is free again", async || {
        let reply = world.ada.client.request(Method::GET, "/events").send().await.expect("an answer");
        (reply.status() == 200).then_some(())
    })
    .await;
}
