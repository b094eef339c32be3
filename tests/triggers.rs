//! Triggers over the API: loading, refusing, running, retrying.

use crate::support::{Client, World, eventually};
use serde_json::{Value, json};

/// A code block with one entry of type `kind` for every event of that type; `body` runs in it.
pub fn block(kind: &str, body: &str) -> String {
    format!(
        r#"
        function register() return {{ "on_event" }} end
        function on_event(p)
            if p == nil then
                return {{ ref = "t", name = "t", description = "t", priority = 0, triggerType = "{kind}",
                    triggerOptions = {{ "ANY" }}, api = "TRIGGER", version = 1 }}
            end
            {body}
            return {{ exitState = "SUCCESS" }}
        end
        "#
    )
}

#[tokio::test]
async fn a_pre_trigger_refuses_with_a_reason_the_caller_sees() {
    let world = World::new().await;
    let body = r#"do return { exitState = "FAILURE", reason = "no servers on Sundays" } end"#;
    let made = json!({ "name": "sundays", "source": block("PRE_CREATE", body) });
    let made = world.ada.client.post("/triggers", made).await.expect(201);
    let refused = world.ada.client.post("/servers", world.server("web-1")).await.problem(403, "refused");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("sundays") && detail.contains("no servers on Sundays"), "{detail}");
    assert!(world.ada.client.get("/servers").await.items().is_empty());
    world.running_server(&world.bob.client, "web-1").await;
    let runs = world.ada.client.get(&format!("/triggers/{}/runs?state=refused", made.id())).await.expect(200);
    assert_eq!(runs.items().len(), 1);
    let off = json!({ "enabled": false });
    world.ada.client.patch(&format!("/triggers/{}", made.id()), off).await.expect(200);
    world.running_server(&world.ada.client, "web-1").await;
}

#[tokio::test]
async fn a_post_trigger_runs_and_its_log_is_kept() {
    let world = World::new().await;
    let made = json!({ "name": "log", "source": block("POST_CREATE", "print(p.input:getResourceName())") });
    let made = world.ada.client.post("/triggers", made).await.expect(201);
    assert_eq!(made.body["entries"][0]["trigger_type"], "POST_CREATE");
    world.running_server(&world.ada.client, "web-1").await;
    let run = eventually("the trigger runs on the server", async || {
        let runs = world.ada.client.get(&format!("/triggers/{}/runs?state=succeeded", made.id())).await.expect(200);
        for run in runs.items() {
            let run = world.ada.client.get(&format!("/runs/{}", run["id"].as_str().unwrap())).await.expect(200);
            if run.body["log"].as_str().unwrap().trim() == "web-1" {
                return Some(run.body);
            }
        }
        None
    })
    .await;
    assert_eq!(run["script_id"], made.id());
    let listed = world.ada.client.get("/triggers").await.expect(200);
    assert!(listed.items()[0].get("source").is_none(), "lists leave sources out");
    world
        .ada
        .client
        .post(&format!("/runs/{}/retry", run["id"].as_str().unwrap()), json!({}))
        .await
        .problem(409, "state");
    world.ada.client.delete(&format!("/triggers/{}", made.id())).await.expect(204);
    world.ada.client.get(&format!("/triggers/{}", made.id())).await.problem(404, "not_found");
}

#[tokio::test]
async fn text_that_is_not_lua_is_refused_with_its_line() {
    let world = World::new().await;
    for (source, line) in [("function register()\n  return {\nend", ":3"), ("return 1", ""), ("", "")] {
        let body = json!({ "name": "bad", "source": source });
        let reply = world.ada.client.post("/triggers", body).await.problem(422, "invalid");
        assert_eq!(reply.fields(), [format!("source{line}")], "{source}: {}", reply.text);
    }
    assert!(world.ada.client.get("/triggers").await.items().is_empty());
}

#[tokio::test]
async fn a_providers_trigger_sees_all_and_is_seen_by_the_provider_alone() {
    let world = World::new().await;
    let made = json!({ "name": "all", "source": block("POST_CREATE", "") });
    let made = world.admin.post("/triggers", made).await.expect(201);
    assert_eq!(made.body["owner"], json!({ "kind": "provider" }));
    world.ada.client.get(&format!("/triggers/{}", made.id())).await.problem(404, "not_found");
    assert!(world.ada.client.get("/triggers").await.items().is_empty());
    world.running_server(&world.ada.client, "web-1").await;
    eventually("the provider's trigger runs", async || {
        let runs = world.admin.get("/runs?state=succeeded").await.expect(200);
        (!runs.items().is_empty()).then_some(())
    })
    .await;
    assert!(world.ada.client.get("/runs").await.expect(200).items().is_empty());
}

/// What the runs of a trigger said that ended well, from the list, which costs one request: `told` of what they returned.
async fn told(client: &Client, trigger: &str) -> Vec<String> {
    let runs = client.get(&format!("/triggers/{trigger}/runs?state=succeeded")).await.expect(200);
    let results = runs.items().iter().map(|run| run["result"].as_str().unwrap());
    results
        .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap()["told"].as_str().unwrap().to_owned())
        .collect()
}

/// A body that tells some values.
fn tell(values: &str) -> String {
    format!(r#"do return {{ exitState = "SUCCESS", told = table.concat({{ {values} }}, " ") }} end"#)
}

#[tokio::test]
async fn a_failed_sign_in_of_a_known_user_is_an_event_and_one_may_be_refused() {
    let world = World::new().await;
    let made = json!({ "name": "failures", "source": block("POST_AUTH", &tell("p.triggerOption, p.input")) });
    let made = world.ada.client.post("/triggers", made).await.expect(201).id();
    let nobody = world.program.client();
    let sign_in = async |email: &str, password: &str| {
        nobody.post("/sessions", json!({ "email": email, "password": password })).await
    };
    sign_in("ada@example.org", "a wrong pass phrase").await.problem(401, "unauthenticated");
    sign_in("nobody@example.org", "a wrong pass phrase").await.problem(401, "unauthenticated");
    let expected = format!("FAILURE ada@example.org/{}", world.ada.id);
    eventually("the failure is told", async || {
        let told = told(&world.ada.client, &made).await;
        assert!(told.iter().all(|text| *text == expected), "{told:?}");
        (!told.is_empty()).then_some(())
    })
    .await;
    let body = r#"do return { exitState = "FAILURE", reason = "closed for " .. p.input } end"#;
    let door = json!({ "name": "door", "source": block("PRE_AUTH", body) });
    world.ada.client.post("/triggers", door).await.expect(201);
    let refused = sign_in("ada@example.org", crate::support::world::PASSWORD).await.problem(403, "refused");
    assert!(refused.body["detail"].as_str().unwrap().contains("closed for ada@example.org/"), "{}", refused.text);
    // The password comes first: a wrong one is not answered differently because there are triggers.
    sign_in("ada@example.org", "a wrong pass phrase").await.problem(401, "unauthenticated");
    sign_in("bob@example.org", crate::support::world::PASSWORD).await.expect(201);
}

#[tokio::test]
async fn a_call_of_the_api_is_refused_before_anything_happens_and_told_after_it() {
    let world = World::new().await;
    let say = "p.triggerOption, p.input:getMethod(), p.input:getPath(), p.input:getStatus(), p.user:getEmail()";
    let teller = json!({ "name": "told", "source": block("POST_USER_API_CALL", &tell(say)) });
    let teller = world.admin.post("/triggers", teller).await.expect(201).id();
    let body = r#"if p.triggerOption == "createServer" then return { exitState = "FAILURE", reason = "not now" } end"#;
    let no = json!({ "name": "no", "source": block("PRE_USER_API_CALL", body) });
    let no = world.ada.client.post("/triggers", no).await.expect(201).id();
    let refused = world.ada.client.post("/servers", world.server("web-1")).await.problem(403, "refused");
    assert!(refused.body["detail"].as_str().unwrap().contains("not now"), "{}", refused.text);
    assert!(world.ada.client.get("/servers").await.expect(200).items().is_empty());
    // Whoever has shut themselves out can still mend it.
    let all = block("PRE_USER_API_CALL", r#"do return { exitState = "FAILURE" } end"#);
    world.ada.client.patch(&format!("/triggers/{no}"), json!({ "source": all })).await.expect(200);
    world.ada.client.get("/servers").await.problem(403, "refused");
    world.ada.client.patch(&format!("/triggers/{no}"), json!({ "enabled": false })).await.expect(200);
    world.running_server(&world.bob.client, "web-1").await;
    world.bob.client.post("/servers", json!({})).await.problem(422, "invalid");
    let mut last = Vec::new();
    eventually("each call is told with its status", async || {
        last = told(&world.admin, &teller).await;
        let found = |call: &str| last.iter().any(|told| told.starts_with(call));
        let all = found("createServer POST /api/v1/servers 202 bob@example.org")
            && found("createServer POST /api/v1/servers 422 bob@example.org")
            && found("listResources GET /api/v1/servers 200 ada@example.org")
            && found("createFDLCodeBlock POST /api/v1/triggers 201 ada@example.org");
        all.then_some(())
    })
    .await;
    // What was refused was not done, and staff have an event of their own.
    assert!(!last.iter().any(|told| told.starts_with("createServer") && told.contains("ada@")), "{last:?}");
    assert!(!last.iter().any(|told| told.contains("/api/v1/runs") || told.contains("admin@")), "{last:?}");
}

#[tokio::test]
async fn a_request_that_breaks_is_an_exception_for_the_provider() {
    let world = World::new().await;
    let values = "p.triggerOption, p.input:getErrorCode(), p.input:getRequestId(), p.input:getMessage()";
    let teller = json!({ "name": "told", "source": block("POST_EXCEPTION", &tell(values)) });
    let teller = world.admin.post("/triggers", teller).await.expect(201).id();
    let broken = world.ada.client.get("/panic").await.problem(500, "internal");
    let expected = format!(
        "API INTERNAL {} GET /panic was answered with an internal error; the log tells why",
        broken.body["request_id"].as_str().unwrap()
    );
    eventually("the exception is told", async || {
        let told = told(&world.admin, &teller).await;
        assert!(told.iter().all(|text| *text == expected), "{told:?}");
        (!told.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_block_registers_is_named_in_the_language_of_who_looks() {
    let world = World::new().await;
    let (admin, ada) = (&world.admin, &world.ada.client);
    let source = r#"
        function register() return { "greet", "price" } end
        function greet(p)
            if p == nil then
                return { triggerType = "POST_CREATE", triggerOptions = { "SERVER" }, name = "@greeting", description = "plain" }
            end
        end
        function price(p) return { ref = "price", name = "@price", api = "BILLING", version = 1 } end
    "#;
    let texts = json!({ "en": { "@greeting": "Greeting", "@price": "Price" }, "de": { "@greeting": "Gruss" } });
    let new = json!({ "name": "greet", "source": source, "translations": texts });
    let made = admin.post("/triggers", new).await.expect(201);
    let names = |view: &Value| {
        [&view["entries"][0]["name"], &view["entries"][0]["description"], &view["points"][0]["name"]]
            .map(|name| name.as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(names(&made.body), ["Greeting", "plain", "Price"]);
    let path = format!("/triggers/{}", made.id());
    admin.patch(&format!("/billing-entities/{}", world.provider), json!({ "language": "de" })).await.expect(200);
    let shown = admin.get(&path).await.expect(200).body;
    assert_eq!(names(&shown), ["Gruss", "plain", "Price"]);
    assert_eq!(shown["translations"], texts);
    assert_eq!(names(&admin.get("/triggers").await.expect(200).items()[0]), ["Gruss", "plain", "Price"]);
    let changed = admin.patch(&path, json!({ "paused": true })).await.expect(200);
    assert_eq!(names(&changed.body), ["Gruss", "plain", "Price"]);
    ada.get(&path).await.expect(404);
}
