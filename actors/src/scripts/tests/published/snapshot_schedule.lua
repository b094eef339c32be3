-- Takes a snapshot of servers that carry the key SNAPSHOT_DAILY, keeps the last few, and writes down what it could not do.

function register() return { "snapshot_trigger" } end

function snapshot_trigger(p)
    if p == nil then
        return { ref = "snapshot_trigger", name = "Snapshots", description = "Every night", triggerType = "SCHEDULED",
            schedule = { start = { HOUR = 3, MINUTE = 0, SECOND = 0 }, frequency = { HOUR = 24 } }, api = "TRIGGER", version = 1 }
    end
    local filter = new("SearchFilter")
    local condition = new("FilterCondition")
    condition:setField("resourcekey.name")
    condition:setValue({ "SNAPSHOT_DAILY" })
    filter:addCondition(condition)
    local failed = 0
    local servers = adminAPI:runListQuery(filter, nil, "SERVER")
    while servers:hasNext() do
        local server = servers:next()
        local customer = adminAPI:getResource(server:getCustomerUUID(), true)
        userAPI:setSessionUser(customer:getUsers():get(0):getEmail() .. "/" .. customer:getResourceUUID())
        local ok, result = pcall(function()
            local snapshot = new("Snapshot")
            snapshot:setResourceName("daily " .. new("FDLDateHelper"):getString(p.timeStamp, "yyyy-MM-dd"))
            snapshot:setParentUUID(server:getResourceUUID())
            snapshot:setCustomerUUID(server:getCustomerUUID())
            snapshot:setType(new("SnapshotType", "SERVER"))
            return userAPI:createSnapshot(snapshot, nil)
        end)
        if not ok then
            failed = failed + 1
            print("no snapshot of " .. server:getResourceName() .. ": " .. tostring(result))
            local key = new("ResourceKey")
            key:setName("SNAPSHOT_ERROR")
            key:setValue(new("FDLDateHelper"):getString(p.timeStamp, "yyyy-MM-dd"))
            adminAPI:removeKey(server:getResourceUUID(), key)
            adminAPI:addKey(server:getResourceUUID(), key)
        end
    end
    print(failed .. " failed")
    return { exitState = "SUCCESS" }
end
