//! The filter engine, through the calls scripts make.

use crate::support::{Fixture, Platform};
use serde_json::{Value, json};
use sutler_lua::{Bean, Exit, Params};

/// Ten servers, s-0 to s-9.
fn fixture() -> Fixture {
    let servers = (0..10).map(|n| {
        let keys = json!([
            {"name": "tag", "value": format!("v{}", n % 3), "type": if n % 2 == 0 { "USER_KEY" } else { "SYSTEM_KEY" }},
            {"name": if n < 5 { "old" } else { "new" }, "value": "x", "type": "USER_KEY"},
        ]);
        let bean = Bean::new("Server")
            .with("resourceUUID", format!("s-{n}"))
            .with("resourceName", format!("server {}", 9 - n))
            .with("status", if n % 2 == 0 { "RUNNING" } else { "STOPPED" })
            .with("ram", 1024 * (n + 1))
            .with("cpu", n % 4)
            .with("vdcName", format!("vdc {n}"))
            .with("imageName", "outer")
            .with("productOffer", json!({"product": {"components": []}}))
            .with("image", json!({"resourceName": if n == 3 { "inner" } else { "other" }}))
            .with("customerUUID", if n < 7 { "c-1" } else { "c-2" })
            // A day apart, from 2026-11-20T12:00:00Z.
            .with("resourceCreateDate", 1_795_176_000_000_i64 + n * 86_400_000)
            .with("disableEmulatedDevices", n == 3)
            .with("nics", json!([{"ipAddresses": [{"ipAddress": format!("192.0.2.{n}")}]}, {"ipAddresses": [{"ipAddress": format!("198.51.100.{n}")}]}]))
            .with("resourceKey", keys);
        ("SERVER", if n == 8 { Bean { properties: { let mut p = bean.properties; p.remove("customerUUID"); p }, ..bean } } else { bean })
    });
    let customer = |uuid: &str, status: &str, tier: &str| {
        let bean = Bean::new("Customer")
            .with("resourceUUID", uuid)
            .with("status", status)
            .with("warningLevel", 5)
            .with("billingEntityUUID", "b-1")
            .with("resourceKey", json!([{"name": "TIER", "value": tier, "type": "BILLING_ENTITY_KEY"}]));
        ("CUSTOMER", bean)
    };
    let seller = Bean::new("BillingEntity").with("resourceUUID", "b-1").with("vatNumber", "GB1");
    let others = [customer("c-1", "ACTIVE", "gold"), customer("c-2", "DISABLED", "tin"), ("BILLING_ENTITY", seller)];
    Fixture::on(Platform::with(servers.chain(others).collect()))
}

/// The numbers of the servers that pass conditions of the form `field CONDITION value,value`, all of which make sense.
async fn pass(conditions: &[(&str, &str, &str)]) -> Value {
    let (passed, notes) = looked_up(conditions).await;
    assert_eq!(notes, "", "{conditions:?}");
    passed
}

/// The same, with what is noted of the conditions.
async fn looked_up(conditions: &[(&str, &str, &str)]) -> (Value, String) {
    let mut body = "local u, f, t = new('Utils'), new('SearchFilter'), {}\n".to_owned();
    for (field, condition, values) in conditions {
        let values: Vec<_> = values.split(',').map(|v| format!("'{v}'")).collect();
        body +=
            &format!("f:addCondition(u:createFilterCondition('{field}', '{condition}', {{{}}}))\n", values.join(","));
    }
    body += "local it = adminAPI:runListQuery(f, nil, 'SERVER')
        while it:hasNext() do t[#t + 1] = tonumber(string.sub(it:next():getResourceUUID(), 3)) end return t";
    let outcome = fixture().body(&body, Params::default()).await;
    assert_eq!(outcome.exit, Exit::Continue, "{conditions:?}");
    (serde_json::from_str(&outcome.result).unwrap(), outcome.log)
}

#[tokio::test]
async fn each_condition_selects_what_it_says() {
    for (field, condition, values, expected) in [
        ("resourceuuid", "IS_EQUAL_TO", "s-1,s-4", json!([1, 4])),
        ("resourceUUID", "IS_NOT_EQUAL_TO", "s-0,s-1,s-2,s-3,s-4,s-5,s-6", json!([7, 8, 9])),
        ("RESOURCENAME", "ENDS_WITH", "3,4", json!([5, 6])),
        ("resourceName", "STARTS_WITH", "server 1", json!([8])),
        ("resourceName", "CONTAINS", "er 2", json!([7])),
        ("resourceName", "NOT_CONTAINS", "server", json!([])),
        ("resourceName", "NOT_ENDS_WITH", "0,1,2,3,4,5,6,7", json!([0, 1])),
        ("ram", "IS_GREATER_THAN", "8192", json!([8, 9])),
        ("ram", "IS_GREATER_THAN_OR_EQUAL_TO", "9216", json!([8, 9])),
        ("ram", "IS_LESS_THAN", "2048.5", json!([0, 1])),
        ("ram", "IS_LESS_THAN_OR_EQUAL_TO", "1024", json!([0])),
        ("ram", "BETWEEN", "2048,4096", json!([1, 2, 3])),
        ("ram", "NOT_BETWEEN", "1024,9000", json!([8, 9])),
        ("ram", "IS_EQUAL_TO", "01024", json!([0])),
        ("status", "IS_EQUAL_TO", "running", json!([0, 2, 4, 6, 8])),
        ("customeruuid", "IS_NOT_EQUAL_TO", "c-1", json!([7, 8, 9])),
        ("customeruuid", "IS_EQUAL_TO", "c-2", json!([7, 9])),
        ("disableEmulatedDevices", "IS_EQUAL_TO", "TRUE", json!([3])),
        ("nics.ipAddresses.ipAddress", "IS_EQUAL_TO", "198.51.100.6", json!([6])),
    ] {
        assert_eq!(pass(&[(field, condition, values)]).await, expected, "{field} {condition} {values}");
    }
}

#[tokio::test]
async fn dates_are_understood_in_every_form() {
    for (condition, values, expected) in [
        ("IS_EQUAL_TO", "2026-11-22", json!([2])),
        ("IS_EQUAL_TO", "2026-11-2212:00:00+0000", json!([2])),
        ("LATER_THAN", "2026-11-2612:00:00+0000", json!([7, 8, 9])),
        ("LATER_THAN", "2026-11-28T11:59:59Z", json!([8, 9])),
        ("EARLIER_THAN", "2026-11-21", json!([0])),
        ("EARLIER_THAN", "2026-11-21 12:00:00+0000", json!([0])),
        ("BETWEEN", "2026-11-21,2026-11-23", json!([1, 2, 3])),
        ("IS_EQUAL_TO", "1795176000", json!([0])),
    ] {
        assert_eq!(pass(&[("resourcecreatedate", condition, values)]).await, expected, "{condition} {values}");
    }
}

#[tokio::test]
async fn a_query_that_cannot_mean_what_its_author_meant_is_carried_out_and_noted() {
    let all = json!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (field, condition, values, expected, note) in [
        ("nothing.here", "IS_EQUAL_TO", "x", json!([]), "a Server has no property `nothing`"),
        ("nothing.here", "IS_NOT_EQUAL_TO", "x", all.clone(), "a Server has no property `nothing`"),
        ("nics.address", "IS_EQUAL_TO", "192.0.2.1", json!([]), "a Nic has no property `address`"),
        ("customer.tier", "IS_EQUAL_TO", "gold", json!([]), "a CustomerDetails has no property `tier`"),
        ("cpu.cores", "IS_EQUAL_TO", "1", json!([]), "`cpu` of a Server has no properties"),
        ("ram", "IS_GREATER_THAN", "1 GB", json!([]), "`1 GB` is no number, and is compared with `ram`"),
        (
            "resourceCreateDate",
            "LATER_THAN",
            "tomorrow",
            json!([]),
            "`tomorrow` is no date, and is compared with `resourcecreatedate`",
        ),
        (
            "disableEmulatedDevices",
            "IS_NOT_EQUAL_TO",
            "on",
            all.clone(),
            "`on` is no boolean, and is compared with `disableemulateddevices`",
        ),
        (
            "status",
            "IS_EQUAL_TO",
            "RUNING,STOPPED",
            json!([1, 3, 5, 7, 9]),
            "`RUNING` is no ServerStatus, and is compared with `status`",
        ),
    ] {
        let (passed, notes) = looked_up(&[(field, condition, values)]).await;
        assert_eq!((passed, notes), (expected, format!("note: {note}\n")), "{field} {condition} {values}");
    }
    // Texts are texts, whatever they are compared with; what a bean has counts though the reference does not know it.
    assert_eq!(pass(&[("status", "STARTS_WITH", "RUNN")]).await, json!([0, 2, 4, 6, 8]));
    assert_eq!(pass(&[("image.resourceName", "IS_EQUAL_TO", "inner")]).await, json!([3]));
    assert_eq!(pass(&[("productOffer.product.components.referenceField", "IS_EQUAL_TO", "BACKUP")]).await, json!([]));
    let body = "local q, o, l, a = new('Query'), new('OrderedField'), new('QueryLimit'), new('AggregationField')
        o:setFieldName('COUNT(*)') l:getOrderBy():add(o) q:setLimit(l)
        a:setAggregationFunction(new('Aggregation', 'COUNT')) a:setFieldName('*')
        q:setResourceType(new('ResourceType', 'SERVER')) q:setAggregationFields({ a })
        q:setGroupByFields({ 'owner' }) q:setOutputFields({ 'owner', 'status' }) adminAPI:runAggregationQuery(q)";
    let outcome = fixture().body(body, Params::default()).await;
    assert_eq!(outcome.log, "note: a Server has no property `owner`\n");
}

#[tokio::test]
async fn conditions_on_one_relation_hold_for_one_row_and_indexes_mean_different_rows() {
    // The key `tag` is a user key of even servers only.
    let both = [("resourcekey.name", "IS_EQUAL_TO", "tag"), ("resourcekey.type", "IS_EQUAL_TO", "USER_KEY")];
    assert_eq!(pass(&both).await, json!([0, 2, 4, 6, 8]));
    let valued = [("resourcekey.name", "IS_EQUAL_TO", "tag"), ("resourcekey.value", "IS_NOT_EQUAL_TO", "v0,v1")];
    assert_eq!(pass(&valued).await, json!([2, 5, 8]));
    assert_eq!(
        pass(&[("resourcekey.name", "IS_EQUAL_TO", "old"), ("resourcekey.value", "IS_EQUAL_TO", "v0")]).await,
        json!([])
    );
    let two = [("resourcekey.name[1]", "IS_EQUAL_TO", "tag"), ("resourcekey.name[2]", "IS_EQUAL_TO", "new")];
    assert_eq!(pass(&two).await, json!([5, 6, 7, 8, 9]));
    let mixed = [
        ("resourcekey.name[1]", "IS_EQUAL_TO", "tag"),
        ("resourcekey.value[1]", "IS_EQUAL_TO", "v0"),
        ("resourcekey.name[2]", "IS_EQUAL_TO", "old"),
    ];
    assert_eq!(pass(&mixed).await, json!([0, 3]));
    // A denial alone is about all rows.
    assert_eq!(pass(&[("resourcekey.name", "IS_NOT_EQUAL_TO", "old")]).await, json!([5, 6, 7, 8, 9]));
}

#[tokio::test]
async fn names_and_uuids_of_relations_are_what_the_resource_says_of_them() {
    for (field, condition, values, expected) in [
        ("customer.resourceUUID", "IS_EQUAL_TO", "c-2", json!([7, 9])),
        ("CUSTOMER.resourceuuid", "IS_NOT_EQUAL_TO", "c-1", json!([7, 8, 9])),
        ("customer.resourceName", "STARTS_WITH", "Acme", json!([])),
        ("vdc.resourceName", "ENDS_WITH", "2", json!([2])),
        // What stands within the resource says so itself.
        ("image.resourceName", "IS_EQUAL_TO", "inner", json!([3])),
        ("nics.resourceName", "IS_NOT_EQUAL_TO", "eth0", json!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])),
    ] {
        assert_eq!(pass(&[(field, condition, values)]).await, expected, "{field} {condition} {values}");
    }
    let both = [("customer.resourceUUID", "IS_EQUAL_TO", "c-1"), ("ram", "IS_LESS_THAN", "2000")];
    assert_eq!(pass(&both).await, json!([0]));
    let body = "local q, o, l = new('Query'), new('OrderedField'), new('QueryLimit')
        o:setFieldName('vdc.resourceName') o:setSortOrder(new('ResultOrder', 'DESC')) l:getOrderBy():add(o) l:setTo(1)
        q:setResourceType(new('ResourceType', 'SERVER')) q:setLimit(l)
        q:setOutputFields({ 'resourceUUID', 'vdc.resourceName', 'customer.resourceUUID' })
        local row = adminAPI:doQuery(q):getResultRow():get(0):getColumnMap()
        return row:get('resourceUUID') .. ' ' .. row:get('vdc.resourceName') .. ' ' .. row:get('customer.resourceUUID')";
    assert_eq!(fixture().eval(body).await, json!("s-9 vdc 9 c-2"));
}

#[tokio::test]
async fn paths_lead_to_what_the_related_resource_says() {
    for (field, condition, values, expected) in [
        ("customer.status", "IS_EQUAL_TO", "disabled", json!([7, 9])),
        ("Customer.Status", "IS_NOT_EQUAL_TO", "DISABLED", json!([0, 1, 2, 3, 4, 5, 6, 8])),
        ("customer.resourcekey.value", "IS_EQUAL_TO", "gold", json!([0, 1, 2, 3, 4, 5, 6])),
        ("customer.warningLevel", "IS_GREATER_THAN", "4.5", json!([0, 1, 2, 3, 4, 5, 6, 7, 9])),
        ("customer.billingEntity.vatNumber", "STARTS_WITH", "GB", json!([0, 1, 2, 3, 4, 5, 6, 7, 9])),
        ("customer.billingEntity.vatNumber", "STARTS_WITH", "DE", json!([])),
        // What stands within the resource says so itself, and what is nobody's has nothing.
        ("image.size", "IS_GREATER_THAN", "0", json!([])),
        ("server.status", "IS_EQUAL_TO", "RUNNING", json!([])),
    ] {
        assert_eq!(pass(&[(field, condition, values)]).await, expected, "{field} {condition} {values}");
    }
    // Both on one customer.
    let both = [("customer.status", "IS_EQUAL_TO", "DISABLED"), ("customer.resourcekey.name", "IS_EQUAL_TO", "TIER")];
    assert_eq!(pass(&both).await, json!([7, 9]));
    // In orders, groups and columns too; and the bean that a script gets is as it was.
    let body = "local q, o, l, t = new('Query'), new('OrderedField'), new('QueryLimit'), {}
        local a, f = new('AggregationField'), new('SearchFilter')
        o:setFieldName('customer.status') o:setSortOrder(new('ResultOrder', 'DESC')) l:getOrderBy():add(o)
        a:setAggregationFunction(new('Aggregation', 'COUNT')) a:setFieldName('*')
        q:setResourceType(new('ResourceType', 'SERVER')) q:setLimit(l) q:setAggregationFields({ a })
        q:setGroupByFields({ 'customer.status' }) q:setOutputFields({ 'customer.status' })
        local rows = adminAPI:runAggregationQuery(q)
        while rows:hasNext() do local row = rows:next():getColumnMap()
            t[#t + 1] = tostring(row:get('customer.status')) .. ' ' .. row:get('COUNT(*)') end
        local first = adminAPI:listResources(f, l, 'SERVER'):getList():get(0)
        t[#t + 1] = tostring(first:getCustomer()) .. ' ' .. first:getCustomerUUID()
        return t";
    assert_eq!(fixture().eval(body).await, json!(["DISABLED 2", "ACTIVE 7", "nil 1", "nil c-2"]));
}

#[tokio::test]
async fn what_paths_ask_counts_as_often_as_it_is_there() {
    let large =
        Bean::new("Customer").with("resourceUUID", "c").with("resourceKey", json!([{"value": "x".repeat(400_000)}]));
    let servers =
        (0..50).map(|n| ("SERVER", Bean::new("Server").with("resourceUUID", n.to_string()).with("customerUUID", "c")));
    let fixture = Fixture::on(Platform::with(servers.chain([("CUSTOMER", large)]).collect()));
    let body = "local q = new('Query') q:setResourceType(new('ResourceType', 'SERVER'))
        q:setOutputFields({ 'resourceUUID', 'customer.resourceKey.value' })
        return adminAPI:doQuery(q):getResultRow():size()";
    let refused = fixture.eval(body).await;
    assert!(refused.to_string().contains("what is asked of related resources has more than"), "{refused}");
}

#[tokio::test]
async fn what_is_deleted_is_listed_only_where_its_state_or_itself_is_asked_for() {
    let customer = |uuid: &str, state: &str| {
        let status = if state == "DELETED" { "CLOSED" } else { "ACTIVE" };
        let bean = Bean::new("Customer").with("resourceUUID", uuid).with("resourceName", uuid).with("status", status);
        ("CUSTOMER", bean.with("resourceState", state))
    };
    let fixture = Fixture::on(Platform::with(vec![customer("here", "ACTIVE"), customer("gone", "DELETED")]));
    for (condition, expected) in [
        ("", "here"),
        ("'resourceName', 'IS_NOT_EQUAL_TO', 'x'", "here"),
        ("'resourceState', 'IS_NOT_EQUAL_TO', 'ACTIVE'", "gone"),
        ("'status', 'IS_EQUAL_TO', { 'ACTIVE', 'CLOSED' }", "here,gone"),
        ("'resourceUUID', 'IS_EQUAL_TO', 'gone'", "gone"),
    ] {
        let filter = if condition.is_empty() {
            "nil".to_owned()
        } else {
            format!(
                "(function() local f = new('SearchFilter') f:addCondition(new('Utils'):createFilterCondition({condition})) return f end)()"
            )
        };
        let body = format!(
            "local t, it = {{}}, adminAPI:runListQuery({filter}, nil, 'CUSTOMER')
            while it:hasNext() do t[#t + 1] = it:next():getResourceUUID() end return table.concat(t, ',')"
        );
        assert_eq!(fixture.eval(&body).await, json!(expected), "{condition}");
    }
}

#[tokio::test]
async fn all_conditions_must_hold_and_equalities_reach_the_host_as_hints() {
    assert_eq!(
        pass(&[("status", "IS_EQUAL_TO", "RUNNING"), ("ram", "IS_GREATER_THAN", "5000")]).await,
        json!([4, 6, 8])
    );
    let fixture = fixture();
    let body = "local f = new('SearchFilter') local c = new('FilterCondition') c:setField('resourceKey.Name[1]') c:setValue({'tag'}) f:addCondition(c)
        f:addCondition(new('Utils'):createFilterCondition('ram', 'BETWEEN', {1, 2})) return adminAPI:listResources(f, nil, new('ResourceType', 'SERVER')):getTotalCount()";
    assert_eq!(fixture.eval(body).await, json!(0));
    assert_eq!(*fixture.platform.hints.lock().unwrap(), [("resourcekey.name".to_owned(), vec!["tag".to_owned()])]);
}

#[tokio::test]
async fn pages_and_orders() {
    let fixture = fixture();
    for (limit, expected) in [
        ("", json!(["s-0", "s-1", "s-2", "s-3", "s-4", "s-5", "s-6", "s-7", "s-8", "s-9"])),
        ("q:setFrom(8)", json!(["s-8", "s-9"])),
        ("q:setFrom(2) q:setMaxRecords(2)", json!(["s-2", "s-3"])),
        ("q:setFrom(2) q:setTo(5) q:setMaxRecords(200)", json!(["s-2", "s-3", "s-4"])),
        ("q:setFrom(99)", json!([])),
        ("order('resourceName', 'ASC') q:setMaxRecords(2)", json!(["s-9", "s-8"])),
        ("order('cpu', 'DESC') order('ram', 'ASC') q:setMaxRecords(3)", json!(["s-3", "s-7", "s-2"])),
        ("order('customerUUID', 'ASC') q:setMaxRecords(1)", json!(["s-8"])),
    ] {
        let body = format!(
            "local q = new('QueryLimit')
            local function order(field, way) local o = new('OrderedField') o:setFieldName(field) o:setSortOrder(new('ResultOrder', way)) q:getOrderBy():add(o) end
            {limit}
            local r = adminAPI:listResources(nil, q, new('ResourceType', 'SERVER'))
            if r:getTotalCount() ~= 10 then error('total ' .. r:getTotalCount()) end
            local t, l = {{}}, r:getList() for i = 0, l:size() - 1 do t[#t + 1] = l:get(i):getResourceUUID() end return t"
        );
        assert_eq!(fixture.eval(&body).await, expected, "{limit}");
    }
}

#[tokio::test]
async fn aggregation_groups_counts_and_sums() {
    let fixture = fixture();
    let body = "local q = new('Query') q:setResourceType(new('ResourceType', 'SERVER'))
        local limit = new('QueryLimit') limit:setMaxRecords(1) q:setLimit(limit)
        q:setOutputFields({'status'}) q:setGroupByFields({'status'})
        local fields = new('List')
        for f, field in pairs({SUM = 'ram', COUNT = 'resourceUUID', MAX = 'cpu'}) do
            local a = new('AggregationField') a:setAggregationFunction(new('Aggregation', f)) a:setFieldName(field) fields:add(a)
        end
        q:setAggregationFields(fields)
        local t, it = {}, adminAPI:runAggregationQuery(q)
        while it:hasNext() do
            local m = it:next():getColumnMap()
            t[#t + 1] = {m.get('status'), m:get('SUM(ram)'), m:get('COUNT(resourceUUID)'), m:get('MAX(cpu)'), type(m:get('SUM(ram)'))}
        end return t";
    assert_eq!(
        fixture.eval(body).await,
        json!([["RUNNING", "25600", "5", "2", "string"], ["STOPPED", "30720", "5", "3", "string"]])
    );
    let having = "local q = new('Query') q:setResourceType(new('ResourceType', 'SERVER')) q:setGroupByFields({'customerUUID'}) q:setOutputFields({'customerUUID'})
        local a = new('AggregationField') a:setAggregationFunction(new('Aggregation', 'COUNT')) a:setFieldName('resourceUUID')
        local f = new('AggregationFilter') f:setAggregationField(a) f:setCondition(new('Condition', 'IS_GREATER_THAN')) f:setAggregationValue(2)
        q:getAggregationFields():add(a) q:getAggregationFilters():add(f)
        local it = adminAPI:runAggregationQuery(q) local row = it:next():getColumnMap() return {row:get('customerUUID'), row:get('COUNT(resourceUUID)'), it:hasNext()}";
    assert_eq!(fixture.eval(having).await, json!(["c-1", "7", false]));
    let empty = "local q = new('Query') q:setResourceType(new('ResourceType', 'DISK')) q:setOutputFields({'size'}) return adminAPI:runAggregationQuery(q):hasNext()";
    assert_eq!(fixture.eval(empty).await, json!(false));
}

#[tokio::test]
async fn a_query_answers_a_page_of_all_its_rows_with_columns_as_they_were_asked_for() {
    let fixture = fixture();
    let body = "local q = new('Query') q:setResourceType(new('ResourceType', 'SERVER'))
        q:setOutputFields({'customerUUID', 'status'}) q:setGroupByFields({'status', 'customerUUID'})
        local a = new('AggregationField') a:setAggregationFunction(new('Aggregation', 'COUNT')) a:setFieldName('resourceUUID')
        q:getAggregationFields():add(a)
        local limit = new('QueryLimit') limit:setFrom(1) limit:setMaxRecords(2) q:setLimit(limit)
        local r = adminAPI:doQuery(q)
        local t = { r:getTotalCount(), r:getListFrom(), r:getListTo() }
        for i = 0, r:getResultRow():size() - 1 do
            local column = r:getResultRow():get(i):getColumn()
            t[#t + 1] = tostring(column:get(0)) .. '|' .. column:get(1) .. '|' .. column:get(2) .. '|' .. column:size()
        end
        return t";
    assert_eq!(fixture.eval(body).await, json!([4, 1, 3, "c-1|RUNNING|4|3", "c-1|STOPPED|3|3"]));
}

#[tokio::test]
async fn a_query_is_in_the_order_of_what_it_aggregates() {
    let fixture = fixture();
    let ordered = async |field: &str, function: &str, aggregated: &str| {
        let body = format!(
            "local q = new('Query') q:setResourceType(new('ResourceType', 'SERVER')) q:setGroupByFields({{'customerUUID'}}) q:setOutputFields({{'customerUUID'}})
            if '{aggregated}' ~= '' then
                local a = new('AggregationField') a:setAggregationFunction(new('Aggregation', '{aggregated}')) a:setFieldName('ram') q:getAggregationFields():add(a)
            end
            local o = new('OrderedField') o:setFieldName('{field}') o:setSortOrder(new('ResultOrder', 'DESC'))
            if '{function}' ~= '' then o:setAggregationFunction(new('Aggregation', '{function}')) end
            local limit = new('QueryLimit') limit:getOrderBy():add(o) q:setLimit(limit)
            local words, it = {{}}, adminAPI:runAggregationQuery(q)
            while it:hasNext() do words[#words + 1] = it:next():getColumnMap():get('customerUUID') or 'none' end
            return words"
        );
        fixture.eval(&body).await
    };
    assert_eq!(ordered("ram", "SUM", "SUM").await, json!(["c-1", "c-2", "none"]), "by a function of its own");
    assert_eq!(ordered("sum( ram )", "", "SUM").await, json!(["c-1", "c-2", "none"]), "by the name of a column");
    assert_eq!(ordered("ram", "MAX", "").await, json!(["c-2", "none", "c-1"]), "by what is no column");
    assert_eq!(ordered("ram", "", "SUM").await, json!(["c-1", "c-2", "none"]), "by the field of a column");
    assert_eq!(ordered("customerUUID", "", "SUM").await, json!(["c-2", "c-1", "none"]), "by what it is grouped by");
    assert_eq!(ordered("cpu", "MIN", "SUM").await, json!(["c-2", "none", "c-1"]), "by another field");
}

#[tokio::test]
async fn senseless_filters_are_errors_with_a_code() {
    let fixture = fixture();
    for (condition, word) in [
        ("new('FilterCondition')", "INVALID_FILTER_FIELD"),
        ("new('Utils'):createFilterCondition('a..b', 'IS_EQUAL_TO', {'x'})", "INVALID_FILTER_FIELD"),
        ("new('Utils'):createFilterCondition('ram', 'LOOKS_LIKE', {'x'})", "no condition LOOKS_LIKE"),
        ("new('Utils'):createFilterCondition('ram', 'BETWEEN', {'x'})", "two values"),
    ] {
        let body = format!(
            "local f = new('SearchFilter') f:addCondition({condition}) return adminAPI:listResources(f, nil, new('ResourceType', 'SERVER'))"
        );
        let error = fixture.eval(&body).await;
        assert!(error.as_str().is_some_and(|e| e.starts_with("error:") && e.contains(word)), "{condition}: {error}");
    }
    assert!(
        fixture
            .eval("adminAPI:listResources('x', nil, 'SERVER')")
            .await
            .as_str()
            .unwrap()
            .contains("a SearchFilter expected")
    );
    assert!(
        fixture
            .eval("adminAPI:listResources(nil, nil, 'NONSENSE')")
            .await
            .as_str()
            .unwrap()
            .contains("INVALID_RESOURCE_TYPE")
    );
}
