--[[ FDLINFO : { "NAME" : "Credit warning", "VERSION" : "0.9.1" } ]]
-- Mails customers and posts to chat when units run low; keeps a marker key so that nobody is told twice a day.
function register()
  return {"credit_warning"}
end

function credit_warning(p)
  if (p == nil) then
    return {
      ref = "credit_warning",
      name = "#__TRIGGER_CREDIT_WARNING_NAME",
      description = "#__TRIGGER_CREDIT_WARNING_DESCRIPTION",
      triggerType = "SCHEDULED",
      triggerOptions = {"ANY"},
      schedule = { frequency = { minutes = 30 } },
      api = "TRIGGER",
      version = 1,
    }
  end
  local json = new("JSON")
  local dateHelper = new("FDLDateHelper")
  local today = dateHelper:getString(p.timeStamp, "yyyy-MM-dd")
  local searchFilter = new("SearchFilter")
  searchFilter:addCondition(getFilterCondition("creditcustomer", {"PREPAY", "INVOICE"}, "IS_EQUAL_TO"))
  searchFilter:addCondition(getFilterCondition("status", {"ACTIVE", "ADMIN"}))
  searchFilter:addCondition(getFilterCondition("resourcekey.name", {"CREDIT_TOLD_" .. today}, "IS_NOT_EQUAL_TO"))
  local limit = new("QueryLimit")
  limit:setMaxRecords(2)
  limit:setLoadChildren(true)
  local order = new("OrderedField")
  order:setFieldName("resourceName")
  order:setSortOrder(new("ResultOrder", "DESC"))
  limit:getOrderBy():add(order)
  local it = adminAPI:runListQuery(searchFilter, limit, "CUSTOMER")
  local told = {}
  while it:hasNext() do
    local c = it:next()
    local balance = (c:getCarryOverBalance() or 0) + (c:getNonCarryOverBalance() or 0)
    local level = c:getWarningLevel() or 0
    if balance <= level then
      local users = c:getUsers()
      for i = 0, users:size() - 1 do
        local u = users:get(i)
        table.insert(told, { customer = c:getResourceName(), email = u:getEmail(), balance = balance, admin = u:isAdmin() })
      end
      local key = new("ResourceKey")
      key:setName("CREDIT_TOLD_" .. today)
      key:setValue(balance)
      adminAPI:addKey(c:getResourceUUID(), key)
    end
  end
  local c = new("simplehttp"):newConnection({url = "https://chat.example.net/hook", enable_cookie = false, ssl_verify = false})
  c:setRequestHeaders({["Content-Type"] = "application/json"})
  local answer = ""
  if c:post(json:encode({ text = "low credit", total = table.maxn(told), who = told }), function(chunk) answer = answer .. chunk return true end) then
    print("chat answered " .. c:getHTTPStatusCode())
  else
    local code, err = c:getLastError()
    print("chat failed " .. tonumber(code) .. " " .. err)
  end
  c:disconnect()
  return { exitState = "SUCCESS" }
end

function getFilterCondition(field, value, condition)
  local fc = new("FilterCondition")
  fc:setField(field)
  fc:setValue(value)
  if condition ~= nil then fc:setCondition(new("Condition", condition)) end
  return fc
end
