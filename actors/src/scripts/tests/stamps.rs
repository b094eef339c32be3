//! PRE runs that write to what they are asked about: their own changes are not those of others.

use super::*;
use crate::{
    ActionAsked, BillingEntityPatch, CustomerPatch, MetadataPatch, NewBillingEntity, ServerAction, ServerPatch,
    UserPatch,
};
use sutler_model::{BillingEntity, Customer, Disk, JobState, KeyKind, Noun, ResourceKey};

/// A key with a value that no run has set before, as a time would be, on what a run is asked about.
const STAMP: &str = r#"
    local key = new("ResourceKey")
    key:setName("stamp")
    key:setValue(new("FDLHashHelper"):getRandomUUID())
    adminAPI:addKey(p.triggerOption == "NOT_STARTED" and p.input:getItemUUID() or p.input:getResourceUUID(), key)
"#;

fn stamps(keys: &[ResourceKey]) -> usize {
    keys.iter().filter(|key| key.name == "stamp").count()
}

fn key(name: &str) -> ResourceKey {
    ResourceKey { name: name.into(), value: "1".into(), kind: KeyKind::User, ..ResourceKey::default() }
}

async fn stamping(bench: &Bench, trigger: &str, options: &str) {
    bench.script(&trigger.to_lowercase(), Scope::Provider, block(trigger, options, STAMP)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pre_trigger_stamps_is_changed_all_the_same_and_keeps_the_stamp() {
    let bench = Bench::start().await;
    let server = bench.built("web", false).await;
    stamping(&bench, "PRE_MODIFY", "").await;
    let (system, caller) = (&bench.system, &bench.caller);

    let version = bench.server("web").await.expect("there").version;
    let patch = ServerPatch { keys: Some(vec![key("mine")]), ..ServerPatch::default() };
    let changed = system.update_server(caller, server, Some(version), patch).await.expect("changed");
    let names: Vec<&str> = changed.keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["mine", "stamp"]);
    assert_eq!(bench.server("web").await.expect("there"), changed);

    let patch = CustomerPatch { name: Some("Renamed".into()), ..CustomerPatch::default() };
    let changed = system.update_customer(caller, bench.customer, None, patch).await.expect("changed");
    assert_eq!((changed.name.as_str(), stamps(&changed.keys)), ("Renamed", 1));

    let seller = changed.billing_entity_id;
    let patch = BillingEntityPatch { name: Some("Seller".into()), ..BillingEntityPatch::default() };
    let changed = system.update_billing_entity(caller, seller, None, patch).await.expect("changed");
    assert_eq!((changed.name.as_str(), stamps(&changed.keys)), ("Seller", 1));

    let user = bench.user("ada").await;
    let patch = UserPatch { first_name: Some("Augusta".into()), ..UserPatch::default() };
    let changed = system.update_user(caller, user.id, None, patch).await.expect("changed");
    assert_eq!((changed.first_name.as_str(), stamps(&changed.keys)), ("Augusta", 1));

    let patch = MetadataPatch { private: Some("<mine/>".into()), ..MetadataPatch::default() };
    system.set_metadata(caller, (Noun::Server, server.0), None, patch).await.expect("changed");
    // Each was asked about once.
    assert_eq!(bench.runs_until(|runs| runs.len() >= 5).await.len(), 5);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pre_trigger_stamps_is_started_stopped_and_deleted_all_the_same() {
    let bench = Bench::start().await;
    let server = bench.built("web", false).await;
    for (trigger, options) in
        [("PRE_SERVER_STATE_CHANGE", ""), ("PRE_DELETE", ""), ("PRE_JOB_STATE_CHANGE", r#""NOT_STARTED""#)]
    {
        stamping(&bench, trigger, options).await;
    }
    for (at, action) in
        [ServerAction::Start, ServerAction::Stop { force: true }, ServerAction::Delete].into_iter().enumerate()
    {
        let if_match = bench.server("web").await.map(|server| server.version);
        let asked = ActionAsked { if_match, ..ActionAsked::default() };
        let job = bench.system.act_on_server(&bench.caller, server, action, asked).await.expect("accepted");
        assert_eq!(bench.ended(job.id).await.state, JobState::Successful, "{action:?}");
        // Of a state, a job, and at last of the deletion of the server and its disk.
        assert_eq!(bench.runs_until(|runs| runs.len() >= 2 * at + 2).await.len().min(6), 2 * at + 2);
        if let Some(server) = bench.server("web").await {
            assert_eq!(stamps(&server.keys), 1);
        }
    }
    assert!(all::<Disk>(&bench.system).await.iter().all(|disk| stamps(&disk.keys) == 1));

    let user = bench.user("ada").await;
    bench.system.delete_user(&bench.caller, user.id, Some(user.version)).await.expect("deleted");
    let job =
        bench.system.delete_customer(&bench.caller, bench.customer, true, None, None, None).await.expect("accepted");
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_describes_a_record_is_written_by_its_pre_trigger_while_it_is_changed() {
    let bench = Bench::start().await;
    let body = r#"
        -- It is asked about what it writes itself, too.
        if p.input:getResourceName() == "Renamed" then
            local id, value = p.input:getResourceUUID(), new("FDLHashHelper"):getRandomUUID()
            local metadata = new("ResourceMetadata")
            metadata:setPrivateMetadata("<a>" .. value .. "</a>")
            adminAPI:updateMetadata(id, metadata)
            local values = new("Map")
            values:put("last", value)
            adminAPI:updateConfigurationProviderValues(id, "KEEPER", values)
        end
    "#;
    bench.script("describe", Scope::Provider, block("PRE_MODIFY", r#""CUSTOMER""#, body)).await;
    let (system, caller) = (&bench.system, &bench.caller);
    let version = system.store().get::<Customer>(bench.customer).await.expect("read").expect("there").version;
    let patch = CustomerPatch {
        name: Some("Renamed".into()),
        metadata: MetadataPatch { public: Some("<mine/>".into()), ..MetadataPatch::default() },
        ..CustomerPatch::default()
    };
    let changed = system.update_customer(caller, bench.customer, Some(version), patch).await.expect("changed");
    let metadata = changed.metadata.clone().expect("some");
    assert_eq!((changed.name.as_str(), metadata.public.as_str()), ("Renamed", "<mine/>"));
    assert_eq!(metadata.private, format!("<a>{}</a>", changed.provider_values["KEEPER"]["last"]));
    assert_eq!(system.store().get::<Customer>(bench.customer).await.expect("read"), Some(changed));
    // Of the change, and of the metadata.
    assert_eq!(bench.runs_until(|runs| runs.len() >= 2).await.len(), 2);
    bench.stop().await;
}

/// Has a customer that is called `Renamed` changed by a modification and by an action, which stamps it.
const INDIRECT: &str = r#"
    function register() return { "ask", "stamping" } end
    function ask(p)
        if p == nil then
            return { ref = "ask", name = "ask", description = "", priority = 0, triggerType = "PRE_MODIFY",
                triggerOptions = { "CUSTOMER" }, api = "TRIGGER", version = 1 }
        end
        if p.input:getResourceName() == "Renamed" then
            local customer = adminAPI:getResource(p.input:getResourceUUID(), true)
            customer:setResourceName("Between")
            adminAPI:updateCustomer(customer)
            adminAPI:invokeAction(p.input:getResourceUUID(), "stamp", new("Map"), "STAMPING")
        end
        return { exitState = "SUCCESS" }
    end
    function stamping(p)
        return { ref = "stamping", name = "Stamping", description = "", api = "CONFIG_PROVIDER", version = 1,
            providerType = "STAMPING", resourceConfigs = { { associatedResourceType = "CUSTOMER", useWithBilling = false,
                productComponentTypes = { { resourceName = "Stamps", referenceField = "STAMPS", configurableList = {},
                    actionFunctions = { { key = "stamp", executionFunction = "stamp", synchronous = true } } } } } } }
    end
    function stamp(p)
        p.input, p.triggerOption = p.resource, "CUSTOMER"
        STAMP
        return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = "stamped" }
    end
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_write_that_a_pre_trigger_sets_off_is_no_change_of_others() {
    let bench = Bench::start().await;
    bench.script("indirect", Scope::Provider, INDIRECT.replace("STAMP\n", &format!("{STAMP}\n"))).await;
    stamping(&bench, "PRE_MODIFY", r#""CUSTOMER""#).await;
    let (system, caller) = (&bench.system, &bench.caller);
    let version = system.store().get::<Customer>(bench.customer).await.expect("read").expect("there").version;
    let patch = CustomerPatch { name: Some("Renamed".into()), ..CustomerPatch::default() };
    let changed = system.update_customer(caller, bench.customer, Some(version), patch).await.expect("changed");
    assert_eq!((changed.name.as_str(), stamps(&changed.keys)), ("Renamed", 1));
    // Two were asked about the change, two about the modification, and the action ran.
    let runs = bench.runs_until(|runs| runs.len() >= 5).await;
    assert_eq!(runs.len(), 5, "{runs:#?}");
    assert!(runs.iter().all(|run| run.state == RunState::Succeeded), "{runs:#?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seller_is_made_below_one_that_its_pre_trigger_stamps() {
    let bench = Bench::start().await;
    let body = STAMP.replace("p.input:getResourceUUID()", "p.beUUID");
    bench.script("stamp", Scope::Provider, block("PRE_CREATE", r#""BILLING_ENTITY""#, &body)).await;
    let parent = all::<BillingEntity>(&bench.system).await.remove(0);
    let new = NewBillingEntity { name: "Below".into(), parent_id: parent.id, currency: parent.currency };
    bench.system.create_billing_entity(&bench.caller, new).await.expect("made");
    let parent = bench.system.store().get::<BillingEntity>(parent.id).await.expect("read").expect("there");
    assert_eq!(stamps(&parent.keys), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_that_changes_meanwhile_is_asked_about_again_and_deleted() {
    let bench = Bench::start().await;
    let body = r#"
        local customer = adminAPI:getResource(p.input:getResourceUUID(), false)
        customer:setWarningLevel(7)
        adminAPI:updateCustomer(customer)
    "#;
    bench.script("warn", Scope::Provider, block("PRE_DELETE", r#""CUSTOMER""#, body)).await;
    let job = bench.system.delete_customer(&bench.caller, bench.customer, false, None, None, None).await;
    assert_eq!(bench.ended(job.expect("accepted").id).await.state, JobState::Successful);
    // The second time it changes nothing.
    assert_eq!(bench.runs_until(|runs| runs.len() >= 2).await.len(), 2);
    bench.stop().await;
}
