//! `adminAPI` and `userAPI`.

use crate::support::{Fixture, Platform, block};
use serde_json::json;
use sutler_lua::{Api, Bean, Exit, Limit, Params};

fn fixture() -> Fixture {
    Fixture::on(Platform::with(vec![
        ("SERVER", Bean::new("Server").with("resourceUUID", "s-1").with("status", "RUNNING")),
        ("CUSTOMER", Bean::new("Customer").with("resourceUUID", "c-1").with("warningLevel", 5)),
    ]))
}

#[tokio::test]
async fn operations_reach_the_host_with_their_arguments_in_order() {
    let fixture = fixture();
    let body = "
        userAPI:setSessionUser('ops@example.com/c-1')
        local key = new('ResourceKey') key:setName('seen') key:setValue('yes')
        local server = userAPI:addKey('s-1', key)
        local job = userAPI:changeServerStatus('s-1', new('ServerStatus', 'STOPPED'), true, nil, nil)
        local customer = adminAPI:getResource('c-1', true)
        customer:setWarningLevel(10)
        adminAPI:updateCustomer(customer)
        userAPI:deleteResource('s-1', true, nil)
        new('AdminAPI', 'Current'):removeKey('s-1', key)
        return {server:getResourceKey():get(0):getName(), job:getJobType():name(), job:getStatus() == new('JobStatus', 'IN_PROGRESS'), job:getItemUUID()}";
    assert_eq!(fixture.eval(body).await, json!(["seen", "SHUTDOWN_SERVER", true, "s-1"]));
    let seen = fixture.platform.seen();
    let session = Api::User(Some("ops@example.com/c-1".to_owned()));
    let key = json!({"@bean": "ResourceKey", "@set": ["name", "value"], "name": "seen", "value": "yes"});
    let customer = json!({"@bean": "Customer", "@set": ["warningLevel"], "resourceUUID": "c-1", "warningLevel": 10});
    let expected = [
        (session.clone(), "addKey", json!(["s-1", key])),
        (session.clone(), "changeServerStatus", json!(["s-1", "STOPPED", true, null, null])),
        (Api::Admin, "updateCustomer", json!([customer])),
        (session, "deleteResource", json!(["s-1", true, null])),
        (Api::Admin, "removeKey", json!(["s-1", key])),
    ];
    assert_eq!(seen.len(), expected.len());
    for (number, (seen, (api, operation, args))) in seen.iter().zip(expected).enumerate() {
        assert_eq!((&seen.api, seen.operation.as_str(), json!(seen.args)), (&api, operation, args));
        assert_eq!(seen.call_no as usize, number + 1);
    }
}

#[tokio::test]
async fn an_operation_is_told_what_the_script_has_set_and_not_what_it_has_looked_at() {
    let fixture = fixture();
    let body = "
        local function passed(change)
            local server = new('Server')
            change(server)
            adminAPI:updateCustomer(server)
        end
        passed(function(s) s:getResourceKey() s:getDisks():size() end)
        passed(function(s) s:setCpu(2) s:setCpu(nil) end)
        passed(function(s) s:getResourceKey():add(new('ResourceKey')) end)
        passed(function(s) s:addCloudInitData('a') end)
        local server = adminAPI:getResource('s-1', true)
        server:getStatus() server:getNics()
        adminAPI:updateCustomer(server)";
    fixture.eval(body).await;
    let set: Vec<_> = fixture.platform.seen().iter().map(|seen| seen.args[0]["@set"].clone()).collect();
    assert_eq!(set, [json!(null), json!(["cpu"]), json!(["resourceKey"]), json!(["cloudInitData"]), json!(null)]);
}

#[tokio::test]
async fn a_snapshot_does_not_follow_later_changes() {
    let fixture = fixture();
    let body = "local before = adminAPI:getResource('s-1', true)
        local key = new('ResourceKey') key:setName('k') key:setValue(1) adminAPI:addKey('s-1', key)
        return {before:getResourceKey():size(), adminAPI:getResource('s-1', true):getResourceKey():size(), adminAPI:getResource('nowhere', false) == nil}";
    assert_eq!(fixture.eval(body).await, json!([0, 1, true]));
}

#[tokio::test]
async fn refusals_are_lua_errors_with_the_code() {
    let fixture = fixture();
    let error = fixture.eval("local k = new('ResourceKey') k:setName('a')\nadminAPI:addKey('nowhere', k)").await;
    assert_eq!(error, json!("error: line 2: NO_RESOURCE_FOUND: there is no resource nowhere"));
    let caught = fixture.eval("local ok, e = pcall(function() adminAPI:makeCoffee() end) return e").await;
    assert_eq!(caught, json!("script:1: makeCoffee is not offered here"));
    let dotted = fixture.eval("return adminAPI.echo(1, 'a', nil, {x = 1})").await;
    assert_eq!(dotted, json!([1, "a", null, {"x": 1}]));
}

#[tokio::test]
async fn of_what_is_not_here_there_are_none_and_one_note_says_so() {
    let fixture = fixture();
    let body = "local list = adminAPI:listResources(nil, nil, new('ResourceType', 'FIREWALL'))
        local query = new('Query') query:setResourceType(new('ResourceType', 'FIREWALL'))
        local page = adminAPI:doQuery(query)
        return { list:getTotalCount(), list:getList():size(), adminAPI:runListQuery(nil, nil, 'FIREWALL'):hasNext(),
            page:getTotalCount(), adminAPI:runAggregationQuery(query):hasNext() }";
    let outcome = fixture.body(body, Params::default()).await;
    assert_eq!(outcome.result, "[0,0,false,0,false]");
    assert_eq!(outcome.log, "note: firewalls are not offered here: a list of firewalls\n");
}

#[tokio::test]
async fn a_session_lasts_for_one_run() {
    let fixture = fixture();
    let block =
        block("function f(p) if p.triggerOption == 'SET' then userAPI:setSessionUser('a/b') end userAPI:echo(1) end");
    for option in ["SET", "NONE"] {
        let params = Params { option: option.to_owned(), ..Params::default() };
        fixture.run(&block, "f", params).await;
    }
    let sessions: Vec<_> = fixture.platform.seen().into_iter().map(|seen| seen.api).collect();
    assert_eq!(sessions, [Api::User(Some("a/b".to_owned())), Api::User(None)]);
}

#[tokio::test]
async fn a_waiting_run_holds_neither_the_thread_nor_the_blocks_globals() {
    let fixture = std::sync::Arc::new(fixture());
    let source = "who = nil
        function wait(p) who = 'waiter' local job = userAPI:waitForJob('j', true) return {who, job:getStatus():name()} end
        function quick(p) local before = who who = 'quick' return {before or 'none', who} end";
    let block = block(source);
    let waiters: Vec<_> = (0..200)
        .map(|_| {
            let (fixture, block) = (fixture.clone(), block.clone());
            tokio::spawn(async move { fixture.run(&block, "wait", Params::default()).await })
        })
        .collect();
    while fixture.platform.waiting.load(std::sync::atomic::Ordering::SeqCst) < 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.runtime.stats().runs, 200);
    // The same block on the same thread runs meanwhile, in an environment that no waiting run changes.
    assert_eq!(fixture.run(&block, "quick", Params::default()).await.result, r#"["none","quick"]"#);
    assert_eq!(fixture.run(&block, "quick", Params::default()).await.result, r#"["quick","quick"]"#);
    fixture.platform.jobs_done.add_permits(200);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().result, r#"["waiter","SUCCESSFUL"]"#);
    }
    assert_eq!(fixture.runtime.stats().runs, 0);
}

#[tokio::test]
async fn waiting_does_not_count_as_running_but_ends_at_the_deadline() {
    let mut fixture = fixture();
    fixture.limits.cpu_ms = 20;
    fixture.limits.deadline_ms = 200;
    let outcome = fixture.body("userAPI:waitForJob('j', true)", Params::default()).await;
    assert_eq!(outcome.exit, Exit::Stopped(Limit::Deadline));
    assert!(outcome.duration_us >= 200_000);
    // The thread is free and the block still works.
    assert_eq!(fixture.eval("return 1").await, json!(1));
}

#[tokio::test]
async fn host_calls_wait_inside_pcall_and_coroutines() {
    let fixture = fixture();
    fixture.platform.jobs_done.add_permits(100);
    for (body, value) in [
        (
            "local ok, job = pcall(function() return userAPI:waitForJob('j', true) end) return job:getStatus():name()",
            json!("SUCCESSFUL"),
        ),
        (
            "local ok, s = xpcall(function() return userAPI:waitForJob('j', true):getStatus():name() end, print) return s",
            json!("SUCCESSFUL"),
        ),
        (
            "local f = coroutine.wrap(function() coroutine.yield(1) local j = userAPI:waitForJob('j', true) coroutine.yield(j:getStatus():name()) return 3 end) return {f(), f(), f()}",
            json!([1, "SUCCESSFUL", 3]),
        ),
        (
            "local outer = coroutine.wrap(function() local inner = coroutine.wrap(function() return userAPI:waitForJob('j', true):getStatus():name() end) return inner() end) return outer()",
            json!("SUCCESSFUL"),
        ),
        (
            "return (string.gsub('{a} {b}', '{(%w)}', function(c) return c .. userAPI:waitForJob(c, true):getStatus():name() end))",
            json!("aSUCCESSFUL bSUCCESSFUL"),
        ),
        (
            "local t = {3, 1, 2} table.sort(t, function(a, b) userAPI:waitForJob('j', true) return a < b end) return t",
            json!([1, 2, 3]),
        ),
        (
            "local n = 0 table.foreach({5, 6}, function(_, v) userAPI:waitForJob('j', true) n = n + v end) return n",
            json!(11),
        ),
        (
            "local n = 0 for v in function() if n < 2 then userAPI:waitForJob('j', true) return 1 end end do n = n + v end return n",
            json!(2),
        ),
        (
            "local t = setmetatable({}, { __call = function(_, id) return userAPI:waitForJob(id, true) end }) return t('j'):getStatus():name()",
            json!("SUCCESSFUL"),
        ),
        ("return loadstring('return userAPI:waitForJob(\\'j\\', true):getStatus():name()')()", json!("SUCCESSFUL")),
    ] {
        assert_eq!(fixture.eval(body).await, value, "{body}");
    }
    // Inside a metamethod Luau cannot wait, and the error says so.
    let fixture = self::fixture();
    for body in [
        "local t = setmetatable({}, { __index = function(_, id) return userAPI:waitForJob(id, true) end }) return t.j",
        "return tostring(setmetatable({}, { __tostring = function() return userAPI:waitForJob('j', true) end }))",
    ] {
        let error = fixture.eval(body).await;
        assert!(error.as_str().unwrap().contains("attempt to yield across"), "{error}");
    }
}
