//! Ways around the sandbox: copies that multiply, objects that are forged, what one block could do to another.

use crate::support::Fixture;
use serde_json::json;

/// A text that a table holds over and over is once in Lua; whoever copies that table must not copy it as often.
const SHARED: &[&str] = &[
    "http.get('http://127.0.0.1:1/', { headers = m })",
    "http.post('http://127.0.0.1:1/', { form = m })",
    "http.post('http://127.0.0.1:1/', { json = m })",
    "new('simplehttp'):newConnection({ url = 'http://127.0.0.1:1/' }):setRequestHeaders(m)",
    "amqp.publish({ url = 'amqp://127.0.0.1:1', queue = 'q', body = 'x', headers = m })",
    "mysql.execute({ url = 'mysql://127.0.0.1:1/d', sql = 'x', params = l })",
    "syslog.send({ url = 'syslog://127.0.0.1:1', text = 'x', data = { ['a@1'] = m } })",
    "smtp.send({ to = l, subject = 'x', body = 'x', server = 'smtp://127.0.0.1:1' })",
    "local a = {} for i = 1, 4000 do a[i] = { name = 'x', body = s } end smtp.send({ to = 'a@example.org', attachments = a, server = 'smtp://127.0.0.1:1' })",
    "translate.string('{0}', unpack(l))",
    "translate.advanced('{0}', unpack(l))",
    "new('FilterCondition'):setValue(l)",
    "local b = {} for i = 1, 4000 do b[i] = m end new('Server'):setProviderValues(b)",
    "new('Server'):setResourceMetadata(m)",
    "adminAPI:echo(l)",
    "kv.set('k', m)",
    "dataStore:resetPrivateDataMap('u', m)",
    "local a = new('List') a:add(l) adminAPI:echo(a)",
    "local a = new('List') for i = 1, 4000 do a:add(s) end",
    "log.info('x', m)",
];

#[tokio::test]
async fn a_text_held_many_times_over_is_not_copied_as_often() {
    let mut fixture = Fixture::new();
    fixture.limits.cpu_ms = 2_000;
    for attack in SHARED {
        let before = peak();
        let body = format!(
            "local s, l, m = ('x'):rep(1000000), {{}}, {{}} for i = 1, 4000 do l[i] = s m['k' .. i] = s end
            local ok, why = pcall(function() {attack} end) return tostring(why)"
        );
        let answer = fixture.eval(&body).await;
        let grown = peak().saturating_sub(before);
        // Copied as often, it would be four gigabytes.
        assert!(grown < 1 << 20, "{attack}: {grown} KiB more, {answer}");
    }
}

/// Most memory this process has ever held, KiB; 0 where the system does not say.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// What one block does to what it was given reaches no other block, not even one on the same thread.
#[tokio::test]
async fn no_block_reaches_another_by_what_all_are_given() {
    let fixture = Fixture::new();
    for tampering in [
        "getmetatable('').__index = function() return 'tampered' end return true",
        "getmetatable('').__add = function() return 'tampered' end return true",
        "string.format = function() return 'tampered' end table.concat = string.format math.floor = string.format return true",
        "getfenv(0).string = { sub = 1 } _G.pairs = nil return true",
        "pcall(setfenv, pcall, { error = 1 }) pcall(setfenv, adminAPI.echo, {}) pcall(setfenv, 0, {}) return true",
        "pcall(setmetatable, _G, nil) pcall(setmetatable, getfenv(pcall), nil) return true",
        "pcall(rawset, adminAPI, 'echo', 1) adminAPI, new, json = 1, 2, 3 return true",
        "pcall(function() getmetatable(new('Server')).__index = nil end) return true",
        "pcall(rawset, getmetatable(new('Server')), '__index', {}) return true",
        "pcall(function() getmetatable(new('Server')).__index.getResourceName = print end) return true",
        "pcall(function() new('Utils').stringStartsWith = 1 end) pcall(function() JSON = nil end) return true",
    ] {
        assert_eq!(fixture.eval(tampering).await, json!(true), "{tampering}");
        let intact = fixture
            .eval(
                "local s = new('Server') s:setResourceName('n')
                return { ('abc'):sub(1, 1), string.format('%d', 3), table.concat({ 1, 2 }), math.floor(1.5),
                  s:getResourceName(), type(adminAPI), type(getmetatable(s)), json.encode({ 1 }), pcall(function() return 'a' + 'b' end) == false }",
            )
            .await;
        assert_eq!(intact, json!(["a", "3", "12", 1, "n", "table", "table", "[1]", true]), "{tampering}");
    }
}

/// Neither ends the process, however deeply what is written lies.
#[tokio::test]
async fn objects_and_tables_that_hold_each_other_are_too_deep_to_be_written() {
    let fixture = Fixture::new();
    for held in [
        "local held, t = new('Server'), {} held:setX(t) t[1] = held",
        "local held = new('List') held:add({ held })",
        "local held = new('Server') for i = 1, 20000 do local b = new('Server') b:setX({ held }) held = b end",
        "local held = new('Map') for i = 1, 20000 do local m = new('Map') m:put('x', { held }) held = m end",
    ] {
        let answer = fixture.eval(&format!("{held} return json.encode({{ held }})")).await;
        let refused = answer.as_str().is_some_and(|text| text.contains("nested deeper than 100 levels"));
        assert!(refused, "{held}: {answer}");
        assert_eq!(fixture.eval(&format!("{held} return type(tostring(held))")).await, json!("string"), "{held}");
    }
}

/// Objects cannot be made of tables, nor their methods be turned on others.
#[tokio::test]
async fn objects_cannot_be_forged() {
    let fixture = Fixture::new();
    for forgery in [
        "local f = new('FDLHashHelper') return f.toBase64(new('Server'))",
        "local t = setmetatable({}, getmetatable(new('Server'))) return t:getResourceName()",
        "return setmetatable(new('Server'), {})",
        "return rawset(new('Server'), 'x', 1)",
        "local co = coroutine.create(function() end) return coroutine.resume(new('Server'), co)",
        "for k in next, new('Server') do return k end",
        "return getfenv(adminAPI.listResources).host.pending",
        "return debug.getupvalue(pcall, 1)",
        "return newproxy(true)",
    ] {
        let answer = fixture.eval(forgery).await;
        assert!(answer.as_str().is_some_and(|text| text.starts_with("error: ")), "{forgery}: {answer}");
    }
}
