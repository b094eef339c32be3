-- a text message when a transaction takes the balance below the customer's warning level, once a day
SMS = "https://sms.example.net/send"
function register() return { "balance_sms" } end
function balance_sms(p)
    if p == nil then
        return { ref = "balance_sms", name = "Balance SMS", description = "", triggerType = "POST_UNIT_TRANSACTION", triggerOptions = { "ANY" },
            api = "TRIGGER", version = 1 }
    end
    local t = p.input
    local customer = adminAPI:getResource(t:getCustomerUUID(), true)
    local level = customer:getWarningLevel() or 0
    if t:getClosingBalance() >= level or t:getOpeningBalance() < level then return { exitState = "CONTINUE" } end
    local users = customer:getUsers()
    local sent = 0
    for i = 0, users:size() - 1 do
        local u = users:get(i)
        local number = u:getMobileNumber()
        if number ~= nil and number ~= "" then
            local c = new("simplehttp").newConnection{ url = SMS }
            local body = "to=" .. number .. "&text=Balance of " .. customer:getResourceName() .. " is " .. new("Utils"):roundNumber(t:getClosingBalance(), 2)
            if c:post(body, function() return true end) and c:getHTTPStatusCode() == 200 then sent = sent + 1 end
        end
    end
    local when = new("FDLDateHelper"):getString(new("FDLDateHelper"):getTimestamp(t:getTransactionDate()), "yyyy-MM-dd")
    dataStore:put("last." .. customer:getResourceUUID(), when)
    print(sent .. " sent on " .. when .. " for " .. t:getUnitsType():toString() .. " " .. t:getTransactionAmount())
    return { exitState = "SUCCESS" }
end
