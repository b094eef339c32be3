//! Every operation of the API is an event of the language, before it and after it.

use crate::{
    access::{Operation, fill, of_nobody, operations, request},
    support::{Client, World, eventually},
};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;

/// Tells of each call of the API, before and after it.
const TELLER: &str = r#"
    function register() return { "before_user", "after_user", "before_staff", "after_staff" } end
    local function hook(kind)
        return function(p)
            if p == nil then return { api = "TRIGGER", triggerType = kind, triggerOptions = { "ANY" } } end
            local who = p.user:getEmail() .. " " .. p.customer:getResourceUUID()
            return { exitState = "SUCCESS",
                told = table.concat({ kind, p.input:getMethod(), p.input:getPath(), p.triggerOption, who }, " ") }
        end
    end
    before_user, after_user = hook("PRE_USER_API_CALL"), hook("POST_USER_API_CALL")
    before_staff, after_staff = hook("PRE_ADMIN_API_CALL"), hook("POST_ADMIN_API_CALL")
"#;

/// What was told, by kind, method and path; the rest is the option and who called.
async fn told(world: &World, trigger: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut page = format!("/triggers/{trigger}/runs?state=succeeded&limit=200");
    loop {
        let runs = world.admin.get(&page).await.expect(200);
        for run in runs.items() {
            let result: serde_json::Value =
                serde_json::from_str(run["result"].as_str().expect("a result")).expect("JSON");
            let told = result["told"].as_str().expect("told").to_owned();
            let at = told.match_indices(' ').nth(2).expect("four words").0;
            found.entry(told[..at].to_owned()).or_default().push(told[at + 1..].to_owned());
        }
        match runs.body["next"].as_str() {
            Some(next) => page = format!("/triggers/{trigger}/runs?state=succeeded&limit=200&cursor={next}"),
            None => return found,
        }
    }
}

/// The operations that need somebody to ask; what ends the session comes last.
fn guarded() -> Vec<Operation> {
    let mut all: Vec<Operation> = operations().into_iter().filter(|operation| !operation.open).collect();
    all.sort_by_key(|operation| operation.method == Method::DELETE && operation.path.contains("/sessions"));
    all
}

async fn walk(world: &World, client: &Client, kind: &str, who: &str) {
    let made = world.admin.post("/triggers", json!({ "name": kind, "source": TELLER })).await.expect(201);
    // Nothing of what is asked for is there, so that the walk leaves all as it is.
    let nobody = of_nobody();
    for operation in guarded() {
        let path = fill(&operation.path, &nobody);
        // One of them answers without end.
        drop(request(client, &operation, &path).send().await.expect("an answer"));
    }
    let mut missing = Vec::new();
    let mut all = BTreeMap::new();
    for operation in guarded() {
        let path = fill(&operation.path, &nobody);
        let path = path.split('?').next().unwrap_or_default().to_owned();
        let mended = ["/triggers", "/runs", "/sessions"].iter().any(|kept| path.starts_with(&format!("/api/v1{kept}")));
        missing.push(format!("POST_{kind}_API_CALL {} {path}", operation.method));
        if !mended {
            missing.push(format!("PRE_{kind}_API_CALL {} {path}", operation.method));
        }
    }
    let expected = missing.clone();
    eventually("every call is told", async || {
        all = told(world, &made.id()).await;
        missing.retain(|call| !all.contains_key(call));
        missing.is_empty().then_some(())
    })
    .await;
    for call in expected {
        let told = &all[&call];
        let (option, by) = told[0].split_once(' ').expect("an option");
        assert!(option.chars().all(|letter| letter.is_ascii_alphabetic()), "{call}: {option}");
        assert_eq!(by, who, "{call}");
    }
    // Whoever has a path of its own for mending triggers is asked nothing.
    assert!(!all.keys().any(|call| call.starts_with("PRE_") && call.contains("/api/v1/triggers")));
}

#[tokio::test]
async fn every_operation_that_people_call_is_told_before_and_after_it() {
    let world = World::new().await;
    let who = format!("ada@example.org {}", world.ada.id);
    walk(&world, &world.ada.client, "USER", &who).await;
}

#[tokio::test]
async fn every_operation_that_staff_call_is_told_before_and_after_it() {
    let world = World::new().await;
    let (_, nora) = crate::support::world::user(
        &world.program,
        &world.admin,
        "nora",
        "provider_admin",
        json!({ "billing_entity_id": world.provider }),
    )
    .await;
    let provider: uuid::Uuid = world.provider.parse().expect("an id");
    let who = format!("nora@example.org {}", uuid::Uuid::new_v5(&provider, b"operator"));
    walk(&world, &nora, "ADMIN", &who).await;
}
