//! Attacks on the sandbox by way of what the language and the helpers offer; `hostile.rs` has the plain ones.

use crate::{hostile, support::Fixture};
use serde_json::json;

/// Each begins with what it is about.
const SCRIPTS: &[(&str, &str)] = &[
    ("wide formats", "while true do pcall(string.format, '%99999d', 1) string.format('%99.99f', 1e308) end"),
    ("many formats", "local p = ('%s'):rep(100000) while true do pcall(string.format, p, 1) end"),
    (
        "a format with a long text for each of many places",
        "local s, t = ('x'):rep(1000000), {} for i = 1, 200 do t[i] = s end while true do pcall(string.format, ('%s'):rep(200), unpack(t)) end",
    ),
    (
        "repeating by metamethods",
        "local s = setmetatable({}, { __concat = function(a, b) return ('x'):rep(1e6) end }) while true do local t = s .. 'a' .. s .. s end",
    ),
    (
        "a separator that multiplies",
        "while true do pcall(string.rep, ('x'):rep(1000), 1000, ('y'):rep(100000)) pcall(string.rep, '', 1e15, 'x') end",
    ),
    (
        "joining millions",
        "local t = {} for i = 1, 1000000 do t[i] = 1.5 end while true do pcall(table.concat, t, ('x'):rep(40)) end",
    ),
    ("a replacement that grows", "local s = 'x' while true do s = s:gsub('.', function(c) return c .. c end) end"),
    (
        "a replacement that calls itself",
        "local function f(s) return (s:gsub('.', function(c) return f(s .. c) end)) end while true do pcall(f, 'ab') end",
    ),
    (
        "an anchored pattern against many starts",
        "local s = ('a'):rep(300000) while true do pcall(string.gsub, s, '.-b', 'x') pcall(string.find, s, 'a-a-a-b') end",
    ),
    ("balance without end", "local s = ('('):rep(1000000) while true do s:gsub('%b()', '') s:match('%b()', 2) end"),
    ("a frontier behind classes", "local s = ('a '):rep(200000) while true do s:gsub('%f[%a].-%f[%z]', 'x') end"),
    (
        "walking by gmatch in gmatch",
        "local s = ('a'):rep(5000) while true do for a in s:gmatch('.') do for b in s:gmatch('.-$') do end end end",
    ),
    (
        "coroutines in coroutines",
        "local function f(n) return coroutine.wrap(function() return f(n + 1) end)() end while true do pcall(f, 1) end",
    ),
    (
        "coroutines that wait in each other",
        "local t = {} while true do local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) t[#t + 1] = co end",
    ),
    (
        "pcall in a coroutine in pcall",
        "while true do pcall(coroutine.wrap(function() while true do pcall(coroutine.wrap(function() while true do pcall(error, 'x') end end)) end end)) end",
    ),
    (
        "a coroutine that gives its failure on",
        "local function f() local ok = pcall(function() while true do end end) return f() end while true do coroutine.wrap(f)() end",
    ),
    (
        "an iterator without end that waits",
        "for v in coroutine.wrap(function() while true do coroutine.yield(1) end end) do pcall(adminAPI.echo, adminAPI, 1) end",
    ),
    (
        "an index that asks itself",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. 'x'] end while true do pcall(function() return t.a end) end",
    ),
    (
        "a chain of indexes",
        "local t = {} for i = 1, 100000 do t = setmetatable({}, { __index = t }) end while true do pcall(function() return t.x end) end",
    ),
    (
        "two that index each other",
        "local a, b = {}, {} setmetatable(a, { __index = b }) setmetatable(b, { __index = a }) while true do pcall(function() return a.x end) pcall(function() a.y = b.z end) end",
    ),
    (
        "an assignment that assigns",
        "local t = setmetatable({}, { __newindex = function(t, k, v) t[k] = v end }) while true do pcall(function() t.x = 1 end) end",
    ),
    (
        "an order that never holds",
        "local m = { __lt = function() return true end } local t = {} for i = 1, 50000 do t[i] = setmetatable({}, m) end while true do pcall(table.sort, t) end",
    ),
    (
        "an order that changes the list",
        "local t = {} for i = 1, 50000 do t[i] = i end while true do pcall(table.sort, t, function(a, b) t[#t + 1] = a t[a] = nil return a > b end) end",
    ),
    (
        "an order that sorts",
        "local function by(a, b) local t = { 3, 2, 1 } table.sort(t, by) return a < b end while true do pcall(table.sort, { 3, 2, 1 }, by) end",
    ),
    (
        "an error of a large table",
        "local t = {} for i = 1, 200000 do t[i] = 'e' .. i end while true do pcall(error, t) local ok, e = xpcall(function() error(t) end, function(e) return e end) end",
    ),
    ("an error with a large table", "local t = {} for i = 1, 1000000 do t[i] = i end error(t)"),
    ("an error with a large text", "error(('x'):rep(30000000))"),
    ("an error whose text loops", "error(setmetatable({}, { __tostring = function() while true do end end }))"),
    (
        "an error in the text of an error",
        "local m = {} m.__tostring = function(t) error(t) end local t = setmetatable({}, m) while true do pcall(tostring, t) pcall(print, t) pcall(error, t) end",
    ),
    (
        "a text that asks for itself",
        "local m = {} m.__tostring = function(t) return tostring(t) end local t = setmetatable({}, m) while true do pcall(tostring, t) pcall(string.format, '%s', t) end",
    ),
    ("a handler that fails", "local function h(e) error(e) end while true do xpcall(error, h, 'x') end"),
    (
        "a handler that calls xpcall",
        "local function h(e) xpcall(error, h, e) return e end while true do xpcall(error, h, 'x') end",
    ),
    (
        "what is collected",
        "while true do for i = 1, 1000 do setmetatable({}, { __gc = function() while true do end end, __mode = 'kv' }) end collectgarbage() end",
    ),
    ("lengths that loop", "local t = setmetatable({}, { __len = function() while true do end end }) local n = #t"),
    (
        "a call of a call of a call",
        "local t = {} for i = 1, 100000 do t = setmetatable({}, { __call = t }) end while true do pcall(t) end",
    ),
    (
        "a call that calls itself",
        "local t = setmetatable({}, {}) getmetatable(t).__call = function(self) return self() end while true do pcall(t) end",
    ),
    (
        "equality that loops",
        "local m = { __eq = function(a, b) return a == b end } local a, b = setmetatable({}, m), setmetatable({}, m) while true do pcall(function() return a == b end) end",
    ),
    (
        "pairs that loop",
        "for k in pairs(setmetatable({}, { __pairs = function(t) return function() return 1 end end })) do end",
    ),
    (
        "loading what nests",
        "local s = 'x = ' .. ('('):rep(120000) .. '1' .. (')'):rep(120000) while true do load(s) load(('{'):rep(250000)) load('return ' .. ('-'):rep(250000) .. '1') end",
    ),
    (
        "loading functions in functions",
        "local s = ('function f() '):rep(20000) while true do load(s) load(('if x then '):rep(26000)) load(('do '):rep(80000)) end",
    ),
    (
        "loading a chain of operators",
        "local s = 'return 1' .. ('..1'):rep(80000) while true do load(s) load('return 2' .. ('^2'):rep(120000)) load('x = ' .. ('not '):rep(60000) .. '1') end",
    ),
    (
        "loading a chain of calls",
        "local s = 'f' .. ('()'):rep(120000) while true do load(s) load('f' .. ('.x'):rep(120000) .. '()') load('x = ' .. ('a{'):rep(80000)) end",
    ),
    (
        "loading many constants",
        "local t = {} for i = 1, 20000 do t[i] = '\"k' .. i .. '\"' end local s = 'return {' .. table.concat(t, ',') .. '}' while true do load(s) end",
    ),
    (
        "loading many locals",
        "local t = {} for i = 1, 15000 do t[i] = 'local a' .. i .. '=1 ' end local s = table.concat(t) while true do load(s) end",
    ),
    (
        "loading many jumps",
        "local s = ('for i = 1, 2 do goto c ::c:: end '):rep(7000) while true do load(s) load(('while 1 do '):rep(20000) .. 'goto x') end",
    ),
    (
        "loading environments",
        "local s = ('local _ENV = {} x = y '):rep(11000) while true do load(s) load(('function f(_ENV) '):rep(15000)) end",
    ),
    (
        "loading functions that take arg",
        "local s = ('function f(...) return arg '):rep(9000) .. ('end '):rep(9000) while true do load(s) end",
    ),
    (
        "loading long comments and texts that never end",
        "while true do load(('--[==['):rep(40000)) load(('[=['):rep(80000)) load(('[='):rep(120000)) load('\"' .. ('\\\\'):rep(200000)) end",
    ),
    (
        "loading from a reader that loads",
        "local function r() return load(r) and 'x = 1 ' end while true do pcall(load, r) end",
    ),
    (
        "bits without end",
        "while true do pcall(bit32.band, unpack((function() local t = {} for i = 1, 7000 do t[i] = i end return t end)())) end",
    ),
    (
        "large powers",
        "while true do local x = (2 ^ 1023) % 1e-300 pcall(math.fmod, 1e308, 1e-308) pcall(tonumber, ('9'):rep(100000), 10) end",
    ),
    (
        "numbers with many digits in a base",
        "local s = ('z'):rep(5000000) while true do pcall(tonumber, s, 36) pcall(tonumber, '-' .. s, 36) end",
    ),
    (
        "texts of many arguments",
        "local t = {} for i = 1, 7000 do t[i] = ('x'):rep(1000) end while true do pcall(print, unpack(t)) pcall(string.char, unpack(t)) end",
    ),
    (
        "bytes of a long text",
        "local s = ('x'):rep(20000000) while true do pcall(string.byte, s, 1, -1) pcall(string.byte, s, 1, 7000) end",
    ),
    (
        "hashes of a long text",
        "local s = ('x'):rep(8000000) while true do pcall(crypto.sha512, s) pcall(crypto.hmac_sha512, s, s) end",
    ),
    (
        "random bytes",
        "while true do pcall(crypto.random, 1e9) pcall(crypto.random, 1e6) pcall(crypto.random, -1) pcall(crypto.random, 0/0) end",
    ),
    (
        "base64 and hex of a long text",
        "local s = ('ab'):rep(4000000) while true do pcall(crypto.base64, s) pcall(crypto.unbase64, s) pcall(crypto.hex, s) pcall(crypto.unhex, s) end",
    ),
    (
        "keys that are none",
        "local s = ('-----BEGIN PRIVATE KEY-----\\n'):rep(200000) while true do pcall(crypto.rsa_sha256, s, 'x') end",
    ),
    (
        "a mail of many pieces",
        "local s = ('x'):rep(1000000) local t = {} for i = 1, 1000 do t[i] = { name = s, type = s, body = s } end while true do pcall(smtp.send, { to = s, from = s, subject = s, body = s, attachments = t }) end",
    ),
    (
        "a mail with a long body",
        "local s, m = ('x\\n'):rep(10000000), new('FDLEmailHelper') while true do pcall(function() m:sendEmail(s, s, s, s, s, s, s) end) end",
    ),
    (
        "adding nodes",
        "local x = new('FDLXMLHelper') local d = x:newDocument('a') local n = d while true do n = x:addNode(d, x:findNode(d, 'a'), 'b') end",
    ),
    (
        "nodes below nodes",
        "local x = new('FDLXMLHelper') local d = x:newDocument('a') local n = x:findNode(d, 'a') while true do n = x:addNode(d, n, 'b') x:toString(d) end",
    ),
    (
        "long texts in nodes",
        "local x, s = new('FDLXMLHelper'), ('&'):rep(1000000) local d = x:newDocument('a') while true do x:addTextNode(d, x:findNode(d, 'a'), 'b', s) end",
    ),
    (
        "entities that multiply",
        "local s = '<!DOCTYPE a [<!ENTITY b \"x\">' for i = 1, 30 do s = s .. '<!ENTITY c' .. i .. ' \"&c' .. i - 1 .. ';&c' .. i - 1 .. ';\">' end s = s .. ']><a>&c30;</a>' local x = new('FDLXMLHelper') while true do pcall(function() x:parse(s) end) end",
    ),
    (
        "deep and wide XML",
        "local x = new('FDLXMLHelper') local deep, wide = ('<a>'):rep(300000), '<a>' .. ('<b/>'):rep(200000) .. '</a>' while true do pcall(function() x:parse(deep) end) pcall(function() x:parse(wide) end) end",
    ),
    (
        "attributes in masses",
        "local t = {} for i = 1, 60000 do t[i] = ' a' .. i .. '=\"x\"' end local s = '<a' .. table.concat(t) .. '/>' local x = new('FDLXMLHelper') while true do pcall(function() x:parse(s) end) end",
    ),
    (
        "JSON of what holds itself",
        "local t = {} t.t = t for i = 1, 100 do t[i] = t end while true do pcall(json.encode, t) pcall(function() new('JSON'):encode_pretty(t) end) end",
    ),
    (
        "JSON objects in objects",
        "local s = ('{\"a\":'):rep(400000) while true do pcall(json.decode, s) pcall(json.decode, '\"' .. ('\\\\u0041'):rep(500000) .. '\"') pcall(json.decode, ('9'):rep(3000000)) end",
    ),
    ("what a script keeps", "local i = 0 while true do i = i + 1 pcall(kv.set, 'k' .. i, ('x'):rep(60000)) end"),
    (
        "lists of what a script keeps",
        "for i = 1, 50 do kv.set('k' .. i, ('x'):rep(60000)) end while true do pcall(kv.list, '', { limit = 1e9 }) end",
    ),
    (
        "a map of data that grows",
        "local m = {} while true do m[#m + 1] = ('x'):rep(1000) pcall(dataStore.resetPrivateDataMap, dataStore, 'u', m) end",
    ),
    (
        "a filter with a million conditions",
        "local f = new('SearchFilter') while true do local c = new('FilterCondition') c:setField('resourceName') c:setValue({ ('x'):rep(1000) }) c:setCondition(new('Condition', 'IS_EQUAL_TO')) f:addCondition(c) end",
    ),
    (
        "a filter with a long value",
        "local s = ('x'):rep(20000000) while true do pcall(function() local f, c = new('SearchFilter'), new('FilterCondition') c:setField(s) c:setValue({ s }) c:setCondition(new('Condition', 'CONTAINS')) f:addCondition(c) adminAPI:listResources(f, nil, new('ResourceType', 'SERVER')) end) end",
    ),
    (
        "date patterns without end",
        "local d, s = new('FDLDateHelper'), (\"'\"):rep(3000001) while true do pcall(function() d:getString(0, s) d:getTimestamp(s, s) d:getString(1e300, 'yyyy') d:addDays(0, 1e300) end) pcall(time.format, 1e300, 'yyyy') pcall(time.format, 0, s) end",
    ),
    ("enum constants in masses", "local i = 0 while true do i = i + 1 new('ServerStatus', ('x'):rep(10000) .. i) end"),
    (
        "names of types in masses",
        "local i = 0 while true do i = i + 1 pcall(new, ('x'):rep(10000) .. i) pcall(function() local s = new('Server') return s['get' .. i](s) end) end",
    ),
    ("beans in masses", "local t = {} while true do t[#t + 1] = new('Server') end"),
    (
        "beans in beans",
        "local b = new('Server') while true do local c = new('Server') pcall(function() c:setResourceKey({ b, b }) c:setX({ b, b, b }) end) b = c pcall(function() return b:toJSONString() end) end",
    ),
    (
        "waiting in the order of a sort",
        "local t = {} for i = 1, 1000 do t[i] = i end while true do table.sort(t, function(a, b) adminAPI:echo(a) return a > b end) end",
    ),
    (
        "waiting in foreach and gsub",
        "while true do table.foreach({ 1, 2 }, function() adminAPI:echo(1) end) ('aa'):gsub('a', function() adminAPI:echo(2) end) end",
    ),
    (
        "large arguments to the platform",
        "local s = ('x'):rep(10000000) while true do pcall(function() adminAPI:echo(s, s, s) end) end",
    ),
    (
        "widgets of long texts",
        "local s, w = ('<'):rep(5000000), new('FDLCustomWidgetHelper') while true do pcall(function() w:createGetContentOutput(s, s, s) end) end",
    ),
    (
        "a description of a long text",
        "local s = ('#__'):rep(1000000) while true do pcall(translate.string, s, s, s) pcall(translate.advanced, s, { s }) end",
    ),
    (
        "masking in a long log",
        "syslog.openlog('x', 0, 0) while true do syslog.syslog('LOG_INFO', ('x'):rep(100000)) log.info('x', { a = ('y'):rep(100000) }) end",
    ),
    (
        "targets in masses",
        "local i = 0 while true do i = i + 1 pcall(http.get, 'http://127.0.0.1:1/' .. ('x'):rep(100000) .. i) end",
    ),
    (
        "headers in masses",
        "local h = {} for i = 1, 50000 do h['x' .. i] = ('y'):rep(100) end while true do pcall(http.get, 'http://127.0.0.1:1/', { headers = h }) end",
    ),
    (
        "rounding and comparing",
        "local u = new('Utils') while true do pcall(function() u:roundNumber(1e308, 1e9) u:roundNumber(0/0, -1e9) u:roundNumber(1, 400) end) end",
    ),
    (
        "the environment's own metatable",
        "pcall(setmetatable, _G, { __index = function() while true do end end }) pcall(rawset, getmetatable('').__index, 'sub', nil) while true do end",
    ),
];

#[tokio::test]
async fn every_attack_ends_and_others_live_on() {
    hostile::ends(SCRIPTS).await;
}

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
        assert_eq!(intact, json!(["a", "3", "12", 1, "n", "table", "boolean", "[1]", true]), "{tampering}");
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
