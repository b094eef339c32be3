--[[
{"FDLINFO":{"NAME":"Office hours","VERSION":"2.0.1"}}

Stops servers with the key `office-hours` in the evening and starts in the morning those that it stopped.
The value of the key is the time zone's offset from UTC in hours, e.g. 1; other values count as 0.
]]

EVENING = 19
MORNING = 7
STOPPED_KEY = "office-hours-stopped"

function register()
	return {"office_hours"}
end

function office_hours(p)
	if(p == nil) then
		return {
			ref = "office_hours",
			name = "Office hours",
			description = "Stops servers outside office hours",
			priority = 0,
			triggerType = "SCHEDULED",
			schedule = { start = { hour = 0, minute = 0, second = 0 }, frequency = { hours = 1 } },
			api = "TRIGGER",
			version = 1,
		}
	end

	local dateHelper = new("FDLDateHelper")
	local hour = tonumber(dateHelper:getString(p.input[1], "HH"))
	local day = dateHelper:getString(p.input[1], "EEE")

	local searchFilter = new("SearchFilter")
	local condition = new("FilterCondition")
	condition:setField("resourcekey.name")
	condition:setValue({"office-hours"})
	condition:setCondition(new("Condition", "IS_EQUAL_TO"))
	searchFilter:addCondition(condition)

	local servers = adminAPI:runListQuery(searchFilter, nil, "SERVER")
	local stopped, started, failed = 0, 0, 0
	while(servers:hasNext()) do
		local server = servers:next()
		local here = (hour + offset(server)) % 24
		local open = here >= MORNING and here < EVENING and day ~= "Sat" and day ~= "Sun"
		local status = server:getStatus()
		if(not open and status == new("ServerStatus", "RUNNING")) then
			if(change(server, "STOPPED")) then
				mark(server, true)
				stopped = stopped + 1
			else
				failed = failed + 1
			end
		elseif(open and status == new("ServerStatus", "STOPPED") and marked(server)) then
			if(change(server, "RUNNING")) then
				mark(server, false)
				started = started + 1
			else
				failed = failed + 1
			end
		end
	end
	print("stopped " .. stopped .. ", started " .. started .. ", failed " .. failed)
	return { exitState = "SUCCESS" }
end

function offset(server)
	local keys = server:getResourceKey()
	for i = 0, keys:size() - 1 do
		if(keys:get(i):getName() == "office-hours") then
			return tonumber(keys:get(i):getValue()) or 0
		end
	end
	return 0
end

function marked(server)
	local keys = server:getResourceKey()
	for i = 0, keys:size() - 1 do
		if(keys:get(i):getName() == STOPPED_KEY) then return true end
	end
	return false
end

function mark(server, on)
	local key = new("ResourceKey")
	key:setName(STOPPED_KEY)
	if(on) then
		key:setValue(1)
		key:setWeight(0)
		adminAPI:addKey(server:getResourceUUID(), key)
	else
		adminAPI:removeKey(server:getResourceUUID(), key)
	end
end

-- Acts for the customer's first user, so that they find the job among their own.
function change(server, status)
	local customer = adminAPI:getResource(server:getCustomerUUID(), true)
	if(customer:getUsers():size() == 0) then
		print(server:getResourceName() .. " has nobody to act for")
		return false
	end
	userAPI:setSessionUser(customer:getUsers():get(0):getEmail() .. "/" .. server:getCustomerUUID())
	local ok, job = pcall(function()
		local job = userAPI:changeServerStatus(server:getResourceUUID(), new("ServerStatus", status), true, nil, nil)
		return userAPI:waitForJob(job:getResourceUUID(), true)
	end)
	if(not ok) then
		print(server:getResourceName() .. ": " .. tostring(job))
		return false
	end
	return job:getStatus() == new("JobStatus", "SUCCESSFUL")
end
