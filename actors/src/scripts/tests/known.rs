//! What beans say that stands in other records than their own.

use super::*;
use crate::{NewBillingEntity, UserPatch};
use sutler_model::{BillingEntityId, Cause};

/// What a script of an owner prints when a user comes to be.
async fn said(bench: &Bench, name: &str, owner: Scope, body: &str) -> String {
    let script = bench.script(name, owner, block("POST_CREATE", r#""USER""#, body)).await;
    bench.user(name).await;
    let ended = |run: &ScriptRun| run.script_id == script.id && run.finished_at.is_some();
    let runs = bench.runs_until(|runs| runs.iter().any(ended)).await;
    let run = runs.into_iter().find(ended).expect("the run");
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
    run.log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_known_to_have_signed_in_last_when_the_newest_session_began_also_once_it_has_ended() {
    let bench = Bench::start().await;
    let (ada, bob) = (bench.user("ada").await, bench.user("bob").await);
    let sign_in = async |user: &User| {
        let session = bench.system.open_session(user, "hash".into(), 3_600_000, Cause::system("test")).await;
        session.expect("an answer").expect("signed in")
    };
    sign_in(&ada).await;
    let newest = sign_in(&ada).await;
    bench.system.close_session(newest.id, Cause::system("test")).await.expect("signed out");
    bench.system.close_session(newest.id, Cause::system("test")).await.expect("once more");
    let of_bob = sign_in(&bob).await;
    let password = UserPatch { password_hash: Some("another".into()), ..UserPatch::default() };
    bench.system.update_user(&bench.caller, bob.id, None, password).await.expect("changed");
    for ended in [&newest, &of_bob] {
        let kept = bench.system.store().get::<sutler_model::Session>(ended.id).await.unwrap().expect("it is kept");
        assert!(kept.secret_hash.is_empty() && kept.expires_at < ended.expires_at, "no token opens it: {kept:?}");
    }
    let body = r#"
        local users = adminAPI:listResources(nil, nil, new("ResourceType", "USER")):getList()
        for i = 0, users:size() - 1 do
            local at = users:get(i):getLastLoginTime()
            print(users:get(i):getFirstName(), at and new("FDLDateHelper"):getTimestamp(at))
        end
    "#;
    let log = said(&bench, "eve", Scope::Provider, body).await;
    for line in [format!("ada\t{}", newest.created_at.0), format!("bob\t{}", of_bob.created_at.0), "eve\tnil".into()] {
        assert!(log.lines().any(|told| told == line), "{line} is not in {log}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_scripts_put_into_texts_is_there() {
    let bench = Bench::start().await;
    let body = r#"
        local function first(kind) return adminAPI:runListQuery(nil, nil, kind):next() end
        local seller = first("BILLING_ENTITY")
        print("in " .. seller:getCurrency():getSymbol() .. " with " .. seller:getInvoiceSetting():getDecimalPlace() .. " places")
        print("for " .. first("PRODUCT_PURCHASE"):getDescription())
        for _, kind in ipairs { "BILLING_ENTITY", "CUSTOMER", "USER", "IMAGE", "PRODUCTOFFER", "VDC", "CLUSTER" } do
            local bean = first(kind)
            print(kind .. " since " .. bean:getLastModifiedTime() - new("FDLDateHelper"):getTimestamp(bean:getResourceCreateDate()))
        end
    "#;
    let log = said(&bench, "eve", Scope::Provider, body).await;
    let since = ["BILLING_ENTITY", "CUSTOMER", "USER", "IMAGE", "PRODUCTOFFER", "VDC", "CLUSTER"];
    let since: String = since.iter().map(|kind| format!("{kind} since 0\n")).collect();
    assert_eq!(log, format!("in € with 2 places\nfor Standard\n{since}"));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seller_knows_all_below_it() {
    let bench = Bench::start().await;
    let seller = async |name: &str, parent_id: BillingEntityId| {
        let currency = "EUR".parse().expect("a currency");
        let new = NewBillingEntity { parent_id, name: name.into(), currency };
        bench.system.create_billing_entity(&bench.caller, new).await.expect("the seller").id
    };
    let root = bench.caller.billing_entity_id;
    let middle = seller("middle", root).await;
    let lowest = seller("lowest", middle).await;
    let body = r#"
        local sellers = adminAPI:listResources(nil, nil, new("ResourceType", "BILLING_ENTITY")):getList()
        for i = 0, sellers:size() - 1 do
            local below = sellers:get(i):getDescendants()
            for j = 0, below:size() - 1 do print(sellers:get(i):getResourceUUID(), below:get(j)) end
        end
    "#;
    let log = said(&bench, "eve", Scope::Provider, body).await;
    let mut told: Vec<&str> = log.lines().collect();
    told.sort_unstable();
    let mut expected =
        [(root, middle), (root, lowest), (middle, lowest)].map(|(above, below)| format!("{above}\t{below}"));
    expected.sort_unstable();
    assert_eq!(told, expected);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_shows_the_text_in_force_as_signed_and_the_newest_as_unsigned() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), Settings { signing_required: true, ..settings() }).await;
    let body = r#"
        local blocks = adminAPI:listResources(nil, nil, new("ResourceType", "FDL")):getList()
        for i = 0, blocks:size() - 1 do
            local b = blocks:get(i)
            if b:getResourceName() ~= "eve" then
                local at = b:getSigningTimestamp()
                print(string.match(b:getSignedCodeBlock() or "none", "^[^\n]*"), string.match(b:getUnsignedCodeBlock(), "^[^\n]*"),
                    b:getSignatoryUUID(), at and new("FDLDateHelper"):getTimestamp(at) > 0)
            end
        end
    "#;
    let text = |name: &str| format!("-- {name}\nfunction register() return {{}} end");
    let signer = bench.user("ada").await;
    let caller = Caller { user_id: Some(signer.id), ..bench.caller.clone() };
    let script = bench.script("one", Scope::Provider, text("first")).await;
    bench.system.sign_revision(&caller, script.id, 1).await.expect("signed");
    let patch = ScriptPatch { source: Some(text("second")), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, patch).await.expect("uploaded");
    bench.script("two", Scope::Provider, text("third")).await;
    let asks = bench.script("eve", Scope::Provider, block("POST_CREATE", r#""USER""#, body)).await;
    bench.system.sign_revision(&caller, asks.id, 1).await.expect("signed");
    bench.user("eve").await;
    let runs = bench.runs_until(|runs| runs.iter().any(|run| run.finished_at.is_some())).await;
    let log = &runs[0].log;
    let signed = format!("-- first\t-- second\t{}\ttrue", signer.id);
    assert_eq!(log.lines().collect::<Vec<_>>(), [signed.as_str(), "none\t-- third\tnil\tnil"], "{runs:#?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_plans_and_images_say_where_they_stand_what_they_hold_and_to_whom_they_are_offered() {
    let bench = Bench::start().await;
    let job = bench.create("web", false).await;
    bench.ended(job.id).await;
    let body = r#"
        local function each(kind, tell)
            local all = adminAPI:listResources(nil, nil, new("ResourceType", kind)):getList()
            for i = 0, all:size() - 1 do tell(all:get(i)) end
        end
        each("VDC", function(v) vdc = v print(v:getVdcUUID() == v:getResourceUUID(), v:getVdcName()) end)
        each("JOB", function(j) print(j:getVdcUUID() == vdc:getResourceUUID(), j:getProductOfferName(), j:getClusterName()) end)
        each("IMAGE", function(i)
            local to = i:getPublishedTo():get(0)
            print(i:getPublishedTo():size(), to:getResourceUUID() == i:getBillingEntityUUID(), to:isExclude())
        end)
        each("PRODUCTOFFER", function(o) print(o:isInUse(), o:getComponentConfig():size()) end)
        each("CLUSTER", function(c) print(c:getMacAddressPrefix(), c:isFetchDiskSupport()) end)
    "#;
    let log = said(&bench, "eve", Scope::Provider, body).await;
    let lines: Vec<&str> = log.lines().collect();
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let provider = all::<sutler_model::BillingEntity>(&bench.system).await.remove(0);
    assert_eq!(lines[0], "true\tCustomer");
    assert_eq!(lines[1], format!("true\t{}\t{}", plan.name, provider.name));
    assert_eq!(lines[2..], ["1\ttrue\tfalse", "true\t0", "52:54:00\tfalse"]);
    bench.stop().await;
}
