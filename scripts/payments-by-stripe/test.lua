local function asked(more)
  local transaction = bean("Transaction", { resourceUUID = "t-1", allowInteractive = more.there or false })
  local p = {
    transaction = transaction,
    resource = transaction,
    customer = bean("Customer", { resourceUUID = "c-1", resourceName = "Ada Ltd" }),
    invoice = bean("Invoice", { invoiceNo = 7 }),
    methodValues = { secret_key = "sk_test_1" },
    instanceValues = { payment_method = "pm_1", customer = "cus_1" },
    parameters = {},
    idempotencyKey = "t-1-0",
    amount = "12.30",
    amountMinor = 1230,
    currency = "EUR",
    resumed = false,
  }
  for name, value in pairs(more) do p[name] = value end
  return p
end

function test_a_card_is_attached_to_a_customer_of_its_own()
  answer("http.post", { json = { id = "cus_9" } })
  answer("http.post", { json = { id = "pm_1" } })
  local said = attach(asked({}))
  equal(said, { returnCode = "SUCCESSFUL", values = { customer = "cus_9" } })
  equal(calls[1].url, "https://api.stripe.com/v1/customers")
  equal(calls[2].url, "https://api.stripe.com/v1/payment_methods/pm_1/attach")
  equal(calls[2].form, { customer = "cus_9" })
  assert(calls[1].headers["Idempotency-Key"] ~= calls[2].headers["Idempotency-Key"])
end

function test_an_invoice_is_paid_in_the_smallest_coin_under_its_own_key()
  answer("http.post", { json = { id = "pi_1", status = "succeeded" } })
  local p = asked({})
  equal(pay(p).returnCode, "SUCCESSFUL")
  equal(p.transaction:getProviderReference(), "pi_1")
  equal(calls[1].headers, { Authorization = "Bearer sk_test_1", ["Idempotency-Key"] = "t-1-0/v1/payment_intents" })
  local form = calls[1].form
  equal({ form.amount, form.currency, form.off_session, form.confirm }, { "1230", "eur", "true", "true" })
  equal(form.description, "Invoice 7")
end

function test_a_declined_card_is_a_refusal_with_its_reason()
  answer("http.post", { status = 402, json = { error = { code = "card_declined", decline_code = "insufficient_funds", message = "No funds." } } })
  equal(pay(asked({})), { returnCode = "FAILED", errorCode = "insufficient_funds", errorString = "No funds." })
end

function test_a_payment_that_may_have_been_made_is_asked_for_again()
  answer("http.post", { status = 500, json = {} })
  raises("Stripe answered 500", function() pay(asked({})) end)
end

function test_a_holder_is_sent_to_confirm_and_looked_for_afterwards()
  answer("http.post", { json = { id = "pi_2", status = "requires_action", next_action = { redirect_to_url = { url = "https://bank" } } } })
  local p = asked({ there = true, returnURL = "https://shop" })
  equal(pay(p), { state = "AWAITINGINTERACTIVEINPUT" })
  equal(p.transaction:getInteractiveURL(), "https://bank")
  equal({ calls[1].form.off_session, calls[1].form.return_url }, { "false", "https://shop" })
  answer("http.get", { json = { id = "pi_2", status = "succeeded" } })
  p.resumed = true
  equal(pay(p).returnCode, "SUCCESSFUL")
  equal(calls[2].url, "https://api.stripe.com/v1/payment_intents/pi_2")
end

function test_refunds_and_cancellations_name_what_they_are_of()
  local linked = bean("Transaction", { resourceUUID = "t-0", providerReference = "pi_1" })
  answer("http.post", { json = { id = "re_1", status = "succeeded" } })
  equal(refund(asked({ linkedTransaction = linked, amountMinor = 30 })).returnCode, "SUCCESSFUL")
  equal(calls[1].form, { payment_intent = "pi_1", amount = "30", ["metadata[transaction]"] = "t-1" })
  answer("http.post", { json = {} })
  equal(cancel(asked({ linkedTransaction = linked })).returnCode, "SUCCESSFUL")
  equal(calls[2].url, "https://api.stripe.com/v1/payment_intents/pi_1/cancel")
end

function test_a_wrong_key_is_told()
  answer("http.get", { status = 401, json = { error = { message = "Invalid API Key" } } })
  equal(check_key(asked({})), { returnCode = "FAILED", errorCode = "401", errorString = "Invalid API Key" })
end
