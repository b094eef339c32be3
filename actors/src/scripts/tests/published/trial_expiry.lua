-- Stops the servers of customers whose trial is over, and disables them. Set the key TRIAL_UNTIL (dd/MM/yyyy) on a customer.

local TRIAL_KEY = "TRIAL_UNTIL"
local DATE_FORMAT = "dd/MM/yyyy"

function register()
    return {"trial_expiry_trigger"}
end

function trial_expiry_trigger(p)
    if(p==nil) then
        return {
            ref="trial_expiry_trigger",
            name="Trial expiry",
            description="Ends trials, every night",
            triggerType="SCHEDULED",
            schedule={
                start={ hour=2, minute=30, second=0 },
                frequency={ hours=24 }
            },
            api="TRIGGER",
            version=1
        }
    end

    local dateHelper = new("FDLDateHelper")
    local now = p.input[3]
    local ended = {}
    local customers = customersOnTrial()
    for i = 0, customers:size() - 1, 1 do
        local customer = customers:get(i)
        local until_date = valueOf(customer, TRIAL_KEY)
        local parsed, timestamp = pcall(function() return dateHelper:getTimestamp(until_date, DATE_FORMAT) end)
        if (not parsed) then
            print("bad date on " .. customer:getResourceName() .. ": " .. until_date)
        elseif (dateHelper:addDays(timestamp, 1) <= now) then
            stopAll(customer)
            customer:setStatus(new("Status", "DISABLED"))
            adminAPI:updateCustomer(customer)
            local key = new("ResourceKey")
            key:setName(TRIAL_KEY)
            adminAPI:removeKey(customer:getResourceUUID(), key)
            ended[#ended+1] = customer:getResourceName()
        end
    end
    table.sort(ended)
    print("ended: " .. table.getn(ended) .. " (" .. table.concat(ended, ", ") .. ")")
    return { exitState="SUCCESS" }
end

function customersOnTrial()
    local searchFilter = new("SearchFilter")
    local filterCondition1 = new("FilterCondition")
    filterCondition1:setField("resourcekey.name")
    filterCondition1:setValue({TRIAL_KEY})
    filterCondition1:setCondition(new("Condition","IS_EQUAL_TO"))
    local filterCondition2 = new("FilterCondition")
    filterCondition2:setField("status")
    filterCondition2:setValue({"ACTIVE"})
    filterCondition2:setCondition(new("Condition","IS_EQUAL_TO"))
    searchFilter:addCondition(filterCondition1)
    searchFilter:addCondition(filterCondition2)
    local found = adminAPI:listResources(searchFilter, nil, new("ResourceType","CUSTOMER"))
    return found:getList()
end

function stopAll(customer)
    local searchFilter = new("SearchFilter")
    searchFilter:addCondition(new("Utils"):createFilterCondition("customeruuid", "IS_EQUAL_TO", {customer:getResourceUUID()}))
    searchFilter:addCondition(new("Utils"):createFilterCondition("status", "IS_EQUAL_TO", {"RUNNING", "STARTING"}))
    local user = customer:getUsers():get(0)
    userAPI:setSessionUser(user:getEmail() .. "/" .. customer:getResourceUUID())
    local servers = adminAPI:runListQuery(searchFilter, nil, "SERVER")
    local jobs = {}
    while servers:hasNext() do
        local server = servers:next()
        table.insert(jobs, userAPI:changeServerStatus(server:getResourceUUID(), new("ServerStatus","STOPPED"), false, nil, nil))
    end
    for _, job in ipairs(jobs) do
        local done = userAPI:waitForJob(job:getResourceUUID(), true)
        if (done:getStatus() ~= new("JobStatus","SUCCESSFUL")) then
            error("cannot stop " .. tostring(done:getItemName()))
        end
    end
end

function valueOf(resource, name)
    local keys = resource:getResourceKey()
    for i = 0, keys:size() - 1, 1 do
        if (keys:get(i):getName() == name) then return keys:get(i):getValue() end
    end
    return ""
end
