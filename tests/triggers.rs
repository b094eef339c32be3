//! Triggers over the API: loading, refusing, running, retrying.

use crate::support::{World, eventually};
use serde_json::json;

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
