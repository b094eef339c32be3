-- Direct debits: collected days later, so a payment is under way until the bank's list of the day says more.

function register() return { "direct_debit", "direct_debit_list" } end

function direct_debit(p)
  return {
    ref = "direct_debit", fdlPaymentRef = "DEBIT", name = "Direct debit", description = "", api = "PAYMENT_PROVIDER", version = 1,
    pmConfigurableList = { { key = "creditor", name = "Creditor", required = true } },
    pmiConfigurableList = { { key = "iban", name = "IBAN", required = true } },
    makePaymentFunction = "debit_pay",
  }
end

function debit_pay(p)
  local t = p.transaction
  if not p.resumed then
    t:setProviderReference("DD-" .. p.invoice:getInvoiceNo())
    t:setPublicData("will be collected from " .. p.instanceValues.iban)
    t:setState(new("TransactionState", "INPROGRESS"))
    return { returnCode = "SUCCESSFUL" }
  end
  local list = dataStore:getPrivateDataMap("list") or new("Map")
  local word = list:get(t:getProviderReference())
  print("resumed as " .. t:getState():name() .. ", the bank says " .. tostring(word))
  if word == "paid" then t:setState(new("TransactionState", "SUCCESS"))
  elseif word == "returned" then t:setState(new("TransactionState", "FAILURE")) t:setErrorCode("MD06") t:setErrorReason("returned by the bank")
  else t:setState(new("TransactionState", "INPROGRESS")) end
  return { returnCode = "SUCCESSFUL" }
end

-- Takes the list as a key of the seller, asks again about all that is under way.
function direct_debit_list(p)
  if p == nil then return { ref = "direct_debit_list", name = "List", description = "", triggerType = "SCHEDULED", schedule = { frequency = { HOUR = 24 } }, api = "TRIGGER", version = 1 } end
  local map = new("Map")
  local keys = adminAPI:getResource(p.beUUID, false):getResourceKey():iterator()
  while keys:hasNext() do local k = keys:next() map:put(k:getName(), k:getValue()) end
  dataStore:resetPrivateDataMap("list", map)
  local utils, filter = new("Utils"), new("SearchFilter")
  filter:addCondition(utils:createFilterCondition("state", "IS_EQUAL_TO", "INPROGRESS"))
  filter:addCondition(utils:createFilterCondition("transactionFunction", "IS_EQUAL_TO", "MAKE_PAYMENT"))
  local under_way = adminAPI:listResources(filter, nil, new("ResourceType", "TRANSACTION")):getList()
  for i = 0, under_way:size() - 1 do
    local t = under_way:get(i)
    local job = adminAPI:waitForJob(adminAPI:resumeTransaction(t:getResourceUUID(), nil):getResourceUUID(), true)
    print(t:getProviderReference() .. " " .. t:getPaymentAmount() .. " " .. job:getStatus():name() .. " " .. adminAPI:getResource(t:getResourceUUID(), false):getState():name())
  end
  return { exitState = "SUCCESS" }
end
