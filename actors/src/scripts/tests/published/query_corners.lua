-- Proves to its author how filters work: every condition, order, pages, rows of a relation, and aggregation.

function register() return { "query_trigger" } end

local function find(kind, conditions, limit)
    local filter = new("SearchFilter")
    for i = 1, #conditions do
        local c = new("FilterCondition")
        c:setField(conditions[i][1])
        if conditions[i][2] then c:setCondition(new("Condition", conditions[i][2])) end
        c:setValue(conditions[i][3])
        filter:addCondition(c)
    end
    local names = {}
    local list = adminAPI:listResources(filter, limit, new("ResourceType", kind)):getList()
    for i = 0, list:size() - 1 do names[i + 1] = list:get(i):getResourceName() end
    if limit == nil then table.sort(names) end
    return table.concat(names, " ")
end

function query_trigger(p)
    if p == nil then
        return { ref = "query_trigger", name = "Queries", description = "", triggerType = "SCHEDULED", schedule = { frequency = { HOUR = 24 } }, api = "TRIGGER", version = 1 }
    end
    local function say(what, ...) print(what .. ": " .. find("SERVER", { ... })) end
    say("equal", { "resourceName", "IS_EQUAL_TO", { "db-1", "web-2", "none" } })
    say("default", { "RESOURCENAME", nil, { "db-1" } })
    say("not equal", { "resourcename", "IS_NOT_EQUAL_TO", { "db-1", "web-2" } })
    say("starts", { "resourceName", "STARTS_WITH", { "web" } })
    say("not starts", { "resourceName", "NOT_STARTS_WITH", { "web" } })
    say("ends", { "resourceName", "ENDS_WITH", { "1" } })
    say("not ends", { "resourceName", "NOT_ENDS_WITH", { "1" } })
    say("contains", { "resourceName", "CONTAINS", { "b-" } })
    say("not contains", { "resourceName", "NOT_CONTAINS", { "b-" } })
    say("greater", { "ram", "IS_GREATER_THAN", { 1024 } })
    say("at least", { "ram", "IS_GREATER_THAN_OR_EQUAL_TO", { "1024" } })
    say("less", { "ram", "IS_LESS_THAN", { 1024 } })
    say("at most", { "ram", "IS_LESS_THAN_OR_EQUAL_TO", { 1024 } })
    say("between", { "ram", "BETWEEN", { 512, 1024 } })
    say("not between", { "ram", "NOT_BETWEEN", { 600, 2000 } })
    local dates = new("FDLDateHelper")
    local tomorrow = dates:getString(dates:addDays(p.timeStamp, 1), "yyyy-MM-ddHH:mm:ssZ")
    say("later", { "resourcecreatedate", "LATER_THAN", { tomorrow } })
    say("earlier", { "resourceCreateDate", "EARLIER_THAN", { tomorrow } })
    say("state", { "status", "IS_EQUAL_TO", { "stopped" } }, { "resourceState", "IS_EQUAL_TO", { "ACTIVE" } })
    say("keys", { "resourcekey.name[1]", "IS_EQUAL_TO", { "tier" } }, { "resourcekey.name[2]", "IS_EQUAL_TO", { "group" } })
    say("one key", { "resourcekey.name", "IS_EQUAL_TO", { "tier" } }, { "resourcekey.value", "IS_EQUAL_TO", { "gold" } })
    say("customer", { "customeruuid", "IS_EQUAL_TO", { p.beUUID } })

    local limit = new("QueryLimit")
    local order = new("OrderedField")
    order:setFieldName("ram")
    order:setSortOrder(new("ResultOrder", "DESC"))
    limit:getOrderBy():add(order)
    order = new("OrderedField")
    order:setFieldName("resourceName")
    limit:getOrderBy():add(order)
    print("ordered: " .. find("SERVER", {}, limit))
    limit:setFrom(1)
    limit:setMaxRecords(2)
    print("page: " .. find("SERVER", {}, limit))

    local filter = new("SearchFilter")
    filter:addCondition(new("Utils"):createFilterCondition("ram", "IS_EQUAL_TO", { "1" }))
    print("conditions: " .. filter:getFilterConditions():size())
    filter:removeCondition("RAM")
    print("conditions: " .. #filter:getFilterConditions())

    local query = new("Query")
    query:setResourceType(new("ResourceType", "SERVER"))
    query:setSearchFilter(filter)
    local fields = new("List")
    for _, name in ipairs({ "COUNT", "SUM", "MIN", "MAX", "AVERAGE" }) do
        local field = new("AggregationField")
        field:setAggregationFunction(new("Aggregation", name))
        field:setFieldName("ram")
        fields:add(field)
    end
    query:setAggregationFields(fields)
    local row = adminAPI:runAggregationQuery(query):next():getColumnMap()
    print("ram: " .. row:get("COUNT(ram)") .. " " .. row:get("SUM(ram)") .. " " .. row:get("MIN(ram)") .. " " .. row:get("MAX(ram)") .. " " .. row:get("AVERAGE(ram)"))
    print(adminAPI:listResources(nil, nil, new("ResourceType", "FIREWALL")):getTotalCount() == 0)
    print(adminAPI:getResource("00000000-0000-0000-0000-000000000000", false) == nil, adminAPI:getResource("no uuid", true) == nil)
    return { exitState = "SUCCESS" }
end
