//! Who may have what.

use crate::{
    ActionAsked, Caller, CustomerPatch, Error, Idempotency, NewBillingEntity, NewUser, ServerAction,
    testing::{Bench, all, caller, new_customer},
};
use futures_util::future::join_all;
use sutler_drivers::simulated::Fault;
use sutler_model::{CustomerStatus, JobState, Nanos, NewServer, Permission, Plan, Quota, Role, Scope};

async fn plan(bench: &Bench) -> Plan {
    all::<Plan>(&bench.system).await.remove(0)
}

impl Bench {
    async fn set_quota(&self, servers: u32) {
        let quota = Quota { servers, cpus: 1000, memory_mib: 1 << 20, disk_gib: 1000 };
        let patch = CustomerPatch { quota: Some(quota), ..CustomerPatch::default() };
        self.system.update_customer(&self.caller, self.customer, None, patch).await.expect("the quota is set");
    }

    async fn try_create(&self, name: &str) -> Result<sutler_model::Job, Error> {
        self.system.create_server(&self.caller, self.customer, self.new_server(name, false), None).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_cannot_exceed_the_quota() {
    let bench = Bench::start().await;
    bench.set_quota(5).await;
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let answers = join_all(names.iter().map(|name| bench.try_create(name))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(accepted.len(), 5);
    assert!(refused.iter().all(|r| matches!(r, Err(Error::Quota { what: "servers", limit: 5, .. }))));
    for job in accepted.into_iter().flatten() {
        bench.ended(job.id).await;
    }
    let server = all::<sutler_model::Server>(&bench.system).await.remove(0);
    let job = bench.act(server.id, ServerAction::Delete, "d").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.try_create("after-a-deletion").await.expect("there is room again");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_taken_while_the_record_of_their_customer_changes() {
    let bench = Bench::start().await;
    bench.set_quota(100).await;
    // As often as one request may lose: more could keep one from ever winning.
    let changing = async {
        for level in 0..20 {
            let patch = CustomerPatch { warning_level: Some(Some(Nanos(level))), ..CustomerPatch::default() };
            bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.expect("nobody else does");
        }
    };
    let names: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
    let (answers, ()) = tokio::join!(join_all(names.iter().map(|name| bench.try_create(name))), changing);
    for job in answers {
        bench.ended(job.expect("accepted").id).await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_requests_with_one_key_get_one_job_and_another_request_is_refused() {
    let bench = Bench::start().await;
    let key = |hash: &str| Some(Idempotency { key: "k".into(), request_hash: hash.into() });
    let ask = |hash| {
        let new = bench.new_server("one", false);
        bench.system.create_server(&bench.caller, bench.customer, new, key(hash))
    };
    let answers = join_all((0..8).map(|_| ask("a"))).await;
    let ids: std::collections::BTreeSet<_> = answers.into_iter().map(|a| a.expect("accepted").id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(matches!(ask("b").await, Err(Error::KeyReused)));
    assert_eq!(bench.jobs().await.len(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_requests_name_every_field_and_change_nothing() {
    let bench = Bench::start().await;
    let before = bench.system.store().stats().seq;
    let bad = NewServer {
        name: "No Host Name".into(),
        cpu: 0,
        memory_mib: 1 << 40,
        disk_gib: 0,
        ssh_keys: vec!["rsa".into()],
        user_data: Some("x".repeat(20_000)),
        ..bench.new_server("one", true)
    };
    let Err(Error::Invalid(problems)) = bench.system.create_server(&bench.caller, bench.customer, bad, None).await
    else {
        panic!("it must be refused");
    };
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["name", "cpu", "memory_mib", "disk_gib", "user_data", "ssh_keys.0"]);
    let servers = |s: &crate::testing::Bench| s.system.store().index().all(sutler_model::Noun::Server).len();
    assert_eq!(servers(&bench), 0);
    assert!(bench.system.store().stats().seq >= before);
    let huge = NewServer { memory_mib: 4 << 20, cpu: 128, ..bench.new_server("huge", true) };
    let job = bench.system.create_server(&bench.caller, bench.customer, huge, None).await.expect("accepted");
    let job = bench.ended(job.id).await;
    assert_eq!(job.error.map(|e| e.code).as_deref(), Some("no_capacity"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_can_be_used_once_at_a_time() {
    let bench = Bench::start().await;
    let job = bench.try_create("one").await.expect("accepted");
    assert!(matches!(bench.try_create("one").await, Err(Error::Taken { field: "name", .. })));
    bench.ended(job.id).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_customer_can_neither_create_nor_start() {
    let bench = Bench::start().await;
    let job = bench.create("one", false).await;
    bench.ended(job.id).await;
    let patch = CustomerPatch { status: Some(CustomerStatus::Suspended), ..CustomerPatch::default() };
    bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.expect("suspended");
    assert!(matches!(bench.try_create("two").await, Err(Error::Suspended)));
    let id = bench.server("one").await.expect("the server").id;
    let start = bench.system.act_on_server(&bench.caller, id, ServerAction::Start, ActionAsked::default()).await;
    assert!(matches!(start, Err(Error::Suspended)));
    bench.stop().await;
}

/// Callers that must not reach the customer of the bench: another customer, and another reseller.
async fn strangers(bench: &Bench) -> Vec<Caller> {
    let plan = plan(bench).await;
    let other = bench.system.create_customer(&bench.caller, new_customer("Other", &plan)).await.expect("another");
    let reseller = bench
        .system
        .create_billing_entity(
            &bench.caller,
            NewBillingEntity {
                parent_id: plan.billing_entity_id,
                name: "Reseller".into(),
                currency: "EUR".parse().expect("a currency"),
            },
        )
        .await
        .expect("a reseller");
    vec![
        caller(&plan, Role::CustomerAdmin, Scope::Customer(other.id), Some(other.id)),
        caller(&plan, Role::ResellerAdmin, Scope::Entity(reseller.id), None),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reaches_across_a_tenant_border() {
    let bench = Bench::start().await;
    let job = bench.create("one", true).await;
    bench.ended(job.id).await;
    let id = bench.server("one").await.expect("the server").id;
    let (system, customer) = (&bench.system, bench.customer);
    for stranger in strangers(&bench).await {
        let answers = [
            system.create_server(&stranger, customer, bench.new_server("two", true), None).await.err(),
            system.act_on_server(&stranger, id, ServerAction::Delete, ActionAsked::default()).await.err(),
            system.update_server(&stranger, id, None, crate::ServerPatch::default()).await.err(),
            system.cancel_job(&stranger, job.id).await.err(),
            system.server_console(&stranger, id).await.err(),
            system.preview_invoice(&stranger, customer, None, None).await.err(),
            system.update_customer(&stranger, customer, None, CustomerPatch::default()).await.err(),
        ];
        for (i, answer) in answers.iter().enumerate() {
            assert!(
                matches!(answer, Some(Error::NotFound { .. })),
                "operation {i} as {:?}: {answer:?}",
                stranger.scope
            );
        }
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_grants_more_than_they_have() {
    let bench = Bench::start().await;
    let plan = plan(&bench).await;
    let own = caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer));
    let new = |role: Role, customer| NewUser {
        email: format!("{role:?}@example.org"),
        first_name: "A".into(),
        last_name: "B".into(),
        billing_entity_id: plan.billing_entity_id,
        customer_id: customer,
        role,
        password_hash: "none".into(),
        contact: Default::default(),
    };
    let own_user = new(Role::CustomerAdmin, Some(bench.customer));
    bench.system.create_user(&own, own_user.clone()).await.expect("their own team");
    for role in [Role::ProviderAdmin, Role::ResellerAdmin] {
        let refused = bench.system.create_user(&own, new(role, None)).await;
        assert!(matches!(refused, Err(Error::NotFound { .. } | Error::Invalid(_))), "{role:?}: {refused:?}");
    }
    let mut limited = own.clone();
    limited.permissions = vec![Permission::ServersRead];
    assert!(matches!(bench.system.create_user(&limited, own_user).await, Err(Error::Forbidden(_))));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_neither_sets_nor_drops_its_sellers_keys() {
    use sutler_model::{KeyKind, ResourceKey};
    let bench = Bench::start().await;
    let plan = plan(&bench).await;
    let own = caller(&plan, Role::CustomerAdmin, Scope::Customer(bench.customer), Some(bench.customer));
    let key = |name: &str, kind| ResourceKey { name: name.into(), value: "1".into(), kind, ..ResourceKey::default() };
    let patch = |keys: &[ResourceKey]| CustomerPatch { keys: Some(keys.to_vec()), ..CustomerPatch::default() };
    let level = key("level", KeyKind::BillingEntity);
    let set = patch(&[level.clone(), key("old", KeyKind::User)]);
    bench.system.update_customer(&bench.caller, bench.customer, None, set).await.expect("the seller's");
    let asked = patch(&[key("new", KeyKind::User), key("level-of-my-own", KeyKind::BillingEntity)]);
    let customer = bench.system.update_customer(&own, bench.customer, None, asked).await.expect("the customer's");
    assert_eq!(customer.keys, [level, key("new", KeyKind::User)]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_told_of_a_deletion_under_way_is_told_of_it_again_under_their_key() {
    let bench = Bench::start().await;
    let built = bench.create("web", true).await;
    let server = sutler_model::ServerId(bench.ended(built.id).await.item_id);
    let other = Caller { user_id: Some(uuid::Uuid::from_u128(7).into()), ..bench.caller.clone() };
    let key = |text: &str, hash: &str| Some(Idempotency { key: text.into(), request_hash: hash.into() });
    let delete = async |caller: &Caller, key| {
        let asked = ActionAsked { key, ..ActionAsked::default() };
        bench.system.act_on_server(caller, server, ServerAction::Delete, asked).await
    };
    let slow = Fault { call: "undefine".into(), times: 1, delay_ms: 500, ..Fault::default() };
    bench.world.fault(slow.clone());
    let job = delete(&bench.caller, key("first", "same")).await.expect("accepted").id;
    for (caller, text) in [(&bench.caller, "second"), (&other, "first"), (&other, "third")] {
        assert_eq!(delete(caller, key(text, "same")).await.expect("under way").id, job);
    }
    assert_eq!(bench.ended(job).await.state, JobState::Successful);
    assert!(bench.server("web").await.is_none());
    for (caller, text) in [(&bench.caller, "first"), (&bench.caller, "second"), (&other, "first"), (&other, "third")] {
        assert_eq!(delete(caller, key(text, "same")).await.expect("its job").id, job, "{text}");
        let refused = delete(caller, key(text, "another")).await;
        assert!(matches!(refused, Err(Error::KeyReused)), "{refused:?}");
    }
    assert!(matches!(delete(&other, key("new", "same")).await, Err(Error::NotFound { .. })));

    // A customer with all it has likewise, which is closed by then.
    let built = bench.create("db", true).await;
    bench.ended(built.id).await;
    bench.world.fault(slow);
    let delete = async |text: &str| {
        bench.system.delete_customer(&bench.caller, bench.customer, true, None, None, key(text, "same")).await
    };
    let job = delete("customer").await.expect("accepted").id;
    assert_eq!(delete("customer-too").await.expect("under way").id, job);
    assert_eq!(bench.ended(job).await.state, JobState::Successful);
    assert_eq!(delete("customer-too").await.expect("its job").id, job);
    assert!(matches!(delete("new").await, Err(Error::State { .. })));
    bench.stop().await;
}
