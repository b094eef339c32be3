//! What scripts change on the beans of records that are there.

use super::*;
use crate::{BillingEntityPatch, MetadataPatch, testing::Bench};
use sutler_model::{BillingEntity, Image, JobState, Noun, ResourceMetadata};

/// What the provider's script prints when a user comes to be.
async fn said(bench: &Bench, name: &str, body: &str) -> String {
    let script = bench.script(name, Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user(name).await;
    let ended = |run: &ScriptRun| run.script_id == script.id && run.finished_at.is_some();
    let runs = bench.runs_until(|runs| runs.iter().any(ended)).await;
    let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, off).await.expect("disabled");
    let run = runs.into_iter().find(ended).expect("the run");
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
    run.log
}

/// A bench with a stopped server.
async fn bench() -> Bench {
    let bench = Bench::start().await;
    let job = bench.create("web", false).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench
}

/// The first resource of a kind.
const FIRST: &str = r#"
    local function first(kind)
        return adminAPI:listResources(nil, nil, new("ResourceType", kind)):getList():get(0)
    end
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_changed_on_a_bean_is_kept_as_update_metadata_keeps_it() {
    let bench = bench().await;
    let asked = r#"
        local metadata = p.input:getResourceMetadata()
        print(p.triggerOption, metadata:getPublicMetadata(), metadata:getPrivateMetadata())
    "#;
    let asked = bench.script("asked", Scope::Provider, block("PRE_MODIFY", "", asked)).await;
    let own = MetadataPatch { private: Some("<mine/>".into()), ..MetadataPatch::default() };
    let place = (Noun::Server, bench.server("web").await.unwrap().id.0);
    bench.system.set_metadata(&bench.caller, place, None, own).await.unwrap();
    let body = format!(
        r#"{FIRST}
        local function set(bean) bean:getResourceMetadata():setPublicMetadata("<a/>") return bean end
        adminAPI:modifyServer(set(first("SERVER")), nil)
        -- Though nothing is kept yet.
        local customer = adminAPI:getResource(p.input:getCustomerUUID(), false)
        print(customer:getResourceMetadata():getPublicMetadata(), customer:getResourceMetadata():getResourceUUID() == p.input:getCustomerUUID())
        print(adminAPI:updateCustomer(set(customer)):getResourceMetadata():getPublicMetadata())
        local image, metadata = first("IMAGE"), new("ResourceMetadata")
        metadata:setPublicMetadata("<a/>")
        image:setResourceMetadata(metadata)
        adminAPI:modifyImage(image, nil)
        local seller = first("BILLING_ENTITY")
        seller:setResourceMetadata(metadata)
        adminAPI:modifyResource(seller, nil)
        print(pcall(function()
            local server = first("SERVER")
            server:getResourceMetadata():setPublicMetadata("<a>")
            adminAPI:modifyServer(server, nil)
        end))
        "#
    );
    let log = said(&bench, "set", &body).await;
    assert!(log.starts_with("nil\ttrue\n<a/>\nfalse\t"), "{log}");
    assert!(log.contains("INVALID_INPUT") && log.contains("resourceMetadata.publicMetadata: is no XML"), "{log}");
    let public = || ResourceMetadata { public: "<a/>".into(), ..ResourceMetadata::default() };
    let server = bench.server("web").await.unwrap();
    let kept = ResourceMetadata { private: "<mine/>".into(), ..public() };
    assert_eq!(server.metadata.as_deref(), Some(&kept), "what the script did not set stays");
    let customer = all::<Customer>(&bench.system).await.remove(0);
    let image = all::<Image>(&bench.system).await.remove(0);
    let seller = all::<BillingEntity>(&bench.system).await.remove(0);
    for metadata in [customer.metadata, image.metadata, seller.metadata] {
        assert_eq!(metadata.as_deref(), Some(&public()));
    }
    let runs = bench.runs_until(|runs| runs.iter().filter(|run| run.script_id == asked.id).count() == 5).await;
    let mut told: Vec<&str> = runs.iter().filter(|run| run.script_id == asked.id).map(|run| run.log.trim()).collect();
    told.sort_unstable();
    let others = ["BILLING_ENTITY\t<a/>\tnil", "CUSTOMER\t<a/>\tnil", "IMAGE\t<a/>\tnil"];
    assert_eq!(told, [&others[..], &["SERVER\t<a/>\t<mine/>", "SERVER\tnil\t<mine/>"]].concat());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_that_cannot_be_changed_is_named_rather_than_lost() {
    let bench = bench().await;
    let body = format!(
        r#"{FIRST}
        local function refused(kind, operation, change)
            local bean = kind == "CUSTOMER" and adminAPI:getResource(p.input:getCustomerUUID(), true) or first(kind)
            change(bean)
            local done, why = pcall(function() return adminAPI[operation](adminAPI, bean, nil) end)
            print(kind, done or string.match(why, "INVALID_INPUT: (.*)"))
        end
        local other = p.input:getResourceUUID()
        refused("SERVER", "modifyServer", function(s) s:setCpu(4) end)
        refused("SERVER", "modifyServer", function(s) s:setResourceName("other") end)
        refused("SERVER", "modifyServer", function(s) s:setDescription("mine") end)
        refused("SERVER", "modifyServer", function(s) s:setImageUUID(other) end)
        refused("SERVER", "modifyResource", function(s) s:setStatus(new("ServerStatus", "RUNNING")) end)
        refused("SERVER", "modifyServer", function(s) s:getDisks():get(0):setSize(99) end)
        refused("SERVER", "modifyServer", function(s) s:getNics():add(new("Nic")) end)
        refused("SERVER", "modifyServer", function(s) s:addCloudInitData("echo hello") end)
        refused("SERVER", "modifyServer", function(s) s:setSshkeys(nil) s:setNodeName("n") end)
        refused("CUSTOMER", "modifyCustomer", function(c) c:setTimeZone("Europe/Berlin") end)
        refused("USER", "updateUser", function(u) u:setUserType(new("UserType", "API_KEY_USER")) end)
        refused("IMAGE", "modifyImage", function(i) i:setSize(1000) end)
        refused("BILLING_ENTITY", "modifyBillingEntity", function(e) e:setParentUUID(other) end)
        -- What it is already is no change.
        refused("SERVER", "modifyServer", function(s)
            s:setCpu(s:getCpu())
            s:setStatus(s:getStatus())
            s:getNics():get(0):getMacAddress()
            s:setDisks(s:getDisks())
            s:getDisks():get(0):setSize(s:getDisks():get(0):getSize())
        end)
        -- Nor is what follows from a change.
        refused("USER", "updateUser", function(u) u:setResourceName("Ada King") u:setFirstName("Ada") u:setLastName("King") end)
        "#
    );
    let log = said(&bench, "set", &body).await;
    let there = "cannot be changed on a server that is there";
    let by = |operation: &str| format!("cannot be changed by {operation}");
    let expected = [
        format!("SERVER\tcpu: {there}"),
        format!("SERVER\tresourceName: {there}"),
        format!("SERVER\tdescription: {}", by("modifyServer")),
        format!("SERVER\timageUUID: {}", by("modifyServer")),
        format!("SERVER\tstatus: {}", by("modifyResource")),
        format!("SERVER\tdisks: {}", by("modifyServer")),
        format!("SERVER\tnics: {}", by("modifyServer")),
        format!("SERVER\tcloudInitData: {}", by("modifyServer")),
        format!("SERVER\tnodeName: {}", by("modifyServer")),
        format!("CUSTOMER\ttimeZone: {}", by("modifyCustomer")),
        format!("USER\tuserType: {}", by("updateUser")),
        format!("IMAGE\tsize: {}", by("modifyImage")),
        format!("BILLING_ENTITY\tparentUUID: {}", by("modifyBillingEntity")),
        "SERVER\ttrue".to_owned(),
        "USER\ttrue".to_owned(),
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_changed_of_blobs_blocks_cards_and_pluggable_resources_is_named_too() {
    let till = super::payments::Till::open(super::payments::PAID).await;
    till.card("visa", &[("card", "4242")]).await;
    let bench = &till.bench;
    bench.script("notes", Scope::Provider, super::pluggables::NOTES.to_owned()).await;
    bench.system.create_pluggable(&bench.caller, bench.note("one", "hello")).await.unwrap();
    let body = format!(
        r#"{FIRST}
        local function refused(bean, operation, change)
            change(bean)
            local done, why = pcall(function() return adminAPI[operation](adminAPI, bean, nil) end)
            print(operation, done or string.match(why, "INVALID_INPUT: (.*)"))
        end
        local page, other = new("Blob"), p.input:getResourceUUID()
        page:setResourceName("page")
        page:setValue("x")
        page = adminAPI:getResource(adminAPI:createBlob(page, nil):getResourceUUID(), false)
        refused(page, "modifyBlob", function(b) b:setCustomerUUID(other) end)
        refused(first("FDL"), "modifyFDLCodeBlock", function(b) b:setResourceName("other") end)
        refused(first("PLUGGABLE_RESOURCE"), "modifyResource", function(r) r:setProviderType("OTHER") r:setCustomerUUID(other) end)
        refused(first("PAYMENT_METHOD_INSTANCE"), "modifyPaymentMethodInstance", function(i) i:setPaymentMethodUUID(other) end)
        -- What it is already is no change, and what can be changed is.
        refused(first("BLOB"), "modifyBlob", function(b) b:setResourceUUID(b:getResourceUUID()) b:setPublicResource(true) end)
        refused(first("PLUGGABLE_RESOURCE"), "modifyPluggableResource", function(r)
            r:setProviderType(r:getProviderType())
            r:setResourceName("two")
        end)
        refused(first("PAYMENT_METHOD_INSTANCE"), "modifyResource", function(i) i:setResourceName("mastercard") end)
        print(first("BLOB"):isPublicResource(), first("PLUGGABLE_RESOURCE"):getResourceName(), first("PAYMENT_METHOD_INSTANCE"):getResourceName())
        "#
    );
    let log = said(bench, "set", &body).await;
    let expected = [
        "modifyBlob\tcustomerUUID: cannot be changed by modifyBlob",
        "modifyFDLCodeBlock\tresourceName: cannot be changed by modifyFDLCodeBlock",
        "modifyResource\tcustomerUUID: cannot be changed by modifyResource; providerType: cannot be changed by modifyResource",
        "modifyPaymentMethodInstance\tpaymentMethodUUID: cannot be changed by modifyPaymentMethodInstance",
        "modifyBlob\ttrue",
        "modifyPluggableResource\ttrue",
        "modifyResource\ttrue",
        "true\ttwo\tmastercard",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bean_that_is_older_than_its_record_changes_only_what_the_script_has_set() {
    let bench = bench().await;
    let body = format!(
        r#"{FIRST}
        local server, key = first("SERVER"), new("ResourceKey")
        adminAPI:waitForJob(adminAPI:startServer(server:getResourceUUID(), nil):getResourceUUID(), true)
        key:setName("stage")
        key:setValue("live")
        server:getResourceKey():add(key)
        adminAPI:modifyServer(server, nil)
        print(server:getStatus():name(), first("SERVER"):getStatus():name())
        -- One that was made from nothing but its UUID says no more than that.
        local bare = new("Server")
        bare:setResourceUUID(server:getResourceUUID())
        bare:getResourceMetadata()
        local metadata = new("ResourceMetadata")
        metadata:setPublicMetadata("<a/>")
        bare:setResourceMetadata(metadata)
        adminAPI:modifyServer(bare, nil)
        "#
    );
    assert_eq!(said(&bench, "set", &body).await, "STOPPED\tRUNNING\n");
    let server = bench.server("web").await.unwrap();
    assert_eq!((server.keys.len(), server.metadata.map(|kept| kept.public)), (1, Some("<a/>".to_owned())));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_and_users_keep_the_keys_and_sellers_the_address_that_a_script_sets_on_their_beans() {
    let bench = bench().await;
    let patch = BillingEntityPatch { language: Some(Some("de_DE".into())), ..BillingEntityPatch::default() };
    let seller = bench.caller.billing_entity_id;
    bench.system.update_billing_entity(&bench.caller, seller, None, patch).await.unwrap();
    let body = format!(
        r#"{FIRST}
        local image, key, seller = first("IMAGE"), new("ResourceKey"), first("BILLING_ENTITY")
        key:setName("os")
        key:setValue("linux")
        image:getResourceKey():add(key)
        adminAPI:modifyImage(image, nil)
        local user = adminAPI:getResource(p.input:getResourceUUID(), true)
        user:getResourceKey():add(key)
        user:setMobileNumber("+44 1")
        adminAPI:modifyResource(user, nil)
        seller:getAddress():setAddress3("Edinburgh")
        seller:setVatNumber("GB1")
        adminAPI:modifyBillingEntity(seller, nil)
        "#
    );
    said(&bench, "set", &body).await;
    let image = all::<Image>(&bench.system).await.remove(0);
    assert_eq!(image.keys.iter().map(|key| key.value.as_str()).collect::<Vec<_>>(), ["linux"]);
    let user = all::<User>(&bench.system).await.into_iter().find(|user| user.email == "set@example.org").unwrap();
    assert_eq!((user.keys.len(), user.contact.mobile_number.as_str()), (1, "+44 1"));
    let seller = all::<BillingEntity>(&bench.system).await.remove(0);
    assert_eq!((seller.contact.line(3), seller.contact.vat_number.as_str()), ("Edinburgh", "GB1"));
    assert_eq!(seller.language.as_deref(), Some("de_DE"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_acts_for_a_customer_gives_its_sellers_keys_back_as_they_are() {
    let bench = bench().await;
    let body = format!(
        r#"{FIRST}
        local server, key = first("SERVER"), new("ResourceKey")
        key:setName("rack")
        key:setValue("r-7")
        key:setWeight(1.5)
        key:setType(new("ResourceKeyType", "BILLING_ENTITY_KEY"))
        adminAPI:addKey(server:getResourceUUID(), key)
        userAPI:setSessionUser("set@example.org/" .. p.input:getCustomerUUID())
        local function add(value)
            local server, key = first("SERVER"), new("ResourceKey")
            key:setName("stage")
            key:setValue("live")
            server:getResourceKey():add(key)
            server:getResourceKey():get(0):setValue(value)
            return pcall(function() return userAPI:modifyServer(server, nil) end)
        end
        print(add("r-7"))
        print(string.find(select(2, add("r-8")), "USER_KEY", 1, true) ~= nil)
        "#
    );
    let log = said(&bench, "set", &body).await;
    assert!(log.starts_with("true\t") && log.ends_with("\ntrue\n"), "{log}");
    let server = bench.server("web").await.unwrap();
    let keys: Vec<_> = server.keys.iter().map(|key| (key.name.as_str(), key.value.as_str())).collect();
    assert_eq!(keys, [("rack", "r-7"), ("stage", "live")]);
    bench.stop().await;
}
