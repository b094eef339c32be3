--[[ {"FDLINFO":{"NAME":"Quota warning","VERSION":"1.0"}} ]]--

-- Tells a customer's users by mail when four fifths of a limit are used, once for each limit until there is room again.

WARN_AT = 0.8

function register()
	return {"quota_warning_create", "quota_warning_delete"}
end

function describe(name, when)
	return {
		ref = name,
		name = "Quota warning",
		description = "Warns by mail at 80 % of a limit",
		priority = 0,
		triggerType = when,
		triggerOptions = {"SERVER"},
		api = "TRIGGER",
		version = 1,
	}
end

function quota_warning_create(p)
	if p == nil then return describe("quota_warning_create", "POST_CREATE") end
	return check(p)
end

function quota_warning_delete(p)
	if p == nil then return describe("quota_warning_delete", "POST_DELETE") end
	return check(p)
end

local function used(customerUUID, resourceType, aggregation, field)
	local query = new("Query")
	query:setResourceType(new("ResourceType", resourceType))
	local searchFilter = new("SearchFilter")
	searchFilter:addCondition(new("Utils"):createFilterCondition("customerUUID", "IS_EQUAL_TO", {customerUUID}))
	query:setSearchFilter(searchFilter)
	local aggregationField = new("AggregationField")
	aggregationField:setAggregationFunction(new("Aggregation", aggregation))
	aggregationField:setFieldName(field)
	local fields = new("List")
	fields:add(aggregationField)
	query:setAggregationFields(fields)
	local rows = adminAPI:runAggregationQuery(query)
	if rows:hasNext() then
		local value = rows:next():getColumnMap():get(aggregation .. "(" .. field .. ")")
		return tonumber(value) or 0
	end
	return 0
end

function check(p)
	if p.customer == nil then return { exitState = "CONTINUE" } end
	local uuid = p.customer:getResourceUUID()
	local customer = adminAPI:getResource(uuid, true)
	local limits = customer:getLimitsMap()
	local uses = {
		MAX_SERVERS = used(uuid, "SERVER", "COUNT", "resourceUUID"),
		MAX_CPUS = used(uuid, "SERVER", "SUM", "cpu"),
		MAX_RAM = used(uuid, "SERVER", "SUM", "ram"),
		MAX_STORAGEGB = used(uuid, "DISK", "SUM", "size"),
	}
	local lines = {}
	for _, limit in ipairs({"MAX_SERVERS", "MAX_CPUS", "MAX_RAM", "MAX_STORAGEGB"}) do
		local most = limits:get(limit)
		if most ~= nil and most > 0 then
			local full = uses[limit] >= most * WARN_AT
			local told = warned(customer, limit)
			if full and not told then
				table.insert(lines, limit .. ": " .. uses[limit] .. " of " .. most)
				mark(uuid, limit, true)
			elseif told and not full then
				mark(uuid, limit, false)
			end
		end
	end
	if #lines == 0 then return { exitState = "CONTINUE" } end

	local email = new("FDLEmailHelper")
	local users = customer:getUsers()
	for i = 0, users:size() - 1 do
		email(users:get(i):getEmail(), "support@provider.test", "support@provider.test", nil, nil,
			"You are close to your limits", "Dear " .. users:get(i):getFirstName() .. ",\n\n" .. table.concat(lines, "\n")
			.. "\n\nPlease ask us for more before you need it.\n", nil)
	end
	print(table.concat(lines, "; "))
	return { exitState = "SUCCESS" }
end

function warned(customer, limit)
	local keys = customer:getResourceKey()
	for i = 0, keys:size() - 1 do
		if keys:get(i):getName() == "WARNED_" .. limit then return true end
	end
	return false
end

function mark(uuid, limit, on)
	local key = new("ResourceKey")
	key:setName("WARNED_" .. limit)
	if on then
		key:setValue(new("FDLDateHelper"):getString(new("FDLDateHelper"):getTimestamp(), "yyyy-MM-dd"))
		adminAPI:addKey(uuid, key)
	else
		adminAPI:removeKey(uuid, key)
	end
end
