//! The tenant border, driven by the API's own description, so that no operation can be forgotten.

use crate::support::{Client, Program, Reply, World, world};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An operation of the description.
pub struct Operation {
    pub method: Method,
    pub path: String,
    /// Works without a credential.
    pub open: bool,
    /// An example of its body.
    body: Option<Value>,
}

/// A provider of the simplest pluggable resources.
const NOTES: &str = r#"
    function register() return { "notes" } end
    function notes(p)
        return { ref = "notes", api = "PLUGGABLE_PROVIDER", providerType = "NOTE", version = 1,
            createFunction = { executionFunction = "create" },
            productComponentTypes = { { referenceField = "NOTE", configurableList = { { key = "text" } } } } }
    end
    function create(p) return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" } end
"#;

fn document() -> Value {
    let text = include_str!("../docs/openapi.json");
    serde_json::from_str(text).expect("the document is JSON")
}

/// Every operation of the description.
pub fn operations() -> Vec<Operation> {
    let document = document();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let open = operation["security"].as_array().is_some_and(|all| all.contains(&json!({})));
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let body = schema.as_str().map(|target| {
                let schema = document.pointer(target.trim_start_matches('#')).expect("the schema is there");
                assert!(schema["example"].is_object(), "{target} has no example");
                schema["example"].clone()
            });
            let method = method.to_uppercase().parse().expect("a method");
            found.push(Operation { method, path: path.clone(), open, body });
        }
    }
    assert!(found.len() > 50, "only {} operations", found.len());
    found
}

/// A request for an operation, with the example of its body.
pub fn request(client: &Client, operation: &Operation, path: &str) -> reqwest::RequestBuilder {
    let request = client.request(operation.method.clone(), path);
    match &operation.body {
        Some(body) => request.json(body),
        None => request,
    }
}

async fn call(client: &Client, operation: &Operation, path: &str) -> Reply {
    client.send(request(client, operation, path)).await
}

/// Ids that nothing has, for every noun in a path.
pub fn of_nobody() -> BTreeMap<&'static str, String> {
    [
        "/billing-entities",
        "/blobs",
        "/plans",
        "/images",
        "/servers",
        "/disks",
        "/jobs",
        "/api-keys",
        "/triggers",
        "/runs",
        "/invoices",
        "/payment-methods",
        "/payment-instances",
        "/transactions",
        "/nodes",
        "/pluggable-resources",
        "/users",
        "/customers",
    ]
    .into_iter()
    .map(|noun| (noun, uuid::Uuid::nil().to_string()))
    .collect()
}

/// One record of each kind that belongs to Ada or to a reseller, and so is nothing to Bob.
async fn records(world: &World) -> BTreeMap<&'static str, String> {
    let (ada, admin) = (&world.ada.client, &world.admin);
    let reseller = json!({ "name": "North", "currency": "USD" });
    let reseller = admin.post("/billing-entities", reseller).await.expect(201).id();
    let prices = json!({
        "name": "Cheap", "billing_entity_id": reseller, "cpu_hour": "0.01", "memory_gib_hour": "0.01",
        "disk_gib_hour": "0.01"
    });
    let plan = admin.post("/plans", prices).await.expect(201).id();
    let private = json!({ "name": "private", "customer_id": world.ada.id });
    let image = world::import(&world.program, admin, private).await;
    let server = world.running_server(ada, "web-1").await;
    let disk = ada.get("/disks").await.items()[0]["id"].as_str().expect("an id").to_owned();
    let job = ada.get("/jobs").await.items()[0]["id"].as_str().expect("an id").to_owned();
    let key = ada.post("/api-keys", json!({ "name": "ci" })).await.expect(201).id();
    let trigger = json!({ "name": "log", "source": crate::triggers::block("POST_CREATE", "") });
    let trigger = ada.post("/triggers", trigger).await.expect(201).id();
    world.running_server(ada, "web-2").await;
    let run = crate::support::eventually("the trigger runs", async || {
        let runs = ada.get(&format!("/triggers/{trigger}/runs")).await.expect(200);
        runs.items().first().map(|run| run["id"].as_str().expect("an id").to_owned())
    })
    .await;
    let invoice = crate::invoices::close(world, &world.ada.id).await.id();
    let notes = json!({ "name": "notes", "source": NOTES });
    admin.post("/triggers", notes).await.expect(201);
    let note = json!({ "name": "note", "provider_type": "NOTE", "values": { "text": "mine" } });
    let note = ada.post("/pluggable-resources", note).await.expect(201).id();
    let own = crate::payments::method(world, None).await;
    let method = crate::payments::method(world, Some(&reseller)).await;
    let (instance, transaction) = crate::payments::card(world, &own).await;
    let node = admin.get("/nodes").await.items()[0]["id"].as_str().expect("an id").to_owned();
    let blob = json!({ "name": "logo", "content": "AA==" });
    let blob = ada.post("/blobs", blob).await.expect(201).id();
    BTreeMap::from([
        ("/blobs", blob),
        ("/billing-entities", reseller),
        ("/plans", plan),
        ("/images", image),
        ("/servers", server),
        ("/disks", disk),
        ("/jobs", job),
        ("/api-keys", key),
        ("/triggers", trigger),
        ("/runs", run),
        ("/invoices", invoice),
        ("/payment-methods", method),
        ("/payment-instances", instance),
        ("/transactions", transaction),
        ("/nodes", node),
        ("/pluggable-resources", note),
        ("/users", world.ada.user.clone()),
        ("/customers", world.ada.id.clone()),
    ])
}

/// `path` with the ids of `records`; a noun that is not there must be added to them.
pub fn fill(path: &str, records: &BTreeMap<&str, String>) -> String {
    let path = path
        .replace("{kind}", "server")
        .replace("{number}", "1")
        .replace("{provider}", "BACKUP")
        .replace("{key}", "link")
        .replace("{function}", "count")
        .replace("{script}", &uuid::Uuid::nil().to_string());
    let Some((before, after)) = path.split_once("/{id}") else { return path };
    let noun = before.trim_start_matches("/api/v1").trim_end_matches("/server");
    let id = match noun {
        "/quarantines" | "/resources" => &records["/servers"],
        "/rest/open/current/resources/blob" => &records["/blobs"],
        noun => records.get(noun).unwrap_or_else(|| panic!("`records` has nothing for {noun}")),
    };
    let query =
        if after == "/usage" { "?from=2026-01-01T00:00:00Z&to=2099-01-01T00:00:00Z&meter=cpu&resource=" } else { "" };
    let resource = if query.is_empty() { "" } else { records["/servers"].as_str() };
    format!("{before}/{id}{after}{query}{resource}")
}

#[tokio::test]
async fn the_description_in_the_repository_is_the_one_the_code_writes() {
    let program = Program::start().await;
    let served = program.client().get("/openapi.json").await.expect(200);
    let kept = include_str!("../docs/openapi.json");
    assert!(served.text == kept, "docs/openapi.json is stale; `cargo xtask openapi` writes it anew");
}

#[tokio::test]
async fn nothing_but_what_is_marked_works_without_a_credential() {
    let program = Program::start().await;
    let client = program.client();
    let nobody = of_nobody();
    let mut open = Vec::new();
    for operation in operations() {
        if operation.open {
            open.push(operation.path.clone());
            continue;
        }
        let path = fill(&operation.path, &nobody);
        let reply = call(&client, &operation, &path).await.problem(401, "unauthenticated");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{path}");
    }
    let blob = "/rest/open/current/resources/blob/{id}/download";
    assert_eq!(open, ["/api/v1/openapi.json", "/api/v1/sessions", "/healthz", "/metrics", blob]);
}

#[tokio::test]
async fn another_customers_records_are_as_if_they_did_not_exist() {
    let world = World::new().await;
    let records = records(&world).await;
    let missing: BTreeMap<_, _> = records.keys().map(|noun| (*noun, uuid::Uuid::now_v7().to_string())).collect();
    let bob = &world.bob.client;
    let mut tried = 0;
    for operation in operations() {
        if !operation.path.contains("{id}") {
            continue;
        }
        tried += 1;
        let what = format!("{} {}", operation.method, operation.path);
        let foreign = call(bob, &operation, &fill(&operation.path, &records)).await;
        let absent = call(bob, &operation, &fill(&operation.path, &missing)).await;
        assert!(matches!(foreign.status, 403 | 404), "{what}: {}", foreign.text);
        assert_eq!(
            (foreign.status, &foreign.body["type"]),
            (absent.status, &absent.body["type"]),
            "{what} tells a foreign record from an absent one"
        );
    }
    assert!(tried > 30, "{tried}");
    // None of it changed anything.
    for (noun, id) in &records {
        if !matches!(*noun, "/api-keys") {
            world.admin.get(&format!("{noun}/{id}")).await.expect(200);
        }
    }
    assert_eq!(world.ada.client.get(&format!("/servers/{}", records["/servers"])).await.body["state"], "running");
}

#[tokio::test]
async fn lists_show_nothing_of_another_customer() {
    let world = World::new().await;
    let records = records(&world).await;
    let bob = &world.bob.client;
    let mut tried = 0;
    for operation in operations() {
        let list = operation.method == Method::GET && !operation.path.contains('{') && !operation.open;
        if !list || operation.path.ends_with("/events") || operation.path.ends_with("/me") {
            continue;
        }
        tried += 1;
        let reply = bob.send(bob.request(Method::GET, &operation.path)).await;
        assert!(matches!(reply.status, 200 | 403), "{}: {}", operation.path, reply.text);
        for id in records.values() {
            assert!(!reply.text.contains(id.as_str()), "{} shows {id}: {}", operation.path, reply.text);
        }
        // Asking for them by name does not help.
        if operation.path.ends_with("/servers") || operation.path.ends_with("/jobs") {
            let asked = bob.get(&format!("{}?customer_id={}", operation.path, world.ada.id)).await.expect(200);
            assert!(asked.items().is_empty(), "{}", asked.text);
        }
    }
    assert!(tried >= 13, "{tried}");
}

#[tokio::test]
async fn nobody_creates_for_another_customer() {
    let world = World::new().await;
    let bob = &world.bob.client;
    let mut server = world.server("web-1");
    server["customer_id"] = json!(world.ada.id);
    bob.post("/servers", server).await.problem(404, "not_found");
    let user = |customer: &str, role: &str| {
        json!({ "email": "x@example.org", "first_name": "X", "last_name": "Y", "role": role, "customer_id": customer,
            "password": "a long pass phrase" })
    };
    bob.post("/users", user(&world.ada.id, "customer_admin")).await.problem(404, "not_found");
    let staff = json!({ "email": "x@example.org", "first_name": "X", "last_name": "Y", "role": "provider_admin",
        "password": "a long pass phrase" });
    let refused = bob.post("/users", staff).await;
    assert!(matches!(refused.status, 403 | 404 | 422), "{}", refused.text);
    let owner = json!({ "kind": "customer", "id": world.ada.id });
    let trigger = json!({ "name": "spy", "owner": owner, "source": crate::triggers::block("POST_CREATE", "") });
    let refused = bob.post("/triggers", trigger).await;
    assert!(matches!(refused.status, 403 | 404), "{}", refused.text);
    let wide =
        json!({ "name": "spy", "owner": { "kind": "provider" }, "source": crate::triggers::block("POST_CREATE", "") });
    let refused = bob.post("/triggers", wide).await;
    assert!(matches!(refused.status, 403 | 404 | 422), "{}", refused.text);
    let private = json!({ "name": "private", "customer_id": world.ada.id });
    let image = world::import(&world.program, &world.admin, private).await;
    let mut server = world.server("web-1");
    server["image_id"] = json!(image);
    let refused = bob.post("/servers", server).await;
    assert!(matches!(refused.status, 404 | 422), "{}", refused.text);
}

#[tokio::test]
async fn those_who_may_only_look_change_nothing() {
    let world = World::new().await;
    let records = records(&world).await;
    let (_, viewer) = world.user(&world.ada.id, "eve", "customer_viewer").await;
    for operation in operations() {
        // Everybody may sign in and out and hold keys of their own.
        let own = ["/sessions", "/api-keys"].iter().any(|p| operation.path.contains(p));
        if operation.method == Method::GET || own {
            continue;
        }
        let reply = call(&viewer, &operation, &fill(&operation.path, &records)).await;
        let what = format!("{} {}", operation.method, operation.path);
        assert!(matches!(reply.status, 403 | 404 | 422), "{what}: {}", reply.text);
        assert!(reply.status != 422 || operation.path.ends_with("/users"), "{what} was looked into: {}", reply.text);
    }
    assert_eq!(world.ada.client.get(&format!("/servers/{}", records["/servers"])).await.body["state"], "running");
}

#[tokio::test]
async fn a_reseller_sees_its_own_customers_and_no_one_elses() {
    let world = World::new().await;
    let admin = &world.admin;
    let north = admin.post("/billing-entities", json!({ "name": "North", "currency": "USD" })).await.expect(201).id();
    let staff = json!({ "billing_entity_id": north });
    let (_, reseller) = world::user(&world.program, admin, "nora", "reseller_admin", staff).await;
    let prices = json!({ "name": "Cheap", "cpu_hour": "0.01", "memory_gib_hour": "0.01", "disk_gib_hour": "0.01" });
    let plan = reseller.post("/plans", prices).await.expect(201);
    assert_eq!(plan.body["currency"], "USD", "a plan is in its seller's currency");
    let carol = world::account(&world.program, &reseller, "carol", json!({ "plan_id": plan.id() })).await;
    let server = world.running_server(&carol.client, "web-1").await;
    reseller.get(&format!("/servers/{server}")).await.expect(200);
    assert_eq!(reseller.get("/customers").await.items().len(), 1);
    assert_eq!(reseller.get("/billing-entities").await.items().len(), 1);
    reseller.get(&format!("/billing-entities/{}", world.provider)).await.problem(404, "not_found");
    reseller.get(&format!("/customers/{}", world.ada.id)).await.problem(404, "not_found");
    reseller.get("/nodes").await.problem(403, "forbidden");
    reseller.post("/simulation/faults", json!({ "call": "start" })).await.problem(403, "forbidden");
    assert_eq!(admin.get("/customers").await.items().len(), 3);
    assert!(world.ada.client.get("/billing-entities").await.expect(200).items().is_empty());
}
