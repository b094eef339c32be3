//! One package of everything a provider of backups has: settings and secrets, measures and charges, a widget.

use super::{super::*, Stage};
use crate::{NewPluggable, PlanPatch, ServerAction};
use serde_json::json;
use std::collections::BTreeMap;
use sutler_model::{BillingEntity, PlanCharge, Timestamp};

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_hides_its_passwords_and_is_measured_charged_and_shown() {
    let settings = Settings { measure_every_ms: 1_000, ..Settings::default() };
    let answers = |asked: &super::stage::Asked| {
        // `ops:s3cret`
        if asked.header("authorization") != "Basic b3BzOnMzY3JldA==" {
            return (401, String::new());
        }
        match asked.line.as_str() {
            "GET /whoami" => (200, r#"{"name": "Acme", "tenants": [{"id": 7}, {"id": 8}]}"#.into()),
            line if line.starts_with("GET /vaults/") => (200, r#"{"bytes": "2684354560"}"#.into()),
            line if line.starts_with("DELETE /vaults/") => (204, String::new()),
            _ => (404, String::new()),
        }
    };
    let stage = Stage::with(answers, settings).await;
    let bench = &stage.bench;
    let (system, caller) = (&bench.system, &bench.caller);
    let script = stage.load("vault", include_str!("backup_vault.lua")).await;
    let seller = caller.billing_entity_id.0;
    let act = async |id, action: &str, given: &[(&str, &str)]| {
        system.invoke_action(caller, id, "BACKUP_VAULT", action, &texts(given)).await
    };
    let link = |secret| [("url", stage.url.as_str()), ("user", "ops"), ("secret", secret), ("group", "eu")];
    let error = act(seller, "LINK", &link("wrong")).await.unwrap_err().to_string();
    assert!(error.contains("HTTP 401 (401)"), "{error}");
    let linked = act(seller, "LINK", &link("s3cret")).await.unwrap();
    assert_eq!(linked.answer.unwrap().content["message"], "#__LINKED");
    let kept = all::<BillingEntity>(system).await.into_iter().find(|each| each.id.0 == seller).unwrap();
    assert_eq!(kept.provider_values["BACKUP_VAULT"]["group"], "eu/7");

    let plan = all::<Plan>(system).await.remove(0);
    let charge = PlanCharge {
        component: "BACKUP_VAULT_CONFIG".into(),
        resource_type: "SERVER".into(),
        script_id: Some(script.id),
        function: Some("vault_billing".into()),
        values: texts(&[("price", "0.5")]),
    };
    let patch =
        PlanPatch { charges: Some(vec![charge]), unit_price: Some("2".parse().unwrap()), ..PlanPatch::default() };
    system.update_plan(caller, plan.id, None, patch).await.unwrap();
    let server = stage.server("web", false).await;
    let set = [("enabled", "TRUE"), ("frequency", "6"), ("password", "hunter22")];
    system.set_provider_values(caller, server.id.0, "BACKUP_VAULT", &texts(&set)).await.unwrap();
    let now: Server = system.store().get(server.id).await.unwrap().unwrap();
    assert_eq!(now.provider_values["BACKUP_VAULT"]["password"], "********");
    let shown = act(server.id.0, "DETAILS", &[]).await.unwrap().answer.unwrap().content;
    assert_eq!((&shown["values"][0]["value"], &shown["values"][1]["value"]), (&json!("6 hour"), &json!("set")));
    let agent = act(server.id.0, "AGENT", &[("os", "windows")]).await.unwrap().answer.unwrap().content;
    let url = agent["url"].as_str().unwrap();
    assert!(url.ends_with("/download?headers=%7B%22Content-Disposition%22%3A%22attachment%22%7D"), "{url}");

    bench
        .until(async || {
            let found = system.measurements(server.id.0, Timestamp(0), Timestamp(i64::MAX), 10).await.unwrap();
            found.items.iter().any(|each| each.values.values().any(|value| value.value.0 > 0))
        })
        .await;
    let preview = system.preview_invoice(caller, bench.customer, None, None).await.unwrap();
    let told: Vec<_> = preview.charges.iter().map(|c| (c.description.as_str(), c.amount.to_string())).collect();
    assert_eq!(told, [("2.5 GB in the vault", "2.5".to_owned())]);

    let widget = |css: &str| NewPluggable {
        id: None,
        name: "vaults".into(),
        provider_type: "VAULT_WIDGET".into(),
        customer_id: None,
        values: texts(&[("REFRESH_TIME", "60"), ("RESOURCE_ICON", "FONT_ICON_LOCK"), ("CSS", css)]),
        keys: Vec::new(),
    };
    let error = system.create_pluggable(caller, widget("bad")).await.unwrap_err().to_string();
    assert!(error.contains("No such style (400)"), "{error}");
    let made = system.create_pluggable(caller, widget("ul{}")).await.unwrap();
    let key = "GET_CONTENT";
    let content = system.invoke_pluggable(caller, made.id, key, &texts(&[])).await.unwrap().answer.unwrap().content;
    let content: serde_json::Value = serde_json::from_str(content.as_str().unwrap()).unwrap();
    assert_eq!(content, json!({"css": "ul{}", "html": "<ul><li>web</li></ul>1", "javascript": ""}));

    let job = bench.act(server.id, ServerAction::Delete, "gone").await;
    bench.ended(job.id).await;
    let deleted = format!("DELETE /vaults/{}", server.id);
    bench.until(async || stage.asked().iter().any(|asked| asked.line == deleted)).await;
    act(seller, "UNLINK", &[("confirm", "TRUE")]).await.unwrap();
    bench.stop().await;
}
