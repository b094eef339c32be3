-- a monthly statement as an attachment to each customer that pays by invoice
function register() return { "statements" } end
function statements(p)
    if p == nil then
        return { ref = "statements", name = "Statements", description = "", triggerType = "SCHEDULED", schedule = { frequency = { Hours = 720 } }, api = "TRIGGER", version = 1 }
    end
    local f = new("SearchFilter")
    local u = new("Utils")
    f:addCondition(u:createFilterCondition("status", "IS_EQUAL_TO", { "ACTIVE", "DISABLED" }))
    f:addCondition(u:createFilterCondition("creditcustomer", "IS_EQUAL_TO", { "INVOICE" }))
    local customers = adminAPI:runListQuery(f, nil, "CUSTOMER")
    while customers:hasNext() do
        local c = customers:next()
        local inv = new("SearchFilter")
        inv:addCondition(u:createFilterCondition("customerUUID", "IS_EQUAL_TO", { c:getResourceUUID() }))
        local lim = new("QueryLimit")
        local by = new("OrderedField")
        by:setFieldName("invoiceNo")
        by:setSortOrder(new("ResultOrder", "ASC"))
        lim:getOrderBy():add(by)
        local it = adminAPI:runListQuery(inv, lim, "INVOICE")
        local csv = "number;date;total;status\r\n"
        local owed = 0
        while it:hasNext() do
            local i = it:next()
            csv = csv .. i:getInvoiceNo() .. ";" .. new("FDLDateHelper"):getString(i:getInvoiceDate() * 1000, "yyyy-MM-dd") .. ";"
                .. string.format("%.2f", i:getInvoiceTotalInc()) .. ";" .. i:getStatus():name() .. "\r\n"
            if i:getStatus() == new("InvoiceStatus", "UNPAID") then owed = owed + i:getInvoiceTotalInc() end
        end
        local mail = new("CustomerEmail")
        mail:setCustomerUUID(c:getResourceUUID())
        mail:setEmailType(new("EmailType", "GENERAL_EMAIL"))
        local at = mail:getAttachments()
        at:put("statement.csv", new("FDLHashHelper"):toBase64(csv))
        mail:setAttachments(at)
        mail:getEmailSettingDetails():put(new("EmailVAR", "EMAIL_SUBJECT"), "Statement")
        mail:getEmailSettingDetails():put(new("EmailVAR", "EMAIL_BODY"), "You owe " .. string.format("%.2f", owed))
        adminAPI:sendEmail(mail)
    end
    return { exitState = "SUCCESS" }
end
