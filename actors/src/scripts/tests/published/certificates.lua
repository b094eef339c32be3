-- Certificates: the authority's figures are read-only in the form, and set by what renews and advertises them.

function register() return { "cert_provider", "cert_offers" } end

function cert_provider(p)
  return {
    ref = "cert_provider", name = "Certificate", description = "", version = 1, api = "PLUGGABLE_PROVIDER", providerType = "CERT", providerGroup = "FCO_EXTENSION",
    createFunction = { executionFunction = "cert_create" }, modifyFunction = { executionFunction = "cert_modify" }, advertiseFunction = { executionFunction = "cert_advertise" },
    productComponentTypes = { { name = "Certificate", referenceField = "cert", optional = false, configurableList = {
      { key = "cn", name = "Name", required = true }, { key = "expires", name = "Until", readOnly = true } } } },
    actionFunctions = { { key = "RENEW", name = "Renew", returnType = "STRING", executionFunction = "cert_renew", synchronous = true, order = 1 } },
  }
end

local function done() return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" } end

function cert_create(p) p.resource:getResourceValues():put("expires", "2015-06-01") return done() end

function cert_modify(p)
  print("modify until " .. p.resourceValues.expires)
  return done()
end

function cert_advertise(p)
  local k = new("ResourceKey")
  k:setName("CERT") k:setValue(p.resourceValues.cn) k:setType(new("ResourceKeyType", "ADVERTISE_KEY"))
  local keys = adminAPI:addKey(p.resource:getResourceUUID(), k):getResourceKey()
  print(keys:size(), keys:get(0):getType():name())
  return done()
end

function cert_renew(p)
  local dates = new("FDLDateHelper")
  local values = p.resource:getResourceValues()
  values:put("expires", dates:getString(dates:addDays(dates:getTimestamp(values:get("expires"), "yyyy-MM-dd"), 365), "yyyy-MM-dd"))
  local job = adminAPI:waitForJob(adminAPI:modifyPluggableResource(p.resource, nil):getResourceUUID(), true)
  return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = job:getStatus():name() .. " " .. adminAPI:getResource(p.resource:getResourceUUID(), false):getResourceValues():get("expires") }
end

-- What there is to be bought of each kind, and who stands by whose name.
function cert_offers(p)
  if p == nil then return { ref = "cert_offers", name = "Offers", description = "", triggerType = "SCHEDULED", schedule = { frequency = { HOUR = 24 } }, api = "TRIGGER", version = 1 } end
  local function list(kind, field, value)
    local filter = new("SearchFilter")
    filter:addCondition(new("Utils"):createFilterCondition(field, "IS_EQUAL_TO", value))
    return adminAPI:listResources(filter, nil, new("ResourceType", kind)):getList()
  end
  for _, kind in ipairs { "SERVER", "DISK", "NETWORK" } do
    local offers = list("PRODUCTOFFER", "productAssociatedType", kind)
    print(kind, offers:size(), offers:size() > 0 and offers:get(0):getProductAssociatedType():name())
  end
  print(list("SERVER", "customer.resourceName", "Customer"):size(), list("SERVER", "vdc.resourceName", "Customer"):size(), list("SERVER", "image.resourceName", "nothing"):size())
  return { exitState = "SUCCESS" }
end
