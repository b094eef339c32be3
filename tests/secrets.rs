//! What a form calls a password is shown to nobody, whatever becomes of the form and of the resource.

use crate::{providers::SUPPORT, support::World};
use serde_json::json;

/// Everything that the provider and a customer are told of the customer's resources, and of what has to do with them.
async fn told(world: &World, resources: &[&str]) -> String {
    let mut told = String::new();
    for client in [&world.admin, &world.ada.client, &world.bob.client] {
        let mut paths: Vec<String> = resources.iter().map(|path| (*path).to_owned()).collect();
        for list in
            ["servers", "disks", "pluggable-resources", "pluggable-providers", "jobs", "runs", "invoices", "plans"]
        {
            paths.push(format!("/{list}"));
        }
        paths.push(format!("/customers/{}", world.ada.id));
        paths.push(format!("/customers/{}/invoice-preview", world.ada.id));
        for list in ["jobs", "runs", "invoices"] {
            let found = client.get(&format!("/{list}")).await.expect(200);
            paths.extend(found.items().iter().map(|item| format!("/{list}/{}", item["id"].as_str().expect("an id"))));
        }
        for path in paths {
            told.push_str(&client.get(&path).await.text);
        }
    }
    told
}

#[tokio::test]
async fn a_password_in_a_form_is_shown_to_nobody_when_its_block_is_disabled_or_deleted_or_its_resource_is_gone() {
    let world = World::new().await;
    let (admin, ada) = (&world.admin, &world.ada.client);
    let script = admin.post("/triggers", json!({ "name": "support", "source": SUPPORT })).await.expect(201).id();
    let block = format!("/triggers/{script}");
    let charges = json!([{ "component": "SUPPORT_CONTRACT", "resource_type": "SERVER", "script_id": script,
        "values": { "gold": "9.99" } }]);
    admin.patch(&format!("/plans/{}", world.plan), json!({ "charges": charges })).await.expect(200);
    let server = world.running_server(ada, "web").await;
    let values = json!({ "values": { "level": "GOLD", "pin": "open sesame" } });
    ada.patch(&format!("/resources/{server}/providers/SUPPORT"), values).await.expect(200);
    let ticket =
        json!({ "name": "help", "provider_type": "TICKET", "values": { "subject": "disk", "secret": "open sesame" } });
    let ticket = ada.post("/pluggable-resources", ticket).await.expect(201).id();
    let (server, ticket) = (format!("/servers/{server}"), format!("/pluggable-resources/{ticket}"));
    let providers = format!("/resources{}/providers", server.trim_start_matches("/servers"));
    // Another customer has forms of the same kinds, to which nothing of it is secret.
    let plain = SUPPORT.replace(", validator = { validatorType = \"PASSWORD\" }", "");
    assert_ne!(plain, SUPPORT);
    world.bob.client.post("/triggers", json!({ "name": "plain", "source": plain })).await.expect(201);

    let all = [server.as_str(), &ticket, &providers];
    let hidden = async |when: &str| {
        let told = told(&world, &all).await;
        assert!(!told.contains("sesame"), "{when}: {told}");
        told
    };
    assert!(hidden("enabled").await.contains("\"subject\":\"disk\""), "what is no secret is shown");
    admin.patch(&block, json!({ "enabled": false })).await.expect(200);
    assert!(!hidden("disabled").await.contains("\"subject\":\"disk\""), "nobody tells what is a secret");
    admin.patch(&block, json!({ "enabled": true })).await.expect(200);
    ada.delete(&ticket).await.expect(204);
    let gone = ada.delete(&server).await.expect(202);
    assert_eq!(ada.finished(&gone.id()).await["state"], "successful");
    hidden("gone").await;
    crate::invoices::close(&world, &world.ada.id).await;
    hidden("invoiced").await;
    admin.patch(&format!("/plans/{}", world.plan), json!({ "charges": [] })).await.expect(200);
    admin.delete(&block).await.expect(204);
    hidden("deleted").await;
}
