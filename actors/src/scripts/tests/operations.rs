//! What scripts do through the API objects.

use super::{block, settings};
use crate::testing::Bench;
use sutler_drivers::simulated::{Fault, FaultError};
use sutler_model::{
    Customer, CustomerStatus, JobInput, JobState, Nanos, Permission, RunState, Scope, ScriptRun, ServerState,
};

/// The one run of the one script, once it has ended well.
async fn only_run(bench: &Bench) -> ScriptRun {
    let mut runs = bench.runs_until(|runs| runs.iter().any(|run| run.state != RunState::Pending)).await;
    let run = runs.remove(0);
    assert_eq!((run.state, runs.len()), (RunState::Succeeded, 0), "{run:#?}");
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_changes_its_customers_name_state_limits_and_warning_level() {
    let bench = Bench::start().await;
    let body = r#"
        local customer = adminAPI:getResource(p.input:getCustomerUUID(), false)
        customer:setResourceName("Renamed")
        customer:setStatus(new("Status", "DISABLED"))
        customer:setWarningLevel(12.5)
        customer:getLimitsMap():put("MAX_CPUS", 7)
        local changed = adminAPI:updateCustomer(customer)
        print(changed:getResourceName(), changed:getWarningLevel())
        changed:setWarningLevel(nil)
        print(adminAPI:updateCustomer(changed):getWarningLevel())
        changed:setWarningLevel(3)
        adminAPI:updateCustomer(changed)
    "#;
    bench.script("change", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    assert_eq!(only_run(&bench).await.log, "Renamed\t12.5\nnil\n");
    let customer = bench.system.store().get::<Customer>(bench.customer).await.expect("read").expect("there");
    assert_eq!(
        (customer.name.as_str(), customer.status, customer.quota.cpus),
        ("Renamed", CustomerStatus::Suspended, 7)
    );
    assert_eq!(customer.warning_level, Some(Nanos(3_000_000_000)));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_script_modifies_has_one_value() {
    let bench = Bench::start().await;
    let body = r#"
        local key = new("ResourceKey")
        key:setName("stage")
        key:setValue("one")
        adminAPI:addKey(p.input:getResourceUUID(), key)
        key:setValue("two")
        adminAPI:modifyKey(p.input:getResourceUUID(), key)
    "#;
    bench.script("keys", Scope::Provider, block("POST_CREATE", r#""SERVER""#, body)).await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    only_run(&bench).await;
    let server = bench.server("web").await.expect("the server");
    assert_eq!(server.keys.len(), 1, "{:?}", server.keys);
    assert_eq!((server.keys[0].name.as_str(), server.keys[0].value.as_str()), ("stage", "two"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_deletes_a_server_twice_gets_one_job() {
    let bench = Bench::start().await;
    let body = r#"
        local uuid = p.input:getItemUUID()
        local first = adminAPI:deleteResource(uuid, true, nil)
        local done = userAPI:waitForJob(first:getResourceUUID(), true)
        local again = adminAPI:deleteResource(uuid, true, nil)
        print(done:getStatus():name(), first:getResourceUUID() == again:getResourceUUID())
    "#;
    let created = r#"if p.input:getJobType():name() ~= "CREATE_SERVER" then return { exitState = "CONTINUE" } end"#;
    let source = block("POST_JOB_STATE_CHANGE", r#""SUCCESSFUL""#, &format!("{created}\n{body}"));
    bench.script("delete", Scope::Provider, source).await;
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let runs = bench.runs_until(|runs| runs.iter().filter(|run| run.state == RunState::Succeeded).count() == 2).await;
    assert!(runs.iter().any(|run| run.log == "SUCCESSFUL\ttrue\n"), "{runs:#?}");
    let deletions = bench.jobs().await.iter().filter(|j| matches!(j.input, JobInput::DeleteServer { .. })).count();
    assert_eq!(deletions, 1);
    assert!(bench.server("web").await.is_none_or(|server| server.state == ServerState::Deleting));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_cancels_a_job_that_waits() {
    let bench = Bench::start().await;
    let body = "print(adminAPI:cancelJob(p.input:getResourceUUID()):getResourceUUID() == p.input:getResourceUUID())";
    let source = block("POST_JOB_STATE_CHANGE", r#""NOT_STARTED""#, body);
    bench.script("cancel", Scope::Provider, source).await;
    // It would wait for its disk for ever.
    let fault =
        Fault { call: "ensure_disk".into(), times: u32::MAX, error: Some(FaultError::Transient), ..Fault::default() };
    bench.world.fault(Fault { delay_ms: 20, ..fault });
    let job = bench.create("web", true).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Cancelled);
    assert_eq!(only_run(&bench).await.log, "true\n");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_of_a_customer_changes_nothing_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    let (stranger, caller) = bench.stranger().await;
    assert!(caller.must(Permission::CustomersWrite).is_ok(), "it is not for want of a right");
    let job = bench.create("web", true).await;
    let server = bench.ended(job.id).await.item_id;
    let body = format!(
        r#"
        local function try(what, ...)
            local done, why = pcall(what, ...)
            print(done, string.match(tostring(why), "NO_[A-Z_]+"))
        end
        local key = new("ResourceKey")
        key:setName("mine")
        key:setValue("yes")
        try(function() return adminAPI:addKey("{server}", key) end)
        try(function() return adminAPI:modifyKey("{server}", key) end)
        try(function() return adminAPI:removeKey("{server}", key) end)
        try(function() return adminAPI:deleteResource("{server}", true, nil) end)
        try(function() return adminAPI:changeServerStatus("{server}", new("ServerStatus", "STOPPED"), true, nil, nil) end)
        try(function() return adminAPI:cancelJob("{job}") end)
        local other = new("Customer")
        other:setResourceUUID("{customer}")
        other:setResourceName("Taken over")
        try(function() return adminAPI:updateCustomer(other) end)
        print(adminAPI:getResource("{server}", false), adminAPI:getResource("{customer}", false))
        "#,
        job = job.id,
        customer = bench.customer,
    );
    bench.script("grab", Scope::Customer(stranger), block("POST_CREATE", r#""USER""#, &body)).await;
    bench.user_of(stranger, "eve").await;
    let run = only_run(&bench).await;
    let refused = "false\tNO_SERVER_FOUND\n".repeat(5) + "false\tNO_JOB_FOUND\nfalse\tNO_CUSTOMER_FOUND\nnil\tnil\n";
    assert_eq!(run.log, refused);
    assert!(bench.server("web").await.expect("untouched").keys.is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_does_not_exist_is_told_as_such_before_there_is_a_session_user() {
    let bench = Bench::start().await;
    let body = r#"
        for _, name in ipairs { "makeCoffee", "createSnapshot", "createBlob" } do
            print(select(2, pcall(function() return userAPI[name](userAPI, p.input:getResourceUUID()) end)))
        end
    "#;
    bench.script("calls", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user("ada").await;
    let log = only_run(&bench).await.log;
    let lines: Vec<&str> = log.lines().collect();
    for (line, words) in lines.iter().zip([
        "makeCoffee is not offered here",
        "snapshots are not offered here: createSnapshot",
        "UNAUTHORISED_ACCESS: call setSessionUser",
    ]) {
        assert!(line.contains(words), "{log}");
    }
    assert_eq!(lines.len(), 3);
    bench.stop().await;
}
