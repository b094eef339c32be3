//! Scripts that something goes by are kept, whoever is first.

use super::*;
use crate::{NewPaymentMethod, NewPluggable, PlanPatch, ServerPatch};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};
use sutler_model::{
    Cause, KeyKind, PaymentMethod, PlanCharge, PluggableResource, ResourceKey, Transaction, pluggable::PluggableState,
};
use tokio::{runtime::Handle, task::block_in_place};

/// One of each kind that something can go by, and settings of servers.
const GOODS: &str = r#"
    function register() return { "settings", "bill", "notes", "cards" } end
    function settings(p)
        return { ref = "settings", name = "Settings", api = "CONFIG_PROVIDER", providerType = "COLOUR", version = 1,
            resourceConfigs = { { associatedResourceType = "SERVER", useWithBilling = false, productComponentTypes = { {
                resourceName = "Colour", referenceField = "C", configurableList = { { key = "shade" } } } } } } }
    end
    function bill(p)
        if p == nil then return { ref = "bill", api = "BILLING", version = 1 } end
    end
    function notes(p)
        return { ref = "notes", name = "Notes", api = "PLUGGABLE_PROVIDER", version = 1, providerType = "NOTE",
            createFunction = { executionFunction = "well" }, modifyFunction = { executionFunction = "well" },
            deleteFunction = { executionFunction = "well" }, productComponentTypes = {} }
    end
    function cards(p)
        return { ref = "cards", name = "Cards", api = "PAYMENT_PROVIDER", version = 1, pmConfigurableList = {},
            pmiConfigurableList = {}, paymentFunctions = { MAKE_PAYMENT = "well" } }
    end
    function well(p) end
"#;

fn note(bench: &Bench, name: &str) -> NewPluggable {
    NewPluggable {
        id: None,
        name: name.into(),
        provider_type: "NOTE".into(),
        customer_id: Some(bench.customer),
        values: BTreeMap::new(),
        keys: Vec::new(),
    }
}

pub(super) fn method(bench: &Bench, script: &Script) -> NewPaymentMethod {
    NewPaymentMethod {
        id: None,
        name: "Cards".into(),
        billing_entity_id: bench.caller.billing_entity_id,
        script_id: script.id,
        provider: None,
        values: BTreeMap::new(),
    }
}

fn charging(script: Option<&Script>) -> PlanPatch {
    let charge = |script: &Script| PlanCharge {
        component: "SUPPORT".into(),
        resource_type: "CUSTOMER".into(),
        script_id: Some(script.id),
        function: None,
        values: BTreeMap::new(),
    };
    PlanPatch { charges: Some(script.map(charge).into_iter().collect()), ..PlanPatch::default() }
}

impl Bench {
    pub(super) async fn goods(&self) -> Script {
        self.script("goods", Scope::Provider, GOODS.to_owned()).await
    }

    async fn kept(&self, script: &Script) -> String {
        let refused = self.system.delete_script(&self.caller, script.id, None).await.unwrap_err();
        assert!(matches!(refused, Error::State { .. }), "{refused}");
        let now = self.system.store().get::<Script>(script.id).await.expect("read").expect("the script");
        assert!(now.enabled, "it is as it was");
        refused.to_string()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_is_deleted_once_nothing_goes_by_it_any_more() {
    let bench = Bench::start().await;
    let script = bench.goods().await;
    let (system, caller) = (&bench.system, &bench.caller);
    let method = system.create_payment_method(caller, method(&bench, &script)).await.expect("the method");
    let mut notes = Vec::new();
    for name in ["one", "two", "three", "four"] {
        notes.push(system.create_pluggable(caller, note(&bench, name)).await.expect("a note"));
    }
    let plan = all::<Plan>(system).await.remove(0);
    system.update_plan(caller, plan.id, None, charging(Some(&script))).await.expect("charged by it");
    let refused = bench.kept(&script).await;
    let expected = "1 payment methods (`Cards`), 4 pluggable resources (`one`, `two`, `three` and 1 more), \
                    1 price plans (`Standard`) go by this script";
    assert!(refused.contains(expected), "{refused}");

    bench.until(async || all::<Transaction>(system).await.iter().all(|asked| asked.state.is_final())).await;
    system.delete_payment_method(caller, method.id, None).await.expect("deleted");
    assert!(bench.kept(&script).await.starts_with("4 pluggable resources"));
    for note in notes {
        system.delete_pluggable(caller, note.id, None).await.expect("deleted");
    }
    assert!(bench.kept(&script).await.starts_with("1 price plans"));
    system.update_plan(caller, plan.id, None, charging(None)).await.expect("no longer");
    system.delete_script(caller, script.id, None).await.expect("deleted");
    assert_eq!(all::<Script>(system).await, []);
    bench.stop().await;
}

/// The goods without one of them.
fn without(point: &str) -> ScriptPatch {
    let source = GOODS.replacen(&format!("\"{point}\""), "nil", 1).replace("nil,", "");
    ScriptPatch { source: Some(source.replace(", nil", "")), ..ScriptPatch::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_is_put_in_force_that_lacks_what_something_goes_by() {
    let bench = Bench::start().await;
    let script = bench.script("goods", Scope::Provider, "function register() return {} end".to_owned()).await;
    let (system, caller) = (&bench.system, &bench.caller);
    let goods = ScriptPatch { source: Some(GOODS.to_owned()), ..ScriptPatch::default() };
    let script = system.update_script(caller, script.id, None, goods).await.expect("the goods");
    system.update_script(caller, script.id, None, without("settings")).await.expect("settings stay where they are");
    system.create_payment_method(caller, method(&bench, &script)).await.expect("the method");
    system.create_pluggable(caller, note(&bench, "one")).await.expect("a note");
    let plan = all::<Plan>(system).await.remove(0);
    system.update_plan(caller, plan.id, None, charging(Some(&script))).await.expect("charged by it");
    let before = system.store().get::<Script>(script.id).await.expect("read").expect("the script");
    for (point, named) in [
        ("cards", "1 payment methods (`Cards`) go by what this text does not register"),
        ("notes", "1 pluggable resources (`one`) go by"),
        ("bill", "1 price plans (`Standard`) go by"),
    ] {
        let refused = system.update_script(caller, script.id, None, without(point)).await;
        assert!(matches!(&refused, Err(Error::State { detail, .. }) if detail.contains(named)), "{refused:?}");
    }
    let back = system.activate_revision(caller, script.id, 1, None).await;
    let named = "1 payment methods (`Cards`), 1 pluggable resources (`one`), 1 price plans (`Standard`) go by";
    assert!(matches!(&back, Err(Error::State { detail, .. }) if detail.contains(named)), "{back:?}");
    let now = system.store().get::<Script>(script.id).await.expect("read").expect("the script");
    assert_eq!(now, before);
    let goods = ScriptPatch { source: Some(GOODS.to_owned()), ..ScriptPatch::default() };
    system.update_script(caller, script.id, None, goods).await.expect("it lacks nothing");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_lacks_what_came_to_go_by_it_just_before_is_taken_back() {
    let bench = Bench::start().await;
    let old = bench.goods().await;
    let (system, caller) = (&bench.system, &bench.caller);
    // As who has read it, and is about to commit something that goes by it.
    let mut late = ChangeSet::new(Cause::system("test"));
    late.require(&old);
    // Made after the change of the text first looked.
    system.create_pluggable(caller, note(&bench, "one")).await.expect("a note");
    let mut new = Script { points: Vec::new(), source: String::new(), ..old.clone() };
    let mut set = ChangeSet::new(Cause::system("test"));
    set.update(&old, &mut new);
    let taken_back = system.commit_text(caller, set, (&old, &new), |_| {}).await;
    let named = "1 pluggable resources (`one`) go by";
    assert!(matches!(&taken_back, Err(Error::State { detail, .. }) if detail.contains(named)), "{taken_back:?}");
    let now = system.store().get::<Script>(old.id).await.expect("read").expect("the script");
    assert_eq!(Script { version: old.version, ..now }, old);
    assert!(system.store().commit(late).await.is_err(), "it may have been gone meanwhile");
    system.create_pluggable(caller, note(&bench, "two")).await.expect("it works as before");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_taken_back_also_from_a_script_that_is_paused_meanwhile() {
    let bench = Bench::start().await;
    let old = bench.goods().await;
    let (system, caller) = (&bench.system, &bench.caller);
    system.create_pluggable(caller, note(&bench, "one")).await.expect("a note");
    let mut new = Script { points: Vec::new(), source: String::new(), revision: old.revision + 1, ..old.clone() };
    let mut set = ChangeSet::new(Cause::system("test"));
    set.update(&old, &mut new);
    let text = new.clone();
    let pause = async || {
        let mut set = ChangeSet::new(Cause::system("test"));
        set.update(&text, &mut Script { paused: true, ..text.clone() });
        system.store().commit(set).await
    };
    let paused = AtomicBool::new(false);
    // The first time it comes too late.
    let back = |_: &mut ChangeSet| {
        if !paused.swap(true, Ordering::Relaxed) {
            block_in_place(|| Handle::current().block_on(pause())).expect("paused");
        }
    };
    let taken_back = system.commit_text(caller, set, (&old, &new), back).await;
    assert!(matches!(&taken_back, Err(Error::State { .. })), "{taken_back:?}");
    let now = system.store().get::<Script>(old.id).await.expect("read").expect("the script");
    assert_eq!(now, Script { paused: true, version: now.version, ..old });
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_deleted_provider_stay_and_are_shown_again_once_it_is_back() {
    let bench = Bench::start().await;
    let script = bench.goods().await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    let id = bench.server("web").await.expect("the server").id;
    let (system, caller) = (&bench.system, &bench.caller);
    let blue = BTreeMap::from([("shade".to_owned(), "blue".to_owned())]);
    system.set_provider_values(caller, id.0, "COLOUR", &blue).await.expect("set");
    system.delete_script(caller, script.id, None).await.expect("deleted");
    assert_eq!(system.provider_forms(caller, id.0).await.expect("forms"), []);
    let key = ResourceKey { name: "tier".into(), value: "gold".into(), kind: KeyKind::User, ..ResourceKey::default() };
    let patch = ServerPatch { keys: Some(vec![key]), ..ServerPatch::default() };
    let changed = system.update_server(caller, id, None, patch).await.expect("it is changed as before");
    assert_eq!(changed.provider_values["COLOUR"], blue);
    bench.goods().await;
    let forms = system.provider_forms(caller, id.0).await.expect("forms");
    assert_eq!(forms[0].values[0].value.as_deref(), Some("blue"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_to_go_by_a_script_that_is_being_deleted() {
    let bench = Bench::start().await;
    let script = bench.goods().await;
    let (system, caller) = (&bench.system, &bench.caller);
    let plan = all::<Plan>(system).await.remove(0);
    // As who has read it, and is about to commit something that goes by it.
    let mut late = ChangeSet::new(Cause::system("test"));
    late.require(&script);
    let retired = system.retire(caller, script.id, None).await.expect("retired");
    assert!(system.store().commit(late).await.is_err());
    let refusals = [
        system.create_payment_method(caller, method(&bench, &script)).await.map(drop),
        system.create_pluggable(caller, note(&bench, "one")).await.map(drop),
        system.update_plan(caller, plan.id, None, charging(Some(&script))).await.map(drop),
    ];
    for refused in refusals {
        assert!(matches!(&refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    system.remove(caller, retired).await.expect("deleted");
    assert_eq!(all::<Script>(system).await, []);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_to_go_by_a_script_just_before_keeps_it() {
    let bench = Bench::start().await;
    let script = bench.goods().await;
    let (system, caller) = (&bench.system, &bench.caller);
    let first = system.create_pluggable(caller, note(&bench, "one")).await.expect("a note");
    system.delete_pluggable(caller, first.id, None).await.expect("deleted");
    let retired = system.retire(caller, script.id, None).await.expect("nothing goes by it yet");
    // Committed after the deletion first looked.
    let mut set = ChangeSet::new(Cause::system("test"));
    let state = PluggableState::Active;
    set.create(&mut PluggableResource { id: system.core().new_id(), state, ..first });
    system.store().commit(set).await.expect("committed");
    let refused = system.remove(caller, retired).await.unwrap_err().to_string();
    assert!(refused.starts_with("1 pluggable resources (`one`)"), "{refused}");
    system.create_pluggable(caller, note(&bench, "two")).await.expect("it works as before");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_method_whose_script_goes_while_it_is_asked_about_is_not_made() {
    let bench = Bench::start().await;
    let script = bench.goods().await;
    let deletes = format!(r#"adminAPI:deleteResource("{}", false, nil)"#, script.id);
    bench.script("deletes", Scope::Provider, block("PRE_CREATE", r#""PAYMENT_METHOD""#, &deletes)).await;
    let refused = bench.system.create_payment_method(&bench.caller, method(&bench, &script)).await;
    assert!(matches!(&refused, Err(Error::Invalid(problems)) if problems[0].field == "script_id"), "{refused:?}");
    assert_eq!(all::<PaymentMethod>(&bench.system).await, []);
    assert_eq!(all::<Transaction>(&bench.system).await, []);
    bench.stop().await;
}
