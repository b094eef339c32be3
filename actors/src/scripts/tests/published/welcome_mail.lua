-- Welcomes new users in the name of their seller.

local TEMPLATE = [[
Dear {firstName} {lastName},

welcome to {seller}. Your user name is {email}.
You reach your control panel at {panel}.

{signature}
]]

function register()
    return { "welcome_trigger" }
end

function welcome_trigger(p)
    if (p == nil) then
        return {
            ref = "welcome_trigger", name = "Welcome mail", description = "Writes to new users", priority = 0,
            triggerType = "POST_CREATE", triggerOptions = { "USER" }, api = "TRIGGER", version = 1,
        }
    end
    local user = p.input
    if (user:getEmail() == "jobs" or p.customer == nil) then
        return { exitState = "CONTINUE" }
    end
    local be = adminAPI:getResource(user:getBillingEntityUUID(), true)
    local values = {
        firstName = user:getFirstName(),
        lastName = user:getLastName(),
        email = user:getEmail(),
        seller = be:getResourceName(),
        panel = be:getControlPanelURL() .. "/#/login?user=" .. user:getEmail(),
    }
    -- What is not known here is asked of the keys of the seller.
    local body = string.gsub(TEMPLATE, "{(%w+)}", function(name)
        if (values[name] ~= nil) then
            return values[name]
        end
        return keyValue(user:getBillingEntityUUID(), "MAIL_" .. string.upper(name)) or ""
    end)
    local emailHelper = new("FDLEmailHelper")
    emailHelper(user:getEmail(), keyValue(user:getBillingEntityUUID(), "MAIL_FROM"), nil, nil, nil, "Welcome to " .. values.seller, body, nil)
    return { exitState = "SUCCESS" }
end

function keyValue(uuid, name)
    local resource = adminAPI:getResource(uuid, true)
    for i = 0, resource:getResourceKey():size() - 1 do
        local key = resource:getResourceKey():get(i)
        if (key:getName() == name) then
            return key:getValue()
        end
    end
end
