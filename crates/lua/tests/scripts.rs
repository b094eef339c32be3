//! Whole scripts in the manner of published ones, from registration to effect.

use crate::{
    http::Server,
    support::{Fixture, Platform, about, block},
};
use serde_json::{Value, json};
use sutler_lua::*;
use sutler_model::TriggerType;

/// Registers a script and returns its one entry and the block.
async fn load(fixture: &Fixture, source: &str) -> (sutler_model::Entry, Block) {
    let registration = fixture.runtime.register(source, fixture.limits).await.unwrap();
    let [entry] = &registration.entries[..] else { panic!("{registration:?}") };
    (entry.clone(), block(source))
}

const TICKET: &str = r#"
--[[ FDLINFO { "NAME": "Failed jobs to tickets", "VERSION": "1.0" } ]]
TICKET_URL = "@URL@"

function register()
    return {"failed_job_trigger"}
end

function failed_job_trigger(p)
    if (p == nil) then
        return {
            ref = "failed_job_trigger",
            name = "Failed job to ticket",
            description = "Opens a ticket for each failed job",
            priority = -8000,
            triggerType = "POST_JOB_STATE_CHANGE",
            triggerOptions = {"FAILED"},
            api = "TRIGGER",
            version = 1,
        }
    end
    if (p.input:getJobType() == new("JobType", "DELETE_RESOURCE")) then
        return { exitState = "CONTINUE" }
    end
    local level = level_of(p.input:getCustomerUUID())
    local dateHelper = new("FDLDateHelper")
    local json = new("JSON")
    local body = json:encode({
        ticket = {
            subject = "Job " .. p.input:getJobType():toString() .. " failed",
            comment = { body = (p.input:getInfo() or "") .. " (" .. p.input:getErrorCode() .. ")" },
            requester = p.input:getUserName(),
            when = dateHelper:getString(dateHelper:getTimestamp(p.input:getEndTime()), "yyyy-MM-dd'T'HH:mm:ssZ"),
            tags = { level },
            count = 4 / 2,
        },
    })
    local simplehttp = new("simplehttp")
    local connection = simplehttp.newConnection({ url = TICKET_URL, enable_cookie = true, ssl_verify = true })
    connection:setRequestHeaders({ ["Content-Type"] = "application/json" })
    connection:setBasicAuth("agent@example.com/token", "secret")
    local response = ""
    if connection:post(body, function(val) response = response .. val return true end) then
        print("ticket " .. json:decode(response).id .. ", HTTP " .. connection:getHTTPStatusCode())
    else
        local code, message = connection:getLastError()
        syslog.openlog("ticket", syslog.LOG_ODELAY + syslog.LOG_PID)
        syslog.syslog("LOG_ERR", "failed: " .. tonumber(code) .. " " .. message)
        syslog.closelog()
    end
    connection:disconnect()
    return { exitState = "SUCCESS" }
end

function level_of(customer)
    local searchFilter = new("SearchFilter")
    local filterCondition = new("FilterCondition")
    filterCondition:setField('resourceUUID')
    filterCondition:setValue({customer})
    filterCondition:setCondition(new("Condition", "IS_EQUAL_TO"))
    searchFilter:addCondition(filterCondition)
    local customers = adminAPI:listResources(searchFilter, nil, new("ResourceType", "CUSTOMER"))
    if (customers:getList():size() == 1) then
        local keys = customers:getList():get(0):getResourceKey()
        for i = 0, keys:size() - 1, 1 do
            if (keys:get(i):getName() == "level") then
                return keys:get(i):getValue()
            end
        end
    end
    return "none"
end
"#;

fn failed_job(kind: &str) -> Bean {
    Bean::new("Job")
        .with("resourceUUID", "j-1")
        .with("jobType", kind)
        .with("status", "FAILED")
        .with("errorCode", "FAILED_TO_CREATE_SERVER")
        .with("info", "no node fits")
        .with("customerUUID", "c-1")
        .with("userName", "Ann Example")
        .with("endTime", 1_795_386_245_007_i64)
}

#[tokio::test]
async fn a_failed_job_becomes_a_ticket_with_the_customers_level() {
    let server = Server::start().await;
    let gold = Bean::new("Customer")
        .with("resourceUUID", "c-1")
        .with("resourceKey", json!([{"name": "other", "value": "x"}, {"name": "level", "value": "gold"}]));
    let fixture = Fixture::on(Platform::with(vec![
        ("CUSTOMER", gold),
        ("CUSTOMER", Bean::new("Customer").with("resourceUUID", "c-2")),
    ]));
    let (entry, block) = load(&fixture, &TICKET.replace("@URL@", &format!("{}/api/tickets.json", server.url))).await;
    assert_eq!((entry.trigger_type, entry.priority), (TriggerType::PostJobStateChange, -8000));

    let outcome = fixture.run(&block, &entry.function, about(failed_job("CREATE_SERVER"), "FAILED")).await;
    assert_eq!((outcome.exit, outcome.log.as_str()), (Exit::Success, "ticket 7, HTTP 201\n"));
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /api/tickets.json HTTP/1.1"), "{request}");
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    let expected = json!({"ticket": {
        "subject": "Job CREATE_SERVER failed", "comment": {"body": "no node fits (FAILED_TO_CREATE_SERVER)"}, "requester": "Ann Example",
        "when": "2026-11-22T22:24:05+0000", "tags": ["gold"], "count": 2,
    }});
    assert_eq!(body, expected);
    assert!(request.contains("\"count\":2,") || request.contains("\"count\":2}"), "a whole number has no fraction");

    let ignored = fixture.run(&block, &entry.function, about(failed_job("DELETE_RESOURCE"), "FAILED")).await;
    assert_eq!(ignored.exit, Exit::Continue);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_ticket_that_cannot_be_sent_is_logged_and_the_run_succeeds() {
    let fixture = Fixture::new();
    let (entry, block) = load(&fixture, &TICKET.replace("@URL@", "http://127.0.0.1:1/")).await;
    let outcome = fixture.run(&block, &entry.function, about(failed_job("CREATE_SERVER"), "FAILED")).await;
    assert_eq!(outcome.exit, Exit::Success);
    assert!(outcome.log.starts_with("LOG_ERR ticket: failed: 7 "), "{}", outcome.log);
}

const CLEANUP: &str = r#"
function register() return {"cleanup_trigger"} end

function cleanup_trigger(p)
    if (p == nil) then
        return {
            ref = "cleanup_trigger", name = "Clean up", description = "Deletes old snapshots of tagged servers",
            triggerType = "SCHEDULED", schedule = { start = { HOUR = 23, MINUTE = 59, SECOND = 59 }, frequency = { HOUR = 24 } },
            api = "TRIGGER", version = 1,
        }
    end
    local days = 0
    local be = adminAPI:getResource(p.beUUID, true)
    for i = 0, be:getResourceKey():size() - 1, 1 do
        local key = be:getResourceKey():get(i)
        if (key:getName() == "keepdays") then days = key:getValue() + 0 end
    end
    local dateHelper = new("FDLDateHelper")
    local before = dateHelper:getString(dateHelper:addDays(p.timeStamp, -days), "yyyy-MM-dd'T'HH:mm:ssZ")
    local searchFilter = new("SearchFilter")
    for field, value in pairs({ ["resourcekey.name[1]"] = "snapshots", ["resourcekey.name[2]"] = "auto" }) do
        local condition = new("FilterCondition")
        condition:setField(field) condition:setValue({ value }) condition:setCondition(new("Condition", "IS_EQUAL_TO"))
        searchFilter:addCondition(condition)
    end
    local limit = new("QueryLimit") limit:setMaxRecords(1) limit:setLoadChildren(false)
    local servers, deleted = adminAPI:runListQuery(searchFilter, limit, "SERVER"), {}
    while (servers:hasNext()) do
        local server = servers:next()
        local filter = new("SearchFilter")
        filter:addCondition(new("Utils"):createFilterCondition("parentuuid", "IS_EQUAL_TO", { server:getResourceUUID() }))
        filter:addCondition(new("Utils"):createFilterCondition("resourcecreatedate", "EARLIER_THAN", { before }))
        local list = adminAPI:listResources(filter, nil, new("ResourceType", "SNAPSHOT")):getList()
        for i = 0, list:size() - 1, 1 do
            userAPI:setSessionUser(server:getCustomerUUID() .. "/ops")
            local job = userAPI:deleteResource(list:get(i):getResourceUUID(), true, nil)
            userAPI:waitForJob(job:getResourceUUID(), true)
            table.insert(deleted, list:get(i):getResourceUUID())
        end
    end
    print("deleted " .. table.getn(deleted) .. " before " .. before)
    return { exitState = "SUCCESS", deleted = deleted }
end
"#;

#[tokio::test]
async fn a_scheduled_clean_up_deletes_what_its_keys_say() {
    let keys = |names: &[&str]| Value::Array(names.iter().map(|name| json!({"name": name, "value": "1"})).collect());
    let server = |id: &str, names: &[&str]| {
        (
            "SERVER",
            Bean::new("Server").with("resourceUUID", id).with("customerUUID", "c-1").with("resourceKey", keys(names)),
        )
    };
    let day = 86_400_000_i64;
    let now = 1_795_386_245_007_i64;
    let snapshot = |id: &str, parent: &str, age: i64| {
        (
            "SNAPSHOT",
            Bean::new("Snapshot")
                .with("resourceUUID", id)
                .with("parentUUID", parent)
                .with("resourceCreateDate", now - age * day),
        )
    };
    let be = Bean::new("BillingEntity")
        .with("resourceUUID", "be-1")
        .with("resourceKey", json!([{"name": "keepdays", "value": "7"}]));
    let fixture = Fixture::on(Platform::with(vec![
        ("BILLING_ENTITY", be),
        server("s-1", &["snapshots", "auto"]),
        server("s-2", &["snapshots"]),
        server("s-3", &["auto", "x", "snapshots"]),
        snapshot("n-1", "s-1", 8),
        snapshot("n-2", "s-1", 6),
        snapshot("n-3", "s-2", 30),
        snapshot("n-4", "s-3", 9),
    ]));
    fixture.platform.jobs_done.add_permits(10);
    let (entry, block) = load(&fixture, CLEANUP).await;
    assert_eq!(entry.schedule.unwrap().start_s, Some(86_399));
    #[allow(clippy::cast_precision_loss)]
    let input = Input::Numbers(vec![now as f64, day as f64, now as f64]);
    let params = Params { input, be_uuid: "be-1".into(), timestamp_ms: now, option: "ANY".into(), ..Params::default() };
    let outcome = fixture.run(&block, &entry.function, params).await;
    assert_eq!(outcome.exit, Exit::Success, "{}", outcome.result);
    assert_eq!(outcome.log, "deleted 2 before 2026-11-15T22:24:05+0000\n");
    assert_eq!(serde_json::from_str::<Value>(&outcome.result).unwrap()["deleted"], json!(["n-1", "n-4"]));
    assert_eq!(fixture.platform.operations(), ["deleteResource", "waitForJob", "deleteResource", "waitForJob"]);
    assert_eq!(fixture.platform.seen()[0].api, Api::User(Some("c-1/ops".into())));
}

const GUARD: &str = r#"
function register() return {"guard"} end
function guard(p)
    if p == nil then
        return { ref = "guard", name = "Guard", description = "", priority = 0, triggerType = "PRE_CREATE", triggerOptions = {"SERVER"}, api = "TRIGGER", version = 1 }
    end
    local utils = new("Utils")
    if p.input:getRam() > 8192 then
        return { exitState = "FAILURE", errorString = "servers of this customer have at most 8 GB" }
    end
    if p.customer and not utils:stringStartsWith(p.input:getResourceName(), "acme-") then
        p.input:setResourceName("acme-" .. p.input:getResourceName())
    end
    p.input:getProviderValues("VAULT"):put("password", string.rep("*", #p.input:getProviderValues("VAULT"):get("password")))
    return { exitState = "SUCCESS" }
end
"#;

#[tokio::test]
async fn a_pre_trigger_refuses_with_its_reason_or_changes_what_is_stored() {
    let fixture = Fixture::new();
    let (entry, block) = load(&fixture, GUARD).await;
    assert!(entry.trigger_type.is_pre());
    let server = |ram: i64| {
        Bean::new("Server")
            .with("resourceName", "web")
            .with("ram", ram)
            .with("providers", json!({"VAULT": {"password": "secret"}}))
    };
    let params = |ram| Params {
        customer: Some(Bean::new("Customer").with("resourceUUID", "c-1")),
        ..about(server(ram), "SERVER")
    };
    let refused = fixture.run(&block, &entry.function, params(16384)).await;
    assert_eq!(refused.exit, Exit::Refused("servers of this customer have at most 8 GB".into()));
    assert_eq!(refused.input, Some(server(16384)));
    let changed = fixture.run(&block, &entry.function, params(4096)).await;
    assert_eq!(changed.exit, Exit::Success);
    let input = changed.input.unwrap();
    assert_eq!(input.text("resourceName").as_deref(), Some("acme-web"));
    assert_eq!(input.properties.to_map()["providers"], json!({"VAULT": {"password": "******"}}));
}

const KEYS: &str = r#"
function register() return {"tag_trigger"} end
-- Marks a server when it starts, and forgets the mark when it stops.
function tag_trigger(p)
    if (p == nil) then
        return { ref = "tag", name = "Tag", description = "", triggerType = "POST_SERVER_STATE_CHANGE", triggerOptions = {"RUNNING", "STOPPED"}, api = "TRIGGER", version = 1 }
    end
    local key = new("ResourceKey")
    key:setName("last_" .. string.lower(p.triggerOption))
    if (p.input:getStatus() == new("ServerStatus", "RUNNING")) then
        local nic = p.input:getNics():get(0)
        key:setValue(nic:getIpAddresses():get(0):getIpAddress() .. " " .. p.input:getNics():size())
        key:setWeight(0)
        adminAPI:addKey(p.input:getResourceUUID(), key)
    else
        key:setName("last_running")
        adminAPI:removeKey(p.input:getResourceUUID(), key)
    end
    return { exitState = "SUCCESS" }
end
"#;

#[tokio::test]
async fn keys_follow_a_servers_state() {
    let server = |status: &str| {
        Bean::new("Server")
            .with("resourceUUID", "s-1")
            .with("status", status)
            .with("nics", json!([{"ipAddresses": [{"ipAddress": "192.0.2.7"}]}]))
    };
    let fixture = Fixture::on(Platform::with(vec![("SERVER", server("RUNNING"))]));
    let (entry, block) = load(&fixture, KEYS).await;
    let keys = || {
        let beans = fixture.platform.beans.lock().unwrap();
        beans[0].1.properties.get("resourceKey").map(|keys| keys.into_owned()).unwrap_or_default()
    };
    let outcome = fixture.run(&block, &entry.function, about(server("RUNNING"), "RUNNING")).await;
    assert_eq!(outcome.exit, Exit::Success, "{}", outcome.result);
    let (key, set) = (keys()[0].clone(), json!(["name", "value", "weight"]));
    let kept =
        json!({"@bean": "ResourceKey", "@set": set, "name": "last_running", "value": "192.0.2.7 1", "weight": 0});
    assert_eq!(key, kept, "what the script has set of it is told with it");
    fixture.run(&block, &entry.function, about(server("STOPPED"), "STOPPED")).await;
    assert_eq!(keys(), json!([]));
}
