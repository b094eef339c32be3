//! Providers of settings and of kinds of resource, with a service behind them.

use super::{super::*, Stage};
use crate::{NewPluggable, PluggablePatch, ServerAction};
use serde_json::json;
use std::collections::BTreeMap;
use sutler_model::PluggableResource;

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_monitored_as_their_settings_say() {
    let stage = Stage::answering(|asked| {
        if asked.header("authorization") != "Bearer t0ken" {
            return (401, String::new());
        }
        match asked.line.as_str() {
            "GET /account" => (200, r#"{"id": "ACC-1"}"#.into()),
            "POST /checks" => (201, r#"{"id": "CHK-1"}"#.into()),
            "GET /checks/CHK-1" => (200, r#"{"state": "up", "uptime": 0.999, "since": 1425168000}"#.into()),
            "DELETE /checks/CHK-1" => (204, String::new()),
            _ => (404, String::new()),
        }
    })
    .await;
    let bench = &stage.bench;
    let (system, caller) = (&bench.system, &bench.caller);
    stage.load("monitoring", include_str!("monitoring_provider.lua")).await;
    let seller = caller.billing_entity_id.0;
    let server = stage.server("web", false).await;
    let error = system.invoke_action(caller, server.id.0, "MONITORING", "SIGN_IN", &texts(&[])).await.unwrap_err();
    assert!(error.to_string().contains("No account is linked (404)"), "{error}");
    let link = |url: &str, token: &str| texts(&[("url", url), ("token", token)]);
    let error = system.invoke_action(caller, seller, "MONITORING", "LINK", &link("ftp://x", "y")).await.unwrap_err();
    assert!(error.to_string().contains("A web address is needed"), "{error}");
    let error = system.invoke_action(caller, seller, "MONITORING", "LINK", &link(&stage.url, "bad")).await.unwrap_err();
    assert!(error.to_string().contains("did not take the token (401)"), "{error}");
    let linked = system.invoke_action(caller, seller, "MONITORING", "LINK", &link(&stage.url, "t0ken")).await.unwrap();
    assert_eq!(linked.answer.unwrap().content["message"], "Linked to account ACC-1");
    let set = async |values: &[(&str, &str)]| {
        system.set_provider_values(caller, server.id.0, "MONITORING", &texts(values)).await
    };
    assert!(set(&[("enabled", "TRUE"), ("interval", "5")]).await.is_err(), "30 seconds at least");
    set(&[("enabled", "TRUE"), ("interval", "300")]).await.unwrap();
    let asked = stage.asked().pop().unwrap();
    assert_eq!((asked.line.as_str(), asked.json()), ("POST /checks", json!({"host": "web", "interval": 300})));
    let now: Server = system.store().get(server.id).await.unwrap().unwrap();
    assert_eq!(now.provider_values["MONITORING"]["check"], "CHK-1");

    let details = system.invoke_action(caller, server.id.0, "MONITORING", "DETAILS", &texts(&[])).await.unwrap();
    let content = details.answer.unwrap().content;
    assert_eq!(content["values"][1]["value"], "99.9 %");
    assert_eq!(content["values"][2]["value"], "2015/03/01 00:00:00");
    let sign_in = system.invoke_action(caller, server.id.0, "MONITORING", "SIGN_IN", &texts(&[])).await.unwrap();
    let content = sign_in.answer.unwrap().content;
    assert_eq!((&content["method"], &content["url"]), (&json!("POST"), &json!(format!("{}/login", stage.url))));
    assert_eq!(content["params"]["headers"]["X-Server"], json!(server.id.to_string()));

    let job = bench.act(server.id, ServerAction::Delete, "gone").await;
    bench.ended(job.id).await;
    stage.logs("monitoring_delete_trigger", 1).await;
    assert_eq!(stage.asked().pop().unwrap().line, "DELETE /checks/CHK-1");
    let unlink =
        system.invoke_action(caller, seller, "MONITORING", "UNLINK", &texts(&[("CONFIRM", "TRUE")])).await.unwrap();
    assert_eq!(unlink.answer.unwrap().content["refresh"], true);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zones_of_a_name_server_are_a_kind_of_resource() {
    let stage = Stage::answering(|asked| match asked.line.as_str() {
        "PUT /taken.example" => (409, String::new()),
        "GET /acme.example" => (200, "@ IN SOA".into()),
        line if line.starts_with("PUT ") => (201, "2015030101".into()),
        line if line.starts_with("DELETE ") => (204, String::new()),
        _ => (404, String::new()),
    })
    .await;
    stage.seller_keys(&[("NAME_SERVER", &stage.url)]).await;
    let script = stage.load("zones", include_str!("dns_zones.lua")).await;
    let bench = &stage.bench;
    let (system, caller) = (&bench.system, &bench.caller);
    let zone = |name: &str, values: &[(&str, &str)]| NewPluggable {
        id: None,
        name: name.into(),
        provider_type: "DNS_ZONE".into(),
        customer_id: Some(bench.customer),
        values: texts(values),
        keys: Vec::new(),
    };
    for (name, words) in
        [("nonsense", "'nonsense' is not the name of a zone (400)"), ("taken.example", "The name server said no (409)")]
    {
        let error = system.create_pluggable(caller, zone(name, &[])).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let made = system.create_pluggable(caller, zone("acme.example", &[("ttl", "600")])).await.unwrap();
    assert_eq!(made.values["serial"], "2015030101");
    assert_eq!(stage.asked().pop().unwrap().body, "ttl=600");
    let patch = PluggablePatch { values: texts(&[("ttl", "900")]), ..PluggablePatch::default() };
    let changed = system.update_pluggable(caller, made.id, None, patch).await.unwrap();
    assert_eq!(changed.values["serial"], "2015030102");
    let records = system.invoke_pluggable(caller, made.id, "RECORDS", &texts(&[])).await.unwrap();
    assert_eq!(records.answer.unwrap().content, "@ IN SOA");
    system.create_pluggable(caller, zone("other.example", &[("ttl", "900")])).await.unwrap();
    system.create_pluggable(caller, zone("slow.example", &[("ttl", "7200")])).await.unwrap();
    let report = system.make_report(caller, script.id, "zone_report", &texts(&[("most", "3600")])).await.unwrap();
    let content: serde_json::Value = serde_json::from_str(report.answer.unwrap().content.as_str().unwrap()).unwrap();
    assert_eq!(content, json!({"title": "Zones", "series": [{"x": "15 min", "y": 2}]}));
    system.delete_pluggable(caller, made.id, None).await.unwrap();
    assert_eq!(stage.asked().pop().unwrap().line, "DELETE /acme.example");
    assert_eq!(all::<PluggableResource>(system).await.len(), 2);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_lists_what_a_customer_has() {
    let stage = Stage::open().await;
    let bench = &stage.bench;
    let script = stage.load("inventory", include_str!("inventory.lua")).await;
    stage.server("web", true).await;
    let new = sutler_model::NewServer { memory_mib: 512, cpu: 1, ..bench.new_server("small", false) };
    let job = bench.system.create_server(&bench.caller, bench.customer, new, None).await.unwrap();
    bench.ended(job.id).await;
    let (other, stranger) = bench.stranger().await;
    let theirs = bench.new_server("theirs", false);
    let job = bench.system.create_server(&bench.caller, other, theirs, None).await.unwrap();
    bench.ended(job.id).await;
    let made = async |caller: &Caller, given: &[(&str, &str)]| {
        bench.system.make_report(caller, script.id, "inventory_report", &texts(given)).await
    };
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let own = caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer));
    let report = made(&own, &[("order", "ram")]).await.unwrap().answer.unwrap();
    let small = bench.server("small").await.unwrap();
    let web = bench.server("web").await.unwrap();
    let address = |server: &Server| server.nics[0].addresses.first().cloned().unwrap_or("-".into());
    let wanted = [
        format!("small; Customer; STOPPED; 1; 0.5 GB; 10 GB; {}; tiny; {}", address(&small), plan.name),
        format!("web; Customer; RUNNING; 2; 1 GB; 10 GB; {}; tiny; {}", address(&web), plan.name),
        format!("{}: 2 servers, 3 cores, 1.5 each", plan.name),
    ];
    assert_eq!(report.content.as_str().unwrap().lines().collect::<Vec<_>>(), wanted);
    let report = made(&stranger, &[("order", "cpu"), ("image", &bench.image.to_string())]).await;
    assert!(report.unwrap().answer.unwrap().content.as_str().unwrap().starts_with("theirs; Stranger; "));
    let error = made(&own, &[("order", "colour")]).await.unwrap_err().to_string();
    assert!(error.contains("values.order"), "{error}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn licences_by_the_core_are_guarded_measured_and_charged() {
    let settings = Settings { measure_every_ms: 100, ..Settings::default() };
    let stage = Stage::with(|_| (204, String::new()), settings).await;
    let bench = &stage.bench;
    let (system, caller) = (&bench.system, &bench.caller);
    let script = stage.load("licences", include_str!("core_licences.lua")).await;
    let plan = all::<Plan>(system).await.remove(0);
    let charge = sutler_model::PlanCharge {
        component: "DB_LICENCE_LICENCE".into(),
        resource_type: "SERVER".into(),
        script_id: Some(script.id),
        function: None,
        values: texts(&[("price", "0.5")]),
    };
    let patch =
        crate::PlanPatch { charges: Some(vec![charge]), unit_price: Some("2".parse().unwrap()), ..Default::default() };
    system.update_plan(caller, plan.id, None, patch).await.unwrap();
    let new = |name: &str, cpu: u32| sutler_model::NewServer {
        cpu,
        provider_values: [("DB_LICENCE".to_owned(), texts(&[("EDITION", "ENTERPRISE")]))].into(),
        ..bench.new_server(name, true)
    };
    let refused = system.create_server(caller, bench.customer, new("small", 1), None).await.unwrap_err().to_string();
    assert!(refused.contains("the enterprise edition needs two cores"), "{refused}");
    let job = system.create_server(caller, bench.customer, new("db", 3), None).await.unwrap();
    bench.ended(job.id).await;
    let server = bench.server("db").await.unwrap();
    assert_eq!(server.provider_values["DB_LICENCE"], texts(&[("CORES", "4"), ("EDITION", "ENTERPRISE")]));
    let shown = system.invoke_action(caller, server.id.0, "DB_LICENCE", "SHOW", &texts(&[])).await.unwrap();
    assert_eq!(shown.answer.unwrap().content["values"][1]["value"], "4");
    let drawn = async || system.preview_invoice(caller, bench.customer, None, None).await.unwrap();
    bench.until(async || !drawn().await.charges.is_empty()).await;
    assert_eq!(drawn().await.charges[0].description, "4 licensed cores");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_sets_what_its_form_leaves_to_it_and_advertises_its_resources() {
    let stage = Stage::open().await;
    let script = stage.load("certificates", include_str!("certificates.lua")).await;
    let bench = &stage.bench;
    let (system, caller) = (&bench.system, &bench.caller);
    let new = NewPluggable {
        id: None,
        name: "shop".into(),
        provider_type: "CERT".into(),
        customer_id: Some(bench.customer),
        values: texts(&[("cn", "shop.example")]),
        keys: Vec::new(),
    };
    let made = system.create_pluggable(caller, new).await.unwrap();
    let act = async |key: &str| {
        let done = system.invoke_pluggable(caller, made.id, key, &texts(&[])).await.unwrap();
        done.answer.unwrap().content
    };
    assert_eq!(act("RENEW").await, "SUCCESSFUL 2016-05-31");
    act("advertise").await;
    let now: PluggableResource = system.store().get(made.id).await.unwrap().unwrap();
    assert_eq!((now.values["expires"].as_str(), now.values["cn"].as_str()), ("2016-05-31", "shop.example"));
    assert_eq!((now.keys[0].value.as_str(), now.keys[0].kind), ("shop.example", sutler_model::KeyKind::Advertise));
    // Nobody else sets it.
    let patch = PluggablePatch { values: texts(&[("expires", "2099-01-01")]), ..PluggablePatch::default() };
    let error = system.update_pluggable(caller, made.id, None, patch).await.unwrap_err().to_string();
    assert!(error.contains("set by its provider only"), "{error}");
    let other = r#"
        function register() return { "other" } end
        function other(p)
            if p == nil then return { ref = "o", triggerType = "SCHEDULED", schedule = { frequency = { HOUR = 24 } }, api = "TRIGGER" } end
            local c = adminAPI:listResources(nil, nil, new("ResourceType", "PLUGGABLE_RESOURCE")):getList():get(0)
            c:getResourceValues():put("expires", "2099-01-01")
            print(select(2, pcall(adminAPI.modifyPluggableResource, adminAPI, c, nil)))
        end
    "#;
    let other = stage.load("other", other).await;
    let log = stage.run(&other, sutler_model::Timestamp(1)).await;
    assert!(log.contains("values.expires: is set by its provider only"), "{log}");
    stage.server("web", false).await;
    let run = system.run_script(caller, script.id, Some("cert_offers".into()), None).await.unwrap();
    let mut log = String::new();
    bench
        .until(async || {
            let run: ScriptRun = system.store().get(run.id).await.unwrap().unwrap();
            log.clone_from(&run.log);
            run.finished_at.is_some()
        })
        .await;
    assert_eq!(log, "SERVER\t1\tSERVER\nDISK\t1\tDISK\nNETWORK\t0\tfalse\n1\t1\t0\n");
    bench.stop().await;
}
