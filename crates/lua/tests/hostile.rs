//! Scripts that want to take the thread, the memory or the process: `attacks/*.lua`. Each must end soon after its limit,
//! whatever it catches; how soon, and how much memory it takes on the way, `benches/limits.rs` measures.

use crate::support::{Fixture, Platform, block};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use sutler_lua::{Bean, Egress, Exit, Limit, Limits, Params};
use tokio::task::JoinSet;

#[tokio::test]
async fn every_hostile_script_ends_and_others_live_on() {
    ends(include_str!("attacks/plain.lua")).await;
}

#[tokio::test]
async fn every_attack_by_the_language_ends_and_others_live_on() {
    ends(include_str!("attacks/language.lua")).await;
}

#[tokio::test]
async fn every_attack_by_the_helpers_ends_and_others_live_on() {
    ends(include_str!("attacks/helpers.lua")).await;
}

#[tokio::test]
async fn every_attack_by_size_ends_and_others_live_on() {
    ends(include_str!("attacks/sizes.lua")).await;
}

/// Runs every script against a CPU limit, in a runtime of two threads, and checks after each one that a block on the same
/// thread and one on the other still run.
async fn ends(attacks: &str) {
    let mut fixture = Fixture::with(Platform::with(Vec::new()), 2, Egress::default());
    fixture.limits.cpu_ms = 50;
    fixture.limits.deadline_ms = 400;
    // Blocks are spread over the threads by id; among sixteen there are some on each.
    let bystanders: Vec<_> = (0..16).map(|_| block("n = 0 function f() n = n + 1 return n end")).collect();
    let scripts = attacks.split("\n--- ").skip(1).filter_map(|attack| attack.split_once('\n'));
    for (number, (name, body)) in scripts.enumerate() {
        let outcome = tokio::time::timeout(Duration::from_secs(60), fixture.body(body, Params::default())).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("`{name}` holds its thread"));
        // Which limit comes first may depend on the machine; that one does, or an error ends the script, does not.
        assert!(matches!(outcome.exit, Exit::Stopped(_) | Exit::Failed(_)), "`{name}`: {:?}", outcome.exit);
        assert!(outcome.log.len() <= fixture.limits.log_bytes, "`{name}`");
        // The bystanders' limits are wide: they are asked whether they run, not how fast.
        let wide =
            Fixture { runtime: fixture.runtime.clone(), platform: fixture.platform.clone(), limits: Limits::default() };
        for bystander in &bystanders {
            assert_eq!(
                wide.run(bystander, "f", Params::default()).await.result,
                (number + 1).to_string(),
                "after `{name}`"
            );
        }
    }
}

/// The compiler cannot be stopped, so it works where no script waits for the thread.
#[tokio::test]
async fn no_script_waits_for_the_compiling_of_another() {
    let fixture = Arc::new(Fixture::new());
    let mut dear = JoinSet::new();
    for number in 0..6 {
        let (fixture, source) = (fixture.clone(), format!("{} -- {number}", "a=function() end ".repeat(15_000)));
        dear.spawn(async move {
            if number % 2 == 0 {
                fixture.runtime.register(&source, fixture.limits).await.unwrap_err();
            } else {
                fixture.run(&block(&source), "a", Params::default()).await;
            }
        });
    }
    // All of them are asked for first.
    tokio::task::yield_now().await;
    for _ in 0..3 {
        assert_eq!(fixture.eval("return 7").await, 7);
    }
    let mut ended = 0;
    while dear.try_join_next().is_some() {
        ended += 1;
    }
    assert!(ended < 6, "a short script waited for what others had loaded");
    dear.join_all().await;
}

/// A limit on memory alone must hold as well: without one on time, growing ends by it.
#[tokio::test]
async fn growing_ends_at_the_memory_limit() {
    let mut fixture = Fixture::new();
    fixture.limits.memory_bytes = 8 << 20;
    for body in [
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "local l = new('List') while true do l:add(string.rep('x', 1000)) end",
        "local l = new('List') while true do pcall(l.add, string.rep('x', 1000)) end",
        "local m, i = new('Map'), 0 while true do i = i + 1 m:put('key' .. i, i) end",
        "local s, t = new('Server'), {} s:setStatus('RUNNING') while true do t[#t + 1] = s:getStatus() end",
        "local s, t = new('Server'), {} while true do s:setResourceName(('x'):rep(999) .. #t) t[#t + 1] = s:getResourceName() end",
    ] {
        let outcome = fixture.body(body, Params::default()).await;
        assert_eq!(outcome.exit, Exit::Stopped(Limit::Memory), "{body}: {}", outcome.result);
    }
    // Garbage is not growth.
    let body = "for j = 1, 200 do local l = new('List') for i = 1, 1000 do l:add(string.rep('x', 100)) end end return {exitState = 'SUCCESS'}";
    assert_eq!(fixture.body(body, Params::default()).await.exit, Exit::Success);
}

/// Scripts may keep any part of an answer and let go of the rest: the part stays on their account.
#[tokio::test]
async fn what_is_kept_of_answers_and_copies_is_counted() {
    const LIMIT: usize = 8 << 20;
    let text = "x".repeat(2_000);
    let server = |uuid: &str| {
        let nics: Vec<_> = (0..10).map(|_| json!({ "resourceName": text })).collect();
        Bean::new("Server").with("resourceUUID", uuid).with("resourceName", text.as_str()).with("nics", nics)
    };
    let platform = Platform::with((0..50).map(|n| ("SERVER", server(&format!("s{n}")))).collect());
    let mut fixture = Fixture::on(platform);
    fixture.limits.memory_bytes = LIMIT;
    for (bytes, step) in [
        (2_000, "adminAPI:listResources(nil, nil, 'SERVER'):getList():get(kept % 50)"),
        (2_000, "adminAPI:runListQuery(nil, nil, 'SERVER'):next()"),
        (2_000, "adminAPI:getResource('s1', true):getNics():get(kept % 10)"),
        (20_000, "adminAPI:getResource('s1', true):getNics()"),
        (2_000, "dataStore:getPrivateDataMap('u')"),
        (2_000, "adminAPI:echo({('x'):rep(2000)}):get(0)"),
        (2_000, "new('Utils'):createFilterCondition('a', 'IS_EQUAL_TO', {('x'):rep(2000)})"),
        (2_000, "new('Utils'):createFilterCondition('a', ('x'):rep(2000))"),
        (2_000, "settings()"),
        (2_000, "connection()"),
        (600, "map:entrySet():get(0)"),
        (2_400, "map:keySet()"),
        (2_400, "map:values()"),
    ] {
        let body = format!(
            "dataStore:resetPrivateDataMap('u', {{ a = ('x'):rep(2000) }})
            local map = new('Map') for i = 1, 50 do map:put('key' .. i, i) end
            local function settings()
              local mail = new('CustomerEmail') mail:setEmailSettingDetails({{ a = ('x'):rep(2000) }}) return mail:getEmailSettingDetails()
            end
            local function connection()
              local c = new('simplehttp'):newConnection({{ url = 'http://127.0.0.1:1/' }}) c:setRequestHeaders({{ a = ('x'):rep(2000) }}) return c
            end
            local all, kept = {{}}, 0
            while true do all[kept + 1] = {step} kept = kept + 1 if kept % 100 == 0 then print(kept) end end"
        );
        let outcome = fixture.body(&body, Params::default()).await;
        assert_eq!(outcome.exit, Exit::Stopped(Limit::Memory), "{step}: {}", outcome.result);
        let kept: usize = outcome.log.lines().last().map_or(0, |line| line.parse().unwrap());
        assert!(kept > 0 && kept * bytes < LIMIT, "{step}: {kept} of {bytes} bytes");
    }
}

/// What takes back a run's stack takes memory for it; where the last of it went differs with the limit.
#[tokio::test]
async fn a_run_that_leaves_no_memory_at_all_ends_like_any_other() {
    let mut fixture = Fixture::new();
    let body = "local t = {}
        local function deep(n) if n > 0 then return (deep(n - 1)) end while true do t[#t + 1] = coroutine.create(print) end end
        deep(100)";
    for number in 0..40 {
        fixture.limits.memory_bytes = (4 << 20) + number * 12_000;
        assert!(matches!(fixture.body(body, Params::default()).await.exit, Exit::Stopped(_)));
    }
}

/// What hoards memory is unloaded, so that its next run starts on a clean heap.
#[tokio::test]
async fn a_block_works_again_after_it_was_stopped() {
    let mut fixture = Fixture::new();
    fixture.limits.memory_bytes = 8 << 20;
    let hoarder = block("t = {} function grow() while true do t[#t + 1] = {} end end function size() return #t end");
    assert!(matches!(fixture.run(&hoarder, "grow", Params::default()).await.exit, Exit::Stopped(_)));
    assert_eq!(fixture.run(&hoarder, "size", Params::default()).await.result, json!(0).to_string());
}
