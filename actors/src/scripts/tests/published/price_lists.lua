-- Billing methods: a price list with tiers, a monthly fee by the day, and bundles with a price for what is beyond them.

function register()
    return { "tiered_billing", "monthly_fee", "bundle_billing", "traffic_measure" }
end

function tiered_billing(p)
    if (p == nil) then
        return {
            ref = "tiered_billing", name = "Tiers", description = "Units for each GB, cheaper the more there are", version = 1, api = "BILLING",
            permittedPCT = { "TRAFFIC_METER" },
            configuredValues = {
                { key = "tiers", name = "Tiers", description = "up to=price, separated by blanks; the last without a limit", required = true,
                    validator = { validatorType = "REGEX", validateString = "[0-9.=* ]+", errorMessage = "Tiers such as 10=0.2 *=0.1" } },
            },
        }
    end
    local key = "traffic_out"
    local measured = p.measureComp:getMAXMeasureBetween(p.lastBillingTime, p.currentBillingTime, key)
    if (measured == nil or measured:get(key) == nil) then
        return nil
    end
    local amount = measured:get(key):getMeasurement() * convert_mtype(measured:get(key):getMeasurementType():name(), "GB")
    local charges, below = {}, 0
    for limit, price in string.gmatch(p.billingComp:getBillingValue("tiers"):getValue(), "([%d%.%*]+)=([%d%.]+)") do
        local top = tonumber(limit) or amount
        local part = math.min(amount, top) - below
        if (part > 0) then
            charges[#charges + 1] = {
                units = -part * price,
                description = translate.string("{0} {1} at {2}", part, translate.measureType("GB"), price),
            }
        end
        below = math.max(below, top)
        if (below >= amount) then break end
    end
    return charges
end

function monthly_fee(p)
    if (p == nil) then
        return {
            ref = "monthly_fee", name = "Monthly fee", description = "By the day", version = 1, api = "BILLING",
            permittedPCT = { "SUPPORT_LEVEL", "PCT_CUST_CREDIT" },
            configuredValues = { { key = "fee", name = "Fee", description = "A month", required = true, measureType = "CURRENCY",
                validator = { validatorType = "NUMERIC_DOUBLE" } } },
        }
    end
    local fee = tonumber(p.billingComp:getBillingValue("fee"):getValue())
    if (fee == 0) then
        return { { units = 0, description = translate.string("LBL_NO_CHARGE") } }
    end
    local share = p.billingFactor
    if (p.lastBillingRun) then
        share = math.min(share, 1)
    end
    return { { charge = new("Utils"):roundNumber(fee * share, 2), description = "Support, " .. new("Utils"):roundNumber(share * 100, 1) .. " % of a month" } }
end

function bundle_billing(p)
    if (p == nil) then
        return {
            ref = "bundle_billing", name = "Bundle", description = "Memory included, more costs units", version = 1, api = "BILLING",
            permittedPCT = { "BUNDLE_SIZE" },
            configuredValues = {
                { key = "included", name = "Included MB", description = "", required = true, validator = { validatorType = "NUMERIC_INT", validateString = "0-1000000" } },
                { key = "price", name = "Units a GB beyond", description = "", required = true },
            },
        }
    end
    local function value(key) return tonumber(p.billingComp:getBillingValue(key):getValue()) end
    local beyond = p.resource:getRam() - value("included")
    if beyond <= 0 then return nil end
    return { { units = -(beyond / 1024) * value("price"), description = beyond .. " MB beyond the bundle of " .. value("included") } }
end

function traffic_measure(p)
    if (p == nil) then
        return {
            ref = "traffic_measure", name = "Traffic", description = "Traffic of a server, from the flow collector", version = 1, api = "MEASURE",
            associatedType = "SERVER",
            measuredValues = {
                { key = "traffic_out", name = "Traffic out", description = "MB sent", measureType = "MB" },
                { key = "traffic_in", name = "Traffic in", description = "MB received", measureType = "MB" },
            },
        }
    end
    local url
    local keys = adminAPI:getResource(p.resource:getBillingEntityUUID(), true):getResourceKey()
    for i = 0, keys:size() - 1 do
        if (keys:get(i):getName() == "COLLECTOR_URL") then url = keys:get(i):getValue() end
    end
    if (url == nil) then return {} end
    local connection = new("simplehttp").newConnection({ url = url .. "/" .. p.resource:getResourceUUID() })
    local body = ""
    if (not connection:get(function(val) body = body .. val return true end)) then
        return {}
    end
    local figures = new("JSON"):decode(body)
    return {
        { key = "traffic_out", value = figures.out / 1024 / 1024 },
        { key = "traffic_in", value = figures["in"] / 1024 / 1024 },
    }
end
