-- {"FDLINFO":{"NAME":"Small servers for those who owe","VERSION":"1.2"}}
--
-- A customer with an invoice that is overdue may go on, but starts nothing large.
--
-- Keys on the billing entity:
--   UNPAID_MAX_RAM    largest memory of a new server in MB (default 2048)
--   UNPAID_MAX_CPU    most cores of a new server (default 2)
--   UNPAID_DAYS       days after its due date from which an invoice counts (default 14)

function register()
	return {"unpaid_limits_server", "unpaid_limits_disk"}
end

function unpaid_limits_server(p)
	if(p==nil)then
		return {
			ref="unpaid_limits_server",
			name="Small servers for those who owe",
			description="Refuses large servers of customers with overdue invoices",
			triggerType="PRE_CREATE",
			triggerOptions={"SERVER"},
			priority=-8000,
			api="TRIGGER",
			version=1,
		}
	end

	local owed = overdue(p)
	if(owed:size() == 0) then
		return { exitState="CONTINUE" }
	end

	local maxRam = tonumber(setting(p.beUUID, "UNPAID_MAX_RAM", 2048))
	local maxCpu = tonumber(setting(p.beUUID, "UNPAID_MAX_CPU", 2))
	if(p.input:getRam() > maxRam or p.input:getCpu() > maxCpu) then
		print("refused " .. p.input:getResourceName() .. " of " .. p.customer:getResourceName())
		return {
			exitState="FAILURE",
			errorString="Please pay invoice " .. numbers(owed) .. " first: until then servers have at most "
				.. maxCpu .. " cores and " .. maxRam .. " MB of memory",
		}
	end
	return { exitState="SUCCESS" }
end

function unpaid_limits_disk(p)
	if(p==nil)then
		return {
			ref="unpaid_limits_disk",
			name="Small disks for those who owe",
			description="Refuses large disks of customers with overdue invoices",
			triggerType="PRE_CREATE",
			triggerOptions={"DISK"},
			priority=-8000,
			api="TRIGGER",
			version=1,
		}
	end
	local maxSize = setting(p.beUUID, "UNPAID_MAX_DISK", nil)
	if(maxSize == nil or p.input:getSize() <= tonumber(maxSize) or overdue(p):size() == 0) then
		return { exitState="CONTINUE" }
	end
	return { exitState="FAILURE", errorString="Please pay first: until then disks have at most " .. maxSize .. " GB" }
end

function overdue(p)
	local dateHelper = new("FDLDateHelper")
	local days = tonumber(setting(p.beUUID, "UNPAID_DAYS", 14))
	local before = dateHelper:addDays(dateHelper:getTimestamp(), 0 - days)

	local searchFilter = new("SearchFilter")
	local customer = new("FilterCondition")
	customer:setField("customerUUID")
	customer:setValue({p.customer:getResourceUUID()})
	customer:setCondition(new("Condition","IS_EQUAL_TO"))
	searchFilter:addCondition(customer)
	local status = new("FilterCondition")
	status:setField("status")
	status:setValue({"UNPAID"})
	status:setCondition(new("Condition","IS_EQUAL_TO"))
	searchFilter:addCondition(status)
	local due = new("FilterCondition")
	due:setField("dueDate")
	due:setValue({dateHelper:getString(before, "yyyy-MM-dd")})
	due:setCondition(new("Condition","EARLIER_THAN"))
	searchFilter:addCondition(due)
	return adminAPI:listResources(searchFilter, nil, new("ResourceType","INVOICE")):getList()
end

function numbers(invoices)
	local text = ""
	for i = 0, invoices:size() - 1, 1 do
		if(i > 0) then text = text .. ", " end
		text = text .. invoices:get(i):getInvoiceNo()
	end
	return text
end

function setting(beUUID, name, default)
	local be = adminAPI:getResource(beUUID, true)
	if(be ~= nil and be:getResourceKey() ~= nil) then
		for i = 0, be:getResourceKey():size() - 1, 1 do
			if(be:getResourceKey():get(i):getName() == name) then
				return be:getResourceKey():get(i):getValue()
			end
		end
	end
	return default
end
