-- While a customer is being deleted, waits for the jobs on its servers and reports how they went.

function register() return { "watch_trigger" } end

function watch_trigger(p)
    if p == nil then
        return { ref = "watch_trigger", name = "Watcher", description = "Reports on deletions", triggerType = "POST_JOB_STATE_CHANGE",
            triggerOptions = { "IN_PROGRESS" }, api = "TRIGGER", version = 1 }
    end
    if p.input:getJobType() ~= new("JobType", "DELETE_RESOURCE") or p.input:getItemType() ~= new("ResourceType", "CUSTOMER") then
        return { exitState = "CONTINUE" }
    end
    local done = userAPI:waitForJob(p.input:getResourceUUID(), false)
    local filter = new("SearchFilter")
    local condition = new("FilterCondition")
    condition:setField("parentjobuuid")
    condition:setValue({ p.input:getResourceUUID() })
    condition:setCondition(new("Condition", "IS_EQUAL_TO"))
    filter:addCondition(condition)
    local children = adminAPI:listResources(filter, nil, new("ResourceType", "JOB")):getList()
    local states = {}
    for i = 0, children:size() - 1 do
        local child = children:get(i)
        local name = child:getStatus():name()
        states[name] = (states[name] or 0) + 1
    end
    local text = {}
    for name, count in pairs(states) do text[#text + 1] = count .. " " .. name end
    print(p.input:getItemName() .. " " .. done:getStatus():toString() .. ", servers: " .. table.concat(text, ", "))
    return { exitState = "SUCCESS" }
end
