-- names are made clean before a server is created: lower case, the customer's prefix, no blanks
function register() return { "name_rules" } end
function name_rules(p)
    if p == nil then
        return { ref = "name_rules", name = "Name rules", description = "", triggerType = "PRE_CREATE", triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1, priority = -1 }
    end
    local name = p.input:getResourceName()
    local clean = name:lower():gsub("%s+", "-"):gsub("_", "-"):gsub("[^%w%-]", "")
    local owner = adminAPI:getResource(p.input:getCustomerUUID(), true)
    local prefix
    for i = 0, owner:getResourceKey():size() - 1 do
        local k = owner:getResourceKey():get(i)
        if k:getName() == "PREFIX" then prefix = k:getValue() end
    end
    if prefix and not new("Utils"):stringStartsWith(clean, prefix) then clean = prefix .. "-" .. clean end
    if clean == name then return { exitState = "CONTINUE" } end
    p.input:setResourceName(clean)
    return { exitState = "SUCCESS" }
end
