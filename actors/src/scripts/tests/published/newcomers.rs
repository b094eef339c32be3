//! Scripts that look after customers and their people: the first server, running out of money, and guessed passwords.

use super::{super::*, Stage};
use crate::CustomerPatch;
use serde_json::json;
use sutler_model::{Cause, Timestamp};

fn at(text: &str) -> Timestamp {
    Timestamp(sutler_lua::date_ms(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_customers_first_user_finds_a_running_server() {
    let stage = Stage::open().await;
    // Another customer's servers are none of the session user's.
    stage.server("others", false).await;
    stage.load("provision", include_str!("first_server.lua")).await;
    let (customer, _) = stage.bench.stranger().await;
    stage.bench.user_of(customer, "ada").await;
    let log = stage.logs("provision_first_server", 1).await;
    assert_eq!(log, ["first 1 512 1 20 STOPPED tiny\nSTART_SERVER SUCCESSFUL SERVER\n"]);
    assert_eq!(stage.bench.server("first").await.unwrap().customer_id, customer);
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_who_owe_too_much_are_told_once_a_day() {
    let stage = Stage::answering(|_| (200, "ok".into())).await;
    let source = include_str!("credit_warning.lua").replace("https://chat.example.net", &stage.url);
    let script = stage.load("credit", &source).await;
    stage.bench.user("ada").await;
    let (fine, _) = stage.bench.stranger().await;
    stage.bench.user_of(fine, "bob").await;
    let patch = CustomerPatch { warning_level: Some(Some("-1".parse().unwrap())), ..CustomerPatch::default() };
    stage.bench.system.update_customer(&stage.bench.caller, fine, None, patch).await.unwrap();
    stage.bench.invoice(stage.bench.customer, 1, "12.5", at("2029-12-30T10:00:00Z")).await;
    assert_eq!(stage.run(&script, at("2030-01-01T08:00:00Z")).await, "chat answered 200\n");
    let told = stage.asked().remove(0).json();
    let ada = json!({"admin": true, "balance": -12.5, "customer": "Customer", "email": "ada@example.org"});
    // The seller's own customer is one of those of the status ADMIN, which the script asks for.
    let own = json!({"admin": true, "balance": 0, "customer": "Provider", "email": "admin@example.org"});
    assert_eq!((&told["total"], &told["who"]), (&json!(2), &json!([own, ada])));
    stage.run(&script, at("2030-01-01T08:30:00Z")).await;
    assert_eq!(stage.asked().pop().unwrap().json()["total"], json!(0));
    stage.run(&script, at("2030-01-02T08:00:00Z")).await;
    assert_eq!(stage.asked().pop().unwrap().json()["total"], json!(2));
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_sign_ins_are_counted_on_the_user_who_is_locked_for_a_while() {
    let (relay, mut mails) = super::super::mail::relay().await;
    let egress = sutler_lua::Egress { relay: Some(relay.parse().unwrap()), ..sutler_lua::Egress::default() };
    let stage = Stage::with(|_| (204, String::new()), Settings { egress, ..Settings::default() }).await;
    let script = stage.load("force", include_str!("brute_force.lua")).await;
    let (ada, bob) = (stage.bench.user("ada").await, stage.bench.user("bob").await);
    let system = &stage.bench.system;
    let request = |user: &User| Cause::Request { request_id: "r".into(), user_id: Some(user.id) };
    for failures in 1..=3 {
        system.sign_in_failed(&ada, request(&ada));
        stage.logs("count_failures", failures).await;
    }
    let (to, _) = mails.recv().await.expect("a mail");
    assert_eq!(to, ["security@example.net"]);
    let user = async |user: &User| system.store().get::<User>(user.id).await.unwrap().unwrap();
    let key = &user(&ada).await.keys[0];
    assert_eq!((user(&ada).await.locked, key.name.as_str(), key.value.as_str()), (true, "FAILED_LOGINS", "3"));
    assert!(!user(&bob).await.locked);
    let run = system.run_script(&stage.bench.caller, script.id, Some("unlock_again".into()), None).await.unwrap();
    let mut log = String::new();
    stage
        .bench
        .until(async || {
            let run: ScriptRun = system.store().get(run.id).await.unwrap().unwrap();
            log.clone_from(&run.log);
            run.finished_at.is_some()
        })
        .await;
    assert_eq!(log, "unlocked ada@example.org true\n");
    assert!(!user(&ada).await.locked && user(&ada).await.keys.is_empty());
    stage.bench.stop().await;
}
