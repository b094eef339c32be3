-- Marks customers who signed up more than once: same name but for case, blanks and legal form.

function register()
    return { "duplicates_trigger" }
end

function duplicates_trigger(p)
    if (p == nil) then
        return { ref = "duplicates_trigger", name = "Duplicates", description = "Looks for customers that are there twice",
            triggerType = "SCHEDULED", schedule = { frequency = { hours = 24 } }, api = "TRIGGER", version = 1 }
    end
    local groups = {}
    local from, page = 0, 2
    repeat
        local limit = new("QueryLimit")
        limit:setFrom(from)
        limit:setMaxRecords(page)
        local order = new("OrderedField")
        order:setFieldName("resourceCreateDate")
        order:setSortOrder(new("ResultOrder", "ASC"))
        limit:getOrderBy():add(order)
        local result = adminAPI:listResources(nil, limit, new("ResourceType", "CUSTOMER"))
        for i = 0, result:getList():size() - 1 do
            local customer = result:getList():get(i)
            local name = plain(customer:getResourceName())
            groups[name] = groups[name] or {}
            table.insert(groups[name], customer)
        end
        from = from + result:getList():size()
    until from >= result:getTotalCount() or result:getList():size() == 0
    for name, customers in pairs(groups) do
        if (#customers > 1) then
            local first = customers[1]
            for n = 2, #customers do
                local key = new("ResourceKey")
                key:setName("DUPLICATE_OF")
                key:setValue(first:getResourceUUID())
                key:setType(new("ResourceKeyType", "BILLING_ENTITY_KEY"))
                adminAPI:addKey(customers[n]:getResourceUUID(), key)
                print(customers[n]:getResourceName() .. " is " .. first:getResourceName())
            end
        end
    end
    return { exitState = "SUCCESS" }
end

function plain(name)
    local text = name:lower():gsub("[%s%p]+", " ")
    for _, form in ipairs({ "ltd", "limited", "gmbh", "inc", "bv" }) do
        text = text:gsub("%f[%w]" .. form .. "%f[%W]", "")
    end
    return (text:gsub("^%s*(.-)%s*$", "%1"))
end
