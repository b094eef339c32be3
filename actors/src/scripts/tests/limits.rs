//! How many scripts an owner may have.

use super::*;
use sutler_model::{Cause, ScriptId};

/// Most scripts of a customer or a reseller.
const EACH: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_has_room_for_a_thousand_scripts_and_the_provider_for_more() {
    let bench = Bench::start().await;
    let source = block("POST_CREATE", "\"SERVER\"", "");
    for owner in [Scope::Customer(bench.customer), Scope::Provider] {
        let first = bench.script("first", owner, source.clone()).await;
        let mut set = ChangeSet::new(Cause::system("test"));
        for n in 1..EACH {
            let id: ScriptId = bench.system.store().new_uuid().into();
            set.create(&mut Script { id, version: 0, name: format!("s{n}"), ..first.clone() });
        }
        bench.system.store().commit(set).await.expect("as many as there is room for");
    }

    let new = |owner| {
        let source = source.clone();
        NewScript { name: "one more".into(), owner, source, enabled: true, fail_open: false }
    };
    let ada = bench.as_customer(Role::CustomerAdmin).await;
    let refused = bench.system.create_script(&ada, new(Scope::Customer(bench.customer))).await;
    assert!(matches!(refused, Err(Error::Quota { limit: 1_000, used: 1_000, .. })), "{refused:?}");
    bench.system.create_script(&bench.caller, new(Scope::Provider)).await.expect("the provider is not counted");
    bench.stop().await;
}
