-- A server for each customer without one, made in the name of its first user and started tomorrow.
function register()
  return { "provisioning_sweep", "provisioning_created", "provisioning_job" }
end

function provisioning_sweep(p)
  if p == nil then
    return { ref = "provisioning_sweep", name = "Sweep", triggerType = "SCHEDULED", schedule = { frequency = { HOUR = 24 } }, api = "TRIGGER", version = 1 }
  end
  local dates = new("FDLDateHelper")
  local filter = new("SearchFilter")
  filter:addCondition(new("Utils"):createFilterCondition("status", "IS_EQUAL_TO", { "ACTIVE" }))
  local customers = adminAPI:runListQuery(filter, nil, "CUSTOMER")
  local image = adminAPI:listResources(nil, nil, new("ResourceType", "IMAGE")):getList():get(0)
  while customers:hasNext() do
    local customer = adminAPI:getResource(customers:next():getResourceUUID(), true)
    userAPI:setSessionUser(customer:getUsers():get(0):getEmail() .. "/" .. customer:getResourceUUID())
    local server = new("Server")
    server:setResourceName("first")
    server:setCpu("1")
    server:setRam("512")
    server:setImageUUID(image:getResourceUUID())
    server:setCustomerUUID(customer:getResourceUUID())
    local metadata = new("ResourceMetadata")
    metadata:setRestrictedMetadata("<CONFIG>")
    server:setResourceMetadata(metadata)
    print(select(2, pcall(function() return userAPI:createServer(server, {}, nil) end)))
    metadata:setRestrictedMetadata("<CONFIG><first/></CONFIG>")
    local made = userAPI:waitForJob(userAPI:createServer(server, {}, nil):getResourceUUID(), false)
    local tomorrow = math.floor(dates:addDays(dates:getTimestamp(), 1) / 1000)
    local start = userAPI:changeServerStatus(made:getItemUUID(), new("ServerStatus", "RUNNING"), true, nil, tomorrow)
    print(adminAPI:getResource(made:getItemUUID(), false):getResourceMetadata():getRestrictedMetadata())
    print(start:getStatus():name(), start:isScheduled())
    print(userAPI:cancelJob(start:getResourceUUID()):getStatus():name())
  end
  return { exitState = "SUCCESS" }
end

function provisioning_created(p)
  if p == nil then
    return { ref = "provisioning_created", name = "Created", triggerType = "POST_CREATE", triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1 }
  end
  print(p.user and p.user:getEmail())
  return { exitState = "SUCCESS" }
end

function provisioning_job(p)
  if p == nil then
    return { ref = "provisioning_job", name = "Jobs", triggerType = "POST_JOB_STATE_CHANGE", triggerOptions = { "ANY" }, api = "TRIGGER", version = 1 }
  end
  if p.input:getItemType() ~= new("ResourceType", "SERVER") then return { exitState = "CONTINUE" } end
  print(p.input:getJobType():name() .. " " .. p.input:getStatus():name(), p.user and p.user:getEmail())
  return { exitState = "SUCCESS" }
end
