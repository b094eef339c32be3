-- cores and memory that run, by cluster, against keys of the billing entity
ALERT = "https://alerts.example.net/v1/alerts"
function register() return { "capacity" } end
function capacity(p)
    if p == nil then
        return { ref = "capacity", name = "Capacity", description = "alerts", triggerType = "SCHEDULED", schedule = { frequency = { minutes = 15 } },
            triggerOptions = {}, api = "TRIGGER", version = 1, priority = -8000 }
    end
    local be = adminAPI:getResource(p.beUUID, true)
    local limits = {}
    local keys = be:getResourceKey():iterator()
    while keys:hasNext() do
        local k = keys:next()
        local what = k:getName():match("^MAX_(%u+)$")
        if what then limits[what] = tonumber(k:getValue()) end
    end
    local q = new("Query")
    q:setResourceType(new("ResourceType", "SERVER"))
    local f = new("SearchFilter")
    f:addCondition(new("Utils"):createFilterCondition("status", "IS_EQUAL_TO", { "RUNNING", "STARTING", "REBOOTING" }))
    q:setSearchFilter(f)
    q:setGroupByFields({ "clusterUUID" })
    q:setOutputFields({ "clusterUUID" })
    local fields = new("List")
    for _, name in ipairs({ "cpu", "ram" }) do
        local af = new("AggregationField")
        af:setAggregationFunction(new("Aggregation", "SUM"))
        af:setFieldName(name)
        fields:add(af)
    end
    local n = new("AggregationField")
    n:setAggregationFunction(new("Aggregation", "COUNT"))
    n:setFieldName("resourceUUID")
    fields:add(n)
    q:setAggregationFields(fields)
    local over = {}
    local it = adminAPI:runAggregationQuery(q)
    while it:hasNext() do
        local row = it:next():getColumnMap()
        for _, name in ipairs({ "cpu", "ram" }) do
            local used = row:get("SUM(" .. name .. ")") + 0
            local max = limits[string.upper(name)]
            if max and used > max then
                over[#over + 1] = { cluster = row:get("clusterUUID"), what = name, used = used, max = max, servers = tonumber(row:get("COUNT(resourceUUID)")) }
            end
        end
    end
    syslog.openlog("capacity", syslog.LOG_ODELAY + syslog.LOG_PID)
    if #over == 0 then
        syslog.syslog("LOG_INFO", "capacity is fine")
        syslog.closelog()
        return { exitState = "CONTINUE" }
    end
    for _, o in ipairs(over) do syslog.syslog("LOG_ERROR", o.what .. " " .. o.used .. " of " .. o.max) end
    syslog.closelog()
    local c = new("simplehttp").newConnection{ url = ALERT, ssl_verify = false }
    c:setBasicAuth("ops", "")
    c:setRequestHeaders{ ["Content-Type"] = "application/json" }
    c:post(new("JSON"):encode({ alerts = over, at = p.timeStamp }), function() return true end)
    return { exitState = "SUCCESS" }
end
