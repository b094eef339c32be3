-- House rules for new servers: names, sizes, and what comes with every server of a tagged customer.

MAX_RAM_KEY = "MAX_RAM_PER_SERVER"
SUM_RAM_KEY = "MAX_RAM_TOTAL"

function register()
    return { "check_server_trigger", "default_keys_trigger", "no_delete_trigger" }
end

function check_server_trigger(p)
    if (p == nil) then
        return {
            ref = "check_server_trigger", name = "Server rules", description = "Refuses servers against the rules",
            priority = -100, triggerType = "PRE_CREATE", triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1,
        }
    end
    local server = p.input
    local customer = adminAPI:getResource(server:getCustomerUUID(), true)
    local limits = {}
    for i = 0, customer:getResourceKey():size() - 1 do
        limits[customer:getResourceKey():get(i):getName()] = tonumber(customer:getResourceKey():get(i):getValue())
    end
    if (limits[MAX_RAM_KEY] and server:getRam() > limits[MAX_RAM_KEY]) then
        return { exitState = "FAILURE", errorString = "a server may have " .. limits[MAX_RAM_KEY] / 1024 .. " GB at most" }
    end
    if (limits[SUM_RAM_KEY]) then
        local searchFilter = new("SearchFilter")
        local condition = new("FilterCondition")
        condition:setField("customerUUID")
        condition:setValue({ customer:getResourceUUID() })
        searchFilter:addCondition(condition)
        local used = server:getRam()
        local servers = adminAPI:runListQuery(searchFilter, nil, "SERVER")
        while (servers:hasNext()) do
            used = used + servers:next():getRam()
        end
        if (used > limits[SUM_RAM_KEY]) then
            return { exitState = "FAILURE", errorString = "all servers together may have " .. limits[SUM_RAM_KEY] .. " MB, this makes " .. used }
        end
    end
    if (not string.match(server:getResourceName(), "^%l[%l%d%-]*$")) then
        -- Rather than refuse it, make the name fit.
        local name = string.lower(server:getResourceName())
        name = name:gsub("[^%l%d%-]+", "-"):gsub("^[^%l]+", "s-")
        server:setResourceName(name)
    end
    return { exitState = "SUCCESS" }
end

function default_keys_trigger(p)
    if (p == nil) then
        return {
            ref = "default_keys_trigger", name = "Default keys", description = "Copies keys of the customer that begin with server.",
            priority = 0, triggerType = "PRE_CREATE", triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1,
        }
    end
    local utils = new("Utils")
    local list = p.customer:getResourceKey()
    for i = 0, list:size() - 1 do
        local name = list:get(i):getName()
        if (utils:stringStartsWith(name, "server.")) then
            local key = new("ResourceKey")
            key:setName(string.sub(name, string.len("server.") + 1))
            key:setValue(list:get(i):getValue())
            key:setType(new("ResourceKeyType", "USER_KEY"))
            p.input:getResourceKey():add(key)
        end
    end
    return { exitState = "SUCCESS" }
end

function no_delete_trigger(p)
    if (p == nil) then
        return {
            ref = "no_delete_trigger", name = "Protected servers", description = "Servers with the key PROTECTED are not deleted",
            triggerType = "PRE_DELETE", triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1,
        }
    end
    local it = p.input:getResourceKey():iterator()
    while it:hasNext() do
        local key = it:next()
        if key:getName():lower() == "protected" and key:getValue() ~= "no" then
            return { exitState = "FAILURE", reason = p.input:getResourceName() .. " is protected" }
        end
    end
    return { exitState = "CONTINUE" }
end
