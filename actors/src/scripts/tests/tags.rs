//! Entries that are only for customers who carry a tag.

use super::*;
use crate::NewCustomer;
use sutler_model::{KeyKind, ResourceKey};

fn tagged(trigger: &str, option: &str, body: &str) -> String {
    block(trigger, &format!("\"{option}\""), body)
        .replace("version = 1", "version = 1, includeCustomerTags = { \"vip\", \"OPEN\" }")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_with_tags_runs_for_customers_that_carry_one_and_for_nobody_else() {
    let bench = Bench::start().await;
    let name = "print(p.input:getFirstName())";
    let tagged = bench.script("tagged", Scope::Provider, tagged("POST_CREATE", "USER", name)).await;
    let all = bench.script("all", Scope::Provider, block("POST_CREATE", r#""USER""#, name)).await;
    let (stranger, _) = bench.stranger().await;
    bench.user("ada").await;
    bench.user_of(stranger, "eve").await;
    bench.open().await;
    bench.user("bob").await;
    let of = |runs: &[ScriptRun], script: &Script| -> Vec<String> {
        runs.iter().filter(|run| run.script_id == script.id).map(|run| run.log.trim().to_owned()).collect()
    };
    let runs = bench.runs_until(|runs| of(runs, &all).len() == 3 && !of(runs, &tagged).is_empty()).await;
    assert_eq!(of(&runs, &tagged), ["bob"], "{runs:#?}");
    // Past events are gone through by the tags of now.
    let past =
        crate::ReplayRequest { source: None, from: sutler_model::Timestamp(0), from_seq: None, to: None, limit: 100 };
    let replay = bench.system.replay_script(&bench.caller, tagged.id, past).await.unwrap();
    let logs: Vec<&str> = replay.items.iter().map(|run| run.log.trim()).collect();
    assert_eq!(logs, ["ada", "bob"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_entry_with_tags_asks_about_those_who_carry_one_newcomers_too() {
    let bench = Bench::start().await;
    let no = r#"do return { exitState = "FAILURE", reason = "not for you" } end"#;
    bench.script("servers", Scope::Provider, tagged("PRE_CREATE", "SERVER", no)).await;
    bench.script("customers", Scope::Provider, tagged("PRE_CREATE", "CUSTOMER", no)).await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    bench.open().await;
    let new = bench.new_server("db", false);
    let refused = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect_err("refused");
    assert!(refused.to_string().contains("not for you"), "{refused}");

    let plan = all::<Plan>(&bench.system).await.remove(0);
    let newcomer = |name: &str, key: &str| NewCustomer {
        keys: vec![ResourceKey {
            name: key.into(),
            value: "x".into(),
            kind: KeyKind::BillingEntity,
            ..ResourceKey::default()
        }],
        ..crate::testing::new_customer(name, &plan)
    };
    bench.system.create_customer(&bench.caller, newcomer("Plain", "level")).await.expect("taken");
    let refused = bench.system.create_customer(&bench.caller, newcomer("Very", "VIP")).await.expect_err("refused");
    assert!(refused.to_string().contains("not for you"), "{refused}");
    bench.stop().await;
}
