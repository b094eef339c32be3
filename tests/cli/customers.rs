//! Customers.

use super::Installation;
use serde_json::Value;

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
