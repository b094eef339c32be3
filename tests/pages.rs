//! Lists: pages, order, filters, selected fields.

use crate::support::World;
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn pages_follow_one_another_without_gaps_or_repeats() {
    let world = World::new().await;
    for n in 0..7 {
        let body = json!({ "name": format!("Customer {n}"), "plan_id": world.plan });
        world.admin.post("/customers", body).await.expect(201);
    }
    for order in ["asc", "desc"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = world.admin.get(&format!("/customers?limit=4&order={order}{cursor}")).await.expect(200);
            seen.extend(page.items().iter().map(|c| c["id"].as_str().unwrap().to_owned()));
            match page.body["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 9);
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 9);
        let mut sorted = seen.clone();
        sorted.sort();
        if order == "desc" {
            sorted.reverse();
        }
        assert_eq!(seen, sorted, "ids are in order of creation");
    }
}

#[tokio::test]
async fn filters_combine_and_fields_are_chosen() {
    let world = World::new().await;
    let ada = &world.ada.client;
    let first = world.running_server(ada, "web-1").await;
    world.running_server(ada, "web-2").await;
    world.running_server(&world.bob.client, "web-1").await;
    let found = world.admin.get("/servers?name=WEB-1&state=running,stopped&fields=id,name").await.expect(200);
    assert_eq!(found.items().len(), 2);
    assert!(found.items().iter().all(|s| s.as_object().unwrap().keys().eq(["id", "name"])), "{}", found.text);
    let of_ada = world.admin.get(&format!("/servers?name=web-1&customer_id={}", world.ada.id)).await.expect(200);
    assert_eq!(of_ada.items()[0]["id"], first);
    assert!(world.admin.get("/servers?state=stopped").await.expect(200).items().is_empty());
    let one = ada.get(&format!("/servers/{first}?fields=name")).await.expect(200);
    assert_eq!(one.body, json!({ "name": "web-1" }));
    assert!(one.header("etag").starts_with('"'));
    let jobs = ada.get(&format!("/jobs?item_id={first}&state=successful")).await.expect(200);
    assert_eq!(jobs.items().len(), 1);
    let nothing = ada.get(&format!("/servers/{first}?fields=secret")).await.problem(400, "malformed");
    assert_eq!(nothing.fields(), ["fields"]);
}

#[tokio::test]
async fn a_cursor_of_one_list_is_refused_by_another() {
    let world = World::new().await;
    let page = world.admin.get("/users?limit=1").await.expect(200);
    let cursor = page.body["next"].as_str().unwrap();
    world.admin.get(&format!("/customers?limit=1&cursor={cursor}")).await.problem(400, "malformed");
}
