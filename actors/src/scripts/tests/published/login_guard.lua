-- Locks a user after too many failed logins, tells the security desk, and forgets the count after a good login.
-- Also asks the company directory whether somebody still works there, for customers with the key DIRECTORY_URL.

MAX_FAILURES = 3

function register()
    return { "directory_trigger", "login_failed_trigger", "login_ok_trigger" }
end

local function split(login)
    local _, _, email, customer = string.find(login, "^([^/]+)/?(.*)$")
    return email, customer
end

function directory_trigger(p)
    if (p == nil) then
        return { ref = "directory_trigger", name = "Directory", description = "Asks the directory at each login", triggerType = "PRE_AUTH",
            triggerOptions = { "ANY" }, api = "TRIGGER", version = 1 }
    end
    if (p.customer == nil) then return { exitState = "CONTINUE" } end
    local url
    for i = 0, p.customer:getResourceKey():size() - 1 do
        local key = p.customer:getResourceKey():get(i)
        if (key:getName() == "DIRECTORY_URL") then url = key:getValue() end
    end
    if (url == nil) then return { exitState = "CONTINUE" } end
    local email = split(p.input)
    local simplehttp = new("simplehttp")
    local connection = simplehttp.newConnection({ enable_cookie = false, ssl_verify = false })
    connection:setURL(url .. "?mail=" .. simplehttp.URLEncode(email))
    local body = ""
    local ok = connection:get(function(val) body = body .. val return true end)
    local status = connection:getHTTPStatusCode()
    connection:disconnect()
    -- When the directory does not answer nobody is locked out.
    if (not ok or status >= 500) then return { exitState = "CONTINUE" } end
    local found, entry = pcall(function() return new("JSON"):decode(body) end)
    if (status == 404 or not found or entry.accountStatus ~= "active") then
        return { exitState = "FAILURE", reason = "The account is not active in the directory" }
    end
    return { exitState = "SUCCESS" }
end

function login_failed_trigger(p)
    if (p == nil) then
        return { ref = "login_failed_trigger", name = "Failed logins", description = "Counts them", triggerType = "POST_AUTH",
            triggerOptions = { "FAILURE" }, api = "TRIGGER", version = 1 }
    end
    local uuid = p.user:getResourceUUID()
    local map = dataStore:getPrivateDataMap(uuid)
    if (map == nil) then
        map = new("Map")
    end
    local count = (map:get("failures") or 0) + 1
    map:put("failures", count)
    map:put("last", new("FDLDateHelper"):getString(p.timeStamp, "yyyy-MM-dd HH:mm:ss"))
    dataStore:resetPrivateDataMap(uuid, map)
    if (count >= MAX_FAILURES) then
        userAPI:setSessionUser(admin_of(p.customer) .. "/" .. p.customer:getResourceUUID())
        userAPI:lockUser(uuid)
        print("locked " .. p.user:getEmail() .. " after " .. count)
    end
    return { exitState = "SUCCESS" }
end

function login_ok_trigger(p)
    if (p == nil) then
        return { ref = "login_ok_trigger", name = "Good logins", description = "Forgets failed ones", triggerType = "POST_AUTH",
            triggerOptions = { "SUCCESS" }, api = "TRIGGER", version = 1 }
    end
    dataStore:resetPrivateDataMap(p.user:getResourceUUID(), nil)
    return { exitState = "SUCCESS" }
end

function admin_of(customer)
    local users = adminAPI:getResource(customer:getResourceUUID(), true):getUsers()
    for i = 0, users:size() - 1 do
        if (users:get(i):isAdmin()) then return users:get(i):getEmail() end
    end
end
