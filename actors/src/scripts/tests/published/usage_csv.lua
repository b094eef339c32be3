-- Once a month: what each customer was invoiced, as a CSV file put on the accountants' server.
-- Keys on the billing entity: EXPORT_URL, EXPORT_LOGIN (user:password)

function register()
    return { "monthly_export_trigger" }
end

function monthly_export_trigger(p)
    if (p == nil) then
        return {
            ref = "monthly_export_trigger",
            name = "Monthly export",
            description = "Invoices of the month before as CSV",
            triggerType = "SCHEDULED",
            triggerOptions = { "ANY" },
            schedule = { start = { HOUR = 1, MINUTE = 15, SECOND = 0 }, frequency = { HOUR = 24 } },
            api = "TRIGGER",
            version = 1,
        }
    end
    local dateHelper = new("FDLDateHelper")
    -- Only on the first of a month.
    if (dateHelper:getString(p.timeStamp, "dd") ~= "01") then
        return { exitState = "CONTINUE" }
    end
    local to = dateHelper:getTimestamp(dateHelper:getString(p.timeStamp, "yyyy-MM") .. "-01", "yyyy-MM-dd")
    local month = dateHelper:getString(dateHelper:addDays(to, -1), "yyyy-MM")
    local from = dateHelper:getTimestamp(month .. "-01", "yyyy-MM-dd")

    local adminAPI = new("AdminAPI", "5.0")
    local searchFilter = new("SearchFilter")
    local period = new("FilterCondition")
    period:setField("invoiceDate")
    period:setValue({ from / 1000, to / 1000 - 0.001 })
    period:setCondition(new("Condition", "BETWEEN"))
    searchFilter:addCondition(period)

    local sum = new("AggregationField")
    sum:setAggregationFunction(new("Aggregation", "SUM"))
    sum:setFieldName("invoiceTotalInc")
    local count = new("AggregationField")
    count:setAggregationFunction(new("Aggregation", "COUNT"))
    count:setFieldName("invoiceNo")
    local fields = new("List")
    fields:add(sum)
    fields:add(count)

    local limit = new("QueryLimit")
    limit:setMaxRecords(200)
    local order = new("OrderedField")
    order:setFieldName("customerName")
    order:setSortOrder(new("ResultOrder", "ASC"))
    limit:getOrderBy():add(order)

    local query = new("Query")
    query:setResourceType(new("ResourceType", "INVOICE"))
    query:setSearchFilter(searchFilter)
    query:setLimit(limit)
    query:setGroupByFields({ "customerUUID" })
    query:setOutputFields({ "customerUUID", "customerName" })
    query:setAggregationFields(fields)

    local lines = { "customer,invoices,total" }
    local total = 0
    local rows = adminAPI:runAggregationQuery(query)
    while (rows:hasNext()) do
        local columns = rows:next():getColumnMap()
        local amount = columns:get("SUM(invoiceTotalInc)")
        total = total + amount
        lines[#lines + 1] = csv(columns.get("customerName")) .. "," .. columns:get("COUNT(invoiceNo)") .. "," .. string.format("%.2f", amount)
    end
    lines[#lines + 1] = "total,," .. total
    put(p.beUUID, month .. ".csv", table.concat(lines, "\r\n") .. "\r\n")
    return { exitState = "SUCCESS" }
end

function csv(text)
    if (text:find('[",\n]')) then
        return '"' .. text:gsub('"', '""') .. '"'
    end
    return text
end

function put(beUUID, name, text)
    local settings = {}
    local keys = adminAPI:getResource(beUUID, true):getResourceKey()
    for i = 0, keys:size() - 1 do settings[keys:get(i):getName()] = keys:get(i):getValue() end
    local user, password = string.match(settings.EXPORT_LOGIN, "([^:]+):(.*)")
    local connection = new("simplehttp").newConnection({ url = settings.EXPORT_URL .. "/" .. name })
    connection:setBasicAuth(user, password)
    connection:setRequestHeaders({ ["Content-Type"] = "text/csv" })
    local sent = connection:put(text, function(chunk) return true end)
    local status = sent and connection:getHTTPStatusCode() or 0
    connection:disconnect()
    if (status ~= 201 and status ~= 204) then
        error("the export was not taken: " .. status)
    end
end
