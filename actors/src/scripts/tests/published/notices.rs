//! Scripts that tell the world outside of what happened.

use super::{super::*, Stage};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_library_for_lua_5_1_does_what_its_author_saw() {
    let stage = Stage::open().await;
    stage.load("library", include_str!("library.lua")).await;
    stage.server("web", false).await;
    let log = stage.logs("library_trigger", 1).await.remove(0);
    let expected = "\
web has 1024 MB and 1.0 GB
1|nil|true|2.5|BUILDING
a,b,,c
0.5 2 4.5
a m z
function\t42
42\tnil\t42
1,234,567.89\t-1,234.50\t0.30\t1,000,000,000
[1,000.75]\t[-1,000.25][0.50]\t1000\ttrue\ttrue\ttrue\ttrue\t[1,000.75]
Hi!\ttab\tend\tlong
text\t31\t1000\t0.5\t3\t2\t1\t1024\t3.5\t0.25
0\t3\ttrue\tfalse\ttrue\t15\t1020
2\t42\tsuspended
set!\ty?\tnil\tfunction\tnil
true\t2\tplain
ababab\t\tcba\t 3.14|ab    |000042|ff|\"a \\\"b\\\"\"
12345678901234\t1395000000000\t1000000000000000\t9007199254740992\t0.33333333333333\t110\t1e-07
7\t1\t8\t7\t-2
a1b2\t2\t2014\t03\t09
deep
22\t2\ttrue
";
    for (line, wanted) in log.lines().zip(expected.lines()) {
        assert_eq!(line, wanted);
    }
    assert_eq!(log.lines().count(), expected.lines().count(), "{log}");
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_jobs_are_posted_to_a_chat_room() {
    let stage = Stage::open().await;
    stage.seller_keys(&[("chat_webhook", &format!("{}/hook", stage.url))]).await;
    stage.load("chat", include_str!("chat_notice.lua")).await;
    stage.server("web", false).await;
    stage.logs("chat_trigger", 1).await;
    let asked = stage.asked().remove(0);
    assert_eq!((asked.line.as_str(), asked.header("content-type")), ("POST /hook", "application/json; charset=utf-8"));
    let message = asked.json();
    assert_eq!(message["text"], "*CREATE_SERVER* of SERVER `web`: SUCCESSFUL");
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["color"], "good");
    assert_eq!(attachment["fields"][0], json!({"title": "Customer", "value": "Customer", "short": true}));
    let took = attachment["fields"].as_array().unwrap().iter().find(|field| field["title"] == "Took").unwrap();
    let took = took["value"].as_str().unwrap().strip_suffix(" s").unwrap();
    assert!(took.parse::<f64>().is_ok() && took.len() <= 4, "{took}");
    assert!(attachment["ts"].as_i64().is_some_and(|ts| ts > 1_400_000_000), "whole seconds: {attachment}");
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_of_running_servers_are_kept_in_dns_in_both_directions() {
    let stage = Stage::open().await;
    stage.seller_keys(&[("DNS_ZONE", "cloud.test."), ("DNS_SERVER", &stage.url)]).await;
    stage.load("dns", include_str!("reverse_dns.lua")).await;
    let server = stage.server("web--01", true).await;
    let address = server.nics.iter().flat_map(|nic| &nic.addresses).find(|a| !a.contains(':')).cloned();
    stage.logs("dns_trigger", 1).await;
    let Some(address) = address else { panic!("a running server has an address: {server:?}") };
    let mut octets: Vec<&str> = address.split('.').collect();
    octets.reverse();
    let asked = stage.asked();
    assert_eq!(asked[0].line, "PUT /zones/cloud.test.");
    let set = &asked[0].json()["rrsets"][0];
    assert_eq!(set["name"], "web-01.cloud.test.");
    assert_eq!((&set["ttl"], &set["records"]), (&json!(1800), &json!([{"content": address, "disabled": false}])));
    assert_eq!(asked[1].line, format!("PUT /zones/{}.in-addr.arpa.", octets[1..].join(".")));
    assert_eq!(asked[1].json()["rrsets"][0]["name"], format!("{}.in-addr.arpa.", octets.join(".")));
    let job = stage.bench.act(server.id, crate::ServerAction::Delete, "gone").await;
    stage.bench.ended(job.id).await;
    stage.logs("dns_trigger", 2).await;
    let last = stage.asked().pop().unwrap();
    assert_eq!(last.json()["rrsets"][0]["changetype"], "DELETE");
    assert_eq!(last.json()["rrsets"][0]["records"], json!([]));
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_change_something_are_written_into_the_system_log() {
    let stage = Stage::open().await;
    stage.load("audit", include_str!("api_audit.lua")).await;
    let user = stage.bench.user("ada").await;
    let plan = all::<Plan>(&stage.bench.system).await.remove(0);
    let customer = stage.bench.customer;
    let mut own = caller(&plan, Role::CustomerAdmin, Scope::Customer(customer), Some(customer));
    own.user_id = Some(user.id);
    own.cause = sutler_model::Cause::Request { request_id: "r-1".into(), user_id: Some(user.id) };
    for (operation, method) in [("createServer", "POST"), ("listResources", "GET")] {
        let call =
            crate::ApiCall { operation, method, path: "/api/v1/servers", changes: method != "GET", refusable: true };
        let under_way = stage.bench.system.begin_call(&own, call).await.unwrap().expect("somebody wants to know");
        under_way.ended(200);
    }
    let logs = stage.logs("user_call_trigger", 1).await;
    assert!(logs[0].contains("user createServer by ada@example.org for Customer"), "{logs:?}");
    assert_eq!(logs.len(), 1, "what only reads is not told");
    stage.bench.stop().await;
}
