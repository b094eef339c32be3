--[[ FDLINFO { "NAME": "Onboarding", "VERSION": "1.4" } ]]
-- What is created gets the metadata that the configuration management of its guests reads, and the disk its tier.
function register()
  return { "onboarding_customer", "onboarding_server", "onboarding_report" }
end

local function descriptor(ref, kind, option)
  return { ref = ref, name = ref, description = "", priority = -8000, triggerType = kind, triggerOptions = { option }, api = "TRIGGER", version = 1 }
end

local function tier(resource, value)
  local key = new("ResourceKey")
  key:setName("TIER")
  key:setValue(value)
  key:setType(new("ResourceKeyType", "BILLING_ENTITY_KEY"))
  resource:getResourceKey():add(key)
end

function onboarding_customer(p)
  if p == nil then return descriptor("onboarding_customer", "PRE_CREATE", "CUSTOMER") end
  local metadata = new("ResourceMetadata")
  metadata:setPrivateMetadata("<CONFIG><crm>" .. p.customer:getResourceName() .. "</crm></CONFIG>")
  p.input:setResourceMetadata(metadata)
  p.input:setOrganisationName(p.input:getResourceName() .. " Ltd")
  tier(p.input, "gold")
  return { exitState = "SUCCESS" }
end

function onboarding_server(p)
  if p == nil then return descriptor("onboarding_server", "PRE_CREATE", "SERVER") end
  local metadata = p.input:getResourceMetadata()
  if metadata == nil then
    metadata = new("ResourceMetadata")
    p.input:setResourceMetadata(metadata)
  end
  if p.input:getResourceName() == "broken" then
    metadata:setPublicMetadata("<CONFIG>")
  else
    metadata:setPublicMetadata("<CONFIG><role>web</role></CONFIG>")
  end
  tier(p.input:getDisks():get(0), "ssd")
  return { exitState = "SUCCESS" }
end

function onboarding_report(p)
  if p == nil then
    local d = descriptor("onboarding_report", "SCHEDULED", "ANY")
    d.schedule = { start = { HOUR = 23, MINUTE = 59, SECOND = 59 }, frequency = { HOUR = 24 } }
    return d
  end
  local utils = new("Utils")
  local function named(kind, field, value)
    local filter, names = new("SearchFilter"), {}
    filter:addCondition(utils:createFilterCondition(field, "IS_EQUAL_TO", { value }))
    local found = adminAPI:runListQuery(filter, nil, kind)
    while found:hasNext() do table.insert(names, found:next():getResourceName()) end
    print(kind, field, table.concat(names, ","))
  end
  named("DISK", "server.status", "RUNNING")
  named("DISK", "server.customer.resourcekey.value", "gold")
  named("DISK", "resourcekey.value", "ssd")
  named("SERVER", "customer.organisationName", "Acme Ltd")
  named("SERVER", "image.size", "1")
  named("JOB", "user.email", "nobody@example.org")
  local filter = new("SearchFilter")
  local server = adminAPI:listResources(filter, nil, new("ResourceType", "SERVER")):getList():get(0)
  print(server:getResourceMetadata():getPublicMetadata(), server:getCustomer())
  local customer = adminAPI:getResource(server:getCustomerUUID(), true)
  print(customer:getResourceMetadata():getPrivateMetadata(), customer:getOrganisationName())
  return { exitState = "SUCCESS" }
end
