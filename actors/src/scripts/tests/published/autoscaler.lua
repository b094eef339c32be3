-- Keeps as many servers in a group as its load asks for. The load comes from the monitoring system; the group is the key
-- SCALE_GROUP of a server, its smallest and largest size are keys of the customer.

function register() return { "autoscale_trigger" } end

function autoscale_trigger(p)
    if p == nil then
        return { ref = "autoscale_trigger", name = "Autoscaler", description = "Adds and removes servers", triggerType = "SCHEDULED",
            schedule = { frequency = { MINUTE = 5 } }, api = "TRIGGER", version = 1 }
    end
    local customers = list("CUSTOMER", { { "resourcekey.name[1]", { "SCALE_URL" } }, { "resourcekey.name[2]", { "SCALE_MAX" } } })
    for i = 0, customers:size() - 1 do
        scale(customers:get(i))
    end
    return { exitState = "SUCCESS" }
end

function scale(customer)
    local keys = keysOf(customer)
    local max, min = tonumber(keys.SCALE_MAX), tonumber(keys.SCALE_MIN or 1)
    local servers = list("SERVER", {
        { "customeruuid", { customer:getResourceUUID() } },
        { "resourcekey.name", { "SCALE_GROUP" } },
        { "status", { "RUNNING" } },
    })
    local count = servers:size()
    if count == 0 then return end
    local load = tonumber(get(keys.SCALE_URL))
    if load == nil then
        print("no load of " .. customer:getResourceName())
        return
    end
    local wanted = math.max(min, math.min(max, math.ceil(count * load / 0.7)))
    print(customer:getResourceName() .. ": load " .. load .. ", " .. count .. " of " .. wanted)
    userAPI:setSessionUser(customer:getUsers():get(0):getEmail() .. "/" .. customer:getResourceUUID())
    local model = servers:get(0)
    while count < wanted do
        count = count + 1
        local skeleton = new("Server")
        skeleton:setResourceName(keysOf(model).SCALE_GROUP .. "-" .. count)
        skeleton:setCpu(model:getCpu())
        skeleton:setRam(model:getRam())
        skeleton:setImageUUID(model:getImageUUID())
        skeleton:setCustomerUUID(customer:getResourceUUID())
        local key = new("ResourceKey")
        key:setName("SCALE_GROUP")
        key:setValue(keysOf(model).SCALE_GROUP)
        skeleton:getResourceKey():add(key)
        local job = userAPI:waitForJob(userAPI:createServer(skeleton, nil, nil):getResourceUUID(), false)
        if job:getStatus() == new("JobStatus", "SUCCESSFUL") then
            userAPI:changeServerStatus(job:getItemUUID(), new("ServerStatus", "RUNNING"), true, nil, nil)
        end
    end
    for i = servers:size() - 1, wanted, -1 do
        userAPI:deleteResource(servers:get(i):getResourceUUID(), true, nil)
    end
end

function list(kind, conditions)
    local filter = new("SearchFilter")
    for _, c in ipairs(conditions) do
        local condition = new("FilterCondition")
        condition:setField(c[1])
        condition:setValue(c[2])
        condition:setCondition(new("Condition", "IS_EQUAL_TO"))
        filter:addCondition(condition)
    end
    return adminAPI:listResources(filter, nil, new("ResourceType", kind)):getList()
end

function keysOf(resource)
    local found = {}
    for i = 0, resource:getResourceKey():size() - 1 do
        local key = resource:getResourceKey():get(i)
        found[key:getName()] = key:getValue()
    end
    return found
end

function get(url)
    local body = {}
    local connection = new("simplehttp").newConnection({ url = url })
    local ok = connection:get(function(chunk) body[#body + 1] = chunk return true end)
    connection:disconnect()
    if not ok then return nil end
    return table.concat(body)
end
