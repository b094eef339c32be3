-- Card payments over a form that the acquirer hosts: the browser posts signed fields there and comes back signed.

function register() return { "form_payments" } end

function form_payments(p)
    return {
        ref = "form_payments", fdlPaymentRef = "HOSTED_FORM", name = "Cards", description = "Hosted form", api = "PAYMENT_PROVIDER", version = 1,
        pmConfigurableList = {
            { key = "merchant", name = "Merchant", description = "", required = true },
            { key = "url", name = "URL of the form", description = "", required = true },
        },
        pmiConfigurableList = { { key = "nickname", name = "Nickname", description = "", required = false } },
        makePaymentFunction = "form_pay", refundTransactionFunction = "form_refund",
    }
end

function form_pay(p)
    local t = p.transaction
    if (p.resumed == true) then
        if (p.parameters.result == "OK" and p.parameters.order == t:getResourceUUID()) then
            t:setProviderReference(p.parameters.auth)
            return { state = "SUCCESS" }
        end
        return { state = "FAILURE", errorCode = p.parameters.result, errorReason = "The card was refused (" .. tostring(p.parameters.result) .. ")" }
    end
    local data = t:getRedirectData()
    data:put("merchant", p.methodValues.merchant)
    data:put("order", t:getResourceUUID())
    data:put("amount", string.format("%d", p.amountMinor))
    data:put("currency", p.currency)
    data:put("return", p.returnURL or "")
    t:setRedirectURL(p.methodValues.url)
    t:setRedirectMethod(new("RedirectMethod", "POST"))
    return { state = "AWAITINGINTERACTIVEINPUT" }
end

function form_refund(p)
    print("refund of " .. p.amount .. " for " .. p.linkedTransaction:getProviderReference())
    return { returnCode = "SUCCESSFUL", providerReference = "R-" .. p.linkedTransaction:getProviderReference() }
end
