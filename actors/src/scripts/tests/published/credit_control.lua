-- Reminds customers of unpaid invoices, and disables those who do not pay. Days come from keys of the billing entity.

local json = new("JSON")

function register()
    return { "credit_control_trigger" }
end

function credit_control_trigger(p)
    if (p == nil) then
        return { ref = "credit_control_trigger", name = "Credit control", description = "Reminders and suspension",
            triggerType = "SCHEDULED", schedule = { start = { HOUR = 6 }, frequency = { HOUR = 24 } }, api = "TRIGGER", version = 1 }
    end
    local now = math.floor(p.timeStamp / 1000)
    local day = 24 * 60 * 60
    local filter = new("SearchFilter")
    filter:addCondition(condition("status", "IS_EQUAL_TO", { new("InvoiceStatus", "UNPAID"):name() }))
    filter:addCondition(condition("invoiceDate", "IS_LESS_THAN", { now - 14 * day }))
    local owed = {}
    local iterator = adminAPI:runListQuery(filter, nil, "INVOICE")
    while (iterator:hasNext()) do
        local invoice = iterator:next()
        local entry = owed[invoice:getCustomerUUID()] or { total = 0, oldest = now, numbers = {} }
        entry.total = entry.total + invoice:getInvoiceTotalInc()
        entry.oldest = math.min(entry.oldest, invoice:getInvoiceDate())
        entry.numbers[#entry.numbers + 1] = invoice:getInvoiceNo()
        owed[invoice:getCustomerUUID()] = entry
    end
    for uuid, entry in pairs(owed) do
        local customer = adminAPI:getResource(uuid, true)
        local age = math.floor((now - entry.oldest) / day)
        table.sort(entry.numbers)
        if (age > 30 and customer:getStatus() == new("Status", "ACTIVE")) then
            customer:setStatus(new("Status", "DISABLED"))
            adminAPI:updateCustomer(customer)
            print("disabled " .. customer:getResourceName() .. ": " .. entry.total .. " since " .. age .. " days")
        elseif (age > 14) then
            local mail = new("CustomerEmail")
            mail:setCustomerUUID(uuid)
            mail:setEmailType(new("EmailType", "GENERAL_EMAIL"))
            mail:getEmailSettingDetails():put(new("EmailVAR", "EMAIL_SUBJECT"), "Reminder")
            mail:getEmailSettingDetails():put(new("EmailVAR", "EMAIL_BODY"),
                "You owe us " .. entry.total .. " for the invoices " .. table.concat(entry.numbers, ", ") .. ".")
            adminAPI:sendEmail(mail)
            print("reminded " .. customer:getResourceName())
        end
    end
    return { exitState = "SUCCESS" }
end

function condition(field, name, values)
    local c = new("FilterCondition")
    c:setField(field)
    c:setValue(values)
    c:setCondition(new("Condition", name))
    return c
end
