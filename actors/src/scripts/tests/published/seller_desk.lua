--[[ FDLINFO : { "NAME" : "Seller's desk", "VERSION" : "1.3" } ]]
-- Tells each billing entity's own people how many customers it has, and writes down what its staff do.
function register()
  return { "desk_report", "desk_calls", "desk_sign_in" }
end

local function condition(field, value)
  local fc = new("FilterCondition")
  fc:setField(field)
  fc:setCondition(new("Condition", "IS_EQUAL_TO"))
  fc:setValue(value)
  return fc
end

-- the customer of the billing entity itself, with the address to write to
local function operator(beUUID)
  local sf = new("SearchFilter")
  sf:addCondition(condition("status", { "ADMIN" }))
  sf:addCondition(condition("billingentityuuid", { beUUID }))
  local found = adminAPI:listResources(sf, nil, new("ResourceType", "CUSTOMER")):getList()
  return found:get(0)
end

function desk_report(p)
  if (p == nil) then
    return { ref = "desk_report", name = "Report", description = "to all billing entities", triggerType = "SCHEDULED",
      schedule = { start = { hour = 7 }, frequency = { HOUR = 24 } }, api = "TRIGGER", version = 1 }
  end
  local entities = adminAPI:runListQuery(nil, nil, "BILLING_ENTITY")
  while entities:hasNext() do
    local be = entities:next()
    local own = operator(be:getResourceUUID())
    local sf = new("SearchFilter")
    sf:addCondition(condition("billingEntityUUID", { be:getResourceUUID() }))
    sf:addCondition(condition("status", { "ACTIVE" }))
    local customers = adminAPI:listResources(sf, nil, new("ResourceType", "CUSTOMER")):getTotalCount()
    local user = own:getUsers():get(0)
    -- what the billing entity's own people may see for themselves
    userAPI:setSessionUser(user:getEmail() .. "/" .. own:getResourceUUID())
    local servers = userAPI:listResources(nil, nil, new("ResourceType", "SERVER")):getTotalCount()
    local mail = new("FDLEmailHelper")
    mail(user:getEmail(), "cloud@example.net", "cloud@example.net", nil, nil, be:getResourceName() .. ": " .. customers .. " customers",
      "Dear " .. own:getResourceName() .. " of " .. own:getAddress():getAddress3() .. ", there are " .. servers .. " servers.", nil)
    local key = new("ResourceKey")
    key:setName("DESK_REPORTED")
    key:setValue(customers)
    key:setType(new("ResourceKeyType", "BILLING_ENTITY_KEY"))
    adminAPI:addKey(own:getResourceUUID(), key)
  end
  return { exitState = "SUCCESS" }
end

function desk_calls(p)
  if (p == nil) then
    return { ref = "desk_calls", name = "Calls", description = "of the staff", triggerType = "POST_ADMIN_API_CALL",
      triggerOptions = { "ANY" }, api = "TRIGGER", version = 1 }
  end
  for _, word in ipairs({ "list", "get", "doQuery", "isPermitted", "checkPermissions" }) do
    if (new("Utils"):stringStartsWith(p.triggerOption, word)) then return { exitState = "CONTINUE" } end
  end
  print(p.triggerOption .. " by " .. p.user:getEmail() .. " for " .. p.customer:getResourceName() .. " ("
    .. p.customer:getStatus():toString() .. ") at " .. p.customer:getBillingEntityName())
  return { exitState = "SUCCESS" }
end

function desk_sign_in(p)
  if (p == nil) then
    return { ref = "desk_sign_in", name = "Sign-ins", description = "of the staff", triggerType = "PRE_AUTH", triggerOptions = { "ANY" },
      api = "TRIGGER", version = 1 }
  end
  if (p.customer:getStatus() == new("Status", "ADMIN") and p.customer:getUsers():get(0):getEmail() ~= p.user:getEmail()) then
    return { exitState = "FAILURE" }
  end
  return { exitState = "SUCCESS" }
end
