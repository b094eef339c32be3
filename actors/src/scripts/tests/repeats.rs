//! Runs that are tried again after they changed something.

use super::*;
use sutler_model::{BillingEntity, RunId};
use sutler_store::{CallMade, Op};

/// Runs a body three times, for its run fails at the end.
pub(super) async fn thrice(bench: &Bench, body: &str) -> ScriptRun {
    let source = block("POST_CREATE", r#""CUSTOMER""#, &format!("{body}\nerror('again')"));
    bench.script("thrice", Scope::Provider, source).await;
    bench.stranger().await;
    let dead = |run: &ScriptRun| run.state == RunState::Dead;
    let runs = bench.runs_until(|runs| runs.iter().any(dead)).await;
    let run = runs.into_iter().find(dead).expect("the run");
    assert_eq!(run.attempts, 3);
    run
}

/// What each try of a run wrote into its log, where it was something else than the try before did.
fn logs(bench: &Bench, run: RunId) -> Vec<String> {
    let feed = bench.system.store().feed(1, usize::MAX).expect("the feed");
    let changes = feed.iter().flat_map(|entry| &entry.changes).filter(|change| change.id == run.0);
    let log = |value: Option<serde_json::Value>| value.and_then(|log| log.as_str().map(str::to_owned));
    changes.filter_map(|change| log(change.new_value("log"))).collect()
}

const EVERYTHING: &str = r##"
    if p.input:getResourceName() ~= "Stranger" then return { exitState = "CONTINUE" } end
    local function key(value)
        local key = new("ResourceKey")
        key:setName("COUNT")
        key:setType(new("ResourceKeyType", "USER_KEY"))
        key:setValue(value)
        return key
    end
    local function job(job)
        print(job:getJobType():name(), job:getItemType():name(), job:getItemUUID(), job:getResourceUUID())
        return job:getItemUUID()
    end
    -- Of what is not deleted later.
    local function kept(made)
        local id = job(made)
        print(made:getCustomerUUID(), made:getUserUUID())
        return adminAPI:getResource(id, true)
    end
    local function wait(job) return adminAPI:waitForJob(job:getResourceUUID(), true) end

    local customer = new("Customer")
    customer:setResourceName("New")
    customer = kept(adminAPI:createCustomer(customer, nil))
    customer:setResourceName("Newer")
    print(kept(adminAPI:modifyCustomer(customer, nil)):getResourceName())
    customer:setWarningLevel(3)
    print(adminAPI:updateCustomer(customer):getWarningLevel())
    print(adminAPI:addKey(customer:getResourceUUID(), key("1")):getResourceName())
    print(adminAPI:removeKey(customer:getResourceUUID(), key("1")):getResourceKey():size())

    local function user(name)
        local user = new("User")
        user:setEmail(name .. "@example.org")
        user:setFirstName("New")
        user:setLastName("User")
        user:setCustomerUUID(customer:getResourceUUID())
        return adminAPI:createUser(user, "a long password")
    end
    job(adminAPI:deleteResource(job(user("gone")), false, nil))
    local user = kept(user("new"))
    user:setFirstName("Newer")
    kept(adminAPI:modifyUser(user, nil))
    user:setLastName("Name")
    print(adminAPI:updateUser(user, nil, nil):getEmail())
    print(adminAPI:lockUser(user:getResourceUUID()))
    print(adminAPI:unlockUser(user:getResourceUUID()))

    local seller = new("BillingEntity")
    seller:setResourceName("Seller")
    seller = kept(adminAPI:createBillingEntity(seller, nil))
    seller:setResourceName("Sellers")
    kept(adminAPI:modifyBillingEntity(seller, nil))

    local function code(name)
        local code = new("FDLCodeBlock")
        code:setResourceName(name)
        code:setUnsignedCodeBlock("function register() return {} end")
        return adminAPI:createFDLCodeBlock(code, nil)
    end
    job(adminAPI:deleteResource(job(code("gone")), false, nil))
    local code = kept(code("made"))
    code:setUnsignedCodeBlock("function register() return {} end -- again")
    kept(adminAPI:modifyFDLCodeBlock(code, nil))

    local function blob(name)
        local blob = new("Blob")
        blob:setResourceName(name)
        blob:setValue("hello")
        return adminAPI:createBlob(blob, nil)
    end
    local note = blob("note")
    print(note:getResourceUUID(), note:getResourceName())
    note:setValue("bye")
    kept(adminAPI:modifyBlob(note, nil))

    local metadata = new("ResourceMetadata")
    metadata:setPublicMetadata("<a/>")
    print(adminAPI:updateMetadata("CUSTOMER", metadata))
    print(adminAPI:revokeImage("IMAGE", nil, false))
    print(adminAPI:publishImage("IMAGE", nil, false))
    local image = adminAPI:getResource("IMAGE", true)
    image:setResourceName("renamed")
    kept(adminAPI:modifyImage(image, nil))

    local function server(name)
        local server = new("Server")
        server:setResourceName(name)
        server:setRam(512)
        server:setImageUUID("IMAGE")
        server:setCustomerUUID("CUSTOMER")
        return wait(adminAPI:createServer(server, nil, nil))
    end
    job(wait(adminAPI:deleteResource(job(server("gone")), false, nil)))
    local server = kept(server("made"))
    server:getResourceKey():add(key("1"))
    kept(adminAPI:modifyServer(server, nil))
    kept(wait(adminAPI:changeServerStatus(server:getResourceUUID(), "RUNNING", true, nil, nil)))

    user:setFirstName("Later")
    kept(adminAPI:modifyUser(user, p.timeStamp + 3600000))
    userAPI:setSessionUser("new@example.org/" .. customer:getResourceUUID())
    local other = new("Blob")
    other:setResourceName("other")
    other:setValue("hello")
    print(userAPI:createBlob(other, nil):getResourceName())
    print(adminAPI:lockUser(user:getResourceUUID()))
"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_try_is_answered_the_same_and_changes_nothing_after_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let body = EVERYTHING.replace("IMAGE\"", &format!("{}\"", bench.image));
    let run = thrice(&bench, &body.replace("CUSTOMER\"", &format!("{}\"", bench.customer))).await;
    assert!(run.result.contains("again"), "{}\n{}", run.result, run.log);
    assert_eq!(logs(&bench, run.id), [run.log.as_str()]);
    let feed = bench.system.store().feed(1, usize::MAX).expect("the feed");
    let mut calls: Vec<u32> = Vec::new();
    for entry in &feed {
        let Some((maker, call)) = entry.cause.call().filter(|(maker, _)| *maker == run.id.0) else { continue };
        // A deletion of a script is two changes.
        if !(calls.last() == Some(&call.number) && entry.changes.iter().any(|change| change.op == Op::Deleted)) {
            calls.push(call.number);
        }
        assert_eq!(maker, run.id.0);
    }
    let mut once = calls.clone();
    once.dedup();
    assert!(calls.len() > 25 && calls == once && calls.is_sorted(), "each call changed something once: {calls:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_run_creates_and_deletes_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let user = bench.user("gone").await;
    let body = format!(
        r#"
        if p.input:getResourceName() ~= "Stranger" then return {{ exitState = "CONTINUE" }} end
        local customer = new("Customer")
        customer:setResourceName("Once")
        local made = adminAPI:createCustomer(customer, nil)
        local user = new("User")
        user:setEmail("once@example.org")
        user:setFirstName("On")
        user:setLastName("Ce")
        user:setCustomerUUID(made:getItemUUID())
        adminAPI:createUser(user, "a long password")
        local seller = new("BillingEntity")
        seller:setResourceName("Once")
        adminAPI:createBillingEntity(seller, nil)
        local code = new("FDLCodeBlock")
        code:setResourceName("once")
        code:setUnsignedCodeBlock("function register() return {{}} end")
        adminAPI:createFDLCodeBlock(code, nil)
        local server = new("Server")
        server:setResourceName("once")
        server:setRam(512)
        server:setImageUUID("{image}")
        server:setCustomerUUID("{customer}")
        adminAPI:createServer(server, nil, nil)
        print(adminAPI:deleteResource("{gone}", false, nil):getItemUUID())
        "#,
        image = bench.image,
        customer = bench.customer,
        gone = user.id,
    );
    let run = thrice(&bench, &body).await;
    assert_eq!(run.log.trim(), user.id.to_string(), "{run:#?}");
    let named = |name: &str| name.eq_ignore_ascii_case("once");
    assert_eq!(all::<Customer>(&bench.system).await.iter().filter(|r| named(&r.name)).count(), 1);
    assert_eq!(all::<BillingEntity>(&bench.system).await.iter().filter(|r| named(&r.name)).count(), 1);
    assert_eq!(all::<Script>(&bench.system).await.iter().filter(|r| named(&r.name)).count(), 1);
    assert_eq!(all::<Server>(&bench.system).await.iter().filter(|r| named(&r.name)).count(), 1);
    assert_eq!(
        all::<User>(&bench.system).await.iter().map(|u| u.email.as_str()).filter(|e| *e == "once@example.org").count(),
        1
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_failed_and_is_tried_again_changes_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let body = r#"
        if p.input:getResourceName() ~= "Stranger" then return { exitState = "CONTINUE" } end
        local customer = adminAPI:getResource("CUSTOMER", true)
        local count = 0
        for _, key in ipairs(customer:getResourceKey()) do
            if key:getName() == "COUNT" then count = tonumber(key:getValue()) end
        end
        local key = new("ResourceKey")
        key:setName("COUNT")
        key:setType(new("ResourceKeyType", "USER_KEY"))
        key:setValue(tostring(count + 1))
        adminAPI:addKey("CUSTOMER", key)
    "#;
    let run = thrice(&bench, &body.replace("CUSTOMER\"", &format!("{}\"", bench.customer))).await;
    let customer = bench.system.store().get::<Customer>(bench.customer).await.unwrap().unwrap();
    let counts: Vec<&str> =
        customer.keys.iter().filter(|key| key.name == "COUNT").map(|key| key.value.as_str()).collect();
    assert_eq!((run.attempts, counts), (3, vec!["1"]), "{run:#?}");
    bench.stop().await;
}

/// What is remembered of the calls of a run.
async fn remembered(bench: &Bench, run: RunId) -> Vec<CallMade> {
    bench.system.store().read(move |snapshot| snapshot.calls(run.0)).await.expect("read")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_did_is_remembered_until_it_has_ended_well_or_is_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let body = |end: &str| {
        let keep = r#"
            if p.input:getResourceName() ~= "Stranger" then return { exitState = "CONTINUE" } end
            local key = new("ResourceKey")
            key:setName("COUNT")
            key:setType(new("ResourceKeyType", "USER_KEY"))
            key:setValue(tostring(event.attempt))
            adminAPI:addKey(p.input:getResourceUUID(), key)
        "#;
        block("POST_CREATE", r#""CUSTOMER""#, &format!("{keep}\n{end}"))
    };
    let well = bench.script("well", Scope::Provider, body("if event.attempt < 3 then error('again') end")).await;
    let dead = bench.script("dead", Scope::Provider, body("error('again')")).await;
    bench.stranger().await;
    let of = |script: &Script, state| {
        let id = script.id;
        move |run: &ScriptRun| (run.script_id, run.state) == (id, state)
    };
    let (is_well, is_dead) = (of(&well, RunState::Succeeded), of(&dead, RunState::Dead));
    let runs = bench.runs_until(|runs| runs.iter().any(&is_well) && runs.iter().any(&is_dead)).await;
    let well = runs.iter().find(|run| is_well(run)).expect("a run");
    let dead = runs.iter().find(|run| is_dead(run)).expect("a run");
    assert_eq!((well.attempts, remembered(&bench, well.id).await), (3, Vec::new()));
    let calls = remembered(&bench, dead.id).await;
    assert_eq!(calls.iter().map(|call| call.operation.as_str()).collect::<Vec<_>>(), ["addKey"]);
    bench.system.skip_run(&bench.caller, dead.id).await.expect("skipped");
    assert_eq!(remembered(&bench, dead.id).await, []);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_question_at_the_place_of_an_earlier_one_is_asked_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let body = format!(
        r#"
        if p.input:getResourceName() ~= "Stranger" then return {{ exitState = "CONTINUE" }} end
        local user = "{}"
        if event.attempt == 1 then adminAPI:lockUser(user) else adminAPI:unlockUser(user) end
        "#,
        bench.user("ada").await.id
    );
    thrice(&bench, &body).await;
    let ada = all::<User>(&bench.system).await.into_iter().find(|user| user.email.starts_with("ada")).expect("ada");
    assert!(!ada.locked);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_gets_its_job_also_when_the_trigger_that_mended_it_is_gone() {
    let bench = Bench::start().await;
    let mend = block("PRE_CREATE", "'SERVER'", "p.input:setResourceName('mended')");
    let mend = bench.script("mend", Scope::Provider, mend).await;
    let ask = async || {
        let key = crate::Idempotency { key: "key".into(), request_hash: "same".into() };
        let new = bench.new_server("not a host!", false);
        bench.system.create_server(&bench.caller, bench.customer, new, Some(key)).await
    };
    let job = ask().await.expect("accepted");
    assert_eq!(job.item_name, "mended");
    bench.ended(job.id).await;
    bench.system.delete_script(&bench.caller, mend.id, None).await.expect("deleted");
    assert_eq!(ask().await.expect("the job of then").id, job.id);
    bench.stop().await;
}
