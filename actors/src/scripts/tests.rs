//! The triggers over a running system: the store, the Lua runtime and the jobs are the real ones.

mod billed;
mod changed;
mod charges;
mod children;
mod counters;
mod crashes;
mod data;
mod deferred;
mod every_event;
mod exceptions;
mod failures;
mod forms;
mod in_use;
mod killed;
mod known;
mod limits;
mod mail;
mod metadata;
mod model;
mod notices;
mod occasions;
mod operations;
mod overtaken;
mod packages;
mod payments;
mod pluggables;
mod providers;
mod published;
mod reaching;
mod rehearsals;
mod remains;
mod repeats;
mod resources;
mod schedules;
mod sights;
mod stamps;
mod sweeping;
mod tags;
mod turns;

use crate::{
    Caller, Error, NewCustomer, NewScript, NewUser, PlanPatch, ScriptPatch, Settings,
    testing::{Bench, all, caller},
};
use std::collections::HashSet;
use sutler_model::{
    Customer, CustomerId, Job, Permission, Plan, PlanCharge, Role, RunState, Scope, Script, ScriptRun, Server, User,
};
use sutler_store::{ChangeSet, Store};

fn settings() -> Settings {
    Settings { node_poll_ms: 50, retry_base_ms: 1, run_tries_max: 3, ..Settings::default() }
}

/// A block with one entry.
fn block(trigger: &str, options: &str, body: &str) -> String {
    format!(
        r#"
        function register() return {{ "on_event" }} end
        function on_event(p)
            if p == nil then
                return {{ ref = "t", name = "t", description = "t", priority = 0, triggerType = "{trigger}",
                    triggerOptions = {{ {options} }}, api = "TRIGGER", version = 1 }}
            end
            {body}
            return {{ exitState = "SUCCESS" }}
        end
        "#
    )
}

impl Bench {
    async fn script(&self, name: &str, owner: Scope, source: String) -> Script {
        let new = NewScript { name: name.into(), owner, source, enabled: true, fail_open: false };
        self.system.create_script(&self.caller, new).await.expect("the script is taken")
    }

    /// Has the one plan there is charge by a script for resources of these types, and for nothing else.
    async fn charge(&self, script: &Script, component: &str, resource_types: &[&str]) {
        let charge = |resource_type: &&str| PlanCharge {
            component: component.into(),
            resource_type: (*resource_type).into(),
            script_id: Some(script.id),
            function: None,
            values: Default::default(),
        };
        let charges = Some(resource_types.iter().map(charge).collect());
        let patch = PlanPatch { charges, ..PlanPatch::default() };
        let plan = all::<Plan>(&self.system).await.remove(0);
        self.system.update_plan(&self.caller, plan.id, None, patch).await.expect("the plan");
    }

    /// Somebody of the bench's customer.
    async fn as_customer(&self, role: Role) -> Caller {
        let plan = all::<Plan>(&self.system).await.remove(0);
        caller(&plan, role, Scope::Customer(self.customer), Some(self.customer))
    }

    async fn runs(&self) -> Vec<ScriptRun> {
        let mut runs = all::<ScriptRun>(&self.system).await;
        runs.sort_by_key(|run| (run.seq, run.created_at));
        runs
    }

    /// Waits until there are runs that satisfy `holds`, and answers all.
    async fn runs_until(&self, holds: impl Fn(&[ScriptRun]) -> bool) -> Vec<ScriptRun> {
        let mut last = Vec::new();
        self.until(async || {
            last = self.runs().await;
            holds(&last)
        })
        .await;
        last
    }

    async fn user(&self, name: &str) -> User {
        self.user_of(self.customer, name).await
    }

    async fn user_of(&self, customer: CustomerId, name: &str) -> User {
        let plan = all::<Plan>(&self.system).await.remove(0);
        let new = NewUser {
            email: format!("{name}@example.org"),
            first_name: name.into(),
            last_name: "Lovelace".into(),
            billing_entity_id: plan.billing_entity_id,
            customer_id: Some(customer),
            role: Role::CustomerAdmin,
            password_hash: "none".into(),
            contact: Default::default(),
        };
        self.system.create_user(&self.caller, new).await.expect("the user")
    }

    /// Sets a key on the customer, which a script can see.
    async fn open(&self) {
        let old = self.system.store().get::<Customer>(self.customer).await.expect("read").expect("the customer");
        let mut new = old.clone();
        new.keys.push(sutler_model::ResourceKey {
            name: "open".into(),
            value: "yes".into(),
            kind: sutler_model::KeyKind::User,
            ..sutler_model::ResourceKey::default()
        });
        let mut set = ChangeSet::new(self.caller.cause.clone());
        set.update(&old, &mut new);
        self.system.store().commit(set).await.expect("the key");
    }

    /// A second customer and one who may act for it alone.
    async fn stranger(&self) -> (CustomerId, Caller) {
        let plan = all::<Plan>(&self.system).await.remove(0);
        let new = NewCustomer { name: "Stranger".into(), ..crate::testing::new_customer("Stranger", &plan) };
        let customer = self.system.create_customer(&self.caller, new).await.expect("the customer").id;
        (customer, caller(&plan, Role::CustomerAdmin, Scope::Customer(customer), Some(customer)))
    }
}

fn states(runs: &[ScriptRun]) -> Vec<RunState> {
    runs.iter().map(|run| run.state).collect()
}

/// Fails for a server called `bad` until the customer has the key `open`.
const UNTIL_OPEN: &str = r#"
    if p.input:getItemName() == "bad" then
        local open = false
        local keys = adminAPI:getResource(p.customer:getResourceUUID(), true):getResourceKey()
        for i = 0, keys:size() - 1 do
            if keys:get(i):getName() == "open" then open = true end
        end
        if not open then error("closed") end
    end
    print(p.input:getItemName() .. " " .. p.triggerOption .. " " .. p.input:getStatus():name())
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_trigger_runs_once_for_each_event_in_order_and_sees_the_state_of_then() {
    let bench = Bench::start().await;
    bench.script("log", Scope::Provider, block("POST_JOB_STATE_CHANGE", r#""ANY""#, UNTIL_OPEN)).await;
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.option == "SUCCESSFUL")).await;
    assert!(runs.iter().all(|run| run.state == RunState::Succeeded && run.attempts == 1), "{runs:#?}");
    let server = bench.server("web").await.expect("the server");
    assert!(runs.iter().all(|run| run.resource_id == Some(server.id.0)));
    let log: Vec<String> = runs.iter().map(|run| run.log.trim().to_owned()).collect();
    let told: Vec<String> = runs.iter().map(|run| format!("web {0} {0}", run.option)).collect();
    assert_eq!(log, told);
    assert_eq!(runs.last().expect("a run").option, "SUCCESSFUL");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_loses_no_event_and_repeats_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    bench.user("before").await;
    bench.script("log", Scope::Provider, block("POST_CREATE", r#""USER""#, "print(p.input:getFirstName())")).await;
    for n in 0..40 {
        bench.user(&format!("a{n}")).await;
    }
    bench.stop().await;
    drop(bench);
    let bench = Bench::start_with(folder.path(), settings()).await;
    for n in 0..10 {
        bench.user(&format!("b{n}")).await;
    }
    let runs = bench.runs_until(|runs| runs.len() >= 50).await;
    bench.stop().await;
    assert_eq!(runs.len(), 50);
    assert!(runs.iter().all(|run| (run.state, run.version) == (RunState::Succeeded, 1)));
    let resources: HashSet<_> = runs.iter().map(|run| run.resource_id).collect();
    assert_eq!(resources.len(), 50);
    assert!(runs.iter().all(|run| !run.log.contains("before")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_read_again_after_a_crash_find_the_runs_they_had() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    bench.script("log", Scope::Provider, block("POST_CREATE", r#""USER""#, "print(p.input:getFirstName())")).await;
    for n in 0..20 {
        bench.user(&format!("a{n}")).await;
    }
    let before = bench.runs_until(|runs| runs.len() == 20).await;
    bench.stop().await;
    drop(bench);
    // A crash before the place in the feed was written.
    let path = folder.path().join("store.redb");
    let store = Store::open(&path, sutler_store::Options::default()).expect("the store opens");
    store.advance("triggers", before[0].seq.expect("a place")).await.expect("set back");
    store.close().await;
    let bench = Bench::start_with(folder.path(), settings()).await;
    bench.user("last").await;
    let after = bench.runs_until(|runs| runs.len() > 20).await;
    bench.stop().await;
    assert_eq!(after[..20], before[..]);
    assert_eq!(after.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_pair_is_held_back_while_others_go_on_and_keeps_its_order() {
    let folder = tempfile::tempdir().expect("a folder");
    // The next try is hours away.
    let patient = Settings { retry_base_ms: 3_600_000, ..settings() };
    let bench = Bench::start_with(folder.path(), patient.clone()).await;
    bench.script("log", Scope::Provider, block("POST_JOB_STATE_CHANGE", r#""ANY""#, UNTIL_OPEN)).await;
    let bad = bench.create("bad", false).await;
    bench.ended(bad.id).await;
    let good = bench.create("good", false).await;
    bench.ended(good.id).await;
    let (bad, good) = (bad.item_id, good.item_id);
    let of = |runs: &[ScriptRun], id| -> Vec<ScriptRun> {
        runs.iter().filter(|r| r.resource_id == Some(id)).cloned().collect()
    };
    let runs = bench
        .runs_until(|runs| {
            of(runs, good).iter().any(|run| run.option == "SUCCESSFUL" && run.state == RunState::Succeeded)
        })
        .await;
    let held = of(&runs, bad);
    assert_eq!(held[0].state, RunState::Retrying);
    assert!(held[0].result.contains("closed"), "{}", held[0].result);
    assert!(held[1..].iter().all(|run| run.state == RunState::Pending) && held.len() > 1, "{:?}", states(&held));

    // It holds over a restart, and a retry after the cause is mended lets the rest follow in order.
    bench.stop().await;
    drop(bench);
    let bench = Bench::start_with(folder.path(), patient).await;
    assert_eq!(states(&of(&bench.runs().await, bad)), states(&held));
    bench.open().await;
    bench.system.retry_run(&bench.caller, held[0].id).await.expect("retried");
    let runs = bench.runs_until(|runs| of(runs, bad).iter().all(|run| run.state == RunState::Succeeded)).await;
    let done = of(&runs, bad);
    assert_eq!(done[0].attempts, 2);
    assert!(done.is_sorted_by_key(|run| run.finished_at));
    let log: Vec<&str> = done.iter().map(|run| run.log.trim()).collect();
    let told: Vec<String> = held.iter().map(|run| format!("bad {0} {0}", run.option)).collect();
    assert_eq!(log, told);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_tries_left_is_dead_until_it_is_retried_or_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    bench.script("log", Scope::Provider, block("POST_JOB_STATE_CHANGE", r#""ANY""#, UNTIL_OPEN)).await;
    let job = bench.create("bad", false).await;
    bench.ended(job.id).await;
    let dead = bench
        .runs_until(|runs| runs.last().is_some_and(|run| run.option == "SUCCESSFUL" && run.state == RunState::Dead))
        .await;
    assert!(dead.iter().all(|run| (run.state, run.attempts) == (RunState::Dead, 3)), "{dead:#?}");
    assert!(dead.len() >= 2);

    let skipped = bench.system.skip_run(&bench.caller, dead[0].id).await.expect("skipped");
    assert_eq!(skipped.state, RunState::Skipped);
    bench.open().await;
    bench.system.retry_run(&bench.caller, dead[1].id).await.expect("retried");
    let runs = bench.runs_until(|runs| runs[1].state == RunState::Succeeded).await;
    assert_eq!((runs[0].state, runs[1].attempts), (RunState::Skipped, 1));
    for (run, way) in [(&runs[0], "only failed runs"), (&runs[1], "only failed runs")] {
        let refused = bench.system.retry_run(&bench.caller, run.id).await.expect_err("refused");
        assert!(matches!(&refused, Error::State { detail, .. } if detail.contains(way)), "{refused}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skipped_head_lets_those_behind_it_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), Settings { retry_base_ms: 3_600_000, ..settings() }).await;
    let body = r#"if p.triggerOption == "NOT_STARTED" then error("never") end"#;
    bench.script("log", Scope::Provider, block("POST_JOB_STATE_CHANGE", r#""NOT_STARTED", "SUCCESSFUL""#, body)).await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    let runs = bench.runs_until(|runs| runs.len() == 2).await;
    if runs[0].option == "NOT_STARTED" {
        assert_eq!(states(&runs), [RunState::Retrying, RunState::Pending]);
        bench.system.skip_run(&bench.caller, runs[0].id).await.expect("skipped");
        let runs = bench.runs_until(|runs| runs[1].state == RunState::Succeeded).await;
        assert_eq!(runs[0].state, RunState::Skipped);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_trigger_changes_what_is_stored_in_order_of_priority() {
    let bench = Bench::start().await;
    let change = r#"
        p.input:setRam(p.input:getRam() * 2)
        p.input:setCpu(3)
        p.input:getDisks():get(0):setSize(20)
        p.input:getProviderValues("BACKUP"):put("enabled", "TRUE")
        p.input:setImageUUID("somewhere else")
    "#;
    bench.script("change", Scope::Provider, block("PRE_CREATE", r#""SERVER""#, change)).await;
    let check =
        r#"if p.input:getRam() ~= 2048 or p.input:getStatus():name() ~= "BUILDING" then error("not doubled") end"#;
    let check = format!(r#"if p.triggerOption == "SERVER" then {check} end"#);
    let second = block("PRE_CREATE", r#""ANY""#, &check).replace("priority = 0", "priority = 5");
    bench.script("check", Scope::Customer(bench.customer), second).await;
    let job = bench.create("web", false).await;
    let server = bench.server("web").await.expect("the server");
    assert_eq!((server.memory_mib, server.cpu), (2048, 3));
    assert_eq!(server.provider_values["BACKUP"]["enabled"], "TRUE");
    assert_eq!(server.image_id, bench.image);
    assert_eq!(bench.disks().await[0].size_gib, 20);
    // The second is asked about the disk too.
    let runs = bench.runs_until(|runs| states(runs) == [RunState::Succeeded; 3]).await;
    assert!(runs.iter().any(|run| run.log.contains("imageUUID")), "{runs:#?}");
    let disk = bench.disks().await.remove(0).id;
    let own = |run: &ScriptRun| match run.option.as_str() {
        "DISK" => run.resource_id == Some(disk.0),
        _ => run.resource_id == Some(server.id.0),
    };
    assert!(runs.iter().all(|run| run.seq.is_none() && own(run)), "{runs:#?}");
    bench.ended(job.id).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_trigger_refuses_with_its_reason_and_nothing_is_stored() {
    let bench = Bench::start().await;
    let body = r#"return { exitState = "FAILURE", reason = "no servers on Sundays" }"#;
    bench.script("sundays", Scope::Provider, block("PRE_CREATE", r#""SERVER""#, &format!("do {body} end"))).await;
    let new = bench.new_server("web", false);
    let refused = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect_err("refused");
    assert!(
        matches!(&refused, Error::Refused { script, reason } if script == "sundays" && reason == "no servers on Sundays"),
        "{refused}"
    );
    assert!(bench.server("web").await.is_none() && bench.jobs().await.is_empty());
    assert_eq!(states(&bench.runs().await), [RunState::Refused]);
    let again = bench.system.retry_run(&bench.caller, bench.runs().await[0].id).await.expect_err("refused");
    assert!(matches!(again, Error::State { .. }));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_customers_script_sees_and_does_nothing() {
    let bench = Bench::start().await;
    let (stranger, as_stranger) = bench.stranger().await;
    let spy = r#"
        local list = adminAPI:listResources(nil, nil, new("ResourceType", "SERVER")):getList()
        print("servers " .. list:size())
        local uuid = nil
        local others = adminAPI:listResources(nil, nil, new("ResourceType", "CUSTOMER")):getList()
        print("customers " .. others:size())
        print("entity " .. tostring(adminAPI:getResource(p.beUUID, true)))
    "#;
    bench.script("spy", Scope::Customer(stranger), block("POST_CREATE", r#""ANY""#, spy)).await;
    bench.script("witness", Scope::Customer(bench.customer), block("POST_CREATE", r#""SERVER""#, spy)).await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    let runs = bench.runs_until(|runs| !runs.is_empty()).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].owner, Scope::Customer(bench.customer));
    assert_eq!(runs[0].log.trim().lines().collect::<Vec<_>>(), ["servers 1", "customers 1", "entity nil"]);

    // Now with an event of its own.
    let new = bench.new_server("own", false);
    let own = bench.system.create_server(&bench.caller, stranger, new, None).await.expect("accepted");
    bench.ended(own.id).await;
    let runs = bench.runs_until(|runs| runs.len() >= 3).await;
    let seen: Vec<&ScriptRun> = runs.iter().filter(|run| run.owner == Scope::Customer(stranger)).collect();
    assert!(seen.iter().all(|run| run.log.contains("servers 1") && run.log.contains("entity nil")), "{seen:#?}");

    // And over the operations.
    let witness =
        all::<Script>(&bench.system).await.into_iter().find(|script| script.name == "witness").expect("there");
    let system = &bench.system;
    let patch = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    for refused in [
        system.update_script(&as_stranger, witness.id, None, patch).await.map(drop),
        system.delete_script(&as_stranger, witness.id, None).await,
        system.skip_run(&as_stranger, runs[0].id).await.map(drop),
        system.retry_run(&as_stranger, runs[0].id).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    let source = block("POST_CREATE", r#""ANY""#, "");
    for owner in [Scope::Customer(bench.customer), Scope::Entity(bench.caller.billing_entity_id)] {
        let new = NewScript { name: "x".into(), owner, source: source.clone(), enabled: true, fail_open: false };
        let refused = system.create_script(&as_stranger, new).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_sets_itself_off_is_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    // What the node's watch finds begins a chain of its own.
    let bench = Bench::start_with(folder.path(), Settings { node_poll_ms: 3_600_000, ..settings() }).await;
    let user = bench.user("ada").await;
    let body = format!(
        r#"
        userAPI:setSessionUser("{}/" .. p.input:getCustomerUUID())
        local target = "RUNNING"
        if p.triggerOption == "RUNNING" then target = "STOPPED" end
        local job = userAPI:changeServerStatus(p.input:getResourceUUID(), new("ServerStatus", target), false, nil, nil)
        userAPI:waitForJob(job:getResourceUUID(), true)
        "#,
        user.email
    );
    let source = block("POST_SERVER_STATE_CHANGE", r#""RUNNING", "STOPPED""#, &body);
    bench.script("loop", Scope::Provider, source).await;
    let job = bench.create("web", true).await;
    bench.ended(job.id).await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.state == RunState::Dead)).await;
    let dead: Vec<&ScriptRun> = runs.iter().filter(|run| run.state == RunState::Dead).collect();
    assert!(dead[0].result.contains("8 runs set each other off"), "{}", dead[0].result);
    let jobs: Vec<Job> = bench.jobs().await.into_iter().filter(|job| job.user_id == Some(user.id)).collect();
    assert_eq!(jobs.len(), 8, "{runs:#?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_trigger_runs_at_its_times_with_its_owners_entity() {
    let bench = Bench::start().await;
    let source = r#"
        function register() return { "tick" } end
        function tick(p)
            if p == nil then
                return { ref = "t", name = "t", description = "t", triggerType = "SCHEDULED",
                    schedule = { frequency = { SECOND = 1 } }, api = "TRIGGER", version = 1 }
            end
            print(p.input[2] .. " " .. tostring(p.input[3] >= p.input[1]) .. " " .. p.beUUID)
            return { exitState = "SUCCESS" }
        end
    "#;
    let script = bench.script("tick", Scope::Provider, source.into()).await;
    let runs = bench.runs_until(|runs| runs.len() >= 2).await;
    let told = format!("1000 true {}", bench.caller.billing_entity_id);
    assert!(runs.iter().all(|run| run.state == RunState::Succeeded && run.log.trim() == told), "{runs:#?}");
    assert_eq!(runs[1].created_at.since_ms(runs[0].created_at) % 1000, 0);
    assert_eq!(runs[0].created_at.since_ms(script.modified_at) % 1000, 0);
    let off = ScriptPatch { enabled: Some(false), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, off).await.expect("disabled");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_does_not_work_is_refused_with_its_line() {
    let bench = Bench::start().await;
    let system = &bench.system;
    let load = async |source: &str| {
        let source = source.to_owned();
        let new = NewScript { name: "x".into(), owner: Scope::Provider, source, enabled: true, fail_open: false };
        system.create_script(&bench.caller, new).await
    };
    let syntax = load("function register()\n  return {\nend").await.expect_err("refused");
    assert!(matches!(syntax, Error::Script { line: Some(3), .. }), "{syntax:?}");
    let raised = load("function register()\n  error('no')\nend").await.expect_err("refused");
    assert!(matches!(raised, Error::Script { .. }), "{raised:?}");
    let missing = load("return 1").await.expect_err("refused");
    assert!(matches!(missing, Error::Script { .. }), "{missing:?}");
    let long = load(&" ".repeat(300_000)).await.expect_err("refused");
    assert!(matches!(long, Error::Invalid(_)), "{long:?}");
    load(&block("POST_CREATE", r#""ANY""#, "")).await.expect("taken");
    let twice = load(&block("POST_CREATE", r#""ANY""#, "")).await.expect_err("refused");
    assert!(matches!(twice, Error::Taken { field: "name", .. }), "{twice:?}");
    let mut reader = bench.caller.clone();
    reader.permissions.retain(|permission| *permission != Permission::ScriptsWrite);
    let new =
        NewScript { name: "y".into(), owner: Scope::Provider, source: String::new(), enabled: true, fail_open: false };
    assert!(matches!(system.create_script(&reader, new).await, Err(Error::Forbidden(Permission::ScriptsWrite))));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_change_keys_and_servers_with_their_owners_rights() {
    let bench = Bench::start().await;
    let body = r#"
        local key = new("ResourceKey")
        key:setName("greeted")
        key:setValue(1)
        local changed = adminAPI:addKey(p.input:getResourceUUID(), key)
        print(changed:getResourceKey():get(0):getValue())
        adminAPI:addKey(p.input:getCustomerUUID(), key)
        adminAPI:removeKey(p.input:getCustomerUUID(), key)
    "#;
    bench.script("greet", Scope::Customer(bench.customer), block("POST_CREATE", r#""SERVER""#, body)).await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.state == RunState::Succeeded)).await;
    assert_eq!(runs[0].log.trim(), "1");
    let server: Server = bench.server("web").await.expect("the server");
    assert_eq!(
        server.keys.iter().map(|key| (key.name.as_str(), key.value.as_str())).collect::<Vec<_>>(),
        [("greeted", "1")]
    );
    let customer = bench.system.store().get::<Customer>(bench.customer).await.expect("read").expect("there");
    assert!(customer.keys.is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_script_runs_nothing_and_takes_up_what_waited_when_enabled() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), Settings { retry_base_ms: 3_600_000, ..settings() }).await;
    let script =
        bench.script("log", Scope::Provider, block("POST_JOB_STATE_CHANGE", r#""SUCCESSFUL""#, UNTIL_OPEN)).await;
    let job = bench.create("bad", false).await;
    bench.ended(job.id).await;
    bench.runs_until(|runs| states(runs) == [RunState::Retrying]).await;
    let enable = |enabled| ScriptPatch { enabled: Some(enabled), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, enable(false)).await.expect("disabled");
    let unseen = bench.create("unseen", false).await;
    bench.ended(unseen.id).await;
    bench.open().await;
    bench.system.update_script(&bench.caller, script.id, None, enable(true)).await.expect("enabled");
    let seen = bench.create("seen", false).await;
    bench.ended(seen.id).await;
    let run = bench.runs().await[0].clone();
    bench.system.retry_run(&bench.caller, run.id).await.expect("retried");
    let runs = bench.runs_until(|runs| states(runs) == [RunState::Succeeded; 2]).await;
    let log: Vec<&str> = runs.iter().map(|run| run.log.trim()).collect();
    assert_eq!(log, ["bad SUCCESSFUL SUCCESSFUL", "seen SUCCESSFUL SUCCESSFUL"]);
    bench.stop().await;
}
