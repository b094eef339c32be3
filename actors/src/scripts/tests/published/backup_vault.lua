--[[ FDLINFO { "NAME": "Backup vault", "VERSION": "1.4.2" } ]]

function register()
  return { "vault_provider", "vault_billing", "vault_widget" }
end

local PROVIDER = "BACKUP_VAULT"

------------------------------------------------------------------ provider

function vault_provider(p)
  if p == nil then
    return {
      ref = "vault_provider",
      name = "#__BACKUP_VAULT_NAME",
      description = "#__BACKUP_VAULT_DESCRIPTION",
      providerType = PROVIDER,
      providerGroup = "FCO_EXTENSION",
      measurementFunctions = { "vault_measure" },
      triggerFunctions = { "vault_pre_create", "vault_pre_modify", "vault_deleted", "vault_clean_up" },
      api = "CONFIG_PROVIDER",
      version = 1,
      resourceConfigs = {
        {
          associatedResourceType = "BILLING_ENTITY",
          userWithBilling = false,
          productComponentTypes = {
            {
              resourceName = "Vault service",
              referenceField = "SERVICE",
              configurableList = {
                { key = "url", name = "URL", description = "Where the vault is", required = false, readOnly = true },
                { key = "group", name = "Group", description = "Group of accounts", required = false, readOnly = true },
              },
              actionFunctions = {
                {
                  key = "LINK", name = "Link account", description = "Links the vault", returnType = "FUNCTION",
                  executionFunction = "vault_link", order = 1, synchronous = true,
                  parameters = {
                    { key = "url", name = "URL", description = "", required = true, validator = { validatorType = "REGEX", validatorString = "^https?://.+$", errorMessage = "A web address, please" } },
                    { key = "user", name = "User", description = "", required = true },
                    { key = "secret", name = "Password", description = "", required = true, validator = { validatorType = "PASSWORD" } },
                    { key = "group", name = "Group", description = "", required = true, defaultValue = "default" },
                  },
                },
                {
                  key = "UNLINK", name = "Unlink account", description = "Forgets the vault", returnType = "FUNCTION",
                  executionFunction = "vault_unlink", order = "2", synchronous = true,
                  parameters = { { key = "confirm", name = "Sure?", description = "", hidden = true, required = true, validator = { validatorType = "ENUM", validateString = "TRUE" } } },
                },
              },
            },
          },
        },
        {
          associatedResourceType = "SERVER",
          useWithBilling = false,
          productComponentTypes = {
            {
              resourceName = "Vault of a server",
              referenceField = "CONFIG",
              configurableList = {
                { key = "enabled", name = "Enabled", description = "", required = true, defaultValue = "FALSE", validator = { validatorType = "ENUM", validateString = "TRUE,FALSE" } },
                { key = "frequency", name = "Frequency", description = "", required = true, defaultValue = "24", measureType = "HOUR", validator = { validatorType = "ENUM", validateString = "2,4,6,12,24" } },
                { key = "password", name = "Password", description = "", required = false, defaultValue = "", validator = { validatorType = "PASSWORD" } },
              },
              actionFunctions = {
                {
                  key = "DETAILS", name = "Show details", description = "", returnType = "DIALOGUE",
                  executionFunction = "vault_details", order = 1, synchronous = true, parameters = {},
                },
                {
                  key = "AGENT", name = "Download set-up script", description = "", returnType = "URL_POPUP",
                  executionFunction = "vault_agent", order = 2, synchronous = true,
                  parameters = { { key = "os", name = "System", description = "", required = true, defaultValue = "linux", validator = { validatorType = "ENUM", validateString = "linux,windows" } } },
                },
              },
            },
          },
        },
      },
    }
  end
end

local function failed(code, text)
  return { returnCode = "FAILED", errorCode = code, errorString = text }
end

local function done(kind, content)
  return { returnCode = "SUCCESSFUL", returnType = kind, returnContent = content }
end

function vault_request(map, method, path, body)
  local simplehttp, json = new("simplehttp"), new("JSON")
  local connection = simplehttp:newConnection({ enable_cookie = true, ssl_verify = false })
  local text = ""
  local function collect(piece)
    text = text .. piece
    return true
  end
  connection:setURL(map:get("url") .. path)
  connection:setBasicAuth(map:get("user"), map:get("secret"))
  connection:setRequestHeaders({ ["Content-Type"] = "application/json", ["X-Group"] = map:get("group") })
  local ok
  if method == "POST" then
    ok = connection:post(json:encode(body or {}), collect)
  elseif method == "DELETE" then
    ok = connection:delete(collect)
  else
    ok = connection:get(collect)
  end
  if not ok then
    local code, message = connection:getLastError()
    connection:disconnect()
    return nil, tonumber(code), "" .. message
  end
  local status = connection:getHTTPStatusCode()
  connection:disconnect()
  if status >= 300 then
    return nil, status, "HTTP " .. status
  end
  local fine, decoded = pcall(json.decode, json, text)
  return fine and decoded or {}, status
end

function vault_link(p)
  local map = new("Map")
  for _, key in ipairs({ "url", "user", "secret", "group" }) do
    map:put(key, p.parameters[key])
  end
  local answer, code, text = vault_request(map, "GET", "/whoami")
  if answer == nil then
    return failed(code, text)
  end
  dataStore:resetPrivateDataMap(p.resource:getResourceUUID(), map)
  local public = new("Map")
  public:put("url", map:get("url"))
  public:put("group", map:get("group") .. "/" .. answer.tenants[1].id)
  adminAPI:updateConfigurationProviderValues(p.resource:getResourceUUID(), PROVIDER, public)
  map:put("secret", "edited afterwards")
  return done("FUNCTION", new("Utils"):createRefreshFunctionActionContent(true, translate.string("#__LINKED", answer.name, #answer.tenants), "SUCCESS"))
end

function vault_unlink(p)
  dataStore:resetPrivateDataMap(p.resource:getResourceUUID(), nil)
  adminAPI:updateConfigurationProviderValues(p.resource:getResourceUUID(), PROVIDER, nil)
  return done("FUNCTION", new("Utils"):createRefreshFunctionActionContent(true))
end

function vault_details(p)
  local own = dataStore:getPrivateDataMap(p.resource:getResourceUUID())
  local values = p.resource:getProviderValues(PROVIDER)
  return done("DIALOGUE", new("Utils"):createDisplayDialogueActionContent({
    { key = "1", name = "Frequency", value = values:get("frequency") .. " " .. translate.measureType("HOUR"), readOnly = true },
    { key = "2", name = "Password", value = own ~= nil and own:get("password") ~= nil and "set" or "none", readOnly = true },
  }, "Vault", "Of " .. p.resource:getResourceName(), "FONT_ICON_LOCK"))
end

function vault_agent(p)
  local seller = adminAPI:getResource(p.resource:getBillingEntityUUID(), false)
  local blob = new("FDLHashHelper"):getNamedUUID("_skyline/blobs/agent-" .. p.parameters.os .. ".sh")
  local headers = new("JSON"):encode({ ["Content-Disposition"] = "attachment" })
  local url = (seller:getControlPanelURL() or "") .. "/rest/open/current/resources/blob/" .. blob .. "/download?headers=" .. new("simplehttp").URLEncode(headers)
  return done("URL_POPUP", new("Utils"):createURLActionContent("GET", url, nil))
end

------------------------------------------------------------------ triggers of the provider

function vault_hide(server)
  local values = server:getProviderValues(PROVIDER)
  if values == nil or values:get("password") == nil then
    return
  end
  local password = values:get("password")
  if password == "" or string.find(password, "^%*+$") then
    return
  end
  local own = dataStore:getPrivateDataMap(server:getResourceUUID()) or new("Map")
  own:put("password", password)
  dataStore:resetPrivateDataMap(server:getResourceUUID(), own)
  values:put("password", string.gsub(password, ".", "*") .. "")
end

function vault_pre_create(p)
  if p == nil then
    return { ref = "vault_pre_create", name = "Hides passwords", description = "", priority = -8000, triggerType = "PRE_CREATE", triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1 }
  end
  vault_hide(p.input)
  return { exitState = "SUCCESS" }
end

function vault_pre_modify(p)
  if p == nil then
    return { ref = "vault_pre_modify", name = "Hides passwords", description = "", priority = -8000, triggerType = "PRE_MODIFY", triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1 }
  end
  vault_hide(p.input)
  return { exitState = "SUCCESS" }
end

function vault_deleted(p)
  if p == nil then
    return { ref = "vault_deleted", name = "Empties the vault", description = "", priority = 0, triggerType = "POST_SERVER_STATE_CHANGE", triggerOptions = { "DELETING" }, api = "TRIGGER", version = 1 }
  end
  local link = dataStore:getPrivateDataMap(p.beUUID)
  if link == nil then
    return { exitState = "CONTINUE" }
  end
  vault_request(link, "DELETE", "/vaults/" .. p.input:getResourceUUID())
  dataStore:resetPrivateDataMap(p.input:getResourceUUID(), nil)
  return { exitState = "SUCCESS" }
end

function vault_clean_up(p)
  if p == nil then
    return { ref = "vault_clean_up", name = "Clean-up", description = "", priority = 0, triggerType = "SCHEDULED", triggerOptions = { "ANY" }, schedule = { start = { HOUR = 23, MINUTE = 59, SECOND = 59 }, frequency = { HOUR = 24 } }, api = "TRIGGER", version = 1 }
  end
  return { exitState = "CONTINUE" }
end

------------------------------------------------------------------ measurement and billing

function vault_measure(p)
  if p == nil then
    return {
      ref = "vault_measure", name = "Vault", description = "", associatedType = "SERVER", api = "MEASURE", version = 1,
      measuredValues = { { key = "size", name = "Size", description = "", measureType = "GB" } },
    }
  end
  local link = dataStore:getPrivateDataMap(p.resource:getBillingEntityUUID())
  if link == nil then
    return {}
  end
  local answer = vault_request(link, "GET", "/vaults/" .. p.resource:getResourceUUID())
  return { { key = "size", value = answer and tonumber(answer.bytes) / 1024 ^ 3 or 0 } }
end

function vault_billing(p)
  if p == nil then
    return {
      ref = "vault_billing", name = "Vault", description = "", api = "BILLING", version = 1,
      permittedPCT = { PROVIDER .. "_CONFIG" },
      configuredValues = {
        { key = "price", name = "Units for a GB", description = "", required = true, validator = { validatorType = "NUMERIC_DOUBLE", validateString = "0-1000" } },
      },
    }
  end
  local measured = p.measureComp:getMAXMeasureBetween(p.lastBillingTime, p.currentBillingTime, "providers." .. PROVIDER .. ".size")
  if measured == nil then
    return { { units = 0, description = translate.string("LBL_NO_CHARGE") } }
  end
  local size = measured:get("providers." .. PROVIDER .. ".size")
  local unit = size:getMeasurementType():name()
  local gb = size:getMeasurement() * convert_mtype(unit, "GB")
  return { { units = -(gb * p.billingComp:getBillingValue("price"):getValue()), description = new("Utils"):roundNumber(gb, 1) .. " GB in the vault" } }
end

------------------------------------------------------------------ widget

function vault_widget(p)
  if p == nil then
    local helper = new("FDLCustomWidgetHelper")
    return {
      ref = "vault_widget", name = "Vault widget", description = "", api = "PLUGGABLE_PROVIDER", version = 1,
      providerType = "VAULT_WIDGET", providerGroup = "SKYLINE_CUSTOM_WIDGET", providerIcon = "FONT_ICON_RETWEET",
      createFunction = { executionFunction = "vault_widget_create", invocationLevel = { "BE" } },
      modifyFunction = { executionFunction = "vault_widget_modify", invocationLevel = { "BE" } },
      deleteFunction = { executionFunction = "vault_widget_delete" },
      productComponentTypes = {
        {
          name = "Widget", referenceField = "WIDGET", optional = false,
          configurableList = {
            helper:getRefreshTimeValueDefinition(false),
            helper:getResourceDescriptionValueDefinition(false),
            helper:getResourceIconValueDefinition(false),
            { key = "CSS", name = "CSS", description = "", required = false, dataContent = "CODEMIRROR:CSS", validator = { validatorType = "BIG_TEXT" } },
          },
        },
      },
      actionFunctions = { helper:getContentActionDefinition("vault_widget_content", { "BE", "CUSTOMER" }, nil, true) },
    }
  end
end

function vault_widget_create(p)
  if p.resourceValues.CSS == "bad" then
    return { returnCode = "FAILED", errorCode = 400, errorString = "No such style", success = false }
  end
  new("FDLCustomWidgetHelper"):createIconBlob(p, true)
  return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
end

function vault_widget_modify(p)
  new("FDLCustomWidgetHelper"):modifyIconBlob(p, true)
  return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
end

function vault_widget_delete(p)
  new("FDLCustomWidgetHelper"):deleteIconBlob(p, true)
  return { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
end

function vault_widget_content(p)
  local rows, total = "", 0
  local filter = new("SearchFilter")
  filter:addCondition(new("Utils"):createFilterCondition("status", "IS_NOT_EQUAL_TO", "DELETING"))
  local servers = adminAPI:runListQuery(filter, nil, "SERVER")
  while servers:hasNext() do
    local server = servers:next()
    local values = server:getProviderValues()
    if values:get(PROVIDER) ~= nil and values:get(PROVIDER):get("enabled") == "TRUE" then
      total = total + 1
      rows = rows .. "<li>" .. server:getResourceName() .. "</li>"
    end
  end
  return {
    returnCode = "SUCCESSFUL", returnType = "STRING",
    returnContent = new("FDLCustomWidgetHelper"):createGetContentOutput(p.resource:getResourceValues():get("CSS"), "<ul>" .. rows .. "</ul>" .. total, nil),
  }
end
