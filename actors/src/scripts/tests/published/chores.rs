//! Scripts that do their work at set times.

use super::{super::*, Stage};
use serde_json::json;
use sutler_model::{CustomerStatus, ServerState, Timestamp};

fn at(text: &str) -> Timestamp {
    Timestamp(sutler_lua::date_ms(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_months_invoices_are_put_on_the_accountants_server_as_csv() {
    let stage = Stage::answering(|_| (201, String::new())).await;
    stage.seller_keys(&[("EXPORT_URL", &format!("{}/in", stage.url)), ("EXPORT_LOGIN", "books:pass:word")]).await;
    let script = stage.load("export", include_str!("usage_csv.lua")).await;
    let plan = all::<Plan>(&stage.bench.system).await.remove(0);
    let new = crate::testing::new_customer("Quote \"and\", comma", &plan);
    let other = stage.bench.system.create_customer(&stage.bench.caller, new).await.unwrap().id;
    let customer = stage.bench.customer;
    stage.bench.invoice(customer, 1, "0.1", at("2015-02-01T00:00:00Z")).await;
    stage.bench.invoice(customer, 2, "0.2", at("2015-02-28T23:59:59Z")).await;
    stage.bench.invoice(other, 3, "1234.5", at("2015-02-14")).await;
    stage.bench.invoice(customer, 4, "99", at("2015-03-01T00:00:00Z")).await;
    stage.bench.invoice(customer, 5, "99", at("2015-01-31T23:59:59Z")).await;
    // Nothing but on the first of a month.
    stage.run(&script, at("2015-03-02T01:15:00Z")).await;
    assert!(stage.asked().is_empty());
    stage.run(&script, at("2015-03-01T01:15:00Z")).await;
    let asked = stage.asked().remove(0);
    assert_eq!(
        (asked.line.as_str(), asked.header("authorization")),
        ("PUT /in/2015-02.csv", "Basic Ym9va3M6cGFzczp3b3Jk")
    );
    let lines: Vec<&str> = asked.body.split("\r\n").collect();
    let wanted =
        ["customer,invoices,total", "Customer,2,0.30", "\"Quote \"\"and\"\", comma\",1,1234.50", "total,,1234.8", ""];
    assert_eq!(lines, wanted);
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_who_do_not_pay_are_reminded_and_then_disabled() {
    let stage = Stage::open().await;
    let script = stage.load("credit", include_str!("credit_control.lua")).await;
    let (late, _) = stage.bench.stranger().await;
    let plan = all::<Plan>(&stage.bench.system).await.remove(0);
    let new = crate::testing::new_customer("Prompt", &plan);
    let prompt = stage.bench.system.create_customer(&stage.bench.caller, new).await.unwrap().id;
    stage.bench.invoice(late, 1, "0.10", at("2015-01-01")).await;
    stage.bench.invoice(late, 2, "0.20", at("2015-02-01")).await;
    stage.bench.invoice(prompt, 3, "0", at("2015-01-01")).await;
    stage.bench.invoice(stage.bench.customer, 4, "5", at("2015-02-09")).await;
    let log = stage.run(&script, at("2015-02-20T06:00:00Z")).await;
    assert_eq!(log, "disabled Stranger: 0.3 since 50 days\n");
    for (customer, status) in [
        (late, CustomerStatus::Suspended),
        (prompt, CustomerStatus::Active),
        (stage.bench.customer, CustomerStatus::Active),
    ] {
        assert_eq!(stage.customer(customer).await.status, status);
    }
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_servers_follows_its_load() {
    let load = std::sync::Arc::new(std::sync::Mutex::new("1.4".to_owned()));
    let told = load.clone();
    let stage = Stage::answering(move |_| (200, told.lock().unwrap().clone())).await;
    let script = stage.load("scale", include_str!("autoscaler.lua")).await;
    stage.bench.user("ada").await;
    stage.customer_keys(&[("SCALE_URL", &format!("{}/load", stage.url)), ("SCALE_MAX", "3"), ("SCALE_MIN", "1")]).await;
    let first = stage.server("app-1", true).await;
    stage.server("other", true).await;
    let keys = crate::ServerPatch {
        keys: Some(super::stage::resource_keys(&[("SCALE_GROUP", "app")])),
        ..crate::ServerPatch::default()
    };
    stage.bench.system.update_server(&stage.bench.caller, first.id, None, keys).await.unwrap();
    let now = stage.bench.system.store().now();
    assert_eq!(stage.run(&script, now).await, "Customer: load 1.4, 1 of 2\n");
    let running = async |name: &str| stage.bench.server(name).await.is_some_and(|s| s.state == ServerState::Running);
    stage.bench.until(async || running("app-2").await).await;
    let second = stage.bench.server("app-2").await.unwrap();
    assert_eq!((second.cpu, second.memory_mib, second.image_id), (first.cpu, first.memory_mib, first.image_id));
    assert_eq!(stage.run(&script, now.plus_ms(1)).await, "Customer: load 1.4, 2 of 3\n");
    stage.bench.until(async || running("app-3").await).await;
    *load.lock().unwrap() = "down for maintenance".into();
    assert_eq!(stage.run(&script, now.plus_ms(2)).await, "no load of Customer\n");
    *load.lock().unwrap() = "0.2".into();
    assert_eq!(stage.run(&script, now.plus_ms(3)).await, "Customer: load 0.2, 3 of 1\n");
    stage
        .bench
        .until(async || stage.bench.server("app-2").await.is_none() && stage.bench.server("app-3").await.is_none())
        .await;
    assert!(running("app-1").await && running("other").await);
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_asks_of_nouns_that_are_not_here_is_told_by_their_name() {
    let stage = Stage::open().await;
    let script = stage.load("snapshots", include_str!("snapshot_schedule.lua")).await;
    stage.bench.user("ada").await;
    let server = stage.server("db", false).await;
    let keys = crate::ServerPatch {
        keys: Some(super::stage::resource_keys(&[("SNAPSHOT_DAILY", "7")])),
        ..crate::ServerPatch::default()
    };
    stage.bench.system.update_server(&stage.bench.caller, server.id, None, keys).await.unwrap();
    for (day, number) in [("2015-02-03T03:00:00Z", 1), ("2015-02-04T03:00:00Z", 2)] {
        let log = stage.run(&script, at(day)).await;
        assert!(log.contains("no snapshot of db: ") && log.contains("snapshots are not offered here"), "{log}");
        assert!(log.ends_with("1 failed\n"), "{log}");
        let keys = stage.bench.server("db").await.unwrap().keys;
        let told: Vec<_> =
            keys.iter().filter(|key| key.name == "SNAPSHOT_ERROR").map(|key| key.value.as_str()).collect();
        assert_eq!(told, [if number == 1 { "2015-02-03" } else { "2015-02-04" }]);
    }
    assert_eq!(json!(stage.asked().len()), json!(0));
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_find_what_their_author_expects() {
    let stage = Stage::open().await;
    let bench = &stage.bench;
    for (name, memory_mib, keys) in [
        ("db-1", 2048, vec![("tier", "gold"), ("group", "db")]),
        ("web-1", 512, vec![("tier", "tin"), ("other", "gold")]),
        ("web-2", 1024, vec![("group", "web")]),
    ] {
        let keys = super::stage::resource_keys(&keys);
        let new = sutler_model::NewServer { memory_mib, keys, ..bench.new_server(name, false) };
        let job = bench.system.create_server(&bench.caller, bench.customer, new, None).await.unwrap();
        bench.ended(job.id).await;
    }
    let script = stage.load("queries", include_str!("query_corners.lua")).await;
    let log = stage.run(&script, bench.system.store().now()).await;
    let wanted = "\
equal: db-1 web-2
default: db-1
not equal: web-1
starts: web-1 web-2
not starts: db-1
ends: db-1 web-1
not ends: web-2
contains: db-1 web-1 web-2
not contains:\x20
greater: db-1
at least: db-1 web-2
less: web-1
at most: web-1 web-2
between: web-1 web-2
not between: db-1 web-1
later:\x20
earlier: db-1 web-1 web-2
state: db-1 web-1 web-2
keys: db-1
one key: db-1
customer:\x20
ordered: db-1 web-2 web-1
page: web-2 web-1
conditions: 1
conditions: 0
ram: 3 3584 512 2048 1194.6666666667
note: firewalls are not offered here: a list of resources of the type FIREWALL
true
true\ttrue
";
    for (line, wanted) in log.lines().zip(wanted.lines()) {
        assert_eq!(line, wanted);
    }
    assert_eq!(log.lines().count(), wanted.lines().count(), "{log}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_people_follow_its_personnel_file() {
    let file = "email,first,last,mobile\r\nada@example.org,Ada,Lovelace,\"+44 1\"\r\n\
        Bob@example.org,Bob,\"Babbage, \"\"the elder\"\"\",+44 2\r\nnew@example.org,New,One,+44 3\r\n";
    let stage = Stage::answering(move |_| (200, file.into())).await;
    for name in ["ada", "bob", "eve"] {
        stage.bench.user(name).await;
    }
    stage.customer_keys(&[("USERS_URL", &stage.url)]).await;
    let script = stage.load("import", include_str!("user_import.lua")).await;
    let now = stage.bench.system.store().now();
    assert_eq!(stage.run(&script, now).await, "Customer: 1 made, 2 changed, 1 locked\n");
    let users = all::<User>(&stage.bench.system).await;
    let found: Vec<_> = users
        .iter()
        .filter(|user| user.customer_id.is_some())
        .map(|u| (u.email.as_str(), u.last_name.as_str(), u.contact.mobile_number.as_str(), u.locked))
        .collect();
    assert_eq!(
        found,
        [
            ("ada@example.org", "Lovelace", "+44 1", false),
            ("bob@example.org", "Babbage, \"the elder\"", "+44 2", false),
            ("eve@example.org", "Lovelace", "", true),
            ("new@example.org", "One", "+44 3", false),
        ]
    );
    assert_eq!(stage.run(&script, now.plus_ms(1)).await, "Customer: 0 made, 0 changed, 1 locked\n");
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_block_ships_is_public_and_images_are_offered_by_their_names() {
    let stage = Stage::open().await;
    let script = stage.load("style", include_str!("house_style.lua")).await;
    assert_eq!(script.info["NAME"], "House style");
    stage.logs("init", 1).await;
    let blobs = all::<sutler_model::Blob>(&stage.bench.system).await;
    assert_eq!((blobs.len(), blobs[0].name.as_str(), blobs[0].public), (1, "house.css", true));
    let (_, content) = stage.bench.system.blob_content(None, blobs[0].id).await.unwrap();
    assert_eq!(content, b"body { background: url(\"[[logo]]\"); }\n");
    let log = stage.run(&script, stage.bench.system.store().now()).await;
    assert_eq!(log, "House image (1 GB)\ttrue\n");
    let image: sutler_model::Image = stage.bench.system.store().get(stage.bench.image).await.unwrap().unwrap();
    assert_eq!(image.name, "House image (1 GB)");
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_held_against_what_the_seller_has_room_for() {
    let stage = Stage::open().await;
    let source = include_str!("capacity.lua").replace("https://alerts.example.net", &stage.url);
    let script = stage.load("capacity", &source).await;
    stage.server("web", true).await;
    stage.server("idle", false).await;
    let now = stage.bench.system.store().now();
    stage.seller_keys(&[("MAX_CPU", "2"), ("MAX_RAM", "1024"), ("MAX_WHAT", "x")]).await;
    assert_eq!(stage.run(&script, now).await, "LOG_INFO capacity: capacity is fine\n");
    stage.server("more", true).await;
    assert_eq!(
        stage.run(&script, now.plus_ms(1)).await,
        "LOG_ERROR capacity: cpu 4 of 2\nLOG_ERROR capacity: ram 2048 of 1024\n"
    );
    let asked = stage.asked().remove(0);
    assert_eq!((asked.line.as_str(), asked.header("authorization")), ("POST /v1/alerts", "Basic b3BzOg=="));
    let alerts = &asked.json()["alerts"];
    assert_eq!((&alerts[0]["used"], &alerts[0]["max"], &alerts[0]["servers"]), (&json!(4), &json!(2), &json!(2)));
    assert_eq!((&alerts[1]["what"], &alerts[1]["used"]), (&json!("ram"), &json!(2048)));
    stage.bench.stop().await;
}
