//! What scripts add beside triggers, over HTTP: settings, actions, charges, kinds of resource and reports.

use crate::support::{Client, World, world};
use serde_json::json;

/// A provider of support contracts: a setting on servers, an action, a price, a report, and tickets as resources.
pub const SUPPORT: &str = r##"
    function register() return { "support", "price", "tickets", "contracts" } end

    function support(p)
        return { ref = "support", name = "Support", description = "Contracts", api = "CONFIG_PROVIDER", version = 1,
            providerType = "SUPPORT", providerGroup = "FCO_EXTENSION",
            resourceConfigs = { { associatedResourceType = "SERVER", useWithBilling = true, productComponentTypes = { {
                resourceName = "Contract", referenceField = "CONTRACT",
                configurableList = {
                    { key = "level", required = true, defaultValue = "BRONZE",
                      validator = { validatorType = "ENUM", validateString = "BRONZE,GOLD", errorMessage = "bronze or gold, please" } },
                    { key = "pin", validator = { validatorType = "PASSWORD" } } },
                actionFunctions = {
                    { key = "call", name = "Call", returnType = "STRING", executionFunction = "call",
                        parameters = { { key = "number", required = true } } },
                    { key = "hours", name = "Hours", returnType = "STRING", executionFunction = "hours",
                        invocationType = "STATIC", parameters = { { key = "day", required = true } } },
                    { key = "staff", returnType = "STRING", executionFunction = "hours", invocationType = "STATIC",
                        invocationLevels = { "MBE" } } } } } } } }
    end

    function hours(p)
        return { returnCode = "SUCCESSFUL", returnType = "STRING",
            returnContent = p.actionKey .. " " .. tostring(p.parameters.day) .. " for " .. p.user:getEmail()
                .. " " .. tostring(p.resource) .. tostring(p.customer) .. tostring(p.resourceValues) }
    end

    function call(p)
        return { returnCode = "SUCCESSFUL", returnType = "STRING",
            returnContent = "calling " .. p.parameters.number .. " about " .. p.resource:getResourceName() }
    end

    function price(p)
        if p == nil then
            return { ref = "price", name = "By level", api = "BILLING", permittedPCT = { "SUPPORT_CONTRACT" }, version = 1,
                configuredValues = { { key = "gold", required = true } } }
        end
        if p.resource:getProviderValues("SUPPORT"):get("level") ~= "GOLD" then return nil end
        return { { charge = tonumber(p.billingComp:getBillingValue("gold"):getValue()), description = "gold support" } }
    end

    function tickets(p)
        return { ref = "tickets", name = "Tickets", api = "PLUGGABLE_PROVIDER", providerType = "TICKET", version = 1,
            createFunction = { executionFunction = "open" },
            actionFunctions = {
                { key = "queue", returnType = "STRING", executionFunction = "hours", invocationType = "STATIC",
                    parameters = { { key = "day" } } },
                { key = "close", returnType = "STRING", executionFunction = "hours", invocationType = "STATIC",
                    invocationLevels = { "BE" } },
                { key = "mine", returnType = "STRING", executionFunction = "hours" },
                { key = "never", returnType = "STRING", executionFunction = "hours", invocationType = "STATIC", available = false } },
            productComponentTypes = { { referenceField = "T", configurableList = {
                { key = "subject", required = true }, { key = "secret", validator = { validatorType = "PASSWORD" } } } } } }
    end

    function open(p) return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" } end

    function contracts(p)
        if p == nil then
            return { ref = "contracts", name = "Contracts", api = "REPORT", invocationLevel = "MBE", version = 1 }
        end
        local list = adminAPI:listResources(nil, nil, new("ResourceType", "SERVER"))
        return list:getTotalCount() .. " servers"
    end
"##;

#[tokio::test]
async fn a_provider_is_loaded_sold_set_used_and_charged_for() {
    let world = World::new().await;
    let (admin, ada) = (&world.admin, &world.ada.client);
    let server = world.running_server(ada, "web-1").await;
    let script = admin.post("/triggers", json!({ "name": "support", "source": SUPPORT })).await.expect(201);
    let kinds: Vec<&str> =
        script.body["points"].as_array().unwrap().iter().map(|point| point["api"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["config_provider", "billing", "pluggable_provider", "report"]);

    let forms = format!("/resources/{server}/providers");
    assert!(ada.get(&forms).await.expect(200).items().is_empty(), "the plan does not sell it yet");
    let plan = ada.get("/plans").await.items()[0]["id"].as_str().unwrap().to_owned();
    let charge = json!({ "component": "SUPPORT_CONTRACT", "resource_type": "SERVER", "script_id": script.id(),
        "values": { "gold": "9.99" } });
    let wrong = json!({ "charges": [{ "component": "OTHER", "resource_type": "SERVER", "script_id": script.id() }] });
    let reply = admin.patch(&format!("/plans/{plan}"), wrong).await;
    assert_eq!(reply.status, 422, "{}", reply.text);
    assert_eq!(reply.body["errors"][0]["field"], "charges.0.component");
    admin.patch(&format!("/plans/{plan}"), json!({ "charges": [charge] })).await.expect(200);

    let form = ada.get(&forms).await.expect(200).items()[0].clone();
    assert_eq!((&form["provider_type"], &form["values"][0]["default_value"]), (&json!("SUPPORT"), &json!("BRONZE")));
    let place = format!("/resources/{server}/providers/SUPPORT");
    let reply = ada.patch(&place, json!({ "values": { "level": "LEAD" } })).await;
    assert_eq!((reply.status, &reply.body["errors"][0]["field"]), (422, &json!("values.level")), "{}", reply.text);
    assert!(reply.text.contains("bronze or gold, please"), "{}", reply.text);
    let set = ada.patch(&place, json!({ "values": { "level": "GOLD", "pin": "open sesame" } })).await.expect(200);
    assert_eq!(set.body["values"][0]["value"], "GOLD");
    assert!(!set.text.contains("open sesame"), "a password is never told: {}", set.text);
    let shown = admin.get(&format!("/servers/{server}")).await.expect(200);
    assert!(!shown.text.contains("sesame"), "{}", shown.text);
    // A new server has its settings from the start; what does not fit makes no server.
    let mut new = world.server("web-2");
    new["provider_values"] = json!({ "SUPPORT": { "level": "LEAD" }, "OTHER": {} });
    let reply = ada.post("/servers", new.clone()).await.problem(422, "invalid");
    assert_eq!(reply.fields(), ["provider_values.OTHER", "provider_values.SUPPORT.level"]);
    new["provider_values"] = json!({ "SUPPORT": { "pin": "sesame too" } });
    let job = ada.post("/servers", new).await.expect(202);
    let form = ada.get(&format!("/resources/{}/providers", job.body["item_id"].as_str().unwrap())).await.expect(200);
    assert_eq!(form.items()[0]["values"][0]["value"], "BRONZE", "{}", form.text);
    assert!(!form.text.contains("sesame"), "{}", form.text);
    assert_eq!(ada.finished(&job.id()).await["state"], "successful");
    let gone = ada.delete(&format!("/servers/{}", job.body["item_id"].as_str().unwrap())).await.expect(202);
    assert_eq!(ada.finished(&gone.id()).await["state"], "successful");
    let reply = ada.post(&format!("{place}/actions/call"), json!({})).await;
    assert_eq!((reply.status, &reply.body["errors"][0]["field"]), (422, &json!("parameters.number")));
    let called =
        ada.post(&format!("{place}/actions/call"), json!({ "parameters": { "number": "42" } })).await.expect(200);
    assert_eq!(called.body["content"], "calling 42 about web-1");

    let preview = admin.get(&format!("/customers/{}/invoice-preview", world.ada.id)).await.expect(200);
    let charge = &preview.body["charges"][0];
    assert_eq!(
        (&charge["amount"], &charge["description"]),
        (&json!("9.99"), &json!("gold support")),
        "{}",
        preview.text
    );
    let invoice = crate::invoices::close(&world, &world.ada.id).await;
    assert_eq!(invoice.body["charges"][0]["amount"], "9.99");
    let run = invoice.body["charges"][0]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(admin.get(&format!("/runs/{run}")).await.expect(200).body["option"], "BILLING");
}

#[tokio::test]
async fn a_static_action_is_done_with_no_resource_by_those_who_may() {
    let world = World::new().await;
    let (admin, ada) = (&world.admin, &world.ada.client);
    let script = admin.post("/triggers", json!({ "name": "support", "source": SUPPORT })).await.expect(201).id();
    let day = json!({ "parameters": { "day": "monday" } });
    let refused = ada.post("/providers/SUPPORT/actions/hours", day.clone()).await.problem(422, "invalid");
    assert_eq!(refused.fields(), ["key"], "the plan does not sell it yet");
    let charge = json!({ "component": "SUPPORT_CONTRACT", "resource_type": "SERVER", "script_id": script,
        "values": { "gold": "9.99" } });
    admin.patch(&format!("/plans/{}", world.plan), json!({ "charges": [charge] })).await.expect(200);
    let refused = ada.post("/providers/SUPPORT/actions/hours", json!({})).await.problem(422, "invalid");
    assert_eq!(refused.fields(), ["parameters.day"]);
    let done = ada.post("/providers/support/actions/hours", day.clone()).await.expect(200).body;
    assert_eq!(done["content"], "hours monday for ada@example.org nilnilnil");
    let run = admin.get(&format!("/runs/{}", done["run_id"].as_str().unwrap())).await.expect(200).body;
    assert_eq!((&run["option"], &run["resource_id"]), (&json!("ACTION"), &json!(null)));
    for action in ["staff", "call"] {
        ada.post(&format!("/providers/SUPPORT/actions/{action}"), json!({})).await.problem(422, "invalid");
    }
    let done = admin.post("/providers/SUPPORT/actions/staff", json!({})).await.expect(200).body;
    assert!(done["content"].as_str().unwrap().starts_with("staff nil for "), "{done}");
    let (_, viewer) = world.user(&world.ada.id, "vera", "customer_viewer").await;
    viewer.post("/providers/SUPPORT/actions/hours", day).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_provider_of_resources_does_a_static_action_with_none_of_them() {
    let world = World::new().await;
    let (admin, ada) = (&world.admin, &world.ada.client);
    admin.post("/triggers", json!({ "name": "support", "source": SUPPORT })).await.expect(201);
    let path = |action: &str| format!("/providers/TICKET/actions/{action}");
    let done = ada.post(&path("queue"), json!({ "parameters": { "day": "monday" } })).await.expect(200).body;
    assert_eq!(done["content"], "queue monday for ada@example.org nilnilnil");
    let run = admin.get(&format!("/runs/{}", done["run_id"].as_str().unwrap())).await.expect(200).body;
    assert_eq!((&run["option"], &run["resource_id"]), (&json!("ACTION"), &json!(null)));
    for action in ["close", "mine", "never"] {
        ada.post(&path(action), json!({})).await.problem(422, "invalid");
    }
    admin.post(&path("close"), json!({})).await.expect(200);
    for action in ["mine", "never"] {
        admin.post(&path(action), json!({})).await.problem(422, "invalid");
    }
    let (_, viewer) = world.user(&world.ada.id, "vera", "customer_viewer").await;
    viewer.post(&path("queue"), json!({})).await.problem(403, "forbidden");
    world.program.client().post(&path("queue"), json!({})).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_static_action_is_as_if_it_did_not_exist_beyond_its_blocks_owner() {
    let world = World::new().await;
    let (admin, ada) = (&world.admin, &world.ada.client);
    let north = admin.post("/billing-entities", json!({ "name": "North", "currency": "EUR" })).await.expect(201).id();
    let staff = json!({ "billing_entity_id": north });
    let (_, reseller) = world::user(&world.program, admin, "nora", "reseller_admin", staff).await;
    let prices = json!({ "name": "Cheap", "cpu_hour": "0.01", "memory_gib_hour": "0.01", "disk_gib_hour": "0.01" });
    let plan = reseller.post("/plans", prices).await.expect(201).id();
    let account = async |name: &str| world::account(&world.program, &reseller, name, json!({ "plan_id": plan })).await;
    let (carol, dan) = (account("carol").await, account("dan").await);
    let script = reseller.post("/triggers", json!({ "name": "support", "source": SUPPORT })).await.expect(201).id();
    let charge = json!({ "component": "SUPPORT_CONTRACT", "resource_type": "SERVER", "script_id": script,
        "values": { "gold": "9.99" } });
    reseller.patch(&format!("/plans/{plan}"), json!({ "charges": [charge] })).await.expect(200);
    let day = json!({ "parameters": { "day": "monday" } });
    // What one is told of an action that one cannot reach, and of one that there is not.
    let told = async |client: &Client, provider: &str, action: &str| {
        let path = |provider: &str| format!("/providers/{provider}/actions/{action}");
        let foreign = client.post(&path(provider), day.clone()).await.problem(422, "invalid").body;
        let absent = client.post(&path("ABSENT"), day.clone()).await.problem(422, "invalid").body;
        assert_eq!(foreign["errors"].to_string(), absent["errors"].to_string().replace("ABSENT", provider));
    };
    for (provider, action) in [("SUPPORT", "hours"), ("TICKET", "queue")] {
        let path = format!("/providers/{provider}/actions/{action}");
        for within in [&reseller, &carol.client, &dan.client] {
            within.post(&path, day.clone()).await.expect(200);
        }
        for beyond in [admin, ada] {
            told(beyond, provider, action).await;
        }
    }
    reseller.post("/providers/TICKET/actions/close", json!({})).await.expect(200);
    told(&carol.client, "TICKET", "close").await;

    // A customer's own is for that customer alone.
    let own = SUPPORT.replace("\"TICKET\"", "\"NOTE\"");
    carol.client.post("/triggers", json!({ "name": "own", "source": own })).await.expect(201);
    carol.client.post("/providers/NOTE/actions/queue", day.clone()).await.expect(200);
    for beyond in [&dan.client, &reseller, admin, ada] {
        told(beyond, "NOTE", "queue").await;
    }
}

#[tokio::test]
async fn tickets_are_opened_and_reports_are_for_those_they_name() {
    let world = World::new().await;
    let (admin, ada) = (&world.admin, &world.ada.client);
    let script = admin.post("/triggers", json!({ "name": "support", "source": SUPPORT })).await.expect(201).id();
    assert_eq!(ada.get("/pluggable-providers").await.expect(200).items()[0]["provider"]["provider_type"], "TICKET");
    let reply = ada.post("/pluggable-resources", json!({ "name": "help", "provider_type": "TICKET" })).await;
    assert_eq!((reply.status, &reply.body["errors"][0]["field"]), (422, &json!("values.subject")), "{}", reply.text);
    let ticket =
        json!({ "name": "help", "provider_type": "ticket", "values": { "subject": "disk", "secret": "sesame" } });
    let made = ada.post("/pluggable-resources", ticket).await.expect(201);
    assert_eq!((&made.body["state"], &made.body["values"]), (&json!("active"), &json!({ "subject": "disk" })));
    let place = format!("/pluggable-resources/{}", made.id());
    ada.patch(&place, json!({ "values": { "subject": "fan" } })).await.expect(200);
    assert_eq!(ada.get(&place).await.expect(200).body["values"]["subject"], "fan");
    assert_eq!(world.bob.client.get(&place).await.status, 404);
    assert!(ada.get("/reports").await.expect(200).items().is_empty(), "this report is for the provider's staff");
    let report = admin.post(&format!("/reports/{script}/contracts"), json!({})).await.expect(200);
    assert_eq!(report.body["content"], "0 servers");
    ada.delete(&place).await.expect(204);
    assert_eq!(ada.get(&place).await.status, 404);
}

#[tokio::test]
async fn what_scripts_add_is_found_by_name_and_charged_for_in_the_open_from_the_command_line() {
    let it = crate::cli::Installation::with_customer().await;
    let file = it.home.path().join("support.lua");
    std::fs::write(&file, SUPPORT).unwrap();
    it.ok(&["trigger", "load", file.to_str().unwrap()]);
    let script = it.json(&["trigger", "show", "support"])["id"].as_str().unwrap().to_owned();
    let charge = json!([{ "component": "SUPPORT_CONTRACT", "resource_type": "SERVER", "script_id": script,
        "values": { "gold": "9.99" } }]);
    it.ok(&["plan", "update", "Standard", "--charges", &charge.to_string()]);
    assert_eq!(it.create_server("web-1", &[]).code, 0);

    let shown = it.ok(&["provider", "list", "web-1"]);
    assert!(shown.contains("SUPPORT   level  level  -      false      BRONZE, GOLD"), "{shown}");
    it.ok(&["provider", "set", "WEB-1", "SUPPORT", "level=GOLD"]);
    assert_eq!(it.ok(&["provider", "act", "web-1", "SUPPORT", "call", "number=42"]), "calling 42 about web-1\n");
    let hours = it.ok(&["provider", "invoke", "support", "hours", "day=monday"]);
    assert_eq!(hours, "hours monday for admin@localhost nilnilnil\n");
    assert_eq!(
        it.json(&["provider", "invoke", "TICKET", "queue"])["content"],
        "queue nil for admin@localhost nilnilnil"
    );
    assert_eq!(it.ok(&["provider", "measurements", "web-1"]).lines().count(), 1);
    for (command, words) in [
        (&["provider", "list", "nowhere"][..], "there is no server, customer, billing entity `nowhere`"),
        (&["provider", "set", "web-1", "SUPPORT", "level=LEAD"], "values.level: bronze or gold, please"),
        (&["provider", "act", "web-1", "SUPPORT", "dance"], "no action `dance`"),
        (&["provider", "invoke", "SUPPORT", "call"], "no provider `SUPPORT` has a static action `call` for you"),
        (&["provider", "invoke", "SUPPORT", "hours", "day=monday", "tone=low"], "parameters.tone: "),
    ] {
        let said = it.say(command);
        assert!(said.code != 0 && said.err.contains(words), "{command:?}: {}", said.err);
        assert!(!said.err.contains("is missing"), "{}", said.err);
    }
    it.ok(&["customer", "create", "web-1", "--plan", "Standard"]);
    let several = it.say(&["provider", "list", "web-1"]);
    assert_eq!(several.code, 2);
    assert!(
        several.err.contains("several are called `web-1`") && several.err.contains("(customer)"),
        "{}",
        several.err
    );

    let preview = it.ok(&["invoice", "preview", "Ada", "--explain"]);
    for part in ["SUPPORT_CONTRACT  -      -           9.99 EUR  gold support", "  gold support: 9.99 EUR\n"] {
        assert!(preview.contains(part), "{part} is missing in:\n{preview}");
    }
    assert_eq!(it.ok(&["report", "make", "support", "contracts"]), "1 servers\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_is_gone_by_the_closing_is_on_the_invoice_and_opens_to_when_it_was_there() {
    let it = crate::cli::Installation::with_customer().await;
    let load = |name: &str, source: &str| {
        let file = it.home.path().join(format!("{name}.lua"));
        std::fs::write(&file, source).unwrap();
        it.ok(&["trigger", "load", file.to_str().unwrap()]);
        it.json(&["trigger", "show", name])["id"].as_str().unwrap().to_owned()
    };
    load("support", SUPPORT);
    let script = load(
        "keeping",
        r#"
        function register() return { "keeping" } end
        function keeping(p)
            if p == nil then return { ref = "keeping", api = "BILLING", version = 1 } end
            return { { charge = 2.5, description = "a " .. p.resource:getProviderType() .. " kept" } }
        end
        "#,
    );
    let charge = json!([{ "component": "TICKETS", "resource_type": "PLUGGABLE_RESOURCE", "script_id": script }]);
    it.ok(&["plan", "update", "Standard", "--charges", &charge.to_string()]);
    let make = ["pluggable-resource", "create", "help", "--type", "TICKET", "--customer", "Ada"];
    it.ok(&[&make[..], &["--value", "subject=disk"]].concat());
    it.ok(&["pluggable-resource", "delete", "help"]);

    let to = it.json(&["invoice", "preview", "Ada"])["to"].as_str().unwrap().to_owned();
    let closed = crate::support::eventually("the period may be closed", async || {
        let said = it.say(&["invoice", "close", "Ada", "--to", &to, "-o", "json"]);
        (said.code == 0).then(|| serde_json::from_str::<serde_json::Value>(&said.out).unwrap())
    })
    .await;
    let shown = it.ok(&["invoice", "show", closed["id"].as_str().unwrap(), "--explain"]);
    for part in [
        "help      TICKETS    -      -           2.50 EUR  a TICKET kept",
        "total     2.50 EUR",
        "  a TICKET kept: 2.50 EUR\n  charged by run ",
        "  1 resource  seen\n",
    ] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    let opened = it.json(&["invoice", "show", closed["id"].as_str().unwrap(), "--explain"]);
    let stretches = opened["charges"][0]["opened"]["intervals"].as_array().unwrap().clone();
    assert_eq!(stretches[0]["meter"], "pluggable_resource");
    assert!(stretches.iter().all(|stretch| stretch["end"].is_string()), "{stretches:?}");
    let from = closed["from"].as_str().unwrap();
    let usage = it.json(&["usage", "Ada", "--from", from, "--to", &to, "--meter", "pluggable_resource"]);
    assert_eq!(usage.as_array(), Some(&stretches));
}
