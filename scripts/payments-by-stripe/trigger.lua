--[[ {"FDLINFO": {"NAME": "Payments by Stripe", "VERSION": "1.0.0"}} ]]

local STRIPE = "https://api.stripe.com"

function register()
  return { "stripe" }
end

function stripe(p)
  return {
    ref = "stripe",
    name = "Stripe",
    description = "Takes cards and whatever else Stripe takes",
    api = "PAYMENT_PROVIDER",
    version = 1,
    -- What a seller fills in once.
    pmConfigurableList = {
      {
        key = "secret_key",
        name = "Secret key",
        description = "Made in Stripe's dashboard under Developers, API keys",
        required = true,
        validator = { validatorType = "PASSWORD" },
      },
      { key = "statement", name = "Text on card statements", validator = { validatorType = "REGEX", validateString = ".{5,22}" } },
    },
    -- What a customer fills in. A page with Stripe's own form makes the payment method, so card numbers never come here.
    pmiConfigurableList = {
      { key = "payment_method", name = "Stripe's payment method", required = true,
        validator = { validatorType = "REGEX", validateString = "pm_[A-Za-z0-9_]+" } },
      { key = "customer", name = "Stripe's customer", readOnly = true, hidden = true },
    },
    paymentFunctions = {
      REGISTER_PAYMENT_METHOD = "check_key",
      UPDATE_PAYMENT_METHOD = "check_key",
      SELF_TEST = "check_key",
      REGISTER_PAYMENT_INSTANCE = "attach",
      REMOVE_PAYMENT_INSTANCE = "detach",
      MAKE_PAYMENT = "pay",
      REFUND_PAYMENT = "refund",
      REFUND_TRANSACTION = "refund",
      CANCEL_TRANSACTION = "cancel",
    },
  }
end

local DONE = { returnCode = "SUCCESSFUL" }

-- Asks Stripe. Answers what it said, or a refusal to return. What Stripe may have done without telling raises: then the
-- function is called again with the same key, and Stripe does it once.
local function ask(p, method, path, form)
  local options = { headers = { Authorization = "Bearer " .. p.methodValues.secret_key } }
  if method == "post" then
    options.form = form
    -- A transaction may ask for several things, each of them once.
    options.headers["Idempotency-Key"] = p.idempotencyKey .. path
  end
  local answer = http[method](STRIPE .. path, options)
  if answer.ok then return answer.json(), nil end
  if answer.status == 409 or answer.status == 429 or answer.status >= 500 then
    error("Stripe answered " .. answer.status)
  end
  local said = answer.json().error or {}
  return nil, {
    returnCode = "FAILED",
    errorCode = said.decline_code or said.code or tostring(answer.status),
    errorString = said.message or "Stripe refused",
  }
end

function check_key(p)
  local _, refusal = ask(p, "get", "/v1/payment_intents?limit=1")
  return refusal or DONE
end

function attach(p)
  local customer, refusal = ask(p, "post", "/v1/customers", {
    description = p.customer:getResourceName(),
    ["metadata[customer]"] = p.customer:getResourceUUID(),
  })
  if refusal then return refusal end
  local path = "/v1/payment_methods/" .. p.instanceValues.payment_method .. "/attach"
  local _, refused = ask(p, "post", path, { customer = customer.id })
  if refused then return refused end
  -- Kept with the customer's card, for payments.
  return { returnCode = "SUCCESSFUL", values = { customer = customer.id } }
end

function detach(p)
  local path = "/v1/payment_methods/" .. p.instanceValues.payment_method .. "/detach"
  local _, refusal = ask(p, "post", path, {})
  return refusal or DONE
end

-- What a payment intent's status means for the transaction.
local function settle(p, intent)
  p.transaction:setProviderReference(intent.id)
  if intent.status == "succeeded" then return DONE end
  -- Bank debits take days; resume the transaction to look again.
  if intent.status == "processing" then return { state = "INPROGRESS" } end
  if intent.status == "requires_action" then
    local go = intent.next_action and intent.next_action.redirect_to_url
    if go then p.transaction:setInteractiveURL(go.url) end
    return { state = "AWAITINGINTERACTIVEINPUT" }
  end
  local why = intent.last_payment_error or {}
  return { returnCode = "FAILED", errorCode = why.code or intent.status, errorString = why.message or "Stripe did not take the payment" }
end

function pay(p)
  if p.resumed then
    local intent, refusal = ask(p, "get", "/v1/payment_intents/" .. p.transaction:getProviderReference())
    return refusal or settle(p, intent)
  end
  local there = p.transaction:getAllowInteractive() and p.returnURL
  local intent, refusal = ask(p, "post", "/v1/payment_intents", {
    -- A whole number of the smallest coin, as Stripe counts.
    amount = string.format("%d", p.amountMinor),
    currency = p.currency:lower(),
    customer = p.instanceValues.customer,
    payment_method = p.instanceValues.payment_method,
    confirm = "true",
    off_session = there and "false" or "true",
    return_url = there or nil,
    description = p.transaction:getMerchantDescription() or ("Invoice " .. p.invoice:getInvoiceNo()),
    statement_descriptor_suffix = p.methodValues.statement,
    ["metadata[transaction]"] = p.transaction:getResourceUUID(),
  })
  return refusal or settle(p, intent)
end

function refund(p)
  local back, refusal = ask(p, "post", "/v1/refunds", {
    payment_intent = p.linkedTransaction:getProviderReference(),
    amount = string.format("%d", p.amountMinor),
    ["metadata[transaction]"] = p.transaction:getResourceUUID(),
  })
  if refusal then return refusal end
  p.transaction:setProviderReference(back.id)
  if back.status == "failed" or back.status == "canceled" then
    return { returnCode = "FAILED", errorString = "Stripe ended the refund as " .. back.status }
  end
  return DONE
end

function cancel(p)
  local reference = p.linkedTransaction:getProviderReference()
  -- Nothing had reached Stripe.
  if not reference then return DONE end
  local _, refusal = ask(p, "post", "/v1/payment_intents/" .. reference .. "/cancel", {})
  return refusal or DONE
end
