//! What the forms and actions of providers take and show, and to whom.

use super::{providers::texts, *};
use serde_json::json;

/// A provider of settings that name other resources, and of an action that cannot be had.
const PEERS: &str = r##"
    function register() return { "peers" } end
    function peers(p)
        local filter = new("SearchFilter")
        filter:addCondition(new("Utils"):createFilterCondition("resourceName", "STARTS_WITH", { "db" }))
        local function of(rule) return { validatorType = "RESOURCE", validateString = rule } end
        local named, several = of("SERVER.resourceName"), of("SERVER.resourceUUID")
        several.allowsMultipleValues = true
        several.searchFilter = filter
        several.errorMessage = "databases, please"
        return { ref = "peers", name = "Peers", version = 1, api = "CONFIG_PROVIDER", providerType = "PEERS",
            resourceConfigs = { { associatedResourceType = "SERVER", useWithBilling = false, productComponentTypes = { {
                resourceName = "Peers", referenceField = "PEERS",
                configurableList = {
                    { key = "any", validator = { validatorType = "RESOURCE" } },
                    { key = "named", validator = named },
                    { key = "several", validator = several },
                    { key = "group", validator = of("FIREWALL.resourceName") },
                    { key = "day", validator = { validatorType = "DATE" } },
                },
                actionFunctions = {
                    { key = "plain", executionFunction = "plain", returnType = "NUMBER" },
                    { key = "broken", executionFunction = "broken", returnType = "STRING" },
                    { key = "away", executionFunction = "plain", returnType = "NUMBER", available = false },
                } } } } } }
    end
    function plain(p) return { returnCode = "SUCCESSFUL", returnContent = 7 } end
    function broken(p) return p.nothing.here end
"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_names_resources_by_the_property_its_definition_says_and_of_those_it_means() {
    let bench = Bench::start().await;
    let (web, db) = (bench.made("web").await, bench.made("db-1").await);
    bench.script("peers", Scope::Provider, PEERS.to_owned()).await;
    let set = async |key: &str, text: &str| {
        let given = texts(&[(key, text)]);
        let set = bench.system.set_provider_values(&bench.caller, web.id.0, "PEERS", &given).await;
        set.map(drop).map_err(|error| error.to_string())
    };
    let both = format!("{},{}", db.id, web.id);
    for (key, text) in [
        ("any", web.id.to_string()),
        ("any", bench.customer.to_string()),
        ("named", "db-1".to_owned()),
        ("named", db.id.to_string()),
        ("several", db.id.to_string()),
        ("several", format!("{0}, {0}", db.id)),
        ("day", "2026-11-30".to_owned()),
        ("day", "2026-11-30T12:00:00+0000".to_owned()),
        ("day", String::new()),
    ] {
        assert_eq!(set(key, &text).await, Ok(()), "{key} {text}");
    }
    for (key, text, words) in [
        ("any", "web", "must be the id of a resource that you see"),
        ("named", "db", "must be the resourceName of a SERVER that you see"),
        ("named", &bench.customer.to_string(), "must be the resourceName of a SERVER that you see"),
        ("several", &web.id.to_string(), "databases, please"),
        ("several", &both, "databases, please"),
        ("group", "outer", "firewalls are not offered here"),
        ("day", "soon", "must be a date such as 2026-11-30"),
    ] {
        let refused = set(key, text).await.expect_err(key);
        assert!(refused.contains(&format!("values.{key}: {words}")), "{key} {text}: {refused}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_cannot_be_had_is_not_there_and_one_that_names_no_type_answers_with_its_own() {
    let bench = Bench::start().await;
    let server = bench.made("web").await;
    bench.script("peers", Scope::Provider, PEERS.to_owned()).await;
    let forms = bench.system.provider_forms(&bench.caller, server.id.0).await.unwrap();
    assert_eq!(forms[0].actions.iter().map(|action| action.key.as_str()).collect::<Vec<_>>(), ["plain", "broken"]);
    let act = async |key: &str| bench.system.invoke_action(&bench.caller, server.id.0, "PEERS", key, &texts(&[])).await;
    let answer = act("plain").await.unwrap().answer.unwrap();
    assert_eq!((answer.return_type.as_str(), answer.content), ("NUMBER", json!(7)));
    assert!(act("away").await.unwrap_err().to_string().contains("no action `away`"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_function_failed_is_told_to_those_who_run_it_and_to_others_where_that_stands() {
    let bench = Bench::start().await;
    let server = bench.made("web").await;
    bench.script("peers", Scope::Provider, PEERS.to_owned()).await;
    let failed = async |caller: &Caller| {
        let failed = bench.system.invoke_action(caller, server.id.0, "PEERS", "broken", &texts(&[])).await;
        failed.unwrap_err().to_string()
    };
    let own = failed(&bench.caller).await;
    assert!(own.contains("attempt to index nil"), "{own}");
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let customer = caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer));
    let told = failed(&customer).await;
    assert!(!told.contains("index nil") && told.contains("who runs it finds the reason in its run "), "{told}");
    let run = bench.runs().await.into_iter().find(|run| told.contains(&run.id.to_string())).expect("the run");
    assert!(run.result.contains("attempt to index nil"), "{run:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_shows_is_in_the_language_of_whoever_looks() {
    let bench = Bench::start().await;
    let server = bench.made("web").await;
    let source = PEERS.replace(r#"name = "Peers","#, r##"name = "#__PEERS", description = "LBL_NO_CHARGE","##).replace(
        r#"{ key = "any", validator = { validatorType = "RESOURCE" } }"#,
        r##"{ key = "any", name = "#__ANY", required = true, defaultValue = "#__ONE", validator = {
                validatorType = "ENUM", validateString = "#__ONE,#__TWO,three", errorMessage = "#__WRONG" } }"##,
    );
    let script = bench.script("peers", Scope::Provider, source).await;
    let text = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    let german = [text("#__PEERS", "Nachbarn"), text("#__ONE", "eins"), text("#__WRONG", "eins oder zwei")];
    let english = [text("#__PEERS", "Peers"), text("#__ANY", "Any")];
    let translations = [("de_DE".to_owned(), german.into()), ("en".to_owned(), english.into())];
    let patch = ScriptPatch { translations: Some(translations.into()), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, patch).await.expect("texts");
    let form = async || bench.system.provider_forms(&bench.caller, server.id.0).await.unwrap().remove(0);
    let shown = form().await;
    assert_eq!((shown.name.as_str(), shown.description.as_str()), ("Peers", "No charge"));
    assert_eq!(shown.values[0].name, "Any");

    let patch = crate::BillingEntityPatch { language: Some(Some("de_DE".into())), ..Default::default() };
    let seller = bench.caller.billing_entity_id;
    bench.system.update_billing_entity(&bench.caller, seller, None, patch).await.expect("the language");
    let shown = form().await;
    assert_eq!(
        (shown.name.as_str(), shown.values[0].name.as_str()),
        ("Nachbarn", "Any"),
        "English where there is none"
    );
    let validator = shown.values[0].validator.clone().unwrap();
    assert_eq!(validator.rule, "#__ONE,#__TWO,three", "what is set stays the block's word");
    assert_eq!(validator.labels, texts(&[("#__ONE", "eins")]));
    let given = texts(&[("any", "four")]);
    let wrong = bench.system.set_provider_values(&bench.caller, server.id.0, "PEERS", &given).await.unwrap_err();
    assert!(wrong.to_string().contains("values.any: eins oder zwei"), "{wrong}");
    bench.stop().await;
}
