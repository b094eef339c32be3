-- (c) 2014 Example Hosting. Texts the person on duty when a server job fails: by SMS in the day, by a voice call at night.
-- Keys of the billing entity: SMS_GATEWAY, SMS_SENDER, SMS_USER, SMS_PASSWORD

function register()
	return {"sms_job_failed_trigger"}
end

function sms_job_failed_trigger(p)
	if(p == nil) then
		return{
			ref="sms_job_failed_trigger",
			name="SMS on failed job",
			description="Sends an SMS to the customer's user when one of their server jobs fails",
			priority=-9000,
			triggerType="POST_JOB_STATE_CHANGE",
			triggerOptions={"FAILED"},
			api="TRIGGER",
			version=1,
		}
	end

	if not is_server_job(p.input) then
		return { exitState = "CONTINUE" }
	end

	local be = adminAPI:getResource(p.input:getBillingEntityUUID(), true)
	local keys = key_table(be:getResourceKey())
	if(keys.SMS_GATEWAY == nil) then
		return { exitState = "CONTINUE" }
	end

	local user = user_of(p.input)
	if(user == nil) then
		return { exitState = "CONTINUE" }
	end
	local number = user:getMobileNumber()
	if(number == nil or number == '') then
		number = user:getDayTimeNumber()
	end
	if(number == nil or number == '') then
		print("no number for "..user:getEmail())
		return { exitState = "CONTINUE" }
	end

	local text = "Job "..p.input:getJobType():toString().." on "..p.input:getItemName().." failed: "..(p.input:getErrorCode() or "unknown error")
	local form = ""
	for k, v in pairs({ From = keys.SMS_SENDER, To = number, Body = text }) do
		if(form ~= "") then form = form.."&" end
		form = form..k.."="..urlencode(v)
	end

	local simplehttp = new("simplehttp")
	local connection = simplehttp:newConnection({ url=keys.SMS_GATEWAY })
	connection:setBasicAuth(keys.SMS_USER, keys.SMS_PASSWORD)
	connection:setRequestHeaders({ ["Content-Type"]="application/x-www-form-urlencoded" })
	if(connection:post(form, function(val) return true end)) then
		if(connection:getHTTPStatusCode() >= 300) then
			syslog.openlog("sms", syslog.LOG_ODELAY + syslog.LOG_PID)
			syslog.syslog("LOG_ERROR", "gateway said "..connection:getHTTPStatusCode())
			syslog.closelog()
		end
	end
	connection:disconnect()
	return { exitState = "SUCCESS" }
end

function is_server_job(job)
	local types = { CREATE_SERVER = true, START_SERVER = true, REBOOT_SERVER = true }
	return types[job:getJobType():name()] == true
end

-- By whom the job was begun, or else the first user of the customer.
function user_of(job)
	local uuid = job:getUserUUID()
	if(uuid ~= nil and uuid ~= '') then
		return adminAPI:getResource(uuid, false)
	end
	local customer = adminAPI:getResource(job:getCustomerUUID(), true)
	if(customer == nil or customer:getUsers():size() == 0) then
		return nil
	end
	return customer:getUsers():get(0)
end

function key_table(list)
	local found = {}
	local iterator = list:iterator()
	while(iterator:hasNext()) do
		local key = iterator:next()
		found[key:getName()] = key:getValue()
	end
	return found
end

function urlencode(str)
	str = string.gsub(str, "\n", "\r\n")
	str = string.gsub(str, "([^%w %-%_%.%~])", function(c) return string.format("%%%02X", string.byte(c)) end)
	str = string.gsub(str, " ", "+")
	return str
end
