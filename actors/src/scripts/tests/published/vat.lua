-- Value added tax by the country in a customer's address: own country, rest of the union with a VAT number, world.

local RATES = { DE = 19, FR = 20, GB = 20, NL = 21 }
local OWN = "GB"

function register() return { "vat_trigger" } end

function vat_trigger(p)
    if p == nil then
        return { ref = "vat_trigger", name = "VAT", description = "Works out value added tax", triggerType = "TAX_CALCULATION",
            triggerOptions = { "ANY" }, api = "TRIGGER", version = 1 }
    end
    local customer = adminAPI:getResource(p.input:getCustomerUUID(), true)
    local country = string.upper(customer:getAddress():getAddress6() or "")
    if country == "" then country = OWN end
    local number = customer:getVatNumber()
    if RATES[country] == nil or customer:isVatExempt() then
        return { exitState = "SUCCESS", taxRate = 0 }
    end
    if country ~= OWN and number ~= nil and number:find("^" .. country) then
        return { exitState = "SUCCESS", taxRate = 0 }
    end
    return { exitState = "SUCCESS", taxRate = RATES[country] }
end
