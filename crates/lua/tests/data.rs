//! What scripts keep: `kv` and `dataStore`.

use crate::support::Fixture;
use serde_json::{Value, json};
use sutler_lua::Params;

async fn eval(body: &str) -> Value {
    Fixture::new().eval(body).await
}

#[tokio::test]
async fn values_of_every_kind_are_kept_counted_swapped_listed_and_deleted() {
    let found = eval(
        r#"
        kv.set("a/1", { name = "x", list = { 1, 2 }, deep = { ok = true } })
        kv:set("a/2", "text", { ttl = 60 })
        kv.set("b", false)
        local first, more = kv.list("a/", { limit = 1 })
        local rest, none = kv.list("a/", { after = first[1].key })
        return {
            a = kv.get("a/1"), missing = kv.get("none", "default"), no = kv.get("b", true),
            sum = { kv.incr("n"), kv.incr("n", 4), kv.incr("n", -0.5) },
            swaps = { kv.cas("c", nil, "one"), kv.cas("c", nil, "two"), kv.cas("c", "one", { 1 }), kv.cas("c", { 1 }, nil) },
            gone = { kv.delete("b"), kv.delete("b"), kv.get("b") == nil, kv.get("c") == nil },
            first = first, rest = rest, more = { more, none }, all = #kv.list(),
        }"#,
    )
    .await;
    assert_eq!(
        found,
        json!({
            "a": {"name": "x", "list": [1, 2], "deep": {"ok": true}}, "missing": "default", "no": false,
            "sum": [1, 5, 4.5], "swaps": [true, false, true, true], "gone": [true, false, true, true],
            "first": [{"key": "a/1", "value": {"name": "x", "list": [1, 2], "deep": {"ok": true}}}],
            "rest": [{"key": "a/2", "value": "text"}], "more": [true, false], "all": 3,
        })
    );
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_with_the_limit_in_the_message() {
    for (call, reason) in [
        ("kv.set('', 1)", "1 to 256 bytes"),
        ("kv.get(string.rep('k', 257))", "1 to 256 bytes"),
        ("kv.set('k', string.rep('v', 70000))", "70002 bytes as JSON, and may take 65536"),
        ("kv.set('k', nil)", "kv.delete(key) deletes"),
        ("kv.set('k', print)", "a function cannot be kept"),
        ("kv.set('k', 1, { ttl = 0 })", "`ttl` is in seconds"),
        ("kv.list('', { limit = 5000 })", "`limit` is 1 to 1000"),
        ("kv.set('k', 'x') kv.incr('k')", "the value of `k` is no number"),
        ("kv.incr('k', 2^60)", "larger than 2^53"),
        ("dataStore.getPrivateDataMap(nil)", "a UUID expected"),
        ("dataStore.resetPrivateDataMap('u', 5)", "a Map or nil expected"),
    ] {
        let found = eval(call).await;
        assert!(found.as_str().is_some_and(|text| text.contains(reason)), "{call}: {found}");
    }
}

#[tokio::test]
async fn a_providers_private_maps_are_copied_both_ways() {
    let found = eval(
        r#"
        local map = new("Map")
        map:put("password", "secret")
        dataStore:resetPrivateDataMap("r-1", map)
        map:put("password", "****")
        local kept = dataStore.getPrivateDataMap("r-1")
        kept:put("password", "changed")
        local again = dataStore:getPrivateDataMap("r-1"):get("password")
        dataStore:resetPrivateDataMap("r-2", { a = "b" })
        local found = { again = again, table = dataStore:get("r-2"):get("a"), none = dataStore:getPrivateDataMap("r-3") == nil }
        dataStore:resetPrivateDataMap("r-1", nil)
        found.cleared = dataStore:getPrivateDataMap("r-1") == nil
        dataStore:put("url", "https://x")
        found.single = dataStore:get("url")
        found.empty = (dataStore:resetPrivateDataMap("r-4", new("Map")) == nil) and dataStore:getPrivateDataMap("r-4"):size()
        found.kv = #kv.list()
        return found"#,
    )
    .await;
    let expected = json!({
        "again": "secret", "table": "b", "none": true, "cleared": true, "single": "https://x", "empty": 0, "kv": 0,
    });
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_rehearsal_reads_what_is_kept_and_keeps_its_writes_to_itself() {
    let fixture = Fixture::new();
    let block = crate::support::block(
        "function keep(p) kv.set('a', 1) kv.set('b', 2) end
        function look(p)
            kv.set('a', 'secret-text') kv.delete('b') kv.incr('n', 3)
            local keys = {}
            for _, each in ipairs(kv.list()) do keys[#keys + 1] = each.key .. '=' .. tostring(each.value) end
            return { keys = keys, cas = kv.cas('b', nil, 9), n = kv.get('n'), again = kv.incr('n') }
        end",
    );
    fixture.run(&block, "keep", Params::default()).await;
    let outcome = fixture.rehearsal(&block, "look").await;
    let found: Value = serde_json::from_str(&outcome.result).unwrap();
    assert_eq!(found, json!({"keys": ["a=secret-text", "n=3"], "cas": true, "n": 3, "again": 4}));
    let noted: Vec<String> = outcome.writes.iter().map(|w| format!("{} {}", w.operation, w.args[0])).collect();
    assert_eq!(noted, ["kv.set \"a\"", "kv.delete \"b\"", "kv.incr \"n\"", "kv.cas \"b\"", "kv.incr \"n\""]);
    assert!(!format!("{:?}", outcome.writes).contains("secret-text"));
    let kept: Vec<_> =
        fixture.platform.kept.lock().unwrap().iter().map(|((.., k), v)| (k.clone(), v.clone())).collect();
    assert_eq!(kept, [("a".to_owned(), json!(1)), ("b".to_owned(), json!(2))]);
}

#[tokio::test]
async fn nothing_is_kept_while_a_block_registers() {
    let fixture = Fixture::new();
    let found = fixture.runtime.register("kv.set('a', 1) function register() return {} end", fixture.limits).await;
    assert!(found.unwrap_err().message.contains("while a block registers"));
}
