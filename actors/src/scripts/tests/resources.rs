//! Operations on every kind of resource, through the API objects: for one's own customer, not for others, and not twice when
//! a run is repeated.

use super::{repeats::thrice, *};
use crate::{ImageSource, NewBillingEntity};
use sutler_model::{CustomerStatus, Image, ImageState, JobState, KeyKind, ServerId};

/// A provider of one setting on servers.
const HA: &str = r##"
    function register() return { "ha" } end
    function ha(p)
        return { ref = "ha", name = "High availability", version = 1, api = "CONFIG_PROVIDER", providerType = "HA",
            resourceConfigs = { { associatedResourceType = "SERVER", useWithBilling = false, productComponentTypes = { {
                resourceName = "HA", referenceField = "HA",
                configurableList = { { key = "enabled", name = "Enabled", defaultValue = "FALSE",
                    validator = { validatorType = "ENUM", validateString = "TRUE,FALSE" } } } } } } } }
    end
"##;

/// The run of the one script, once it has ended in a state.
async fn ended(bench: &Bench, state: RunState) -> ScriptRun {
    // What it creates may set off runs of its own, which carry on.
    let over = |run: &ScriptRun| {
        !matches!(run.state, RunState::Pending | RunState::Retrying) && !run.result.contains("CONTINUE")
    };
    let runs = bench.runs_until(|runs| runs.iter().any(over)).await;
    let run = runs.into_iter().find(over).expect("a run");
    assert_eq!(run.state, state, "{run:#?}");
    run
}

/// Runs a body once, set off by a user's creation.
async fn once(bench: &Bench, owner: Scope, body: &str) -> ScriptRun {
    bench.script("once", owner, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    ended(bench, RunState::Succeeded).await
}

async fn bench() -> (tempfile::TempDir, Bench) {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    (folder, bench)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_creates_and_changes_a_server_of_its_session_user() {
    let (_folder, bench) = bench().await;
    let body = r##"
        userAPI:setSessionUser("ada@example.org/" .. p.input:getCustomerUUID())
        local skeleton = new("Server")
        skeleton:setResourceName("made-by-script")
        skeleton:setCpu(2)
        skeleton:setRam(512)
        skeleton:setImageUUID("IMAGE")
        skeleton:addCloudInitData("#cloud-config")
        local key = new("ResourceKey")
        key:setName("made")
        key:setValue("yes")
        skeleton:getResourceKey():add(key)
        local keys = new("List")
        keys:add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE ada")
        local job = userAPI:waitForJob(userAPI:createServer(skeleton, keys, nil):getResourceUUID(), true)
        print(job:getJobType():name(), job:getStatus():name())
        local server = adminAPI:getResource(job:getItemUUID(), true)
        print(server:getStatus():name(), server:getDisks():get(0):getSize())
        server:getResourceKey():get(0):setValue("changed")
        server:getProviderValues("HA"):put("enabled", "TRUE")
        local changed = userAPI:modifyServer(server, nil)
        print(changed:getJobType():name(), changed:getItemUUID() == server:getResourceUUID())
        print(userAPI:waitForJob(changed:getResourceUUID(), true):getStatus():name())
        server = adminAPI:getResource(job:getItemUUID(), true)
        print(server:getResourceKey():get(0):getValue(), server:getProviderValues("HA"):get("enabled"))
        server:setCpu(64)
        print(pcall(function() return userAPI:modifyResource(server, nil) end))
        server:setCpu(2)
        server:getProviderValues("HA"):put("enabled", "maybe")
        print(pcall(function() return userAPI:modifyServer(server, nil) end))
        server:getProviderValues("HA"):put("enabled", "FALSE")
        server:getProviderValues("NONE"):put("x", "y")
        print(pcall(function() return userAPI:modifyServer(server, nil) end))
    "##;
    bench.script("ha", Scope::Provider, HA.to_owned()).await;
    let run = once(&bench, Scope::Provider, &body.replace("IMAGE", &bench.image.to_string())).await;
    let lines: Vec<&str> = run.log.lines().collect();
    assert_eq!(
        lines[..5],
        ["CREATE_SERVER\tSUCCESSFUL", "STOPPED\t1", "MODIFY_SERVER\ttrue", "SUCCESSFUL", "changed\tTRUE"]
    );
    assert!(lines[6].contains("INVALID_INPUT: provider_values.HA.enabled"), "{}", lines[6]);
    assert!(lines[7].contains("provider_values.NONE: a server of this customer has no such provider"), "{}", lines[7]);
    assert!(lines[5].contains("false") && lines[5].contains("cpu: cannot be changed"), "{}", lines[5]);
    let server = bench.server("made-by-script").await.expect("the server");
    assert_eq!((server.user_data.as_deref(), server.ssh_keys.len()), (Some("#cloud-config"), 1));
    assert_eq!(server.cpu, 2);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_creates_changes_locks_and_deletes_users() {
    let (_folder, bench) = bench().await;
    let body = r#"
        if p.input:getEmail() ~= "ada@example.org" then return { exitState = "CONTINUE" } end
        local skeleton = new("User")
        skeleton:setEmail("Bob@Example.org")
        skeleton:setFirstName("Bob")
        skeleton:setLastName("Babbage")
        skeleton.customerUUID = nil
        userAPI:setSessionUser("ada@example.org/" .. p.input:getCustomerUUID())
        local job = userAPI:createUser(skeleton, "a long password", nil)
        print(job:getJobType():name(), job:getStatus():name(), job:getItemType():name())
        local bob = adminAPI:getResource(job:getItemUUID(), false)
        bob:setFirstName("Robert")
        print(userAPI:updateUser(bob, nil, nil):getFirstName())
        print(userAPI:lockUser(bob:getResourceUUID()), userAPI:unlockUser(bob:getResourceUUID()))
        bob:setEmail("else@example.org")
        print(string.match(select(2, pcall(function() return userAPI:updateUser(bob, nil, nil) end)), "email: [a-z ]+"))
        local program = userAPI:createAPIKeyUser("another password", new("User"))
        print(adminAPI:getResource(program:getItemUUID(), false):getFirstName())
        print(userAPI:deleteResource(bob:getResourceUUID(), true, nil):getJobType():name())
        print(userAPI:deleteResource(bob:getResourceUUID(), true, nil):getStatus():name())
        print(adminAPI:getResource(bob:getResourceUUID(), false))
    "#;
    let run = once(&bench, Scope::Provider, &body.replace("skeleton.customerUUID = nil\n", "\n")).await;
    let expected = "CREATE_USER\tSUCCESSFUL\tUSER\nRobert\ntrue\ttrue\nemail: cannot be changed\nAPI\nDELETE_USER\n\
                    SUCCESSFUL\nnil\n";
    assert_eq!(run.log, expected, "{run:#?}");
    let users = all::<User>(&bench.system).await;
    let program = users.iter().find(|user| user.email.ends_with("@api.invalid")).expect("the program's user");
    assert!(program.password_hash.starts_with("$argon2id$") && program.customer_id == Some(bench.customer));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrators_script_makes_sellers_and_customers_and_closes_them() {
    let (_folder, bench) = bench().await;
    let body = r#"
        local seller = new("BillingEntity")
        seller:setResourceName("North")
        local entity = adminAPI:createBillingEntity(seller, nil)
        print(entity:getJobType():name(), adminAPI:getResource(entity:getItemUUID(), false):getParentName())
        local skeleton = new("Customer")
        skeleton:setOrganisationName("Made")
        skeleton:getLimitsMap():put("MAX_SERVERS", 3)
        skeleton:setWarningLevel(5)
        local made = adminAPI:createCustomer(skeleton, nil)
        local customer = adminAPI:getResource(made:getItemUUID(), true)
        print(customer:getResourceName(), customer:getLimitsMap():get("MAX_SERVERS"), customer:getWarningLevel())
        local server = new("Server")
        server:setResourceName("of-made")
        server:setRam(512)
        server:setImageUUID("IMAGE")
        server:setCustomerUUID(customer:getResourceUUID())
        adminAPI:createServer(server, nil, nil)
        print(string.match(select(2, pcall(function()
            return adminAPI:deleteResource(customer:getResourceUUID(), false, nil)
        end)), "still has %d servers"))
        local gone = adminAPI:deleteResource(customer:getResourceUUID(), true, nil)
        print(gone:getJobType():name(), gone:getItemType():name())
        adminAPI:waitForJob(gone:getResourceUUID(), false)
        print(adminAPI:getResource(customer:getResourceUUID(), false):getStatus():name())
    "#;
    let run = once(&bench, Scope::Provider, &body.replace("IMAGE", &bench.image.to_string())).await;
    let expected =
        "CREATE_BILLING_ENTITY\tProvider\nMade\t3\t5\nstill has 1 servers\nDELETE_RESOURCE\tCUSTOMER\nCLOSED\n";
    assert_eq!(run.log, expected, "{run:#?}");
    assert!(bench.server("of-made").await.is_none());
    let customers = all::<Customer>(&bench.system).await;
    assert!(customers.iter().any(|customer| customer.name == "Made" && customer.status == CustomerStatus::Closed));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_offered_taken_back_and_renamed() {
    let (_folder, bench) = bench().await;
    let body = r#"
        print(adminAPI:revokeImage("IMAGE", nil, false), adminAPI:getResource("IMAGE", false):getResourceState():name())
        print(adminAPI:publishImage("IMAGE", nil, false), adminAPI:getResource("IMAGE", false):getResourceState():name())
        local image = adminAPI:getResource("IMAGE", false)
        image:setResourceName("renamed")
        print(adminAPI:modifyImage(image, nil):getJobType():name())
        print(adminAPI:deleteResource("IMAGE", false, nil):getItemName())
        print(pcall(function() return adminAPI:createSnapshot(image, nil) end))
    "#;
    let run = once(&bench, Scope::Provider, &body.replace("IMAGE", &bench.image.to_string())).await;
    let lines: Vec<&str> = run.log.lines().collect();
    assert_eq!(lines[..4], ["true\tHIDDEN", "true\tACTIVE", "MODIFY_IMAGE", "renamed"]);
    assert!(lines[4].contains("snapshots are not offered here: createSnapshot"), "{}", lines[4]);
    let image = all::<Image>(&bench.system).await.remove(0);
    assert_eq!((image.name.as_str(), image.state), ("renamed", ImageState::Retired));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_about_keys_types_and_permissions_are_answered() {
    let (_folder, bench) = bench().await;
    let job = bench.create("web", false).await;
    let server = bench.ended(job.id).await.item_id;
    let body = format!(
        r#"
        local function key(name)
            local key = new("ResourceKey")
            key:setName(name)
            key:setValue(name)
            key:setType(new("ResourceKeyType", "USER_KEY"))
            return key
        end
        adminAPI:addKey("{server}", key("one"))
        local list = new("KeyList")
        list:getKeyContent():add(key("two"))
        list:getKeyContent():add(key("three"))
        print(adminAPI:setUserKeys("{server}", list):getResourceKey():size())
        local keys = adminAPI:listResourceKeysForResource("{server}")
        print(keys:getTotalCount(), keys:getList():get(0):getName())
        print(adminAPI:getResourceTypes():get("SERVER"):isBillable(), adminAPI:getResourceTypes():get("FDL"):isBillable())
        local may = new("Permission")
        may:setCapability(new("Capability", "START_STOP"))
        may:setPermitted(true)
        print(adminAPI:isPermitted("{server}", may))
        local action = new("CapabilityAction")
        action:setCapability(new("Capability", "DELETE"))
        print(adminAPI:checkPermissions("{server}", {{ action }}):get("SERVER:DELETE"))
        local blocks = adminAPI:listResources(nil, nil, new("ResourceType", "FDL"))
        print(blocks:getTotalCount(), blocks:getList():get(0):getResourceName())
        local methods = adminAPI:runListQuery(nil, nil, "TRIGGER_METHOD")
        print(methods:next():getFdlTriggerType():name())
        local query = new("Query")
        query:setResourceType(new("ResourceType", "SERVER"))
        query:setOutputFields({{ "resourceName" }})
        print(adminAPI:doQuery(query):getResultRow():get(0):getColumnMap():get("resourceName"))
        print(pcall(function() return adminAPI:createSnapshot(nil, nil) end))
        print(pcall(function() return adminAPI:danceServer("{server}") end))
        "#
    );
    let run = once(&bench, Scope::Provider, &body).await;
    let lines: Vec<&str> = run.log.lines().collect();
    assert_eq!(lines[..8], ["2", "2\ttwo", "true\tfalse", "true", "true", "1\tonce", "POST_CREATE", "web"], "{run:#?}");
    assert!(lines[8].contains("snapshots are not offered here: createSnapshot"), "{}", lines[8]);
    assert!(lines[9].contains("danceServer is not offered here"), "{}", lines[9]);
    let server = bench.server("web").await.expect("the server");
    assert!(server.keys.iter().all(|key| key.kind == KeyKind::User) && server.keys.len() == 2);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_keeps_its_weight_and_whether_it_is_sticky() {
    let (_folder, bench) = bench().await;
    let job = bench.create("web", false).await;
    let server = bench.ended(job.id).await.item_id;
    let body = format!(
        r#"
        local key = new("ResourceKey")
        key:setName("rack")
        key:setValue("b")
        key:setType(new("ResourceKeyType", "PLACEMENT_KEY"))
        key:setWeight(-2.5)
        adminAPI:addKey("{server}", key)
        local function shown()
            local key = adminAPI:getResource("{server}", true):getResourceKey():get(0)
            return key:getWeight(), key:getExtraFlag()
        end
        print(shown())
        key:setExtraFlag(1)
        key:setWeight(3)
        adminAPI:modifyKey("{server}", key)
        print(shown())
        "#
    );
    let run = once(&bench, Scope::Provider, &body).await;
    assert_eq!(run.log.lines().collect::<Vec<_>>(), ["-2.5\t0", "3\t1"], "{run:#?}");
    let keys = bench.server("web").await.expect("the server").keys;
    assert_eq!((keys[0].weight, keys[0].sticky), (sutler_model::Nanos(3 * sutler_model::money::ONE), true));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_another_customer_is_not_found() {
    let (_folder, bench) = bench().await;
    let (stranger, _) = bench.stranger().await;
    let job = bench.create("web", false).await;
    let server = bench.ended(job.id).await.item_id;
    let victim = bench.user("victim").await;
    let script = bench.script("theirs", Scope::Provider, "function register() return {} end".to_owned()).await;
    let body = format!(
        r#"
        local function try(what)
            local done, why = pcall(what)
            print(done, string.match(tostring(why), "[A-Z_]+:") or why)
        end
        local server = new("Server")
        server:setResourceUUID("{server}")
        try(function() return adminAPI:modifyServer(server, nil) end)
        try(function() return adminAPI:modifyResource(server, nil) end)
        try(function() return adminAPI:setUserKeys("{server}", new("KeyList")) end)
        try(function() return adminAPI:startServer("{server}") end)
        server:setResourceName("mine")
        server:setRam(512)
        server:setImageUUID("{image}")
        server:setCustomerUUID("{customer}")
        try(function() return adminAPI:createServer(server, nil, nil) end)
        local user = new("User")
        user:setEmail("spy@example.org")
        user:setFirstName("S")
        user:setLastName("P")
        user:setCustomerUUID("{customer}")
        try(function() return adminAPI:createUser(user, "a long password") end)
        try(function() return adminAPI:lockUser("{victim}") end)
        try(function() return adminAPI:deleteResource("{victim}", true, nil) end)
        try(function() return adminAPI:deleteResource("{customer}", true, nil) end)
        try(function() return adminAPI:deleteResource("{script}", true, nil) end)
        try(function() return adminAPI:deleteResource("{image}", true, nil) end)
        try(function() return adminAPI:publishImage("{image}", nil, false) end)
        local may = new("Permission")
        may:setCapability(new("Capability", "DELETE"))
        try(function() return adminAPI:isPermitted("{server}", may) end)
        try(function() return adminAPI:listResourceKeysForResource("{victim}") end)
        print(adminAPI:listResources(nil, nil, new("ResourceType", "FDL")):getTotalCount())
        local customer = new("Customer")
        customer:setResourceName("Below")
        try(function() return adminAPI:createCustomer(customer, nil) end)
        local code = new("FDLCodeBlock")
        code:setResourceName("mine too")
        code:setUnsignedCodeBlock("function register( return")
        try(function() return adminAPI:createFDLCodeBlock(code, nil) end)
        "#,
        image = bench.image,
        customer = bench.customer,
        victim = victim.id,
        script = script.id,
    );
    bench.script("once", Scope::Customer(stranger), block("POST_CREATE", r#""USER""#, &body)).await;
    bench.user_of(stranger, "eve").await;
    let run = ended(&bench, RunState::Succeeded).await;
    let expected = "false\tNO_SERVER_FOUND:\n".repeat(4)
        + "false\tNO_CUSTOMER_FOUND:\nfalse\tNO_CUSTOMER_FOUND:\nfalse\tNO_USER_FOUND:\nfalse\tNO_USER_FOUND:\n"
        + "false\tNO_CUSTOMER_FOUND:\nfalse\tNO_FDL_CODE_BLOCK_FOUND:\nfalse\tNO_IMAGE_FOUND:\nfalse\tNO_IMAGE_FOUND:\n"
        + "false\tNO_RESOURCE_FOUND:\nfalse\tNO_RESOURCE_FOUND:\n1\n";
    assert!(run.log.starts_with(&expected), "{}", run.log);
    let rest: Vec<&str> = run.log[expected.len()..].lines().collect();
    assert_eq!(rest, ["false\tNO_BILLING_ENTITY_FOUND:", "false\tINVALID_INPUT:"]);
    assert!(!all::<User>(&bench.system).await.iter().any(|user| user.locked || user.email == "spy@example.org"));
    assert_eq!(all::<Image>(&bench.system).await[0].state, ImageState::Ready);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resellers_script_stays_below_it() {
    let (_folder, bench) = bench().await;
    let new = |name: &str| NewBillingEntity {
        parent_id: bench.caller.billing_entity_id,
        name: name.to_owned(),
        currency: "EUR".parse().expect("a currency"),
    };
    let north = bench.system.create_billing_entity(&bench.caller, new("North")).await.expect("made").id;
    let body = format!(
        r#"
        local seller = new("BillingEntity")
        seller:setResourceName("Below")
        print(adminAPI:createBillingEntity(seller, nil):getStatus():name())
        seller:setParentUUID("{provider}")
        print(string.match(select(2, pcall(function() return adminAPI:createBillingEntity(seller, nil) end)), "[A-Z_]+:"))
        local customer = new("Customer")
        customer:setResourceName("Theirs")
        customer:setBillingEntityUUID("{provider}")
        print(string.match(select(2, pcall(function() return adminAPI:createCustomer(customer, nil) end)), "[A-Z_]+:"))
        "#,
        provider = bench.caller.billing_entity_id,
    );
    bench.script("north", Scope::Entity(north), block("POST_CREATE", r#""BILLING_ENTITY""#, &body)).await;
    let below = NewBillingEntity { parent_id: north, ..new("Below North") };
    bench.system.create_billing_entity(&bench.caller, below).await.expect("made");
    let runs = bench.runs_until(|runs| runs.iter().any(|run| !run.log.is_empty())).await;
    let run = runs.into_iter().find(|run| !run.log.is_empty()).expect("a run");
    assert_eq!(run.log, "SUCCESSFUL\nNO_BILLING_ENTITY_FOUND:\nNO_BILLING_ENTITY_FOUND:\n", "{run:#?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_asked_for_at_a_later_time_and_the_job_taken_back() {
    let (_folder, bench) = bench().await;
    let job = bench.create("web", false).await;
    let server = bench.ended(job.id).await.item_id;
    let body = format!(
        r#"
        local later = new("FDLDateHelper"):getTimestamp() + 3600000
        local job = adminAPI:changeServerStatus("{server}", new("ServerStatus", "RUNNING"), true, nil, later)
        print(job:isScheduled(), job:getStatus():name(), job:getStartTime() ~= nil)
        print(adminAPI:cancelJob(job:getResourceUUID()):getStatus():name())
        print(adminAPI:waitForJob(job:getResourceUUID(), true):getStatus():name())
        print(pcall(function() return adminAPI:startServer("{server}", "2026-13-45") end))
        "#
    );
    bench.script("once", Scope::Provider, block("POST_CREATE", r#""USER""#, &body)).await;
    bench.user("ada").await;
    let run = ended(&bench, RunState::Succeeded).await;
    assert!(run.log.starts_with("true\tNOT_STARTED\ttrue\nCANCELLED\nCANCELLED\n"), "{run:#?}");
    assert!(run.log.contains("INVALID_DATE_FORMAT: argument 2 of startServer"), "{}", run.log);
    let jobs: Vec<Job> = bench.jobs().await;
    assert_eq!(jobs.iter().filter(|job| job.state == JobState::Cancelled).count(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_makes_an_image_of_its_server_once_and_says_what_it_allows() {
    let (_folder, bench) = bench().await;
    let job = bench.create("web", true).await;
    let server = bench.ended(job.id).await.item_id.to_string();
    let job = bench.create("busy", true).await;
    let busy = bench.ended(job.id).await.item_id.to_string();
    let body = r#"
        local skeleton = new("Image")
        skeleton:setResourceName("golden")
        skeleton:setBaseUUID("SERVER")
        local busy = new("Image")
        busy:setResourceName("busy")
        busy:setBaseUUID("BUSY")
        print(string.match(select(2, pcall(adminAPI.createImage, adminAPI, busy, nil)), "SERVER_NOT_STOPPED"))
        adminAPI:waitForJob(adminAPI:stopServer("SERVER", nil):getResourceUUID(), true)
        local may = new("ImagePermission")
        may:setCanCreateServer(true)
        may:setCanStart(true)
        skeleton:setUserPermission(may)
        local job = adminAPI:waitForJob(adminAPI:createImage(skeleton, nil):getResourceUUID(), true)
        print(job:getJobType():name(), job:getStatus():name(), job:getItemType():name(), job:getItemName())
        local image = adminAPI:getResource(job:getItemUUID(), true)
        print(image:getImageType():name(), image:getBaseName(), image:getBaseUUID() == "SERVER", image:getSize())
        print(image:getUserPermission():isCanStart(), image:getUserPermission():isCanConsole())
        print(image:getOwnerPermission():isCanConsole(), image:getCustomerUUID() == p.input:getResourceUUID())
        image:getUserPermission():setCanStart(false)
        image:setResourceName("silver")
        adminAPI:modifyImage(image, nil)
        image = adminAPI:getResource(job:getItemUUID(), true)
        print(image:getResourceName(), image:getUserPermission():isCanStart())
        skeleton:setBaseUUID("00000000-0000-4000-8000-000000000000")
        print(string.match(select(2, pcall(adminAPI.createImage, adminAPI, skeleton, nil)), "baseUUID: [a-z ]+"))
    "#;
    let run = thrice(&bench, &body.replace("SERVER\"", &format!("{server}\"")).replace("BUSY", &busy)).await;
    let expected = "SERVER_NOT_STOPPED\nCREATE_IMAGE_TEMPLATE\tSUCCESSFUL\tIMAGE\tgolden\nSERVER\tweb\ttrue\t10\n";
    assert!(run.log.contains(expected), "{}", run.log);
    assert!(run.log.contains("silver\tfalse\nbaseUUID: there is no such server or disk\n"), "{}", run.log);
    let images = all::<Image>(&bench.system).await;
    assert_eq!(images.len(), 2, "a repeated run makes no second one");
    let made = images.iter().find(|image| image.base.is_some()).expect("the image");
    assert_eq!((made.name.as_str(), made.state), ("silver", ImageState::Ready));
    assert!(
        made.user_permission.can_create_server && !made.user_permission.can_start && !made.user_permission.can_image
    );
    assert!(made.owner_permission.can_image);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_change_and_refuse_an_image_before_it_is_made_and_hear_of_it() {
    let (_folder, bench) = bench().await;
    let job = bench.create("web", false).await;
    let server = ServerId(bench.ended(job.id).await.item_id);
    let pre = r#"
        if p.input:getResourceName() == "secret" then return { exitState = "REFUSE", reason = "not that one" } end
        p.input:setResourceName("pre-" .. p.input:getResourceName())
        p.input:getUserPermission():setCanConsole(false)
    "#;
    bench.script("pre", Scope::Provider, block("PRE_CREATE", r#""IMAGE""#, pre)).await;
    let post = r#"print(p.input:getItemName(), p.input:getStatus():name(), p.input:getJobType():name())"#;
    bench.script("post", Scope::Provider, block("POST_JOB_STATE_CHANGE", r#""SUCCESSFUL""#, post)).await;
    let refused = bench.image_of(ImageSource::Server(server), "secret", "a").await;
    assert!(matches!(&refused, Err(Error::Refused { reason, .. }) if reason == "not that one"), "{refused:?}");
    let job = bench.image_of(ImageSource::Server(server), "golden", "b").await.expect("accepted");
    assert_eq!((bench.ended(job.id).await.state, job.item_name.as_str()), (JobState::Successful, "pre-golden"));
    let images = all::<Image>(&bench.system).await;
    let made = images.iter().find(|image| image.base.is_some()).expect("the image");
    assert!(made.name == "pre-golden" && !made.user_permission.can_console && made.owner_permission.can_console);
    let told = "pre-golden\tSUCCESSFUL\tCREATE_IMAGE_TEMPLATE\n";
    bench.runs_until(|runs| runs.iter().any(|run| run.log == told)).await;
    bench.stop().await;
}
