//! A thousand runs of a trigger wait for a peer; the program is killed in their midst.

use crate::support::{Client, Program, eventually};
use axum::{Router, extract::Path, routing::put};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;

/// Events whose runs wait.
const EVENTS: usize = 1_000;
/// Runs of one trigger at the same time: those that a kill can cut off between their request and their record.
const AT_ONCE: usize = 64;

/// Counts requests by the record they are about. The first few are answered at once, the rest slowly.
async fn peer() -> (String, Arc<Mutex<HashMap<String, usize>>>) {
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let kept = seen.clone();
    let take = async move |Path(id): Path<String>| {
        *kept.lock().unwrap().entry(id).or_default() += 1;
        // Slow enough that some are always on their way.
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/{id}", put(take))).await });
    (base, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_amid_a_thousand_pending_runs_it_loses_none_and_repeats_only_unfinished_ones() {
    let (base, seen) = peer().await;
    let program = Program::with(&[
        ("SUTLER_EGRESS_EXCEPTIONS", r#"["127.0.0.0/8"]"#),
        ("SUTLER_LIMITS_REQUESTS_PER_SECOND", "100000"),
        ("SUTLER_LIMITS_REQUEST_BURST", "100000"),
    ])
    .await;
    let admin = program.admin().await;
    // Each counts itself on its customer, and then tells the peer.
    let body = format!(
        r#"
        local count = 0
        for _, key in ipairs(adminAPI:getResource(p.input:getResourceUUID(), true):getResourceKey()) do
            if key:getName() == "COUNT" then count = tonumber(key:getValue()) end
        end
        local key = new("ResourceKey")
        key:setName("COUNT")
        key:setType(new("ResourceKeyType", "USER_KEY"))
        key:setValue(tostring(count + 1))
        adminAPI:addKey(p.input:getResourceUUID(), key)
        http.put("{base}/" .. p.input:getResourceUUID(), {{ json = {{ name = p.input:getResourceName() }} }})
        "#
    );
    let source = crate::triggers::block("POST_CREATE", &body).replace("\"ANY\"", "\"CUSTOMER\"");
    let trigger = admin.post("/triggers", json!({ "name": "tell", "source": source })).await.expect(201).id();
    let path = format!("/triggers/{trigger}");
    admin.patch(&path, json!({ "paused": true })).await.expect(200);
    let plan = admin.get("/plans").await.items()[0]["id"].clone();
    for n in 0..EVENTS {
        admin.post("/customers", json!({ "name": format!("c{n}"), "plan_id": plan })).await.expect(201);
    }
    let waiting = async || admin.get(&format!("{path}/statistics")).await.expect(200).body["waiting"] == EVENTS;
    eventually("all runs wait", async || waiting().await.then_some(())).await;

    admin.patch(&path, json!({ "paused": false })).await.expect(200);
    let told = || seen.lock().unwrap().len();
    eventually("a good part is told", async || (told() > EVENTS / 4).then_some(())).await;
    let recorded = all(&admin, &format!("{path}/runs?state=succeeded")).await;
    let program = program.kill_and_restart().await;
    assert!(!recorded.is_empty() && told() < EVENTS, "the kill came in their midst");

    let admin = program.admin().await;
    let over = async || admin.get(&format!("{path}/statistics")).await.expect(200).body["waiting"] == 0;
    eventually("every run is over", async || (told() == EVENTS && over().await).then_some(())).await;
    let runs = all(&admin, &format!("{path}/runs?state=succeeded")).await;
    assert_eq!(runs.len(), EVENTS, "each event has one run, and all ended well");
    let seen = seen.lock().unwrap().clone();
    let requests: usize = seen.values().sum();
    assert!(seen.values().all(|times| (1..=2).contains(times)));
    assert!(requests <= EVENTS + AT_ONCE, "{} were repeated", requests - EVENTS);
    for run in &recorded {
        assert_eq!(seen[run["resource_id"].as_str().unwrap()], 1, "it was over before the kill: {run}");
    }
    assert_eq!(all(&admin, "/customers?key=COUNT%3D1").await.len(), EVENTS, "each run counted itself once");
}

/// All pages of a list that is asked for with a filter.
async fn all(admin: &Client, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{path}&limit=200{cursor}")).await.expect(200);
        all.extend_from_slice(page.items());
        match page.body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_run_cut_off_by_a_kill_is_closed_at_the_next_start() {
    let (base, seen) = peer().await;
    let program = Program::with(&[("SUTLER_EGRESS_EXCEPTIONS", r#"["127.0.0.0/8"]"#)]).await;
    let admin = program.admin().await;
    let body = format!("while true do http.put('{base}/a') end");
    let source = crate::triggers::block("PRE_CREATE", &body).replace("\"ANY\"", "\"CUSTOMER\"");
    admin.post("/triggers", json!({ "name": "ask", "source": source })).await.expect(201);
    let plan = admin.get("/plans").await.items()[0]["id"].clone();
    let asked = tokio::spawn({
        let (admin, body) = (admin.clone(), json!({ "name": "late", "plan_id": plan }));
        let request = admin.request(reqwest::Method::POST, "/customers").json(&body);
        async move { request.send().await.is_ok() }
    });
    eventually("the peer is asked", async || seen.lock().unwrap().contains_key("a").then_some(())).await;
    let program = program.kill_and_restart().await;
    assert!(!asked.await.unwrap(), "nobody was answered");
    let admin = program.admin().await;
    let runs = admin.get("/runs?state=dead").await.expect(200);
    assert!(runs.items()[0]["result"].as_str().unwrap().contains("its request was not carried out"), "{}", runs.text);
    assert!(admin.get("/customers?name=late").await.expect(200).items().is_empty());
}
