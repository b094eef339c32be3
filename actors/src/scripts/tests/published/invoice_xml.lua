-- Hands every invoice to the bookkeeping as an XML document, once. BOOKKEEPING_URL is a key of the billing entity.

function register()
    return { "invoice_xml_trigger" }
end

function invoice_xml_trigger(p)
    if (p == nil) then
        return {
            ref = "invoice_xml_trigger", name = "Invoices to bookkeeping", description = "Sends invoices as XML", priority = 0,
            triggerType = "POST_CREATE", triggerOptions = { "INVOICE" }, api = "TRIGGER", version = 1,
        }
    end
    local invoice = p.input
    local url = keyOf(invoice:getBillingEntityUUID(), "BOOKKEEPING_URL")
    if (url == nil) then return { exitState = "CONTINUE" } end

    local xml = new("FDLXMLHelper")
    local dates = new("FDLDateHelper")
    local document = xml:newDocument("Invoice")
    local root = xml:findNode(document, "Invoice")
    root:setAttribute("number", invoice:getInvoiceNo())
    xml:addTextNode(document, root, "Date", dates:getString(invoice:getInvoiceDate() * 1000, "yyyy-MM-dd"))
    xml:addTextNode(document, root, "Customer", invoice:getCustomerName())
    local items = xml:addNode(document, root, "Items")
    local sum = 0
    for i = 0, invoice:getInvoiceItems():size() - 1 do
        local item = invoice:getInvoiceItems():get(i)
        local node = xml:addNode(document, items, "Item")
        xml:addCDataNode(document, node, "Text", item:getDescription())
        xml:addTextNode(document, node, "Amount", string.format("%.2f", item:getInvoiceItemTotalExc()))
        sum = sum + item:getInvoiceItemTotalExc()
    end
    xml:addTextNode(document, root, "Net", money(invoice:getInvoiceTotalExc()))
    xml:addTextNode(document, root, "Gross", money(invoice:getInvoiceTotalInc()))
    xml:addTextNode(document, root, "Currency", currency(invoice:getBillingEntityUUID()))
    if (math.abs(sum - invoice:getInvoiceTotalExc()) > 0.005 * (1 + invoice:getInvoiceItems():size())) then
        print("items add up to " .. sum .. " rather than " .. invoice:getInvoiceTotalExc())
    end

    local connection = new("simplehttp").newConnection({ url = url })
    connection:setRequestHeaders({ ["Content-Type"] = "application/xml", ["X-Invoice"] = invoice:getInvoiceNo() })
    local answer = ""
    local ok = connection:post(xml:toString(document), function(val) answer = answer .. val return true end)
    if (not ok or connection:getHTTPStatusCode() >= 400) then
        local code, text = connection:getLastError()
        error("bookkeeping: " .. code .. " " .. text)
    end
    local receipt = xml:parse(answer)
    print("booked as " .. xml:findNode(receipt, "Receipt/Voucher"):getTextContent())
    return { exitState = "SUCCESS" }
end

function money(amount)
    return string.format("%.2f", new("Utils"):roundNumber(amount, 2))
end

function currency(uuid)
    return adminAPI:getResource(uuid, false):getCurrency():getCode()
end

function keyOf(uuid, name)
    local keys = adminAPI:getResource(uuid, true):getResourceKey()
    for i = 0, keys:size() - 1 do
        if (keys:get(i):getName() == name) then return keys:get(i):getValue() end
    end
end
