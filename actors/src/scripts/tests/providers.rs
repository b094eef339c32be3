//! Configuration providers, measurement functions and billing methods, as a backup provider would have them.

use super::*;
use crate::{ActionAnswer, PlanPatch};
use serde_json::json;
use std::collections::BTreeMap;
use sutler_model::{Measurement, Nanos, PlanCharge, Timestamp};

/// A provider of backups: an account on customers, settings on servers, a measure and a price by the GB.
const BACKUP: &str = r##"
    function register() return { "backup_provider", "backup_billing" } end

    function backup_provider(p)
        return {
            ref = "backup_provider", name = "#__BACKUP", description = "Backups", version = 1, api = "CONFIG_PROVIDER",
            providerType = "BACKUP", providerGroup = "FCO_EXTENSION",
            measurementFunctions = { "backup_measure" }, triggerFunctions = { "backup_guard" },
            resourceConfigs = {
                { associatedResourceType = "SERVER", useWithBilling = true, productComponentTypes = { {
                    resourceName = "Backup", referenceField = "SETTINGS",
                    configurableList = {
                        { key = "enabled", name = "Enabled", required = true, defaultValue = "FALSE",
                          validator = { validatorType = "ENUM", validateString = "TRUE,FALSE" } },
                        { key = "every", name = "Every", measureType = "HOUR", defaultValue = 24,
                          validator = { validatorType = "ENUM", validatorString = "2,4,6,12,24" } },
                        { key = "password", name = "Password", validator = { validatorType = "PASSWORD" } },
                        { key = "account", name = "Account", readOnly = true },
                    },
                    actionFunctions = {
                        { key = "link", name = "Link", returnType = "FUNCTION", executionFunction = "link", order = 1,
                          synchronous = true, parameters = { { key = "url", required = true,
                            validator = { validatorType = "REGEX", validateString = "https?://.+" } } } },
                        { key = "details", name = "Details", returnType = "DIALOGUE", executionFunction = "details", order = 2 },
                        { key = "fail", returnType = "STRING", executionFunction = "fail", order = 3 },
                        { key = "staff", returnType = "STRING", executionFunction = "details", order = 4,
                          invocationLevels = { "BE" } },
                        { key = "script", returnType = "URL", executionFunction = "bad_url", order = 5 },
                    },
                } } },
                { associatedResourceType = "CUSTOMER", useWithBilling = false, productComponentTypes = { {
                    resourceName = "Account", referenceField = "ACCOUNT",
                    configurableList = { { key = "login", name = "Login" } },
                } } },
            },
        }
    end

    function link(p)
        local values = new("Map")
        values:put("enabled", "TRUE")
        values:put("account", "acc-" .. p.resource:getResourceName())
        adminAPI:updateConfigurationProviderValues(p.resource:getResourceUUID(), "BACKUP", values)
        return { returnCode = "SUCCESSFUL", returnType = "FUNCTION",
            returnContent = new("Utils"):createRefreshFunctionActionContent(true, "linked to " .. p.parameters.url, "SUCCESS") }
    end

    function details(p)
        local values = p.resource:getProviderValues("BACKUP")
        return { returnCode = "SUCCESSFUL", returnType = "DIALOGUE",
            returnContent = new("Utils"):createDisplayDialogueActionContent(
                { { key = "account", name = "Account", value = values:get("account"), readOnly = true } },
                "Details", "Of " .. p.resource:getResourceName(), nil) }
    end

    function fail(p) return { returnCode = "FAILED", errorCode = 401, errorString = "the account is closed" } end
    function bad_url(p) return { returnCode = "SUCCESSFUL", returnType = "URL", returnContent = "javascript:alert(1)" } end

    -- Keeps passwords out of the settings.
    function backup_guard(p)
        if p == nil then
            return { ref = "guard", name = "guard", priority = 0, triggerType = "PRE_MODIFY",
                triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1 }
        end
        local values = p.input:getProviderValues():get("BACKUP")
        if values ~= nil and values:get("password") ~= nil then
            values:put("password", ("*"):rep(#values:get("password")))
        end
        return { exitState = "SUCCESS" }
    end

    function backup_measure(p)
        if p == nil then
            return { ref = "measure", name = "Stored", api = "MEASURE", version = 1, associatedType = "SERVER",
                measuredValues = { { key = "stored", name = "Stored", measureType = "GB" } } }
        end
        if p.resource:getProviderValues("BACKUP"):get("enabled") ~= "TRUE" then return {} end
        return { { key = "stored", value = 2.5 } }
    end

    function backup_billing(p)
        if p == nil then
            return { ref = "billing", name = "By the GB", api = "BILLING", version = 1,
                permittedPCT = { "BACKUP_SETTINGS" },
                configuredValues = { { key = "price", name = "Units a GB", required = true,
                    validator = { validatorType = "NUMERIC_DOUBLE", validateString = "0-1000" } } } }
        end
        local stored = p.measureComp:getMAXMeasureBetween(p.lastBillingTime, p.currentBillingTime, "providers.BACKUP.stored")
        if stored == nil then return nil end
        local value = stored:get("providers.BACKUP.stored")
        local units = value:getMeasurement() * tonumber(p.billingComp:getBillingValue("price"):getValue())
        return { { units = -units, description = value:getMeasurement() .. " " .. value:getMeasurementType():name() } }
    end
"##;

pub(super) fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Bench {
    /// The provider's block, in force, and a plan that sells it.
    async fn backup(&self) -> Script {
        let script = self.script("backup", Scope::Provider, BACKUP.to_owned()).await;
        let plan = all::<Plan>(&self.system).await.remove(0);
        let charge = PlanCharge {
            component: "BACKUP_SETTINGS".into(),
            resource_type: "server".into(),
            script_id: Some(script.id),
            function: None,
            values: texts(&[("price", "0.3")]),
        };
        let patch = PlanPatch { charges: Some(vec![charge]), ..PlanPatch::default() };
        self.system.update_plan(&self.caller, plan.id, None, patch).await.expect("the plan");
        script
    }

    pub(super) async fn made(&self, name: &str) -> Server {
        let job = self.create(name, false).await;
        self.ended(job.id).await;
        self.server(name).await.expect("the server")
    }

    async fn act_on(&self, server: &Server, key: &str, given: &[(&str, &str)]) -> Result<ActionAnswer, Error> {
        self.system.invoke_action(&self.caller, server.id.0, "backup", key, &texts(given)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_shows_its_settings_where_the_plan_sells_them_and_takes_what_fits() {
    let bench = Bench::start().await;
    let server = bench.made("web").await;
    bench.script("backup", Scope::Provider, BACKUP.to_owned()).await;
    assert_eq!(bench.system.provider_forms(&bench.caller, server.id.0).await.unwrap(), [], "the plan does not sell it");
    let customer = bench.system.provider_forms(&bench.caller, bench.customer.0).await.unwrap();
    assert_eq!(customer[0].values[0].key, "login", "customers have their part of it anyway");
    bench.system.delete_script(&bench.caller, all::<Script>(&bench.system).await[0].id, None).await.unwrap();
    bench.backup().await;
    let forms = bench.system.provider_forms(&bench.caller, server.id.0).await.unwrap();
    assert_eq!((forms[0].provider_type.as_str(), forms[0].values.len(), forms[0].actions.len()), ("BACKUP", 4, 5));

    let set = |given: &[(&str, &str)]| {
        let (system, caller, given) = (bench.system.clone(), bench.caller.clone(), texts(given));
        let id = server.id.0;
        async move { system.set_provider_values(&caller, id, "BACKUP", &given).await }
    };
    let wrong = set(&[("every", "3"), ("account", "mine"), ("colour", "red")]).await.unwrap_err().to_string();
    for words in ["values.every", "2, 4, 6, 12, 24", "values.account", "values.colour"] {
        assert!(wrong.contains(words), "{wrong}");
    }
    let form = set(&[("enabled", "TRUE"), ("password", "sesame")]).await.unwrap();
    let value = |key: &str| form.values.iter().find(|value| value.key == key).and_then(|value| value.value.clone());
    assert_eq!(
        (value("enabled").as_deref(), value("every").as_deref()),
        (Some("TRUE"), Some("24")),
        "with its defaults"
    );
    assert_eq!(value("password"), None, "a password is never told");
    let kept = bench.server("web").await.unwrap().provider_values;
    assert_eq!(kept["BACKUP"]["password"], "******", "the provider's own trigger was asked");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_given_with_a_new_server_are_checked_and_there_from_the_first_commit_on() {
    let bench = Bench::start().await;
    bench.backup().await;
    let create = |name: &str, provider: &str, given: &[(&str, &str)]| {
        let mut new = bench.new_server(name, false);
        new.provider_values = [(provider.to_owned(), texts(given))].into();
        let (system, caller, customer) = (bench.system.clone(), bench.caller.clone(), bench.customer);
        async move { system.create_server(&caller, customer, new, None).await }
    };
    for (provider, given, words) in [
        ("BACKUP", [("every", "3")], "provider_values.BACKUP.every"),
        ("BACKUP", [("account", "mine")], "provider_values.BACKUP.account"),
        ("BACKUP", [("colour", "red")], "provider_values.BACKUP.colour"),
        ("VAULT", [("every", "2")], "provider_values.VAULT"),
    ] {
        let error = create("web", provider, &given).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains(words), "{error}");
    }
    assert!(bench.server("web").await.is_none());

    let job = create("web", "backup", &[("enabled", "TRUE"), ("password", "sesame")]).await.unwrap();
    let kept = bench.server("web").await.expect("accepted").provider_values;
    assert_eq!(
        kept,
        [("BACKUP".to_owned(), texts(&[("enabled", "TRUE"), ("every", "24"), ("password", "sesame")]))].into()
    );
    bench.ended(job.id).await;

    // The same from a script.
    let body = r#"
        local function create(every)
            local server, values = new("Server"), new("Map")
            server:setResourceName("db")
            server:setCustomerUUID(p.input:getCustomerUUID())
            server:setImageUUID(adminAPI:listResources(nil, nil, new("ResourceType", "IMAGE")):getList():get(0):getResourceUUID())
            server:setRam(64)
            values:put("every", every)
            local providers = new("Map")
            providers:put("BACKUP", values)
            server:setProviders(providers)
            return adminAPI:createServer(server, nil, nil)
        end
        print(pcall(create, "3"))
        adminAPI:waitForJob(create("12"):getResourceUUID(), true)
    "#;
    bench.script("create", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    let runs = bench.runs_until(|runs| states(runs) == [RunState::Succeeded]).await;
    assert!(runs[0].log.contains("INVALID_INPUT") && runs[0].log.contains("provider_values.BACKUP.every"), "{runs:#?}");
    let kept = bench.server("db").await.expect("there").provider_values;
    assert_eq!(kept, [("BACKUP".to_owned(), texts(&[("enabled", "FALSE"), ("every", "12")]))].into());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_gets_its_parameters_and_answers_with_content_or_a_reason() {
    let bench = Bench::start().await;
    let server = bench.made("web").await;
    bench.backup().await;
    let wrong = bench.act_on(&server, "link", &[("url", "ftp://x")]).await.unwrap_err().to_string();
    assert!(wrong.contains("parameters.url"), "{wrong}");
    let linked = bench.act_on(&server, "link", &[("url", "https://backup.example")]).await.unwrap().answer.unwrap();
    assert_eq!(linked.return_type, "FUNCTION");
    assert_eq!(linked.content["message"], "linked to https://backup.example");
    assert_eq!(bench.server("web").await.unwrap().provider_values["BACKUP"]["account"], "acc-web");
    let shown = bench.act_on(&server, "details", &[]).await.unwrap();
    let dialogue = shown.dialogue.expect("a dialogue");
    assert_eq!((dialogue.title.as_str(), dialogue.message.as_str()), ("Details", "Of web"));
    assert_eq!((dialogue.values[0].key.as_str(), dialogue.values[0].value.as_deref()), ("account", Some("acc-web")));
    let runs = bench.runs().await;
    let run = runs.iter().find(|run| run.id == shown.run_id).expect("the run is recorded");
    assert_eq!((run.option.as_str(), run.state, run.resource_id), ("ACTION", RunState::Succeeded, Some(server.id.0)));

    let refused = bench.act_on(&server, "fail", &[]).await.unwrap_err().to_string();
    assert!(refused.contains("the account is closed (401)"), "{refused}");
    let refused = bench.act_on(&server, "script", &[]).await.unwrap_err().to_string();
    assert!(refused.contains("no web address"), "{refused}");
    assert!(bench.act_on(&server, "dance", &[]).await.unwrap_err().to_string().contains("no action `dance`"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reaches_a_provider_across_a_border_or_above_their_level() {
    let bench = Bench::start().await;
    let server = bench.made("web").await;
    bench.backup().await;
    let (_, stranger) = bench.stranger().await;
    let values = texts(&[("enabled", "TRUE")]);
    let system = &bench.system;
    for error in [
        system.provider_forms(&stranger, server.id.0).await.map(drop).unwrap_err(),
        system.set_provider_values(&stranger, server.id.0, "BACKUP", &values).await.map(drop).unwrap_err(),
        system.invoke_action(&stranger, server.id.0, "BACKUP", "details", &values).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { noun: sutler_model::Noun::Server, .. }), "{error}");
    }
    let plan = all::<Plan>(system).await.remove(0);
    let own = caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer));
    let forms = system.provider_forms(&own, server.id.0).await.unwrap();
    assert!(forms[0].actions.iter().all(|action| action.key != "staff"), "what is for staff is not shown to customers");
    assert!(system.invoke_action(&own, server.id.0, "BACKUP", "staff", &texts(&[])).await.is_err());
    assert!(bench.act_on(&server, "staff", &[]).await.is_ok());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_measures_is_charged_to_the_cent_and_opens_to_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { measure_every_ms: 1_000, runs_keep_ms: 1, ..settings() };
    let bench = Bench::start_with(folder.path(), settings).await;
    let (used, unused) = (bench.made("used").await, bench.made("unused").await);
    bench.backup().await;
    bench.act_on(&used, "link", &[("url", "https://backup.example")]).await.unwrap();
    let id = used.id.0;
    let measured = async || bench.system.measurements(id, Timestamp(0), Timestamp(i64::MAX), 10).await.unwrap().items;
    bench.until(async || measured().await.len() >= 2).await;
    let found: Vec<Measurement> = measured().await;
    assert_eq!(found[0].values["providers.BACKUP.stored"].value, Nanos(2_500_000_000));
    assert_eq!(found[0].values["providers.BACKUP.stored"].unit, "GB");
    assert!(found.windows(2).all(|pair| pair[0].at < pair[1].at), "each time once: {found:?}");
    let none = bench.system.measurements(unused.id.0, Timestamp(0), Timestamp(i64::MAX), 10).await.unwrap();
    assert_eq!(none.items, [], "what does not use the provider is not measured");

    let before = bench.runs().await.iter().filter(|run| run.option == "BILLING").count();
    let preview = bench.system.preview_invoice(&bench.caller, bench.customer, None, None).await.unwrap();
    // 2.5 GB × 0.3 units × 1 EUR.
    assert_eq!(preview.charges.len(), 1, "{preview:?}");
    let charge = &preview.charges[0];
    assert_eq!((charge.units, charge.amount), (Some(Nanos(750_000_000)), Nanos(750_000_000)));
    assert_eq!((charge.description.as_str(), charge.resource_name.as_str()), ("2.5 GB", "used"));
    assert_eq!(
        bench.runs().await.iter().filter(|run| run.option == "BILLING").count(),
        before,
        "a preview has no effects"
    );

    let end = bench.system.store().now();
    bench.until(async || bench.system.store().now().since_ms(end) > 5_100).await;
    let invoice = bench.system.close_invoice(&bench.caller, bench.customer, end).await.unwrap();
    let lines = invoice.lines.iter().fold(Nanos::ZERO, |sum, line| sum.add(line.amount).unwrap());
    assert_eq!(invoice.total, lines.add(Nanos(750_000_000)).unwrap(), "{invoice:?}");
    let run = bench.system.store().get::<ScriptRun>(invoice.charges[0].run_id).await.unwrap().expect("its run");
    assert_eq!((run.state, run.option.as_str()), (RunState::Succeeded, "BILLING"));
    assert_eq!(json!(invoice.charges[0].component), "BACKUP_SETTINGS");
    // It still does when runs on which nothing stands are gone. What was measured is there yet, and says that its run is not.
    bench.swept().await;
    let runs = bench.runs().await;
    assert!(!runs.iter().any(|run| run.option == "ACTION"), "{runs:#?}");
    assert!(runs.iter().any(|run| run.id == invoice.charges[0].run_id));
    let kept = bench.system.measurements(id, Timestamp(0), Timestamp(i64::MAX), 10).await.unwrap();
    assert_eq!(kept.items[..found.len()], found);
    for measured in found {
        assert!(
            !runs.iter().any(|run| run.id == measured.run_id) && kept.swept.contains(&measured.run_id),
            "{measured:?}"
        );
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_takes_only_billing_methods_that_may_charge_for_its_component() {
    let bench = Bench::start().await;
    let script = bench.script("backup", Scope::Provider, BACKUP.to_owned()).await;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let good = PlanCharge {
        component: "BACKUP_SETTINGS".into(),
        resource_type: "SERVER".into(),
        script_id: Some(script.id),
        function: None,
        values: texts(&[("price", "1")]),
    };
    for (charge, words) in [
        (PlanCharge { component: "OTHER".into(), ..good.clone() }, "charges.0.component: its method charges only for"),
        (PlanCharge { resource_type: "LUNCH".into(), ..good.clone() }, "charges.0.resource_type"),
        (PlanCharge { values: texts(&[("price", "dear")]), ..good.clone() }, "charges.0.values.price"),
        (PlanCharge { values: texts(&[]), ..good.clone() }, "charges.0.values.price: is missing"),
        (PlanCharge { function: Some("dance".into()), ..good.clone() }, "charges.0.script_id"),
    ] {
        let patch = PlanPatch { charges: Some(vec![charge]), ..PlanPatch::default() };
        let error = bench.system.update_plan(&bench.caller, plan.id, None, patch).await.unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_billing_method_makes_no_bill_rather_than_a_wrong_one() {
    let bench = Bench::start().await;
    bench.made("web").await;
    let source = r#"
        function register() return { "bill" } end
        function bill(p)
            if p == nil then return { ref = "bill", api = "BILLING", version = 1 } end
            error("the price list is gone")
        end"#;
    let script = bench.script("bill", Scope::Provider, source.to_owned()).await;
    bench.charge(&script, "SUPPORT", &["CUSTOMER"]).await;
    let error = bench.system.preview_invoice(&bench.caller, bench.customer, None, None).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    bench.stop().await;
}

/// Moves passwords out of the settings before they are stored, as published providers do.
const VAULT: &str = r##"
    function register() return { "vault" } end

    function vault(p)
        return { ref = "vault", name = "Vault", api = "CONFIG_PROVIDER", providerType = "VAULT", version = 1,
            triggerFunctions = { "vault_before", "vault_after" },
            resourceConfigs = { { associatedResourceType = "SERVER", useWithBilling = false, productComponentTypes = { {
                resourceName = "Vault", referenceField = "V",
                configurableList = { { key = "password", validator = { validatorType = "PASSWORD" } } },
                actionFunctions = { { key = "open", returnType = "STRING", executionFunction = "vault_open" } } } } } } }
    end

    function vault_before(p)
        if p == nil then
            return { ref = "before", name = "before", priority = -9000, triggerType = "PRE_MODIFY", triggerOptions = { "SERVER" },
                api = "TRIGGER", version = 1 }
        end
        local values = p.input:getProviderValues("VAULT")
        local password = values:get("password")
        if password ~= nil and not password:match("^%*+$") then
            local uuid = p.input:getResourceUUID()
            local map = dataStore:getPrivateDataMap(uuid)
            if map == nil then map = new("Map") end
            map:put("password", password)
            dataStore:resetPrivateDataMap(uuid, map)
            values:put("password", ("*"):rep(#password))
        end
        return { exitState = "SUCCESS" }
    end

    -- What was kept for a server goes with it.
    function vault_after(p)
        if p == nil then
            return { ref = "after", name = "after", priority = 0, triggerType = "POST_JOB_STATE_CHANGE",
                triggerOptions = { "SUCCESSFUL" }, api = "TRIGGER", version = 1 }
        end
        if p.input:getJobType() == new("JobType", "DELETE_SERVER") then
            dataStore:resetPrivateDataMap(p.input:getItemUUID(), nil)
            print("forgot " .. tostring(dataStore:getPrivateDataMap(p.input:getItemUUID())))
        end
        return { exitState = "CONTINUE" }
    end

    function vault_open(p)
        local map = dataStore:getPrivateDataMap(p.resource:getResourceUUID())
        return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = map:get("password") }
    end
"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_keeps_its_secrets_in_a_store_of_its_own_and_lets_them_go_with_the_server() {
    let bench = Bench::start().await;
    let server = bench.made("web").await;
    bench.script("vault", Scope::Provider, VAULT.to_owned()).await;
    let system = &bench.system;
    system.set_provider_values(&bench.caller, server.id.0, "VAULT", &texts(&[("password", "sesame")])).await.unwrap();
    assert_eq!(bench.server("web").await.unwrap().provider_values["VAULT"]["password"], "******");
    let opened = system.invoke_action(&bench.caller, server.id.0, "VAULT", "open", &texts(&[])).await.unwrap();
    assert_eq!(opened.answer.unwrap().content, "sesame");
    let job = bench.act(server.id, crate::ServerAction::Delete, "delete").await;
    bench.ended(job.id).await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.log.contains("forgot nil"))).await;
    assert!(runs.iter().all(|run| !run.log.contains("sesame")));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_billing_method_sees_the_measures_of_its_period_in_every_way_they_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start_with(folder.path(), Settings { measure_every_ms: 1_000, ..settings() }).await;
    let server = bench.made("web").await;
    let source = r#"
        function register() return { "count", "bill" } end
        function count(p)
            if p == nil then
                return { ref = "count", api = "MEASURE", associatedType = "SERVER", version = 1,
                    measuredValues = { { key = "n", measureType = "UNIT" } } }
            end
            return { { key = "n", value = kv.incr("n") } }
        end
        function bill(p)
            if p == nil then return { ref = "bill", api = "BILLING", version = 1 } end
            local from, to, said = p.lastBillingTime, p.currentBillingTime, {}
            for _, way in ipairs({ "MAX", "MIN", "AVERAGE", "SUM", "COUNT" }) do
                local found = p.measureComp["get" .. way .. "MeasureBetween"](p.measureComp, from, to, "n")
                table.insert(said, way .. "=" .. found:get("n"):getMeasurement())
            end
            table.insert(said, "AT=" .. p.measureComp:getMeasureAt(to, { "n", "m" }):get("n"):getMeasurement())
            table.insert(said, tostring(p.measureComp:getMeasureAt(to, "m")))
            return { units = -1, description = table.concat(said, " ") }
        end
    "#;
    let script = bench.script("count", Scope::Provider, source.to_owned()).await;
    bench.charge(&script, "COUNT", &["SERVER"]).await;
    let id = server.id.0;
    let measured = async || bench.system.measurements(id, Timestamp(0), Timestamp(i64::MAX), 10).await.unwrap().items;
    bench.until(async || measured().await.len() >= 3).await;
    let found = measured().await;
    // Up to just before the fourth measure; the third is in.
    let to = found[2].at.plus_ms(1);
    let (from, n) = (Some(found[0].at), found.iter().take(3).map(|m| m.values["n"].value.0 / 1_000_000_000));
    let n: Vec<i128> = n.collect();
    let preview = bench.system.preview_invoice(&bench.caller, bench.customer, from, Some(to)).await.unwrap();
    let sum: i128 = n.iter().sum();
    let told = format!("MAX={} MIN={} AVERAGE={} SUM={sum} COUNT=3 AT={} nil", n[2], n[0], n[1], n[2]);
    assert_eq!(preview.charges[0].description, told, "{n:?}");
    assert_eq!(preview.charges[0].amount, Nanos(1_000_000_000));
    bench.stop().await;
}
