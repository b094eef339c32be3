--[[
   Monitoring of servers by an outside service.
   FDLINFO { "NAME": "Monitoring", "VERSION": "2.1" }
]]

local PROVIDER = "MONITORING"

function register()
    return { "monitoring_provider" }
end

function monitoring_provider(p)
    return {
        ref = "monitoring_provider", name = "Monitoring", description = "Checks servers from outside", version = 1, api = "CONFIG_PROVIDER",
        providerType = PROVIDER, providerGroup = "FCO_EXTENSION",
        triggerFunctions = { "monitoring_modify_trigger", "monitoring_delete_trigger" },
        resourceConfigs = {
            {
                associatedResourceType = "BILLING_ENTITY", useWithBilling = false,
                productComponentTypes = { {
                    resourceName = "Monitoring account", referenceField = "ACCOUNT",
                    configurableList = { { key = "url", name = "Service URL", description = "", required = false, readOnly = true } },
                    actionFunctions = { {
                        key = "LINK", name = "Link account", description = "Links the account", returnType = "FUNCTION", executionFunction = "link_account",
                        order = 1, synchronous = true,
                        parameters = {
                            { key = "url", name = "URL", description = "", required = true,
                                validator = { validatorType = "REGEX", validateString = "https?://[^/]+.*", errorMessage = "A web address is needed" } },
                            { key = "token", name = "Token", description = "", required = true, validator = { validatorType = "PASSWORD" } },
                        },
                    }, {
                        key = "UNLINK", name = "Unlink", description = "", returnType = "FUNCTION", executionFunction = "unlink_account", order = 2, synchronous = true,
                        parameters = { { key = "CONFIRM", name = "Sure?", description = "", required = true, hidden = true, value = "TRUE",
                            validator = { validatorType = "ENUM", validateString = "TRUE" } } },
                    } },
                } },
            },
            {
                associatedResourceType = "SERVER", useWithBilling = false,
                productComponentTypes = { {
                    resourceName = "Monitoring", referenceField = "CHECKS",
                    configurableList = {
                        { key = "enabled", name = "Enabled", description = "", required = true, defaultValue = "FALSE", validator = { validatorType = "ENUM", validateString = "TRUE,FALSE" } },
                        { key = "interval", name = "Interval", description = "", required = false, defaultValue = 60, measureType = "SECOND",
                            validator = { validatorType = "NUMERIC_INT", validatorString = "30-3600" } },
                        { key = "check", name = "Check", description = "", required = false, readOnly = true },
                    },
                    actionFunctions = get_actions(),
                } },
            },
        },
    }
end

function get_actions()
    local actions = {}
    local function add(key, returnType, fn)
        actions[#actions + 1] = { key = key, name = key, description = "", returnType = returnType, executionFunction = fn, order = #actions + 1, synchronous = true, parameters = {} }
    end
    add("DETAILS", "DIALOGUE", "show_details")
    add("SIGN_IN", "URL_POPUP", "sign_in")
    return actions
end

function link_account(p)
    local answer, status = call(p.parameters.url .. "/account", p.parameters.token, "GET")
    if (status ~= 200) then
        return { returnCode = "FAILED", errorCode = status, errorString = "The service did not take the token" }
    end
    local secret = new("Map")
    secret:put("token", p.parameters.token)
    secret:put("account", answer.id)
    dataStore:resetPrivateDataMap(p.resource:getResourceUUID(), secret)
    local values = new("Map")
    values:put("url", p.parameters.url)
    adminAPI:updateConfigurationProviderValues(p.resource:getResourceUUID(), PROVIDER, values)
    return { returnCode = "SUCCESSFUL", returnType = "FUNCTION",
        returnContent = new("Utils"):createRefreshFunctionActionContent(true, "Linked to account " .. answer.id, "SUCCESS") }
end

function unlink_account(p)
    dataStore:resetPrivateDataMap(p.resource:getResourceUUID(), nil)
    adminAPI:updateConfigurationProviderValues(p.resource:getResourceUUID(), PROVIDER, nil)
    return { returnCode = "SUCCESSFUL", returnType = "FUNCTION", returnContent = new("Utils"):createRefreshFunctionActionContent(true) }
end

function show_details(p)
    local values = p.resource:getProviderValues(PROVIDER)
    local answer, status = account_call(p.resource, "/checks/" .. values:get("check"), "GET")
    if (status ~= 200) then
        return { returnCode = "FAILED", errorCode = tostring(status), errorString = "No details" }
    end
    local content = {
        { key = "state", name = "State", description = "", value = answer.state, readOnly = true },
        { key = "uptime", name = "Uptime", description = "", value = answer.uptime * 100 .. " %", readOnly = true },
        { key = "since", name = "Since", description = "", value = new("FDLDateHelper"):getString(answer.since * 1000, "yyyy/MM/dd HH:mm:ss"), readOnly = true },
    }
    return { returnCode = "SUCCESSFUL", returnType = "DIALOGUE",
        returnContent = new("Utils"):createDisplayDialogueActionContent(content, "Monitoring", p.resource:getResourceName(), "FONT_ICON_EYE") }
end

function sign_in(p)
    local be = adminAPI:getResource(p.resource:getBillingEntityUUID(), true)
    local url = be:getProviderValues(PROVIDER):get("url")
    if (url == nil) then
        return { returnCode = "FAILED", errorCode = 404, errorString = "No account is linked" }
    end
    local headers = { ["X-Server"] = p.resource:getResourceUUID() }
    return { returnCode = "SUCCESSFUL", returnType = "URL_POPUP", returnContent = new("Utils"):createURLActionContent("POST", url .. "/login", { headers = headers }) }
end

-- Turns checks on and off as the settings say.
function monitoring_modify_trigger(p)
    if (p == nil) then
        return { ref = "monitoring_modify_trigger", name = "Monitoring settings", description = "", triggerType = "PRE_MODIFY",
            triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1 }
    end
    local new_values = p.input:getProviderValues(PROVIDER)
    local old_values = adminAPI:getResource(p.input:getResourceUUID(), false):getProviderValues(PROVIDER)
    local on, was = new_values:get("enabled") == "TRUE", old_values:get("enabled") == "TRUE"
    if (on and not was) then
        local answer, status = account_call(p.input, "/checks", "POST", { host = p.input:getResourceName(), interval = tonumber(new_values:get("interval") or 60) })
        if (status ~= 201) then
            return { exitState = "FAILURE", errorString = "Monitoring could not be turned on" }
        end
        new_values:put("check", answer.id)
    elseif (was and not on and old_values:get("check") ~= nil) then
        account_call(p.input, "/checks/" .. old_values:get("check"), "DELETE")
        new_values:remove("check")
    end
    return { exitState = "SUCCESS" }
end

function monitoring_delete_trigger(p)
    if (p == nil) then
        return { ref = "monitoring_delete_trigger", name = "Monitoring end", description = "", triggerType = "POST_SERVER_STATE_CHANGE",
            triggerOptions = { "DELETING" }, api = "TRIGGER", version = 1 }
    end
    local check = p.input:getProviderValues(PROVIDER):get("check")
    if (check ~= nil) then
        account_call(p.input, "/checks/" .. check, "DELETE")
    end
    return { exitState = "SUCCESS" }
end

function account_call(resource, path, method, body)
    local be = adminAPI:getResource(resource:getBillingEntityUUID(), true)
    local secret = dataStore:getPrivateDataMap(be:getResourceUUID())
    if (secret == nil) then return nil, 0 end
    return call(be:getProviderValues(PROVIDER):get("url") .. path, secret:get("token"), method, body)
end

function call(url, token, method, body)
    local json = new("JSON")
    local connection = new("simplehttp"):newConnection({ url = url })
    connection:setRequestHeaders({ Authorization = "Bearer " .. token, ["Content-Type"] = "application/json" })
    local text = ""
    local collect = function(val) text = text .. val return true end
    local ok
    if (method == "GET") then ok = connection:get(collect)
    elseif (method == "DELETE") then ok = connection:delete(collect)
    else ok = connection:post(json:encode(body), collect) end
    local status = ok and connection:getHTTPStatusCode() or 0
    connection:disconnect()
    local decoded, answer = pcall(function() return json:decode(text) end)
    return decoded and answer or nil, status
end
