//! Bad input: each a clear problem with the field and the fix, and nothing changed.

use crate::support::{Program, World};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn every_wrong_field_of_a_server_is_named() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let with = |field: &str, value: Value| {
        let mut body = world.server("web-1");
        body[field] = value;
        body
    };
    let unknown = uuid::Uuid::now_v7().to_string();
    for (body, status, field) in [
        (with("name", json!("")), 422, "name"),
        (with("name", json!("Web_1")), 422, "name"),
        (with("name", json!("x".repeat(64))), 422, "name"),
        (with("name", json!(7)), 422, "name"),
        (with("cpu", json!(0)), 422, "cpu"),
        (with("cpu", json!(-1)), 422, "cpu"),
        (with("cpu", json!(1.5)), 422, "cpu"),
        (with("cpu", json!("two")), 422, "cpu"),
        (with("cpu", json!(100_000)), 422, "cpu"),
        (with("cpu", json!(99_999_999_999_u64)), 422, "cpu"),
        (with("memory_mib", json!(1)), 422, "memory_mib"),
        (with("memory_mib", json!(u64::MAX)), 422, "memory_mib"),
        (with("disk_gib", json!(0)), 422, "disk_gib"),
        (with("disk_gib", json!(1_000_000_000_u64)), 422, "disk_gib"),
        (with("image_id", json!("tiny")), 422, "image_id"),
        (with("image_id", Value::Null), 422, "image_id"),
        (with("user_data", json!("x".repeat(17_000))), 422, "user_data"),
        (with("ssh_keys", json!(["not a key"])), 422, "ssh_keys.0"),
        (with("ssh_keys", json!("ssh-rsa AAAA")), 422, "ssh_keys"),
        (with("keys", json!([{ "name": "", "value": "x" }])), 422, "keys.0.name"),
        (with("keys", json!([{ "name": "a", "value": "x", "kind": "odd" }])), 422, "keys.0.kind"),
        (with("keys", json!([{ "name": "a", "valeu": "x" }])), 422, "keys.0.value"),
        (with("cpus", json!(1)), 422, "cpus"),
        (with("customer_id", json!(7)), 422, "customer_id"),
        (json!({ "name": "web-1" }), 422, "cpu"),
        (json!([]), 422, "body"),
        (json!("web-1"), 422, "body"),
        (Value::Null, 422, "body"),
    ] {
        let reply = ada.post("/servers", body.clone()).await;
        let reply = reply.problem(status, "invalid");
        assert_eq!(reply.fields(), [field], "{body}: {}", reply.text);
    }
    let absent = ada.post("/servers", with("image_id", json!(unknown))).await;
    assert!(matches!(absent.status, 404 | 422), "{}", absent.text);
    assert!(absent.text.contains("image"), "{}", absent.text);
    let huge = with("disk_gib", json!(0));
    let several = ada
        .post("/servers", {
            let mut b = huge;
            b["cpu"] = json!(0);
            b
        })
        .await
        .problem(422, "invalid");
    assert_eq!(several.fields(), ["cpu", "disk_gib"], "all that is wrong is told at once");
    assert!(ada.get("/servers").await.items().is_empty() && ada.get("/jobs").await.items().is_empty());
}

#[tokio::test]
async fn bodies_that_are_no_json_are_told_with_line_and_column() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let send = |kind: &str, body: Vec<u8>| {
        let request = ada.request(Method::POST, "/servers").header("content-type", kind).body(body);
        ada.send(request)
    };
    for (body, detail) in [("{\"name\": \"a\",\n  oops}", "line 2, column 3"), ("{\"name\":", "EOF"), ("", "EOF")] {
        let reply = send("application/json", body.into()).await.problem(400, "malformed");
        assert_eq!(reply.fields(), ["body"]);
        assert!(reply.body["detail"].as_str().unwrap().contains(detail), "{body}: {}", reply.text);
    }
    let two = format!("{} {{}}", world.server("web-1"));
    let reply = send("application/json", two.into_bytes()).await.problem(400, "malformed");
    assert!(reply.body["detail"].as_str().unwrap().contains("trailing characters"), "{}", reply.text);
    send("application/json", vec![b'"', 0xff, 0xfe, b'"']).await.problem(400, "malformed");
    let deep = format!("{{\"keys\":{}", "[".repeat(100_000));
    assert!(matches!(send("application/json", deep.into_bytes()).await.status, 400 | 422));
    send("text/plain", b"{}".to_vec()).await.problem(415, "wrong_media_type");
    send("application/x-www-form-urlencoded", b"name=a".to_vec()).await.problem(415, "wrong_media_type");
    let bare = ada.request(Method::POST, "/servers").body("{}");
    ada.send(bare).await.problem(415, "wrong_media_type");
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_with_and_without_a_length() {
    let program = Program::with(&[("SUTLER_LIMITS_BODY_KIB", "8")]).await;
    let client = program.client();
    let big = json!({ "email": "x".repeat(9000), "password": "y" });
    client.post("/sessions", big.clone()).await.problem(413, "too_large");
    let pieces = serde_json::to_vec(&big).unwrap();
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = pieces.chunks(100).map(|c| Ok(c.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let request = client.request(Method::POST, "/sessions").header("content-type", "application/json").body(body);
    client.send(request).await.problem(413, "too_large");
}

#[tokio::test]
async fn unknown_addresses_methods_and_ids_are_problems_too() {
    let world = World::new().await;
    let ada = &world.ada.client;
    for path in ["/nope", "/servers/", "/servers/x/y/z", "//", "/%00", "/servers/%FF"] {
        let reply = ada.get(path).await;
        assert!(matches!(reply.status, 400 | 404), "{path}: {}", reply.text);
        let kind = reply.body["type"].as_str().unwrap_or_default().to_owned();
        let status = reply.status;
        reply.problem(status, &kind);
    }
    let reply = ada.send(ada.request(Method::PUT, "/servers")).await.problem(405, "wrong_method");
    let allowed = reply.header("allow");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    for id in ["x", "0", "../users", "123e4567-e89b-12d3-a456-42661417400g"] {
        let path = format!("/servers/{}", id.replace('/', "%2F"));
        let reply = ada.get(&path).await.problem(400, "malformed");
        assert_eq!(reply.fields(), ["id"], "{id}");
    }
    for noun in ["servers", "disks", "jobs", "customers", "users", "plans", "images", "triggers", "runs", "invoices"] {
        let path = format!("/{noun}/{}", uuid::Uuid::now_v7());
        ada.get(&path).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn queries_that_are_wrong_name_the_parameter() {
    let world = World::new().await;
    let ada = &world.ada.client;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("order=up", "order"),
        ("state=walking", "state"),
        ("state=running,walking", "state"),
        ("customer_id=x", "customer_id"),
        ("fields=id,nope", "fields"),
        ("fields=", "fields"),
        ("nmae=x", "nmae"),
    ] {
        let reply = ada.get(&format!("/servers?{query}")).await.problem(400, "malformed");
        assert_eq!(reply.fields(), [field], "{query}: {}", reply.text);
    }
    let unknown = ada.get("/servers?nmae=x").await;
    assert!(unknown.text.contains("there are: ") && unknown.text.contains("name"), "{}", unknown.text);
}

#[tokio::test]
async fn money_times_and_words_are_checked_where_they_enter() {
    let world = World::new().await;
    let admin = &world.admin;
    let plan = |field: &str, value: Value| {
        let mut body = json!({ "name": "P", "cpu_hour": "0.01", "memory_gib_hour": "0.01", "disk_gib_hour": "0.01" });
        body[field] = value;
        body
    };
    for (field, value) in [
        ("cpu_hour", json!(0.01)),
        ("cpu_hour", json!("1e3")),
        ("cpu_hour", json!("-1")),
        ("cpu_hour", json!("0.0000000001")),
        ("currency", json!("euro")),
        ("name", json!(" ")),
        ("name", json!("a\nb")),
        ("name", json!("x".repeat(101))),
    ] {
        let reply = admin.post("/plans", plan(field, value.clone())).await.problem(422, "invalid");
        assert_eq!(reply.fields(), [field], "{value}: {}", reply.text);
    }
    let path = format!("/customers/{}/invoices", world.ada.id);
    for to in [json!("yesterday"), json!(7), json!("2026-13-01T00:00:00Z"), json!("2099-01-01T00:00:00Z")] {
        let reply = admin.post(&path, json!({ "to": to })).await.problem(422, "invalid");
        assert_eq!(reply.fields(), ["to"], "{to}: {}", reply.text);
    }
    let preview = format!("/customers/{}/invoice-preview?from=soon", world.ada.id);
    assert_eq!(admin.get(&preview).await.problem(400, "malformed").fields(), ["from"]);
}

#[tokio::test]
async fn an_image_that_is_none_is_refused() {
    let world = World::new().await;
    let file = world.program.data().with_file_name("text.raw");
    std::fs::write(&file, "no image").unwrap();
    let body = json!({ "name": "bad", "file": file, "size_gib": 1 });
    assert_eq!(world.admin.post("/images", body).await.problem(422, "invalid").fields(), ["file"]);
    let absent = json!({ "name": "bad", "file": "/does/not/exist", "size_gib": 1 });
    let reply = world.admin.post("/images", absent).await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["file"]);
    world
        .ada
        .client
        .post("/images", json!({ "name": "x", "file": "/etc/passwd", "size_gib": 1 }))
        .await
        .problem(403, "forbidden");
    assert_eq!(world.admin.get("/images").await.items().len(), 1);
}
