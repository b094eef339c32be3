--[[
    CRM synchronisation
    FDLINFO {
        "NAME": "CRM synchronisation",
        "VERSION": "1.0.3"
    }
    Keeps one account for each customer and one contact for each user in the CRM. The billing entity carries the keys
    CRM_URL, CRM_USER and CRM_TOKEN.
]]

local crmKey = "CRM_ID"
local json = new("JSON")
local hashHelper = new("FDLHashHelper")

function register()
    return { "crm_customer_trigger", "crm_user_trigger", "crm_delete_trigger" }
end

function crm_customer_trigger(p)
    if (p == nil) then
        return {
            ref = "crm_customer_trigger",
            name = "CRM account",
            description = "Creates an account in the CRM for every new customer",
            priority = 0,
            triggerType = "POST_CREATE",
            triggerOptions = { "CUSTOMER" },
            api = "TRIGGER",
            version = 1,
        }
    end

    local settings = crm_settings(p.beUUID)
    if (settings == nil) then
        return { exitState = "CONTINUE" }
    end

    local customer = adminAPI:getResource(p.input:getResourceUUID(), true)
    local address = customer:getAddress()
    local account = {
        name = customer:getResourceName(),
        external_id = customer:getResourceUUID(),
        seller = customer:getBillingEntityName(),
        status = customer:getStatus():toString(),
        postpaid = customer:getCreditCustomer() == new("PaymentType", "INVOICE"),
        street = address:getAddress1(),
        city = address:getAddress3(),
        postcode = address:getAddress5(),
        country = address:getAddress6(),
        contacts = {},
    }
    local code, answer = crm_request(settings, "POST", "/accounts", json:encode(account))
    if (code ~= 201) then
        error("CRM answered " .. code .. " for " .. customer:getResourceName())
    end

    local key = new("ResourceKey")
    key:setName(crmKey)
    key:setValue(json:decode(answer).id)
    key:setWeight(0)
    adminAPI:addKey(customer:getResourceUUID(), key)
    return { exitState = "SUCCESS" }
end

function crm_user_trigger(p)
    if (p == nil) then
        return {
            ref = "crm_user_trigger",
            name = "CRM contact",
            description = "Creates a contact in the CRM for every new user",
            priority = 0,
            triggerType = "POST_CREATE",
            triggerOptions = { "USER" },
            api = "TRIGGER",
            version = 1,
        }
    end

    local settings = crm_settings(p.beUUID)
    if (settings == nil or p.customer == nil) then
        return { exitState = "CONTINUE" }
    end
    local account = find_key(p.customer, crmKey)
    local user = p.input
    local contact = {
        account = account,
        first_name = user:getFirstName(),
        last_name = user:getLastName(),
        email = user:getEmail(),
        phones = {
            mobile = user:getMobileNumber(),
            day = user:getDayTimeNumber(),
            evening = user:getEveningNumber(),
        },
    }
    crm_request(settings, "POST", "/contacts", json:encode(contact))
    return { exitState = "SUCCESS" }
end

function crm_delete_trigger(p)
    if (p == nil) then
        return {
            ref = "crm_delete_trigger",
            name = "CRM account removal",
            description = "Closes the account of a customer that was deleted",
            priority = 0,
            triggerType = "POST_JOB_STATE_CHANGE",
            triggerOptions = { "SUCCESSFUL" },
            api = "TRIGGER",
            version = 1,
        }
    end
    local isDelete = p.input:getJobType() == new("JobType", "DELETE_RESOURCE") or p.input:getJobType() == new("JobType", "DELETE_CUSTOMER")
    if (not isDelete or p.input:getItemType() ~= new("ResourceType", "CUSTOMER")) then
        return { exitState = "CONTINUE" }
    end
    local settings = crm_settings(p.beUUID)
    if (settings ~= nil) then
        crm_request(settings, "DELETE", "/accounts/" .. p.input:getItemUUID())
    end
    return { exitState = "SUCCESS" }
end

-- One request; answers the status and the body.
function crm_request(settings, method, path, body)
    local simplehttp = new("simplehttp")
    local connection = simplehttp.newConnection({ url = settings.url .. path, ssl_verify = false })
    connection:setRequestHeaders({
        ["Authorization"] = "Basic " .. hashHelper:toBase64(settings.user .. ":" .. settings.token),
        ["Content-Type"] = "application/json",
        ["Accept"] = "application/json",
    })
    local response = ""
    local collect = function(val)
        response = response .. val
        return true
    end
    local ok
    if (method == "POST") then
        ok = connection:post(body, collect)
    else
        ok = connection:delete(collect)
    end
    if (not ok) then
        local errorCode, errorString = connection:getLastError()
        connection:disconnect()
        error("CRM not reached: " .. errorCode .. " " .. errorString)
    end
    local status = connection:getHTTPStatusCode()
    connection:disconnect()
    return status, response
end

function crm_settings(beUUID)
    local be = adminAPI:getResource(beUUID, true)
    local url = find_key(be, "CRM_URL")
    if (url == nil) then
        return nil
    end
    return { url = url, user = find_key(be, "CRM_USER"), token = find_key(be, "CRM_TOKEN") }
end

function find_key(resource, name)
    for i = 0, resource:getResourceKey():size() - 1, 1 do
        local key = resource:getResourceKey():get(i)
        if (key:getName() == name) then
            return key:getValue()
        end
    end
    return nil
end
