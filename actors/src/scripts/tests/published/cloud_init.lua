-- Puts the monitoring agent on every server of customers who pay for it, at the next start.

function register() return { "agent_trigger" } end

function agent_trigger(p)
    if p == nil then
        return { ref = "agent_trigger", name = "Monitoring agent", description = "Installs the agent", priority = 0,
            triggerType = "PRE_SERVER_METADATA_UPDATE", triggerOptions = { "ANY" }, api = "TRIGGER", version = 1 }
    end
    local server, document = p.input[1], p.input[2]
    local customer = adminAPI:getResource(server:getCustomerUUID(), true)
    local plan = "none"
    for i = 0, customer:getResourceKey():size() - 1 do
        if customer:getResourceKey():get(i):getName() == "MONITORING" then plan = customer:getResourceKey():get(i):getValue() end
    end
    if plan == "none" then return { exitState = "CONTINUE" } end
    server:addCloudInitData("#cloud-config\nruncmd:\n  - [ monitoring-agent, --plan, " .. plan .. " ]\n")
    local xml = new("FDLXMLHelper")
    local system = xml:findNode(document, "CONFIG/meta/server/system")
    if system ~= nil then
        local node = xml:addNode(document, system, "monitoring")
        print(xml:toString(xml:addTextNode(document, node, "plan", plan)))
    end
    return { exitState = "SUCCESS" }
end
