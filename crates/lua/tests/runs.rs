//! Loading, unloading, versions and outcomes.

use crate::support::{Fixture, Platform, block};
use serde_json::json;
use sutler_lua::*;
use sutler_model::TriggerType;

#[tokio::test]
async fn outcomes_follow_the_returned_table() {
    let fixture = Fixture::new();
    for (body, exit) in [
        ("return {exitState = 'SUCCESS'}", Exit::Success),
        ("return {exitState = 'CONTINUE'}", Exit::Continue),
        ("return {returnCode = 'CONTINUE'}", Exit::Continue),
        ("", Exit::Success),
        ("return {exitState = 'FAILURE', errorString = 'too many servers'}", Exit::Refused("too many servers".into())),
        ("return {returnCode = 'FAILED', reason = 'no'}", Exit::Refused("no".into())),
        ("error('broken')", Exit::Failed(ScriptError { line: Some(1), message: "broken".into() })),
        ("error('no line', 0)", Exit::Failed(ScriptError { line: None, message: "no line".into() })),
        (
            "error({ code = 7 })",
            Exit::Failed(ScriptError {
                line: None,
                message: "the error is a table without a text among its members: {\"code\":7}".into(),
            }),
        ),
        ("error({ reason = 'too large' })", Exit::Failed(ScriptError { line: None, message: "too large".into() })),
        (
            "error({ code = 7, Error = { message = 'too large' } })",
            Exit::Failed(ScriptError { line: None, message: "too large".into() }),
        ),
        (
            "coroutine.wrap(function() error({ message = 'too large' }) end)()",
            Exit::Failed(ScriptError { line: None, message: "too large".into() }),
        ),
        (
            "local e = { message = 'x' } e.self = e error(e)",
            Exit::Failed(ScriptError {
                line: None,
                message: "the error is a table without a text among its members: null".into(),
            }),
        ),
        (
            "error(setmetatable({ code = 7 }, { __tostring = function(e) return 'code ' .. e.code end }))",
            Exit::Failed(ScriptError { line: None, message: "code 7".into() }),
        ),
        (
            "\n\nlocal x = nil + 1",
            Exit::Failed(ScriptError {
                line: Some(3),
                message: "attempt to perform arithmetic (add) on nil and number".into(),
            }),
        ),
    ] {
        assert_eq!(fixture.body(body, Params::default()).await.exit, exit, "{body}");
    }
    let caught = fixture
        .eval("local ok, e = pcall(error, { message = 'too large', code = 7 }) return { e.message, e.code }")
        .await;
    assert_eq!(caught, json!(["too large", 7]), "who catches a table has the table");
    let missing = fixture.run(&block("x = 1"), "gone", Params::default()).await;
    assert_eq!(
        missing.exit,
        Exit::Failed(ScriptError { line: None, message: "the block has no global function `gone`".into() })
    );
    let broken = fixture.run(&block("x ="), "f", Params::default()).await;
    assert!(matches!(broken.exit, Exit::Failed(ScriptError { line: Some(1), .. })), "{:?}", broken.exit);
}

#[tokio::test]
async fn a_bare_false_or_word_refuses_where_something_is_asked_and_nowhere_else() {
    let refused = |reason: &str| Exit::Refused(reason.to_owned());
    let fixture = Fixture::new();
    for (body, exit) in [
        ("return false", refused("refused by a trigger")),
        ("return false, 'too many servers'", refused("too many servers")),
        ("return 'FAILURE'", refused("refused by a trigger")),
        ("return 'VETO', 'too many servers', 7", refused("too many servers")),
        ("return true, 'too many servers'", Exit::Continue),
        ("return nil, 'too many servers'", Exit::Success),
        ("return 'SUCCESS'", Exit::Continue),
        ("return 'no failure'", Exit::Continue),
    ] {
        for trigger in
            [None, Some(TriggerType::PreCreate), Some(TriggerType::PostCreate), Some(TriggerType::TaxCalculation)]
        {
            let params = Params { origin: Origin { trigger, ..Origin::default() }, ..Params::default() };
            let asked = trigger == Some(TriggerType::PreCreate) || exit == Exit::Success;
            let expected = if asked { exit.clone() } else { Exit::Continue };
            assert_eq!(fixture.body(body, params).await.exit, expected, "{body} of {trigger:?}");
        }
    }
}

#[tokio::test]
async fn a_new_version_replaces_the_old_one() {
    let fixture = Fixture::new();
    let mut block = block("function f() return 'one' end");
    assert_eq!(fixture.run(&block, "f", Params::default()).await.result, "\"one\"");
    block.source = "function f() return 'two' end".into();
    assert_eq!(fixture.run(&block, "f", Params::default()).await.result, "\"one\"", "the version did not change");
    block.version = 2;
    assert_eq!(fixture.run(&block, "f", Params::default()).await.result, "\"two\"");
    assert_eq!(fixture.runtime.stats().blocks, 1);
}

#[tokio::test]
async fn the_least_recently_used_blocks_are_unloaded_beyond_the_budget() {
    let mut fixture = Fixture::new();
    fixture.limits.resident_bytes = 3 << 20;
    let blocks: Vec<_> = (0..50).map(|_| block("n = 0 function f() n = n + 1 return n end")).collect();
    for block in &blocks {
        assert_eq!(fixture.run(block, "f", Params::default()).await.result, "1");
        assert_eq!(fixture.run(&blocks[0], "f", Params::default()).await.exit, Exit::Continue);
    }
    let stats = fixture.runtime.stats();
    assert!(stats.blocks >= 2 && stats.blocks < 50 && stats.bytes <= 3 << 20, "{stats:?}");
    // The one in constant use stayed, the one used long ago starts anew.
    assert_eq!(fixture.run(&blocks[0], "f", Params::default()).await.result, "52");
    assert_eq!(fixture.run(&blocks[1], "f", Params::default()).await.result, "1");
}

/// The bytes that live in a small block's state. What its allocator takes for them is more, in pages of one size of object
/// each, most of them never touched; the example `speed` measures what that comes to.
#[tokio::test]
async fn a_small_block_lives_in_less_than_150_kilobytes() {
    let fixture = Fixture::new();
    let body = "local s = new('JSON'):encode({a = new('Server'):getResourceName()}) adminAPI:echo(s) return collectgarbage('count')";
    let kilobytes = fixture.eval(body).await;
    assert!(kilobytes.as_f64().is_some_and(|n| n > 10.0 && n < 150.0), "{kilobytes}");
}

#[tokio::test]
async fn blocks_run_from_any_executor_on_every_thread() {
    let fixture = Fixture::with(Platform::with(Vec::new()), 4, Egress::default());
    let fixture = std::sync::Arc::new(fixture);
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let fixture = fixture.clone();
            std::thread::spawn(move || {
                let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
                tokio.block_on(async { fixture.eval(&format!("return {number} * 2")).await })
            })
        })
        .collect();
    for (number, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), json!(number * 2));
    }
}
