//! What sets triggers off, and what they are told.

use super::{block, states};
use crate::{
    ActionAsked, CustomerPatch, Error, NewBillingEntity, NewUser, ScriptPatch, ServerAction, ServerPatch, UserPatch,
    testing::{Bench, all, new_customer},
};
use sutler_model::{
    BillingEntity, Customer, KeyKind, Plan, ResourceKey, Role, RunState, Scope, Server, ServerId, ServerState, User,
};

fn key(name: &str) -> ResourceKey {
    ResourceKey { name: name.into(), value: "yes".into(), kind: KeyKind::User, ..ResourceKey::default() }
}

impl Bench {
    /// A block that refuses what it is asked about.
    async fn refuse(&self, trigger: &str, option: &str) {
        let body = r#"do return { exitState = "FAILURE", reason = p.triggerOption .. " refused" } end"#;
        let source = block(trigger, &format!("\"{option}\""), body);
        self.script(&format!("{trigger} {option}"), Scope::Provider, source).await;
    }

    pub(super) async fn built(&self, name: &str, start: bool) -> ServerId {
        let job = self.create(name, start).await;
        ServerId(self.ended(job.id).await.item_id)
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, option: &str) {
    match outcome {
        Err(Error::Refused { reason, .. }) => assert_eq!(reason, format!("{option} refused")),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_trigger_refuses_to_create_change_and_delete_and_nothing_happens() {
    let bench = Bench::start().await;
    let (system, caller) = (&bench.system, &bench.caller);
    let (server, user) = (bench.built("web", true).await, bench.user("ada").await);
    let plan = all::<Plan>(system).await.remove(0);
    for option in ["SERVER", "CUSTOMER", "USER", "BILLING_ENTITY"] {
        for trigger in ["PRE_CREATE", "PRE_MODIFY", "PRE_DELETE"] {
            bench.refuse(trigger, option).await;
        }
    }
    let before = *system.store().watch().borrow();

    refused(system.create_customer(caller, new_customer("Other", &plan)).await, "CUSTOMER");
    let patch = CustomerPatch { name: Some("Other".into()), ..CustomerPatch::default() };
    refused(system.update_customer(caller, bench.customer, None, patch).await, "CUSTOMER");
    let new = NewUser {
        email: "eve@example.org".into(),
        first_name: "Eve".into(),
        last_name: "Other".into(),
        billing_entity_id: plan.billing_entity_id,
        customer_id: Some(bench.customer),
        role: Role::CustomerAdmin,
        password_hash: "none".into(),
        contact: Default::default(),
    };
    refused(system.create_user(caller, new).await, "USER");
    let patch = UserPatch { first_name: Some("Other".into()), ..UserPatch::default() };
    refused(system.update_user(caller, user.id, None, patch).await, "USER");
    refused(system.delete_user(caller, user.id, None).await, "USER");
    let new = NewBillingEntity { name: "North".into(), parent_id: plan.billing_entity_id, currency: plan.currency };
    refused(system.create_billing_entity(caller, new).await, "BILLING_ENTITY");
    let patch = ServerPatch { keys: Some(vec![key("stage")]), ..ServerPatch::default() };
    refused(system.update_server(caller, server, None, patch).await, "SERVER");
    refused(system.act_on_server(caller, server, ServerAction::Delete, ActionAsked::default()).await, "SERVER");

    assert_eq!(states(&bench.runs().await), [RunState::Refused; 8]);
    let after = *system.store().watch().borrow();
    let nouns = |seq| system.store().feed(seq, 100).expect("the feed is read");
    let changed: Vec<_> = nouns(before + 1).into_iter().flat_map(|entry| entry.changes).map(|c| c.noun).collect();
    let others =
        changed.iter().filter(|noun| !matches!(noun, sutler_model::Noun::ScriptRun | sutler_model::Noun::Node));
    assert_eq!(others.count(), 0, "{before}..{after}: {changed:?}");
    assert_eq!(bench.server("web").await.expect("there").state, ServerState::Running);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_trigger_refuses_the_state_that_a_server_is_asked_to_reach() {
    let bench = Bench::start().await;
    let (system, caller) = (&bench.system, &bench.caller);
    let server = bench.built("web", true).await;
    for state in ["RUNNING", "STOPPED", "REBOOTING", "DELETING"] {
        bench.refuse("PRE_SERVER_STATE_CHANGE", state).await;
    }
    for (action, state) in [
        (ServerAction::Stop { force: true }, "STOPPED"),
        (ServerAction::Reboot { force: true }, "REBOOTING"),
        (ServerAction::Delete, "DELETING"),
    ] {
        refused(system.act_on_server(caller, server, action, ActionAsked::default()).await, state);
    }
    let found = bench.server("web").await.expect("there");
    assert_eq!((found.state, found.job_id), (ServerState::Running, None));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_trigger_changes_what_is_about_to_be_changed_within_its_owners_rights() {
    let bench = Bench::start().await;
    let (system, caller) = (&bench.system, &bench.caller);
    let server = bench.built("web", false).await;
    let note = r#"
        local key = new("ResourceKey")
        key:setName("seen")
        key:setValue("yes")
        p.input:getResourceKey():add(key)
    "#;
    bench.script("note", Scope::Customer(bench.customer), block("PRE_MODIFY", r#""SERVER""#, note)).await;
    let patch = |name: &str| ServerPatch { keys: Some(vec![key(name)]), ..ServerPatch::default() };
    let changed = system.update_server(caller, server, None, patch("stage")).await.expect("changed");
    let names: Vec<&str> = changed.keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["stage", "seen"]);
    bench.runs_until(|runs| states(runs) == [RunState::Succeeded]).await;

    // The guest is there already: what it is made of is not changed behind its back.
    let grow = block("PRE_MODIFY", r#""SERVER""#, "p.input:setCpu(64)");
    bench.script("grow", Scope::Provider, grow).await;
    let error = system.update_server(caller, server, None, patch("other")).await.expect_err("refused");
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(system.store().get::<Server>(server).await.expect("read").expect("there").cpu, 2);

    // Nor does a customer's script lift what its seller set.
    let lift = block("PRE_MODIFY", r#""CUSTOMER""#, r#"p.input:setStatus(new("Status", "DISABLED"))"#);
    bench.script("lift", Scope::Customer(bench.customer), lift).await;
    let rename = CustomerPatch { name: Some("Other".into()), ..CustomerPatch::default() };
    let error = system.update_customer(caller, bench.customer, None, rename).await.expect_err("refused");
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_deletions_and_sign_ins_are_told_after_they_happened() {
    let bench = Bench::start().await;
    let (system, caller) = (&bench.system, &bench.caller);
    let say = r#"local name = type(p.input) == "string" and p.input or p.input:getEmail() or p.input:getResourceName()
            print(p.triggerOption, name, p.customer:getResourceUUID())"#;
    for trigger in ["POST_MODIFY", "POST_DELETE", "POST_AUTH"] {
        bench.script(trigger, Scope::Provider, block(trigger, r#""ANY""#, &format!("print('{trigger}') {say}"))).await;
    }
    let user = bench.user("ada").await;
    let session = system.open_session(&user, "hash".into(), 1_000, caller.cause.clone()).await;
    session.expect("an answer").expect("signed in");
    // What is told of a modification and of a sign-in is read when its turn comes.
    let done = async |count| {
        bench.runs_until(|runs| runs.iter().filter(|run| run.state == RunState::Succeeded).count() >= count).await
    };
    done(1).await;
    let patch = UserPatch { first_name: Some("Augusta".into()), ..UserPatch::default() };
    system.update_user(caller, user.id, None, patch).await.expect("changed");
    done(2).await;
    system.delete_user(caller, user.id, None).await.expect("deleted");
    let rename = CustomerPatch { name: Some("Other".into()), ..CustomerPatch::default() };
    system.update_customer(caller, bench.customer, None, rename).await.expect("changed");
    let server = bench.built("web", true).await;
    let patch = ServerPatch { keys: Some(vec![key("stage")]), ..ServerPatch::default() };
    system.update_server(caller, server, None, patch).await.expect("changed");

    let runs = done(5).await;
    let told: Vec<(&str, Vec<&str>)> = runs
        .iter()
        .map(|run| {
            (
                run.log.lines().next().unwrap_or_default(),
                run.log.lines().nth(1).unwrap_or_default().split('\t').collect(),
            )
        })
        .collect();
    let id = bench.customer.to_string();
    let (name, login) = (user.email.as_str(), format!("{}/{id}", user.email));
    let expected = [
        ("POST_AUTH", vec!["SUCCESS", &login, &id]),
        ("POST_MODIFY", vec!["USER", name, &id]),
        ("POST_DELETE", vec!["USER", name, &id]),
        ("POST_MODIFY", vec!["CUSTOMER", "Other", &id]),
        ("POST_MODIFY", vec!["SERVER", "web", &id]),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for event in expected {
        assert!(told.contains(&event), "{event:?} is not among {told:#?}");
    }
    assert!(all::<User>(system).await.iter().all(|other| other.id != user.id));
    assert_eq!(all::<BillingEntity>(system).await.len(), 1);
    assert_eq!(all::<Customer>(system).await.len(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_runs_its_init_each_time_it_is_loaded_and_no_other_does() {
    let bench = Bench::start().await;
    let (system, caller) = (&bench.system, &bench.caller);
    let source = |name: &str| {
        let init = format!(
            r#"function init()
                local key = new("ResourceKey")
                key:setName("{name}")
                key:setValue("yes")
                adminAPI:addKey("{}", key)
                print("{name}")
            end"#,
            bench.customer
        );
        block("POST_DELETE", r#""DISK""#, "") + &init
    };
    let first = bench.script("first", Scope::Customer(bench.customer), source("one")).await;
    bench.script("second", Scope::Provider, source("two")).await;
    let done = async |count| {
        bench.runs_until(|runs| runs.iter().filter(|run| run.state == RunState::Succeeded).count() >= count).await
    };
    done(2).await;
    let patch = ScriptPatch { source: Some(source("three")), ..ScriptPatch::default() };
    system.update_script(caller, first.id, None, patch).await.expect("taken");
    let enable = |enabled| ScriptPatch { enabled: Some(enabled), ..ScriptPatch::default() };
    done(3).await;
    system.update_script(caller, first.id, None, enable(false)).await.expect("disabled");
    system.update_script(caller, first.id, None, enable(true)).await.expect("enabled");
    let runs = done(4).await;
    let logs: Vec<&str> = runs.iter().map(|run| run.log.trim()).collect();
    assert_eq!(logs, ["one", "two", "three", "three"]);
    let customer = system.store().get::<Customer>(bench.customer).await.expect("read").expect("there");
    let mut keys: Vec<&str> = customer.keys.iter().map(|key| key.name.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["one", "three", "two"]);
    bench.stop().await;
}
