//! Runs of one thread that do not wait, and what runs beside them.

use crate::support::{Fixture, block};
use std::sync::Arc;
use sutler_lua::*;

/// How many runs of its thread ended, of ten one after another, while a run was spinning. If it does not make way, they wait for
/// its limit, which is far enough away that ten do not take as long on a machine that does much else.
async fn others_run_while(spinning: &str) -> usize {
    let fixture = Arc::new(Fixture::new());
    let spinner = {
        let (fixture, body) = (fixture.clone(), spinning.to_owned());
        tokio::spawn(async move { fixture.body(&body, Params::default()).await })
    };
    while fixture.runtime.stats().runs == 0 {
        tokio::task::yield_now().await;
    }
    let other = block("n = 0 function f() n = n + 1 return n end");
    let mut ended = 0;
    while ended < 10 && !spinner.is_finished() {
        assert!(fixture.run(&other, "f", Params::default()).await.result.parse::<usize>().is_ok());
        ended += usize::from(!spinner.is_finished());
    }
    // It ends with the runtime.
    spinner.abort();
    ended
}

#[tokio::test]
async fn a_run_that_spins_lets_others_of_its_thread_run() {
    for spinning in [
        "while true do end",
        "for i = 1, math.huge do end",
        "local function f(n) if n == 0 then return 0 end return f(n - 1) + 1 end while true do f(50) end",
        "while true do pcall(function() while true do end end) end",
        "coroutine.wrap(function() while true do end end)()",
        "local function deep(n) if n == 0 then while true do end end return coroutine.resume(coroutine.create(deep), n - 1) end deep(20)",
        "for _ in coroutine.wrap(function() while true do coroutine.yield(1) end end) do end",
        "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function(a, b) while true do end end)",
        "('a'):gsub('a', function() while true do end end)",
        "('a'):gsub('a', function() coroutine.wrap(function() while true do end end)() end)",
        "while true do (('ab '):rep(10000)):gsub('%a', '%0%-') end",
        "while true do (('ab '):rep(10000)):gsub('%a', setmetatable({}, {__index = function(_, key) return key end})) end",
        "for _, i in setmetatable({}, {__call = function() while true do end end}) do end",
        "while true do local t = {} for i = 1, 100 do t[i] = tostring(i) end local s = table.concat(t, ',') s:gsub('%d+', '%0') end",
        "local list = new('List') for i = 1, 100 do list:add(i) end while true do for i = 0, list:size() - 1 do list:get(i) end end",
    ] {
        assert_eq!(others_run_while(spinning).await, 10, "{spinning}");
    }
}

/// Wherever in its turn a run starts a coroutine that spins: it may have made way itself just before.
#[tokio::test]
async fn a_coroutine_that_spins_makes_way_for_a_run_that_has_made_way_itself() {
    for steps in (1..=12).map(|n| n * 150_000) {
        let spinning = format!(
            "local n = 0 for i = 1, {steps} do n = n + i end coroutine.wrap(function() while true do end end)()"
        );
        assert_eq!(others_run_while(&spinning).await, 10, "{steps}");
    }
}

#[tokio::test]
async fn what_cannot_make_way_is_ended_long_before_its_limit() {
    let fixture = Fixture::new();
    for spinning in [
        "return ('a'):rep(40):find(('a-'):rep(30) .. 'b')",
        "local t = setmetatable({}, {__lt = function() while true do end end}) return t < t",
        "local t = setmetatable({}, {__index = function() coroutine.wrap(function() while true do end end)() end}) return t.x",
        "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    ] {
        let outcome = fixture.body(spinning, Params::default()).await;
        assert_eq!(outcome.exit, Exit::Stopped(Limit::Cpu), "{spinning}: {}", outcome.result);
        assert!(outcome.cpu_us < fixture.limits.cpu_ms * 1_000 / 2, "{spinning}: {} us", outcome.cpu_us);
    }
}

/// It is what lasts that is ended, not what comes again and again.
#[tokio::test]
async fn many_short_metamethods_and_searches_are_no_long_one() {
    let body = "local sums = setmetatable({}, { __index = function(_, n) local sum = 0 for i = 1, n do sum = sum + i end return sum end })
        local text, found = ('x'):rep(2000) .. 'y', 0
        for i = 1, 4000 do
            found = found + sums[2000] % 2 + (text:find('x-y') or 0)
        end
        return found";
    let outcome = Fixture::new().body(body, Params::default()).await;
    assert_eq!((outcome.exit, outcome.result.as_str()), (Exit::Continue, "4000"));
    assert!(outcome.cpu_us > 200_000, "too short to tell: {} us", outcome.cpu_us);
}

#[tokio::test]
async fn a_run_that_spins_holds_up_no_timer_and_no_deadline_of_another() {
    let mut fixture = Fixture::new();
    let spinner = block("function f() while true do end end");
    fixture.limits.cpu_ms = 1_000;
    let limits = Limits { deadline_ms: 50, ..fixture.limits };
    let waiting = Fixture { runtime: fixture.runtime.clone(), platform: fixture.platform.clone(), limits };
    let first = tokio::select! {
        biased;
        spun = fixture.run(&spinner, "f", Params::default()) => spun,
        waited = waiting.body("adminAPI:waitForJob('job')", Params::default()) => waited,
    };
    assert_eq!(first.exit, Exit::Stopped(Limit::Deadline), "the one that waits ends first");
}
