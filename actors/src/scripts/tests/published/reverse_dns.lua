-- Registers the addresses of running servers in DNS, forwards and backwards, and takes them out again.

DNS_ZONE_KEY = "DNS_ZONE"
DNS_SERVER_KEY = "DNS_SERVER"

function register()
    return { "dns_trigger" }
end

function dns_trigger(p)
    if p == nil then
        return {
            ref = "dns_trigger", name = "DNS records", description = "A and PTR records of servers",
            triggerType = "POST_SERVER_STATE_CHANGE", triggerOptions = { "RUNNING", "DELETING" }, api = "TRIGGER", version = 1,
        }
    end
    local keys = keysOf(adminAPI:getResource(p.input:getBillingEntityUUID(), true))
    local zone, server = keys[DNS_ZONE_KEY], keys[DNS_SERVER_KEY]
    if not (zone and server) then return { exitState = "CONTINUE" } end

    local changetype = "REPLACE"
    if p.input:getStatus() == new("ServerStatus", "DELETING") then changetype = "DELETE" end
    local nics = p.input:getNics()
    for i = 0, nics:size() - 1 do
        local ips = nics:get(i):getIpAddresses()
        for j = 0, ips:size() - 1 do
            local ip = ips:get(j):getIpAddress()
            if isIPv4(ip) then
                patch(server, zone, record(label(p.input:getResourceName()) .. "." .. zone, "A", ip, changetype))
                patch(server, reverseZone(ip), record(reverse(ip), "PTR", label(p.input:getResourceName()) .. "." .. zone, changetype))
            end
        end
    end
    return { exitState = "SUCCESS" }
end

function keysOf(resource)
    local t = {}
    for i = 0, resource:getResourceKey():size() - 1 do
        local k = resource:getResourceKey():get(i)
        t[k:getName()] = k:getValue()
    end
    return t
end

function isIPv4(ip)
    return ip:match("^%d+%.%d+%.%d+%.%d+$") ~= nil
end

-- 192.0.2.7 is 7.2.0.192.in-addr.arpa.
function reverse(ip)
    local parts = {}
    for octet in string.gfind(ip, "%d+") do
        table.insert(parts, 1, octet)
    end
    return table.concat(parts, ".") .. ".in-addr.arpa."
end

function reverseZone(ip)
    return (reverse(ip):gsub("^%d+%.", ""))
end

-- What DNS allows in a name.
function label(name)
    local plain = string.lower(name):gsub("[^%w%-]", "-"):gsub("%-+", "-"):gsub("^%-", ""):gsub("%-$", "")
    return plain:sub(1, 63)
end

function record(name, kind, content, changetype)
    local json = new("JSON")
    local rrset = { name = name, type = kind, changetype = changetype, records = {} }
    if changetype == "REPLACE" then
        rrset.ttl = 3600 / 2
        rrset.records[1] = { content = content, disabled = false }
    end
    return json:encode({ rrsets = { rrset } })
end

function patch(server, zone, body)
    local http = new("simplehttp")
    local connection = http.newConnection { url = server .. "/zones/" .. zone }
    connection:setRequestHeaders { ["X-API-Key"] = "changeme" }
    if not connection:put(body, function() return true end) then
        local code, message = connection:getLastError()
        print("DNS: " .. tonumber(code) .. " " .. message)
    end
    connection:disconnect()
end
