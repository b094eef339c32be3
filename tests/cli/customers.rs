//! Customers.

use super::Installation;
use serde_json::{Value, json};

#[tokio::test]
async fn a_customer_goes_with_its_servers_only_when_that_is_said() {
    let it = Installation::with_customer().await;
    for name in ["web-1", "web-2"] {
        let made = it.create_server(name, &[]);
        assert_eq!(made.code, 0, "{}", made.err);
    }
    let refused = it.say(&["customer", "delete", "Ada"]);
    assert_eq!(refused.code, 5, "{}", refused.err);
    assert!(refused.err.contains("still has 2 servers"), "{}", refused.err);
    let gone = it.json(&["customer", "delete", "Ada", "--cascade"]);
    assert_eq!((&gone["name"], &gone["status"]), (&Value::from("Ada"), &Value::from("closed")));
    assert_eq!(it.json(&["server", "list"]), Value::Array(Vec::new()));
    let kinds: Vec<Value> =
        it.json(&["job", "list"]).as_array().unwrap().iter().map(|job| job["kind"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "delete_server").count(), 2, "{kinds:?}");
    // Only customers have something to take along.
    assert_eq!(it.say(&["server", "delete", "web-1", "--cascade"]).code, 2);
}

#[tokio::test]
async fn how_people_customers_and_sellers_are_reached_is_kept_part_by_part() {
    let it = Installation::with_customer().await;
    it.ok(&["customer", "update", "Ada", "--vat-number", "GB1", "--address", "1 Main Street", "--address", "London"]);
    let changed = it.json(&["customer", "update", "Ada", "--vat-number", "GB2"]);
    assert_eq!(changed["contact"]["vat_number"], "GB2");
    assert_eq!(changed["contact"]["address"], json!(["1 Main Street", "London"]), "what is not said stays");
    let seller = it.json(&["billing-entity", "list"])[0]["id"].as_str().unwrap().to_owned();
    let refused = it.say(&["billing-entity", "update", &seller, "--control-panel", "javascript:alert(1)"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("must begin with https://"), "{}", refused.err);
    it.ok(&["billing-entity", "update", &seller, "--control-panel", "https://cp.example"]);
    let user = it.json(&["user", "list"])[0]["email"].as_str().unwrap().to_owned();
    let changed = it.json(&["user", "update", &user, "--mobile-number", "+44 7700 900123"]);
    assert_eq!(changed["contact"]["mobile_number"], "+44 7700 900123");
}
