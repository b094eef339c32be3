//! Lua 5.1 and 5.2 as published scripts expect them.

use crate::support::{Fixture, block};
use serde_json::{Value, json};
use sutler_lua::{Exit, Params};

async fn expect(cases: &[(&str, Value)]) {
    let fixture = Fixture::new();
    for (body, value) in cases {
        assert_eq!(fixture.eval(body).await, *value, "{body}");
    }
}

#[tokio::test]
async fn numbers_join_to_texts_without_a_fraction() {
    expect(&[
        ("return (1400000000000 / 1000) .. ''", json!("1400000000")),
        ("return '' .. 2.0 .. ' ' .. 10 / 4", json!("2 2.5")),
        ("return tostring(1e14) .. ' ' .. tostring(1795386245007)", json!("100000000000000 1795386245007")),
        ("return '10' + 1", json!(11)),
        ("return ('3' * '4') .. ''", json!("12")),
        ("local n = 0 for i = 1, '2' + 1 do n = n + i end return n", json!(6)),
        ("local n = 0 for i = 1, '3' do n = n + 1 end return n", json!(3)),
        ("return string.format('%d %5.2f %s %i', 3.7, 2, 5, '9')", json!("3  2.00 5 9")),
        ("return string.format('%d', 1400000000000)", json!("1400000000000")),
        ("return tonumber('0x10') + tonumber(' 12 ') + tonumber('z', 36)", json!(63)),
        ("return tonumber('abc') == nil and tonumber('') == nil", json!(true)),
        ("return 7 % 3 + math.pow(2, 3) + math.mod(7, 4)", json!(12)),
    ])
    .await;
}

#[tokio::test]
async fn only_what_lua_reads_as_a_number_is_one() {
    expect(&[
        (
            "local t = {} for i, s in ipairs{ 'nan', 'inf', '-inf', 'infinity', 'nan(1)', '1e999' } do t[i] = tostring(tonumber(s)) end return t",
            json!(["nil", "nil", "nil", "nil", "nil", "inf"]),
        ),
        ("return { tonumber('-ff', 16), tonumber(' ff ', 16), tonumber('-101', 2), tonumber('9', 8) or 'none' }", json!([-255, 255, -5, "none"])),
        ("return { pcall(tonumber, '1', 99) }", json!([false, "invalid argument #2 to 'tonumber' (base out of range)"])),
    ])
    .await;
}

#[tokio::test]
async fn numbers_join_to_texts_as_lua_writes_them() {
    expect(&[
        ("return 0.1 + 0.2 .. ' ' .. 19.99 * 3 .. ' ' .. 100 * 1.1", json!("0.3 59.97 110")),
        ("return tostring(1234567.891 * 3) .. ' ' .. tostring(2 / 3)", json!("3703703.673 0.66666666666667")),
        ("return table.concat({ 1, 2.5, 0.1 + 0.2 }, ',') .. string.format(' %s', 0.7 + 0.1)", json!("1,2.5,0.3 0.8")),
        ("local s = '' for i = 0.1, 0.5, 0.1 do s = s .. i .. ' ' end return s", json!("0.1 0.2 0.3 0.4 0.5 ")),
        (
            "return tostring(12345678901234) .. ' ' .. 1e15 .. ' ' .. 2^53 .. ' ' .. 123456789012345.5",
            json!("12345678901234 1000000000000000 9007199254740992 123456789012345.5"),
        ),
        ("return 1e21 .. ' ' .. 1e-5 .. ' ' .. -1 / 0 .. ' ' .. 1e100", json!("1e+21 1e-05 -inf 1e+100")),
        ("return tonumber(tostring(0.1)) == 0.1 and 0.1 + 0.2 ~= 0.3", json!(true)),
        (
            "local t = { sum = 0.1 + 0.2, n = 4 / 2, big = 1e15 } return new('JSON'):encode(t) .. json.encode(t)",
            json!(
                "{\"big\":1000000000000000,\"n\":2,\"sum\":0.3}{\"big\":1000000000000000,\"n\":2,\"sum\":0.30000000000000004}"
            ),
        ),
        ("local k = new('ResourceKey') k:setValue(0.1 + 0.2) return k:getValue()", json!("0.3")),
    ])
    .await;
}

#[tokio::test]
async fn what_5_2_added_to_texts_and_tables_is_there() {
    expect(&[
        ("return ('ab'):rep(3, '-') .. ('x'):rep(1, ',') .. ('y'):rep(0, ',') .. ('z'):rep(2)", json!("ab-ab-abxzz")),
        ("return string.format('%s|%s|%5s|%d', true, nil, {} ~= nil, 3.7)", json!("true|nil| true|3")),
        ("return ('%s'):format(new('ServerStatus', 'RUNNING'))", json!("RUNNING")),
        (
            "local t = {} for k, v in pairs(setmetatable({}, { __pairs = function(t)
                local n = 0 return function() n = n + 1 if n < 3 then return n, n * 2 end end, t, nil end })) do t[k] = v end return t",
            json!([2, 4]),
        ),
        (
            "local t = {} for i, v in ipairs(setmetatable({}, { __ipairs = function(t) return next, { 'a' }, nil end })) do t[i] = v end return t",
            json!(["a"]),
        ),
        (
            "local shown = setmetatable({}, { __pairs = function() return next, { a = 1 }, nil end, __metatable = false })
            local s = '' for k, v in pairs(shown) do s = s .. k .. v end return { s, getmetatable(shown) }",
            json!(["a1", false]),
        ),
        ("return string.dump == nil and string.pack == nil", json!(true)),
    ])
    .await;
}

#[tokio::test]
async fn lists_and_maps_of_the_language_are_walked_through_like_tables() {
    expect(&[
        (
            "local l = new('List') l:add('x') l:add('y') local s = '' for i, v in pairs(l) do s = s .. i .. v end
            for i, v in ipairs(l) do s = s .. i .. v end return s .. #l .. l:toArray()[2]",
            json!("1x2y1x2y2y"),
        ),
        ("local m = new('Map') m:put('b', 2) m:put('a', 1) local s = '' for k, v in pairs(m) do s = s .. k .. v end return s", json!("a1b2")),
        (
            "local m = new('Map') m:put('k', 'v') local it = m:entrySet():iterator() local e = it:next() return e:getKey() .. e:getValue()",
            json!("kv"),
        ),
        (
            "local ok, e = pcall(pairs, new('Server')) return e",
            json!("script:1: a Server has no method `iterator`"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn replacements_by_functions_are_as_in_5_1() {
    expect(&[
        ("return { ('hello world'):gsub('o', function(c) return '0' end, 1) }", json!(["hell0 world", 1])),
        ("return { ('abc'):gsub('', function(c) return '-' end) }", json!(["-a-b-c-", 4])),
        ("return { ('abc abc'):gsub('^a', function(c) return 'X' end) }", json!(["Xbc abc", 1])),
        (
            "return { ('k=v, a=b'):gsub('(%w+)=(%w+)', function(k, v) return v .. '=' .. k end) }",
            json!(["v=k, b=a", 2]),
        ),
        ("return { ('abc'):gsub('()b', function(n) return n end) }", json!(["a2c", 1])),
        ("return { ('abc'):gsub('.', function(c) return c ~= 'b' and c:upper() end) }", json!(["AbC", 3])),
        ("return { ('THE (quick) fox'):gsub('%f[%a]%a+', function(w) return #w end) }", json!(["3 (5) 3", 3])),
        (
            "return { pcall(string.gsub, 'abc', 'b', function() return {} end) }",
            json!([false, "invalid replacement value (a table)"]),
        ),
        (
            "return { (('aXbXc'):gsub('X', function() return nil end)), ('abc'):gsub('%w', string.upper) }",
            json!(["aXbXc", "ABC", 3]),
        ),
        (
            "return { (string.gsub(123, 2, function(n) return n + 0.5 end)), pcall(string.gsub, 'x', nil, print) }",
            json!(["12.53", false, "invalid argument #2 to 'gsub' (string expected, got nil)"]),
        ),
        ("return #(('ab'):rep(5000):gsub('b', function() return ('xyz'):rep(10) end))", json!(155_000)),
        // Inside the function the same goes on.
        (
            "return (('a(b)c'):gsub('%w', function(c) return (c:gsub('%w', function(d) return d .. d end)) end))",
            json!("aa(bb)cc"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_function_that_replaces_may_wait_and_fail() {
    expect(&[
        (
            "local f = coroutine.wrap(function() return (('k=v, a=b'):gsub('(%w)=(%w)', coroutine.yield)) end)
            local a, b = f() local c, d = f(b .. a) return { a, b, c, d, f(nil) }",
            json!(["k", "v", "a", "b", "vk, a=b"]),
        ),
        (
            "local f = coroutine.wrap(function() return { ('abc'):gsub('%w', function(c) local ok, put = pcall(coroutine.yield, c) return put end) } end)
            return { f(), f('1'), f(), f(3) }",
            json!(["a", "b", "c", ["1b3", 3]]),
        ),
        (
            "local f = coroutine.wrap(function() return (('a b'):gsub('%w', function(c)
                return (('12'):gsub('%d', function(d) return coroutine.yield(c .. d) end)) end)) end)
            return { f(), f('w'), f('x'), f('y'), f('z') }",
            json!(["a1", "a2", "b1", "b2", "wx yz"]),
        ),
        (
            "local f = coroutine.wrap(function() return { ('aab'):gsub('^a', coroutine.yield) } end) return { f(), f('x') }",
            json!(["a", ["xab", 1]]),
        ),
        ("return { ('x'):gsub('x', pcall) }", json!(["x", 1])),
        ("local n = 0 pcall(string.gsub, 'abc', '%w', function(c) n = n + 1 if c == 'b' then error('no') end end) return n", json!(2)),
        ("\n('ab'):gsub('%w', function(c) if c == 'b' then\n error('no') end end)", json!("error: line 3: no")),
    ])
    .await;
}

#[tokio::test]
async fn replacements_by_tables_ask_their_metatables() {
    expect(&[
        (
            "return (('a b'):gsub('%w', setmetatable({}, { __index = function(_, k) return k .. k end })))",
            json!("aa bb"),
        ),
        (
            "local t = setmetatable({}, { __index = function() coroutine.yield() end })
            return { coroutine.resume(coroutine.create(function() return ('a'):gsub('a', t) end)) }",
            json!([false, "script:2: attempt to yield across metamethod/C-call boundary"]),
        ),
        (
            "\n('a'):gsub('a', setmetatable({}, { __index = function() return {} end }))",
            json!("error: line 2: invalid replacement value (a table)"),
        ),
        ("\n('a'):gsub('a', { a = true })", json!("error: line 2: invalid replacement value (a boolean)")),
    ])
    .await;
}

#[tokio::test]
async fn sorting_by_a_function_sorts_and_survives_one_that_makes_no_sense() {
    expect(&[
        (
            "local t = {} for i = 1, 500 do t[i] = (i * 7919) % 500 end table.sort(t, function(a, b) return a > b end)
            for i = 2, 500 do if t[i - 1] < t[i] then return i end end return #t",
            json!(500),
        ),
        (
            "local t = {} for i = 1, 60000 do t[i] = (i * 7919) % 60000 end table.sort(t)
            for i = 2, #t do if t[i - 1] > t[i] then return i end end return #t",
            json!(60_000),
        ),
        ("local t = { 3, 1, 2 } table.sort(t, function() return true end) table.sort(t) return t", json!([1, 2, 3])),
        (
            "local t = { 3, 1, 2 } local ok = pcall(table.sort, t, function() error('x') end) return { ok, #t, t[1] }",
            json!([false, 3, 3]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn files_may_hold_what_ends_no_statement() {
    expect(&[
        (";;; local x = 1; ; if x then; x = 2; end; return x;", json!(2)),
        ("do ::here:: end return 1", json!(1)),
        ("local n = 2;; return `a;; {n} goto b {n + 1}`;", json!("a;; 2 goto b 3")),
        ("local function f(...) return `{#arg};; arg {arg.n}` end return f(1, 2)", json!("2;; arg 2")),
    ])
    .await;
    let fixture = Fixture::new();
    // Which would hide all behind it.
    let error = fixture.eval("return 1\n\0 and what follows").await;
    assert!(error.to_string().contains("NUL"), "{error}");
    for head in ["\u{feff}", "#!/usr/bin/lua\n", "\u{feff}-- a comment\r\n"] {
        let source = format!("{head}function f(p)\r\n return 7;\r\nend\r\n");
        assert_eq!(fixture.run(&block(&source), "f", Params::default()).await.result, "7", "{head:?}");
    }
}

#[tokio::test]
async fn functions_that_later_versions_dropped_are_there() {
    expect(&[
        ("return table.maxn({1, 2, [10] = 3})", json!(10)),
        ("return table.getn({1, 2, 3})", json!(3)),
        ("local a, b = unpack({1, 2}) local c, d = table.unpack({3, 4}) return {a, b, c, d}", json!([1, 2, 3, 4])),
        ("return loadstring('return 1 + 1')()", json!(2)),
        ("return load('return 2 + 1')()", json!(3)),
        ("local t = {'return ', '4'} local i = 0 return load(function() i = i + 1 return t[i] end)()", json!(4)),
        ("local f, e = loadstring('return +') return f == nil and type(e)", json!("string")),
        ("local n = 0 for w in string.gfind('a b c', '%a') do n = n + 1 end return n", json!(3)),
        ("local n = 0 table.foreach({1, 2}, function(_, v) n = n + v end) return n", json!(3)),
        ("return table.pack(1, nil, 3).n", json!(3)),
        ("return bit32.band(6, 3)", json!(2)),
        ("return math.log10(1000)", json!(3)),
    ])
    .await;
}

#[tokio::test]
async fn the_implicit_arg_table_is_there() {
    expect(&[
        ("local function f(...) return arg.n .. arg[1] .. arg[2] end return f('a', 'b')", json!("2ab")),
        ("local function f(x, ...) return (function() return arg.n end)() end return f(1, nil, nil)", json!(2)),
        ("local function f(...) return select('#', ...) end return f(1, nil)", json!(2)),
        ("return type(arg)", json!("nil")),
    ])
    .await;
    // A line number after the rewrite is still the author's.
    let error = Fixture::new().eval("local function f(...)\n local a = arg\n error('here') end f()").await;
    assert_eq!(error, json!("error: line 3: here"));
}

#[tokio::test]
async fn texts_and_patterns_are_lenient() {
    expect(&[
        (
            r#"return "\x41\65\z
            B""#,
            json!("AAB"),
        ),
        (r#"return "\/\d\-""#, json!("/d-")),
        ("return (string.gsub('a.b', '%.', '%-'))", json!("a-b")),
        ("return (string.gsub('ab', '(a)', '%1%%%x'))", json!("a%xb")),
        ("return (string.gsub('hello', 'l', {l = 'L'}))", json!("heLLo")),
        ("return (string.gsub('hello', 'l', function() return nil end))", json!("hello")),
        ("return (string.gsub('THE (quick) fox', '%f[%a]%a+', 'x'))", json!("x (x) x")),
        ("return ('abc'):reverse():upper() .. ('x'):rep(3)", json!("CBAxxx")),
        ("return string.find('a+b', '+', 1, true)", json!(2)),
        ("return string.find(('ab'):rep(3000) .. 'X', ('ab'):rep(1000) .. 'X', 1, true)", json!(4001)),
        ("return string.len('äö')", json!(4)),
        ("return #'abc' .. string.sub('hello', -3)", json!("3llo")),
        ("return string.match('key=val', '(%w+)=(%w+)')", json!("key")),
    ])
    .await;
}

#[tokio::test]
async fn length_metamethods_count_as_in_5_2() {
    expect(&[
        ("return #setmetatable({}, {__len = function() return 42 end})", json!(42)),
        ("return rawlen(setmetatable({1}, {__len = function() return 42 end}))", json!(1)),
    ])
    .await;
}

#[tokio::test]
async fn goto_continues_and_leaves_loops_and_says_where_it_cannot_go() {
    expect(&[
        (
            "local t = {} for i = 1, 5 do if i % 2 == 0 then goto continue end t[#t + 1] = i ::continue:: end return t",
            json!([1, 3, 5]),
        ),
        (
            "local n = 0 while true do n = n + 1 repeat if n == 3 then goto done end break until false end ::done:: return n",
            json!("error: line 1: `goto done` is not offered here: a jump goes to the end of a loop around it (`::done::` \
                before its `end`), right behind that loop, or back to a label before it; write a function or a loop instead"),
        ),
        (
            "local t = {} for i = 1, 3 do for j = 1, 3 do if j == 2 then goto next end if i == 3 then goto out end
            t[#t + 1] = i * 10 + j end t[#t + 1] = 'never' ::next:: end ::out:: return t",
            json!([11, 21]),
        ),
        (
            "local n = 0 for i = 1, 3 do local f = function() for j = 1, 3 do if j > i then goto c end n = n + 1 ::c:: end end f() end return n",
            json!(6),
        ),
        (
            "local tries, t = 0, {} ::retry:: tries = tries + 1 for i = 1, 3 do if tries < 3 and i == 2 then goto retry end t[#t + 1] = i end
            if tries < 4 then goto retry end do return t end",
            json!([1, 1, 1, 2, 3, 1, 2, 3]),
        ),
        (
            "local n, t = 0, {} for i = 1, 3 do ::again:: n = n + 1 if n == 2 then goto again end if i == 3 then goto next end t[#t + 1] = n ::next:: end return t",
            json!([1, 3]),
        ),
        ("local goto = 2 return goto", json!(2)),
        (
            "local f, why = loadstring('local x = 1\\ngoto nowhere') return { f == nil, why }",
            json!([true, "line 2: `goto nowhere` is not offered here: a jump goes to the end of a loop around it \
                (`::nowhere::` before its `end`), right behind that loop, or back to a label before it; write a function or a loop instead"]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_local_environment_is_where_free_names_are_found() {
    expect(&[
        ("local t = {} do local _ENV = t x = 1 function f() return x end end return { t.x, t.f(), x == nil }", json!([1, 1, true])),
        ("local function with(_ENV) return a + b end return with{a = 1, b = 2}", json!(3)),
        ("_ENV.y = 5 local e = _ENV return { y, e.y, _ENV == _G }", json!([5, 5, true])),
        ("local print, _ENV = print, setmetatable({}, { __index = _G }) z = 1 return { z, _G.z == nil, type(tostring) }", json!([1, true, "function"])),
        ("local f = loadstring('local _ENV = { v = 7 } return v') return f()", json!(7)),
        ("local n = 0 for i = 1, 2 do local _ENV = { i = i } n = n + i end return n", json!(3)),
    ])
    .await;
}

#[tokio::test]
async fn environments_can_be_looked_at_and_set() {
    expect(&[
        ("x = 5 return getfenv(1).x + getfenv().x + getfenv(0).x + _G.x + _ENV.x", json!(25)),
        ("local f = function() return y end setfenv(f, {y = 7}) return f()", json!(7)),
        ("return loadstring('z = 3 return z')() + z", json!(6)),
        ("return load('return q', 'n', 't', {q = 9})()", json!(9)),
    ])
    .await;
}

#[tokio::test]
async fn nothing_outside_is_offered() {
    for name in
        ["io", "os", "require", "dofile", "loadfile", "debug", "package", "module", "newproxy", "buffer", "vector"]
    {
        let value =
            Fixture::new().eval(&format!("return type({name}) .. type(getfenv(0).{name}) .. type(_G['{name}'])")).await;
        assert_eq!(value, json!("nilnilnil"), "{name}");
    }
    // The functions the state was set up with lead to no other environment than the script's own.
    let fixture = Fixture::new();
    for function in ["pcall", "coroutine.create", "string.find", "print", "adminAPI.listResources", "new"] {
        let own = fixture.eval(&format!("return getfenv({function}) == _G")).await;
        assert_eq!(own, json!(true), "{function}");
    }
}

#[tokio::test]
async fn bytecode_and_long_sources_are_refused() {
    let fixture = Fixture::new();
    let refused = fixture.eval("local f, e = loadstring('\\27Lua' .. ('\\0'):rep(20)) return f == nil").await;
    assert_eq!(refused, json!(true));
    let refused = fixture.eval("local f, e = load(('x = 1 '):rep(50000)) return f == nil and e").await;
    assert_eq!(refused, json!("the text is longer than 98304 bytes"));
    let registered = fixture.runtime.register("\u{4}bytecode", fixture.limits).await;
    assert!(registered.is_err());
    let registered = fixture.runtime.register(&"x = 1 ".repeat(200_000), fixture.limits).await;
    assert!(registered.unwrap_err().message.contains("longer than"));
}

/// Some of the language's functions are not where Luau has them; their errors are the script's all the same.
#[tokio::test]
async fn errors_of_the_languages_own_functions_bear_the_line_of_their_call() {
    for (call, why) in [
        ("string.format('%d', 'x')", "invalid argument #2 to 'format' (number expected, got string)"),
        ("('x'):rep({})", "invalid argument #2 to 'rep' (number expected, got table)"),
        ("('x'):find('[')", "malformed pattern (missing ']')"),
        ("('x'):gsub('x', '%2')", "invalid capture index"),
        ("('x'):gsub('(', print)", "unfinished capture"),
        ("('x'):gsub('x', function() return {} end)", "invalid replacement value (a table)"),
        ("table.sort(nil, print)", "invalid argument #1 to 'sort' (table expected, got nil)"),
        ("table.sort(nil)", "invalid argument #1 to 'sort' (table expected, got nil)"),
        ("table.sort({1, 'x'})", "attempt to compare string < number"),
        (
            "local t = {} for i = 1, 60000 do t[i] = i end t[60000] = 'x' table.sort(t)",
            "attempt to compare string < number",
        ),
        ("table.sort({}, 5)", "invalid argument #2 to 'sort' (function expected, got number)"),
        ("for k in pairs(nil) do end", "invalid argument #1 to 'pairs' (table expected, got nil)"),
        ("for k in ipairs(nil) do end", "invalid argument #1 to 'ipairs' (table expected, got nil)"),
        ("coroutine.wrap(5)", "invalid argument #1 to 'create' (function expected, got number)"),
        ("coroutine.resume(5)", "invalid argument #1 to 'resume' (thread expected, got number)"),
    ] {
        let caught = Fixture::new().eval(&format!("local ok, e = pcall(function()\n\n {call} end) return e")).await;
        assert_eq!(caught, json!(format!("script:3: {why}")), "{call}");
        let failed = Fixture::new().eval(&format!("\n{call}")).await;
        assert_eq!(failed, json!(format!("error: line 2: {why}")), "{call}");
    }
}

#[tokio::test]
async fn a_run_is_no_coroutine_and_what_luau_adds_is_not_there() {
    expect(&[
        (
            "local _, main = coroutine.running() local inner = coroutine.wrap(function() return select(2, coroutine.running()) end)()
            return { main, inner, select(2, pcall(coroutine.yield, 1)) }",
            json!([true, false, "attempt to yield from outside a coroutine"]),
        ),
        ("return { math.round == nil, math.sign == nil, bit32.countlz == nil, coroutine.isyieldable == nil }", json!([true, true, true, true])),
        ("return { ('abc'):gsub('%w', function() return 'x' end, '2') }", json!(["xxc", 2])),
        ("return { pcall(string.rep, 'x', 1e10) }", json!([false, "resulting string too large"])),
        ("local continue, type = 5, 'file' continue = continue + 1 return { continue, type }", json!([6, "file"])),
        ("export = { x = 1 } typeof = 2 return { export.x, typeof }", json!([1, 2])),
    ])
    .await;
}

#[tokio::test]
async fn errors_are_texts_with_the_line() {
    expect(&[
        ("local ok, e = pcall(error, 'x') return e", json!("x")),
        ("local ok, e = pcall(function()\n error('x') end) return e", json!("script:2: x")),
        ("local ok, e = pcall(function()\n new('Nonsense') end) return e", json!("script:2: new(\"Nonsense\"): there is no such type")),
        ("local ok, e = pcall(error, {code = 7}) return e.code", json!(7)),
        ("local ok, e = xpcall(function() new('X') end, function(e) return 'h ' .. e end) return e", json!("h script:1: new(\"X\"): there is no such type")),
        ("return tostring(pcall(function() local x = nil; return x.y end))", json!("false")),
        ("local co = coroutine.create(function() new('X') end) local ok, e = coroutine.resume(co) return e", json!("script:1: new(\"X\"): there is no such type")),
        ("local f = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return f(1) + f(5)", json!(12)),
        ("local co = coroutine.create(function() end) return {coroutine.resume(co)}", json!([true])),
    ])
    .await;
}

#[tokio::test]
async fn libraries_can_be_extended_and_globals_are_the_blocks_own() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.eval("function string.trim(s) return (s:gsub('^%s+', '')) end return ('  a'):trim()").await,
        json!("a")
    );
    assert_eq!(fixture.eval("return string.trim == nil").await, json!(true));
    // Within a block they last from run to run.
    let counter = block("count = 0 function f(p) count = count + 1 return count end");
    for expected in ["1", "2", "3"] {
        assert_eq!(fixture.run(&counter, "f", Params::default()).await.result, expected);
    }
}

#[tokio::test]
async fn print_writes_to_the_log_and_the_log_is_cut() {
    let mut fixture = Fixture::new();
    fixture.limits.log_bytes = 1000;
    let outcome = fixture
        .body(
            "print('a', nil, 1.0, true) for i = 1, 10000 do print(i) end return {exitState = 'SUCCESS'}",
            Params::default(),
        )
        .await;
    assert_eq!(outcome.exit, Exit::Success);
    assert!(outcome.log.starts_with("a\tnil\t1\ttrue\n1\n2\n"), "{}", outcome.log);
    assert!(outcome.log.len() <= 1000 && outcome.log.contains("log cut here"));
}

#[tokio::test]
async fn what_comes_when_it_is_first_named_is_there_as_if_it_always_was() {
    expect(&[
        ("local seen = {} for name in pairs(string) do seen[name] = true end return seen.find and seen.gsub and seen.sub", {
            json!(true)
        }),
        ("return ('a-b'):gsub('-', '+')", json!("a+b")),
        ("function string.trim(s) return (s:gsub('^%s+', '')) end return ('  x'):trim()", json!("x")),
        ("string.find = function() return 'mine' end return ('x'):gsub('x', 'y') .. string.find('x', 'x')", json!("ymine")),
        ("return string.nothing == nil and math ~= nil and bit32 ~= nil and tonumber ~= nil", json!(true)),
        ("return unpack({ 7 }) + table.unpack({ 8 })", json!(15)),
        ("local n = 0 for name in pairs(table) do n = n + (name == 'concat' and 1 or 0) end return n", json!(1)),
        ("math = { floor = function() return 1 end } return math.floor(5.5)", json!(1)),
        ("return type(coroutine.wrap) .. type(load) .. type(getfenv)", json!("functionfunctionfunction")),
    ])
    .await;
}

#[tokio::test]
async fn what_luau_adds_stands_beside_what_lua_had() {
    expect(&[
        (
            "local function f(...) local x = if arg.n > 1 then arg[1] else 0 if x then return x end end return { f(7, 8), f(9) }",
            json!([7, 0]),
        ),
        (
            "local function f(a: number?, ...: string): (string, ...any) return arg[1] .. arg.n end return (f(1, 'x', 'y'))",
            json!("x2"),
        ),
        (
            "local t = {} for i = 1, 4 do local odd = if i % 2 == 1 then true elseif i == 4 then false else nil
                if not odd then goto continue end t[#t + 1] = i ::continue:: end return t",
            json!([1, 3]),
        ),
        (
            "local e: { [string]: any } = { a = 1, b = 2 } do local _ENV = e c = if a == 1 then b else a :: number d = a end
                return { e.c, e.d, c == nil }",
            json!([2, 1, true]),
        ),
        ("local r = {} for i = 1, 3 do local _ENV = { r = r, i = i } if i == 2 then goto continue end r[#r + 1] = i ::continue:: end return r", json!([1, 3])),
        ("local _ENV = { arg = 7 } local function f(...) return arg end return f(1, 2)", json!(7)),
        ("type Pair<T> = { a: T, b: (T) -> T } local _ENV = { v = 3 } local p: Pair<number> = { a = v, b = nil } return p.a", json!(3)),
        ("local _ENV = { n = 2, f = function(s) return s end } return f(`{if n == 2 then `two {n}` else n}`)", json!("two 2")),
    ])
    .await;
}

#[tokio::test]
async fn long_tables_are_joined_as_short_ones_are() {
    let whole = "local t = {} for i = 1, 50001 do t[i] = i end local s = table.concat(t, ',')
        return { #s, s:sub(1, 4), s:sub(-6), s:find(',20000,20001,', 1, true) ~= nil, s:find(',40000,40001,', 1, true) ~= nil }";
    let part = "local t = {} for i = 1, 50001 do t[i] = 'x' end
        return { table.concat(t, '', 3, 4), #table.concat(t, nil, 2), table.concat(t, ',', 9, 8) }";
    let wrong = "local function raised(t) local ok, e = pcall(function() return table.concat(t) end) return e end
        local t = {} for i = 1, 50001 do t[i] = i end t[30000] = {}
        return { (raised(t):gsub('30000', '2')) == raised({ 1, {} }), raised({ 1, {} }):find('index 2', 1, true) ~= nil }";
    expect(&[
        (whole, json!([288_899, "1,2,", ",50001", true, true])),
        (part, json!(["xx", 50_000, ""])),
        (wrong, json!([true, true])),
    ])
    .await;
}
