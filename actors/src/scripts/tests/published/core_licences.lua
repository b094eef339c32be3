--[[ FDLINFO { "NAME": "Licences per core", "VERSION": "1" } ]]
function register() return { "licence_provider", "licence_billing" } end

function licence_provider(p)
    return {
        ref = "licence_provider", name = "Licences", description = "database licences by core", providerType = "DB_LICENCE",
        providerGroup = "FCO_EXTENSION", api = "CONFIG_PROVIDER", version = 1,
        measurementFunctions = { "licence_cores" },
        triggerFunctions = { "licence_guard" },
        resourceConfigs = { {
            associatedResourceType = "SERVER", userWithBilling = false,
            productComponentTypes = { {
                resourceName = "Licence", referenceField = "LICENCE",
                configurableList = {
                    { key = "EDITION", name = "Edition", description = "which edition", required = false, defaultValue = "NONE",
                        validator = { validatorType = "ENUM", validatorString = "NONE,STANDARD,ENTERPRISE" } },
                    { key = "CORES", name = "Cores", description = "cores licensed", required = false, readOnly = true, measureType = "NUMERIC" },
                },
                actionFunctions = { {
                    key = "SHOW", name = "Show", description = "show", returnType = "DIALOGUE", executionFunction = "licence_show",
                    order = "1", synchronous = true, parameters = {},
                } },
            } },
        } },
    }
end

function licence_guard(p)
    if p == nil then
        return { ref = "licence_guard", name = "Licence guard", description = "", triggerType = "PRE_CREATE", triggerOptions = { "SERVER" },
            api = "TRIGGER", version = 1 }
    end
    local values = p.input:getProviderValues("DB_LICENCE")
    if values == nil then return { exitState = "CONTINUE" } end
    local edition = values:get("EDITION")
    if edition == "ENTERPRISE" and p.input:getCpu() < 2 then
        return { exitState = "FAILURE", errorString = "the enterprise edition needs two cores" }
    end
    if edition ~= nil and edition ~= "NONE" then
        local cores = p.input:getCpu()
        if cores % 2 == 1 then cores = cores + 1 end
        values:put("CORES", "" .. cores)
    end
    return { exitState = "SUCCESS" }
end

function licence_show(p)
    local v = p.resource:getProviderValues("DB_LICENCE")
    local rows = {
        { key = "e", name = "Edition", value = v:get("EDITION"), readOnly = true },
        { key = "c", name = "Cores", value = v:get("CORES") or "0", readOnly = true, measureType = "NUMERIC" },
    }
    return { returnCode = "SUCCESSFUL", returnType = "DIALOGUE",
        returnContent = new("Utils"):createDisplayDialogueActionContent(rows, "Licences", "of " .. p.resource:getResourceName(), "FONT_ICON_KEY") }
end

function licence_cores(p)
    if p == nil then
        return { ref = "licence_cores", name = "Licensed cores", description = "", api = "MEASURE", version = 1, associatedType = "SERVER",
            measuredValues = { { key = "cores", name = "Cores", description = "licensed cores", measureType = "NUMERIC" } } }
    end
    local v = p.resource:getProviderValues("DB_LICENCE")
    local n = tonumber(v and v:get("CORES") or "0") or 0
    if p.resource:getStatus():toString() ~= "RUNNING" then n = 0 end
    return { { key = "cores", value = n } }
end

function licence_billing(p)
    if p == nil then
        return { ref = "licence_billing", name = "Licence billing", description = "", api = "BILLING", version = 1,
            permittedPCT = { "DB_LICENCE_LICENCE" },
            configuredValues = { { key = "price", name = "Units per core", description = "", required = true, measureType = "UNIT",
                validator = { validatorType = "NUMERIC_DOUBLE", validateString = "0-1000" } } } }
    end
    local map = p.measureComp:getMAXMeasureBetween(p.lastBillingTime, p.currentBillingTime, "providers.DB_LICENCE.cores")
    if map == nil then return nil end
    local m = map:get("providers.DB_LICENCE.cores")
    if m == nil then return nil end
    local price = p.billingComp:getBillingValue("price")
    if price == nil then return nil end
    local n = m:getMeasurement() * convert_mtype(m:getMeasurementType():name(), "NUMERIC")
    return { { units = -(n * tonumber(price:getValue()) * p.billingFactor), description = n .. " licensed cores" } }
end
