--[[ FDLINFO = { "NAME": "Storage accounts", "VERSION": "1.1" } ]]
-- A storage service: a customer gets an account of its own when the job that creates the customer is done, and each of its
-- users a login. Failed payments go to the desk.

STORAGE = "STORAGE_SERVICE"

function register() return { "storage_provider", "storage_desk", "storage_hook" } end

function storage_provider(p)
  return {
    ref = "storage_provider", name = "Storage", description = "", version = 1, api = "CONFIG_PROVIDER", providerType = STORAGE, providerGroup = "FCO_EXTENSION",
    triggerFunctions = { "storage_account", "storage_login" },
    resourceConfigs = { { associatedResourceType = "CUSTOMER", useWithBilling = false, productComponentTypes = { {
      resourceName = "Account", referenceField = "account", configurableList = { { key = "account", name = "Account", readOnly = true } } } } } },
  }
end

local function trigger(name, kind, options)
  return { ref = name, name = name, description = "", priority = 0, triggerType = kind, triggerOptions = options, api = "TRIGGER", version = 1 }
end

function storage_account(p)
  if p == nil then return trigger("storage_account", "POST_JOB_STATE_CHANGE", { "SUCCESSFUL" }) end
  local job = p.input
  if job:getJobType() ~= new("JobType", "CREATE_CUSTOMER") or job:getStatus() ~= new("JobStatus", "SUCCESSFUL") then return { exitState = "CONTINUE" } end
  local customer = adminAPI:getResource(job:getItemUUID(), true)
  local values = new("Map")
  values:put("account", "acc-" .. string.lower(customer:getResourceName()))
  adminAPI:updateConfigurationProviderValues(customer:getResourceUUID(), STORAGE, values)
  print(job:getItemType():name(), job:getItemName(), job:getCustomerUUID() == customer:getResourceUUID(), job:getBillingEntityName(), tostring(job:getErrorCode()), job:getEndTime() ~= nil)
  return { exitState = "SUCCESS" }
end

function storage_login(p)
  if p == nil then return trigger("storage_login", "POST_JOB_STATE_CHANGE", { "ANY" }) end
  local kind = p.input:getJobType():name()
  if kind == "CREATE_PRODUCT_OFFER" then print(kind .. " of " .. p.input:getCustomerName() .. ", " .. p.customer:getStatus():name()) return { exitState = "SUCCESS" } end
  if kind ~= "CREATE_USER" and kind ~= "DELETE_USER" then return { exitState = "CONTINUE" } end
  print(kind, p.triggerOption, p.input:getItemName(), p.input:getCustomerName(), p.input:getUserName())
  return { exitState = "SUCCESS" }
end

function storage_desk(p)
  if p == nil then return trigger("storage_desk", "POST_JOB_STATE_CHANGE", { "FAILED" }) end
  print(p.input:getJobType():name(), p.input:getStatus():name(), p.input:getItemType():name() .. " " .. p.input:getItemName(), p.input:getErrorCode(), p.input:getInfo(), p.input:getCustomerName())
  return { exitState = "SUCCESS" }
end

function storage_hook(p)
  if p == nil then return trigger("storage_hook", "PRE_CREATE", { "USER", "BLOB" }) end
  if p.triggerOption == "USER" then
    p.input:setFirstName((p.input:getFirstName():gsub("^%l", string.upper)))
    p.input:setEmail(string.upper(p.input:getEmail()))
    if p.input:getLastName() == "Nobody" then p.input:setLastName("") end
  else
    p.input:setResourceName("storage-" .. p.input:getResourceName())
    p.input:setPublicResource(true)
  end
  return { exitState = "SUCCESS" }
end
