-- Takes the users of a customer from a CSV file of its personnel department: makes those who are new, changes numbers and
-- names, and locks those who are gone. Keys of the customer: USERS_URL

function register() return { "user_import_trigger" } end

function user_import_trigger(p)
    if (p == nil) then
        return { ref = "user_import_trigger", name = "User import", description = "Each night", triggerType = "SCHEDULED",
            schedule = { start = { hour = 4 }, frequency = { hours = 24 } }, api = "TRIGGER", version = 1 }
    end
    local filter = new("SearchFilter")
    filter:addCondition(new("Utils"):createFilterCondition("resourcekey.name", "IS_EQUAL_TO", { "USERS_URL" }))
    local customers = adminAPI:runListQuery(filter, nil, "CUSTOMER")
    while (customers:hasNext()) do
        import(customers:next())
    end
    return { exitState = "SUCCESS" }
end

function import(customer)
    local url
    for _, key in pairs(customer:getResourceKey()) do
        if (key:getName() == "USERS_URL") then url = key:getValue() end
    end
    local text = ""
    local connection = new("simplehttp").newConnection({ url = url })
    local ok = connection:get(function(val) text = text .. val; return true; end);
    if (not ok or connection:getHTTPStatusCode() ~= 200) then
        print("no file for " .. customer:getResourceName());
        return;
    end;
    connection:disconnect()

    local known, admin = {}, nil
    for i = 0, customer:getUsers():size() - 1 do
        local user = customer:getUsers():get(i)
        known[user:getEmail()] = user
        if (admin == nil and user:isAdmin()) then admin = user:getEmail() end
    end
    userAPI:setSessionUser(admin .. "/" .. customer:getResourceUUID())

    local seen, made, changed, locked = {}, 0, 0, 0
    local header = nil
    for line in text:gmatch("[^\r\n]+") do
        local fields = parse(line)
        if (header == nil) then
            header = fields
        else
            local row = {}
            for i, name in ipairs(header) do row[name] = fields[i] end
            local email = string.lower(row.email)
            seen[email] = true
            local user = known[email]
            if (user == nil) then
                user = new("User")
                user:setEmail(email)
                user:setFirstName(row.first)
                user:setLastName(row.last)
                user:setMobileNumber(row.mobile)
                user:setCustomerUUID(customer:getResourceUUID())
                local job = userAPI:createUser(user, "Welcome-" .. new("FDLHashHelper"):getRandomUUID(), nil)
                if (job:getStatus() == new("JobStatus", "SUCCESSFUL")) then made = made + 1 end
            elseif (user:getMobileNumber() ~= row.mobile or user:getLastName() ~= row.last) then
                user:setMobileNumber(row.mobile)
                user:setLastName(row.last)
                userAPI:updateUser(user, nil, nil)
                changed = changed + 1
            end
        end
    end
    for email, user in pairs(known) do
        if (not seen[email] and email ~= admin) then
            userAPI:lockUser(user:getResourceUUID())
            locked = locked + 1
        end
    end
    print(("%s: %d made, %d changed, %d locked"):format(customer:getResourceName(), made, changed, locked))
end

-- One line of CSV with quotes.
function parse(line)
    local fields, at = {}, 1
    while (true) do
        if (line:sub(at, at) == '"') then
            local text, from = "", at
            repeat
                local first, last, part = line:find('^"(.-)"', at)
                text = text .. part
                at = last + 1
                local again = line:sub(at, at) == '"'
                if (again) then text = text .. '"' end
            until (not again)
            fields[#fields + 1] = text
            at = at + 1
        else
            local stop = line:find(",", at, true)
            fields[#fields + 1] = line:sub(at, (stop or 0) - 1)
            at = (stop or #line + 1) + 1
        end
        if (at > #line + 1) then return fields end
    end
end
