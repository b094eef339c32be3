-- DNS zones as a kind of resource, kept by an outside name server; with a widget and a report.

function register() return { "dns_zone_provider", "zone_report" } end

function dns_zone_provider(p)
    local widget = new("FDLCustomWidgetHelper")
    return {
        ref = "dns_zone_provider", name = "DNS zone", description = "A zone on our name servers", version = 1, api = "PLUGGABLE_PROVIDER",
        providerType = "DNS_ZONE", providerGroup = "SKYLINE_CUSTOM_WIDGET", providerIcon = "FONT_ICON_GLOBE",
        createFunction = { executionFunction = "zone_create", invocationLevel = { "CUSTOMER" } },
        modifyFunction = { executionFunction = "zone_modify" },
        deleteFunction = { executionFunction = "zone_delete" },
        productComponentTypes = { {
            name = "Zone", referenceField = "ZONE", optional = false,
            configurableList = {
                { key = "ttl", name = "TTL", description = "", required = false, defaultValue = "3600", validator = { validatorType = "NUMERIC_INT", validateString = "60-86400" } },
                { key = "serial", name = "Serial", description = "", readOnly = true },
                widget:getRefreshTimeValueDefinition(false),
            },
        } },
        actionFunctions = {
            { key = "RECORDS", name = "Records", description = "", returnType = "STRING", executionFunction = "zone_records", order = 1, synchronous = true },
            widget:getContentActionDefinition("zone_widget", { "CUSTOMER" }),
        },
    }
end

local function server(p, method, path, body)
    local keys = adminAPI:getResource(p.resource:getBillingEntityUUID(), true):getResourceKey()
    local url = ""
    for i = 0, keys:size() - 1 do if keys:get(i):getName() == "NAME_SERVER" then url = keys:get(i):getValue() end end
    local c = new("simplehttp").newConnection{ url = url .. path }
    local text = ""
    local take = function(val) text = text .. val; return true; end
    local ok = false;
    if method == "PUT" then ok = c:put(body, take); elseif method == "DELETE" then ok = c:delete(take); else ok = c:get(take); end;
    local status = c:getHTTPStatusCode()
    c:disconnect();
    return ok and status or 0, text
end

function zone_create(p)
    local name = p.resource:getResourceName()
    if not name:match("^[%w%-%.]+%.%a%a+$") then
        return { returnCode = "FAILED", errorCode = 400, errorString = "'" .. name .. "' is not the name of a zone", success = false }
    end
    local status, text = server(p, "PUT", "/" .. name, "ttl=" .. (p.resourceValues.ttl or 3600))
    if status ~= 201 then
        return { returnCode = "FAILED", errorCode = status, errorString = "The name server said no" }
    end
    p.resource:getResourceValues():put("serial", tonumber(text))
    return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
end

function zone_modify(p)
    local before = adminAPI:getResource(p.resource:getResourceUUID(), false):getResourceValues()
    if before:get("ttl") == p.resourceValues.ttl then
        return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
    end
    server(p, "PUT", "/" .. p.resource:getResourceName(), "ttl=" .. p.resourceValues.ttl)
    p.resource:getResourceValues():put("serial", p.resourceValues.serial + 1)
    return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
end

function zone_delete(p)
    local status = server(p, "DELETE", "/" .. p.resource:getResourceName())
    return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = tostring(status == 204 or status == 404) }
end

function zone_records(p)
    local _, text = server(p, "GET", "/" .. p.resource:getResourceName())
    return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = text }
end

function zone_widget(p)
    local html = "<b>" .. p.resource:getResourceName() .. "</b> serial " .. p.resource:getResourceValues():get("serial")
    return { returnCode = "SUCCESSFUL", returnType = "STRING",
        returnContent = new("FDLCustomWidgetHelper"):createGetContentOutput("b { color: green }", html, nil) }
end

function zone_report(p)
    if p == nil then
        return { ref = "zone_report", name = "Zones", description = "Zones by TTL", version = 1, api = "REPORT", invocationLevel = "CUSTOMER",
            supportedReportChartTypes = { "COLUMN", "PIE" },
            inputValues = { { key = "most", name = "TTL at most", description = "", required = false, defaultValue = "86400", validator = { validatorType = "NUMERIC_INT" } } } }
    end
    local filter = new("SearchFilter")
    filter:addCondition(new("Utils"):createFilterCondition("providerType", "IS_EQUAL_TO", { "DNS_ZONE" }))
    filter:addCondition(new("Utils"):createFilterCondition("resourceValues.ttl", "IS_LESS_THAN_OR_EQUAL_TO", { p.inputValues.most or "86400" }))
    if p.customerUUID then filter:addCondition(new("Utils"):createFilterCondition("customerUUID", "IS_EQUAL_TO", { p.customerUUID })) end
    local count, names = {}, {}
    local zones = adminAPI:runListQuery(filter, nil, "PLUGGABLE_RESOURCE")
    while zones:hasNext() do
        local zone = zones:next()
        local ttl = tonumber(zone:getResourceValues():get("ttl"))
        if not count[ttl] then names[#names + 1] = ttl end
        count[ttl] = (count[ttl] or 0) + 1
    end
    table.sort(names, function(a, b) return a < b end)
    local series = {}
    for _, ttl in ipairs(names) do series[#series + 1] = { x = ttl / 60 .. " min", y = count[ttl] } end
    return new("JSON"):encode({ title = "Zones", series = series })
end
