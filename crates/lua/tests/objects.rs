//! Beans, enums, collections and the helpers.

use crate::support::{Fixture, about};
use serde_json::{Value, json};
use sutler_lua::{Bean, Exit, Input, Params};

fn server() -> Bean {
    Bean::new("Server")
        .with("resourceUUID", "s-1")
        .with("resourceName", "web")
        .with("status", "RUNNING")
        .with("cpu", 2)
        .with("ram", 4096)
        .with("resourceCreateDate", 1_795_386_245_007_i64)
        .with("customerUUID", "c-1")
        .with("nics", json!([{"resourceUUID": "n-1", "ipAddresses": [{"ipAddress": "192.0.2.7", "auto": true}]}]))
        .with("resourceKey", json!([{"name": "backup", "value": "daily", "type": "USER_KEY"}]))
        .with("providers", json!({"VAULT": {"enabled": "TRUE"}}))
        .with("imagePermission", json!({"canStart": true}))
}

async fn on_server(body: &str) -> Value {
    let outcome = Fixture::new().body(body, about(server(), "RUNNING")).await;
    match outcome.exit {
        Exit::Failed(error) => Value::String(format!("error: {error}")),
        _ => serde_json::from_str(&outcome.result).unwrap(),
    }
}

#[tokio::test]
async fn getters_read_every_kind_of_property() {
    for (body, value) in [
        ("return p.input:getResourceName() .. p.input:getCpu() .. p.input:getRam()", json!("web24096")),
        (
            "return p.input:getStatus():name() .. p.input:getStatus():toString() .. tostring(p.input:getStatus())",
            json!("RUNNINGRUNNINGRUNNING"),
        ),
        ("return p.input:getStatus() == new('ServerStatus', 'RUNNING')", json!(true)),
        ("return p.input:getStatus() == new('ServerStatus', 'STOPPED')", json!(false)),
        ("return p.input:getStatus() == 'RUNNING'", json!(false)),
        ("return p.input:getStatus() ~= new('ServerStatus', 'STOPPED')", json!(true)),
        ("return p.input:getNics():get(0):getIpAddresses():get(0):getIpAddress()", json!("192.0.2.7")),
        ("return p.input:getNics():get(0):getIpAddresses():get(0):isAuto()", json!(true)),
        ("return p.input:getProviderValues('VAULT'):get('enabled')", json!("TRUE")),
        ("return p.input:getProviderValues('OTHER'):get('enabled') == nil", json!(true)),
        ("return p.input:getProviderValues():size()", json!(1)),
        ("return p.input:getImagePermission():isCanStart()", json!(true)),
        ("return p.input:getImagePermission():isCanClone()", json!(false)),
        ("return p.input:getVdcName() == nil and p.input:getImagePermission() ~= nil", json!(true)),
        ("return p.input:getSomethingNobodyKnows() == nil", json!(true)),
        (
            "local k = p.input:getResourceKey() return k:get(0):getName() .. '=' .. k:get(0):getValue()",
            json!("backup=daily"),
        ),
        ("return p.triggerOption .. p.beUUID", json!("RUNNINGbe-1")),
        (
            "local d = new('FDLDateHelper') return d:getTimestamp(p.input:getResourceCreateDate())",
            json!(1_795_386_245_007_i64),
        ),
        (
            "return p.input:getResourceCreateDate() < new('FDLDateHelper'):getTimestamp()",
            json!("error: line 1: attempt to compare userdata < number"),
        ),
        (
            "return type(p.input:toJSONString()) .. new('JSON'):decode(p.input:toJSONString()).resourceName",
            json!("stringweb"),
        ),
        ("return p.input:getNics() == p.input:getNics()", json!(true)),
        ("return p.input:fly()", json!("error: line 1: a Server has no method `fly`")),
    ] {
        assert_eq!(on_server(body).await, value, "{body}");
    }
}

#[tokio::test]
async fn a_dot_works_where_a_colon_does() {
    for (body, value) in [
        ("return p.input.getResourceName()", json!("web")),
        ("local get = p.input.getResourceName return get()", json!("web")),
        ("return p.input.getResourceName(p.input)", json!("web")),
        ("return p.input.getProviderValues('VAULT').get('enabled')", json!("TRUE")),
        ("local m = new('Map') m.put('a', 1) m:put('b', 2) return m.get('a') + m.get('b') + m.size()", json!(5)),
        ("local a, b = new('Map'), new('Map') a:put('k', 'x') b:put('k', 'k') return a.get(b.get('k'))", json!("x")),
        ("return p.input.fly == nil", json!(true)),
        (
            "syslog.openlog('x', syslog.LOG_ODELAY + syslog.LOG_PID) syslog.syslog('LOG_ERROR', 'a') syslog:syslog('LOG_INFO', 'b') syslog.closelog() return 1",
            json!(1),
        ),
        ("local j = new('JSON') return j.encode({1}) .. j:encode({2})", json!("[1][2]")),
    ] {
        assert_eq!(on_server(body).await, value, "{body}");
    }
}

#[tokio::test]
async fn setters_convert_and_refuse_with_the_property() {
    for (body, value) in [
        (
            "local k = new('ResourceKey') k:setName('n') k:setValue(1) k:setWeight('2.5') return k:getValue() .. type(k:getValue()) .. k:getWeight()",
            json!("1string2.5"),
        ),
        (
            "local c = new('FilterCondition') c:setValue({'a', 5}) return c:getValue():size() .. c:getValue():get(1)",
            json!("25"),
        ),
        ("local c = new('FilterCondition') c:setValue('one') return c:getValue():get(0)", json!("one")),
        (
            "local i = new('ImagePermission') i:setCanClone('true') return i:isCanClone() and i:getCanClone()",
            json!(true),
        ),
        (
            "local s = new('Snapshot') s:setType(new('SnapshotType', 'DISK')) return s:getType() == new('SnapshotType', 'DISK')",
            json!(true),
        ),
        (
            "local c = new('CustomerEmail') c:getEmailSettingDetails():put(new('EmailVAR', 'EMAIL_BODY'), 'hi') return c:getEmailSettingDetails():get('EMAIL_BODY')",
            json!("hi"),
        ),
        ("p.input:setRam({})", json!("error: line 1: Server.ram: INVALID_INPUT: a number expected, got table")),
        ("p.input:setResourceName(nil) return p.input:getResourceName() == nil", json!(true)),
        ("p.input:setOwnThing('x') return p.input:getOwnThing()", json!("x")),
    ] {
        assert_eq!(on_server(body).await, value, "{body}");
    }
}

#[tokio::test]
async fn lists_and_maps_from_getters_are_live() {
    for (body, value) in [
        ("local q = new('QueryLimit') q:getOrderBy():add(new('OrderedField')) return q:getOrderBy():size()", json!(1)),
        (
            "local f = new('SearchFilter') f:addCondition(new('Utils'):createFilterCondition('a', 'IS_EQUAL_TO', {'x'})) f:getFilterConditions():add(new('FilterCondition')) f:removeCondition('A') return f:getFilterConditions():size()",
            json!(1),
        ),
        (
            "p.input:getProviderValues('VAULT'):put('enabled', 'FALSE') return p.input:getProviderValues('VAULT'):get('enabled')",
            json!("FALSE"),
        ),
        (
            "local l = new('List') l:add('a') l:add(0, 'b') l:set(1, 'c') local it, t = l:iterator(), {} while it:hasNext() do t[#t + 1] = it:next() end return t",
            json!(["b", "c"]),
        ),
        (
            "local l = new('List') l:add('a') l:add('b') return l:contains('b') and l:indexOf('b') == 1 and not l:contains('z') and l:remove(0) == 'a' and #l == 1",
            json!(true),
        ),
        ("local l = new('List') l:get(0)", json!("error: line 1: IndexOutOfBoundsException: Index: 0, Size: 0")),
        ("new('List'):iterator():next()", json!("error: line 1: NoSuchElementException")),
        (
            "local l = new('List') l:addAll({ 'a', 'b', 'c' }) local s = l:subList(1, 3) s:add('d') return s:size() == 3 and s:get(0) == 'b' and l:size() == 3 and l:subList(3, 3):isEmpty() and not pcall(function() return l:subList(2, 1) end) and not pcall(function() return l:subList(0, 4) end)",
            json!(true),
        ),
        (
            "local m, n = new('Map'), new('Map') n:put('k', 1) m:putAll(n) m:putAll({ q = 'x', [2] = true }) return m:size() == 3 and m:get('q') == 'x' and m:get(2) == true and m:get('k') == 1 and not pcall(function() m:putAll('k') end)",
            json!(true),
        ),
        (
            "local m = new('Map') m:put('a', 1) m:put('b', nil) return m:containsKey('b') and m:get('b') == nil and m:keySet():size() == 2 and m:remove('a') == 1 and not m:containsKey('a')",
            json!(true),
        ),
        ("local l = new('List') local t = {1, 2} l:add(t) t[3] = 3 return #l:get(0)", json!(3)),
        ("local l = new('List') l:add(l)", json!("error: line 1: INVALID_INPUT: an object cannot hold itself")),
        (
            "local a, b = new('List'), new('Map') a:add(b) b:put('x', a)",
            json!("error: line 1: INVALID_INPUT: an object cannot hold itself"),
        ),
        (
            "return new('JSON'):encode(new('List')) .. new('JSON'):encode({m = new('Map'), e = new('JobStatus', 'FAILED')})",
            json!("[]{\"e\":\"FAILED\",\"m\":{}}"),
        ),
    ] {
        assert_eq!(on_server(body).await, value, "{body}");
    }
}

#[tokio::test]
async fn what_a_pre_script_changes_comes_back_and_nothing_else() {
    let fixture = Fixture::new();
    let untouched = fixture
        .body("p.input:getNics():get(0) p.input:getDisks() p.input:getStatus()", about(server(), "SERVER"))
        .await;
    assert_eq!(untouched.input, Some(server()));
    let body = "p.input:setRam(8192) p.input:getProviderValues('VAULT'):put('password', '****') p.input:addCloudInitData('#!/bin/sh')
        local k = new('ResourceKey') k:setName('made') k:setValue('by script') p.input:getResourceKey():add(k)
        p.input:setResourceName(p.input:getResourceName() .. '-1') return {exitState = 'SUCCESS'}";
    let changed = fixture.body(body, about(server(), "SERVER")).await;
    let input = changed.input.unwrap();
    assert_eq!(input.kind, "Server");
    let input = input.properties.to_map();
    assert_eq!(input["ram"], json!(8192));
    assert_eq!(input["resourceName"], json!("web-1"));
    assert_eq!(input["providers"], json!({"VAULT": {"enabled": "TRUE", "password": "****"}}));
    assert_eq!(input["cloudInitData"], json!(["#!/bin/sh"]));
    assert_eq!(input["resourceKey"][1], json!({"name": "made", "value": "by script"}));
    assert_eq!(input["status"], json!("RUNNING"));
    assert_eq!(input.get("nics"), server().properties.get("nics").as_deref());
    let nobody_asks = fixture.body(body, Params { spent: true, ..about(server(), "SERVER") }).await;
    assert_eq!((nobody_asks.exit, nobody_asks.input), (changed.exit, None));
}

#[tokio::test]
async fn other_inputs_and_people_are_there() {
    let fixture = Fixture::new();
    let params = Params {
        input: Input::Numbers(vec![1000.0, 60000.0, 2000.0]),
        customer: Some(
            Bean::new("Customer").with("resourceUUID", "c-1").with("status", "ACTIVE").with("customerId", "17"),
        ),
        user: Some(Bean::new("User").with("email", "a@example.com").with("userId", 5)),
        timestamp_ms: 1_795_386_245_007,
        ..Params::default()
    };
    let body = "return {p.input[1] + p.input[2], p.customer:getResourceUUID(), p.customer:getCustomerId(), p.user:getEmail(), p.user:getUserId(), p.timeStamp}";
    let outcome = fixture.body(body, params).await;
    assert_eq!(
        serde_json::from_str::<Value>(&outcome.result).unwrap(),
        json!([61000, "c-1", "17", "a@example.com", "5", 1_795_386_245_007_i64])
    );
    let params = Params { input: Input::Text("jobs/c-1".into()), ..Params::default() };
    assert_eq!(
        fixture.body("return string.find(p.input, 'jobs') == 1 and p.customer == nil", params).await.result,
        "true"
    );
}

#[tokio::test]
async fn json_is_written_and_read_as_scripts_need_it() {
    let fixture = Fixture::new();
    for (body, value) in [
        (
            "return new('JSON'):encode({a = 2.0, b = 1.5, c = {}, d = {1, 2}, e = nil, f = 'x\"y'})",
            json!(r#"{"a":2,"b":1.5,"c":[],"d":[1,2],"f":"x\"y"}"#),
        ),
        ("return new('JSON'):encode({1, nil, 3})", json!("[1,null,3]")),
        ("return new('JSON'):encode({[1] = 'a', x = 'b'})", json!(r#"{"1":"a","x":"b"}"#)),
        ("return new('JSON'):encode({[1000] = 'a'})", json!(r#"{"1000":"a"}"#)),
        (
            "local t = new('JSON'):decode('{\"a\":[1,null,\"x\"],\"b\":null}') return t.a[1] + #t.a[3] .. tostring(t.b)",
            json!("2nil"),
        ),
        ("return new('JSON'):decode('') == nil and new('JSON'):decode(nil) == nil", json!(true)),
        ("return (pcall(function() new('JSON'):decode('<html>') end))", json!(false)),
        ("local t = {} t.t = t return (pcall(function() return new('JSON'):encode(t) end))", json!(false)),
    ] {
        assert_eq!(fixture.eval(body).await, value, "{body}");
    }
}

#[tokio::test]
async fn the_other_helpers_do_their_work() {
    let fixture = Fixture::new();
    for (body, value) in [
        (
            "return new('FDLDateHelper'):getString(1795386245007, 'yyyy-MM-ddhh:mm:ssZ')",
            json!("2026-11-2210:24:05+0000"),
        ),
        (
            "local d = new('FDLDateHelper') return d:getTimestamp('2026/11/22 22:24:05', 'yyyy/MM/dd HH:mm:ss')",
            json!(1_795_386_245_000_i64),
        ),
        ("local d = new('FDLDateHelper') return d:addDays(86400000, -1)", json!(0)),
        ("return (pcall(function() new('FDLDateHelper'):getTimestamp('x', 'yyyy') end))", json!(false)),
        ("return new('FDLHashHelper'):toBase64('user:pass\\n')", json!("dXNlcjpwYXNzCg==")),
        (
            "local h = new('FDLHashHelper') return h:getNamedUUID('a') == h:getNamedUUID('a') and h:getNamedUUID('a') ~= h:getNamedUUID('b') and #h:getRandomUUID() == 36",
            json!(true),
        ),
        (
            "local u = new('Utils') return u:stringStartsWith('abc', 'ab') and u:stringEndsWith('abc', 'bc') and not u:stringStartsWith('a', 'ab')",
            json!(true),
        ),
        ("return 'x' .. new('Utils'):roundNumber(2.345678, 2) .. new('Utils'):roundNumber(3, 2)", json!("x2.353")),
        ("return convert_mtype(new('MeasureType', 'MB'), new('MeasureType', 'GB')) * 2048", json!(2)),
        ("return (pcall(convert_mtype, 'MB', 'HOUR'))", json!(false)),
        ("return translate.string('{1} and {0} and {9}', 'a', 2)", json!("2 and a and {9}")),
        ("return translate.string('#__KEY') .. translate:measureType(new('MeasureType', 'GB'))", json!("#__KEYGB")),
        ("return new('FDLNoHelper')", json!("error: line 1: new(\"FDLNoHelper\"): there is no such type")),
        (
            "return new('ServerStatus')",
            json!("error: line 1: new(\"ServerStatus\"): the name of a ServerStatus is missing"),
        ),
        ("return new('ServerStatus', 'running') == new('ServerStatus', 'RUNNING')", json!(true)),
    ] {
        assert_eq!(fixture.eval(body).await, value, "{body}");
    }
    let outcome = fixture
        .body(
            "new('ServerStatus', 'FLYING') syslog.openlog('ticket', 0) syslog.syslog('LOG_INFO', nil)",
            Params::default(),
        )
        .await;
    assert_eq!(outcome.log, "note: ServerStatus has no value FLYING\nLOG_INFO ticket: nil\n");
}

#[tokio::test]
async fn dates_and_constants_compare_and_maps_have_defaults_as_in_java() {
    let fixture = Fixture::new();
    for (body, value) in [
        (
            "local a, b = new('JobStatus', 'IN_PROGRESS'), new('JobStatus', 'SUCCESSFUL')
            return { a:compareTo(b) == -b:compareTo(a), a:compareTo(a), a.compareTo(b) == a:compareTo(b) }",
            json!([true, 0, true]),
        ),
        (
            "local j = new('Job') j:setStartTime(1000) j:setEndTime(2000) local a, b = j:getStartTime(), j:getEndTime()
            return { a:before(b), a:after(b), a:compareTo(b), b:compareTo(a), b.after(a) }",
            json!([true, false, -1, 1, true]),
        ),
        ("local m = new('Map') m:put('a', 1) return { m:getOrDefault('a', 2), m:getOrDefault('b', 2) }", json!([1, 2])),
        // Scripts that print what an object can do.
        (
            "local seen = {} for name, value in pairs(getmetatable(new('Job'))) do seen[name] = type(value) end return seen",
            json!({ "__index": "table" }),
        ),
        (
            "local ok, why = pcall(function() return new('JobStatus', 'FAILED'):compareTo('FAILED') end) return why",
            json!("script:1: INVALID_INPUT: compareTo expects a JobStatus"),
        ),
    ] {
        assert_eq!(fixture.eval(body).await, value, "{body}");
    }
}
