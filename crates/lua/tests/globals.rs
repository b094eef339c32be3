//! The metatable that a script sets on its globals.

use crate::support::Fixture;
use serde_json::json;

/// As modules do that allow no undeclared globals.
const STRICT: &str = "local mt = getmetatable(_G)
    if mt == nil then
        mt = {}
        setmetatable(_G, mt)
    end
    mt.__newindex = function(t, n, v)
        if not declared[n] then error('assign to undeclared variable ' .. n, 2) end
        rawset(t, n, v)
    end
    mt.__index = function(t, n)
        error('variable ' .. n .. ' is not declared', 2)
    end ";

#[tokio::test]
async fn a_script_may_set_the_metatable_of_its_globals() {
    let fixture = Fixture::new();
    let strict = async |body: &str| fixture.eval(&format!("declared = {{ good = true }} {STRICT}\n{body}")).await;
    assert_eq!(
        strict("good = 5 return { good, type(print), math.floor(1.5), type(json), tostring(7) }").await,
        json!([5, "function", 1, "table", "7"])
    );
    assert_eq!(
        strict("\nreturn bad").await,
        json!("error: line 14: variable bad is not declared"),
        "by the line that names it"
    );
    assert_eq!(strict("bad = 1").await, json!("error: line 13: assign to undeclared variable bad"));
    assert_eq!(strict("print = 7 return print").await, json!(7), "what is there is no new global");
    assert_eq!(strict("return rawget(_G, 'bad') == nil").await, json!(true));
    assert_eq!(
        strict("local f = loadstring('return bad') return { pcall(f) }").await,
        json!([false, "loaded:1: variable bad is not declared"])
    );
    for (body, value) in [
        ("return getmetatable(_G) == nil", json!(true)),
        (
            "local m = { __index = { x = 1 } } return { setmetatable(_G, m) == _G, getmetatable(_G) == m, x, y == nil, type(pairs) }",
            json!([true, true, 1, true, "function"]),
        ),
        (
            "local kept = {} setmetatable(_G, { __newindex = kept }) x = 1 return { kept.x, rawget(_G, 'x') == nil, x == nil }",
            json!([1, true, true]),
        ),
        (
            "setmetatable(_G, { __index = error }) setmetatable(_G, nil) return { x == nil, getmetatable(_G) == nil, type(pairs) }",
            json!([true, true, "function"]),
        ),
        (
            "setmetatable(_G, { __index = function() return deeper end }) return (pcall(function() return deep end))",
            json!(false),
        ),
        (
            "setmetatable(_G, { __index = function(t, n) return n .. '!' end }) local f = function() return fresh end return f()",
            json!("fresh!"),
        ),
        (
            "return { select('#', setmetatable({}, nil)), getmetatable('').__index == string, pcall(setmetatable, 1, {}) }",
            json!([1, true, false, "invalid argument #1 to 'setmetatable' (table expected, got number)"]),
        ),
    ] {
        assert_eq!(fixture.eval(body).await, value, "{body}");
    }
    // It is for the one environment: another block, and a run beside, have their own.
    assert_eq!(fixture.eval("return bad == nil and getmetatable(_G) == nil").await, json!(true));
}
