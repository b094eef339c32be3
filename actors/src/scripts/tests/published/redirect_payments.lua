-- Payment by a redirect to the payment service, where the customer approves; the service is asked for the money afterwards.

local json = new("JSON")

function register() return { "redirect_payments" } end

function redirect_payments(p)
    return {
        ref = "redirect_payments", name = "PayLater", description = "Customers approve payments on PayLater's pages", api = "PAYMENT_PROVIDER", version = 1,
        pmConfigurableList = {
            { key = "ENDPOINT", name = "Endpoint", description = "", required = true },
            { key = "CLIENT", name = "Client", description = "", required = true },
            { key = "SECRET", name = "Secret", description = "", required = true, validator = { validatorType = "PASSWORD" } },
        },
        pmiConfigurableList = {
            { key = "EMAIL", name = "E-mail", description = "PayLater account", required = true },
            { key = "AGREEMENT", name = "Agreement", description = "", readOnly = true },
        },
        paymentFunctions = {
            REGISTER_PAYMENT_METHOD = "check_method", SELF_TEST = "check_method",
            REGISTER_PAYMENT_INSTANCE = "agree", MAKE_PAYMENT = "pay", REFUND_PAYMENT = "refund", CANCEL_TRANSACTION = "cancel",
        },
    }
end

function check_method(p)
    local status, answer = ask(p, "POST", "/token", {})
    if (status == 401) then
        return { returnCode = "FAILED", errorCode = 401, errorString = "PayLater does not know these credentials" }
    end
    return { returnCode = "SUCCESSFUL" }
end

-- The customer approves future payments once.
function agree(p)
    if (p.resumed) then
        if (p.parameters.approved ~= "1") then
            return { state = "CANCELLED", errorReason = "not approved" }
        end
        return { state = "SUCCESS", values = { AGREEMENT = p.parameters.agreement } }
    end
    local status, answer = ask(p, "POST", "/agreements", { email = p.instanceValues.EMAIL, back = p.returnURL })
    if (status ~= 201) then
        return { returnCode = "FAILED", errorCode = status, errorString = (answer or {}).message or "PayLater refused" }
    end
    p.transaction:setProviderReference(answer.id)
    p.transaction:setRedirectURL(answer.approve)
    p.transaction:setRedirectMethod(new("RedirectMethod", "GET"))
    return { state = "AWAITINGINTERACTIVEINPUT", interactiveURL = answer.approve }
end

function pay(p)
    if (p.instanceValues.AGREEMENT == nil) then
        return { returnCode = "FAILED", errorCode = 402, errorString = "no agreement" }
    end
    local status, answer = ask(p, "POST", "/charges", {
        agreement = p.instanceValues.AGREEMENT, amount = p.amount, currency = p.currency,
        reference = "Invoice " .. p.invoice:getInvoiceNo() .. ", " .. p.transaction:getPaymentAmount() .. " " .. p.currency,
    })
    if (status == 201) then
        p.transaction:setProviderReference(answer.id)
        return { returnCode = "SUCCESSFUL" }
    elseif (status == 402) then
        return { returnCode = "FAILED", errorCode = answer.code, errorString = answer.message }
    end
    error("PayLater answered " .. status)
end

function refund(p)
    local status, answer = ask(p, "POST", "/charges/" .. p.linkedTransaction:getProviderReference() .. "/refunds", { amount = p.amount })
    if (status ~= 201) then
        return { returnCode = "FAILED", errorCode = status, errorString = "no refund" }
    end
    p.transaction:setProviderReference(answer.id)
end

function cancel(p) return { returnCode = "SUCCESSFUL" } end

function ask(p, method, path, body)
    local connection = new("simplehttp"):newConnection({ url = p.methodValues.ENDPOINT .. path })
    connection:setBasicAuth(p.methodValues.CLIENT, p.methodValues.SECRET)
    connection:setRequestHeaders({ ["Content-Type"] = "application/json", ["Request-Id"] = p.idempotencyKey })
    local text = ""
    if (not connection:post(json:encode(body), function(val) text = text .. val return true end)) then
        local code, message = connection:getLastError()
        error("PayLater not reached: " .. code .. " " .. message)
    end
    local status = connection:getHTTPStatusCode()
    connection:disconnect()
    return status, json:decode(text)
end
