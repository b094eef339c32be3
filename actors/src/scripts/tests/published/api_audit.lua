-- Writes who called what into the system log. Calls that only read are left out.

local quiet = { "list", "get", "doQuery", "isPermitted", "checkPermissions" }

function register() return { "user_call_trigger", "admin_call_trigger" } end

local function descriptor(ref, triggerType)
    return { ref = ref, name = "Audit", description = "Logs API calls", priority = 0, triggerType = triggerType,
        triggerOptions = { "ANY" }, api = "TRIGGER", version = 1 }
end

function user_call_trigger(p)
    if (p == nil) then return descriptor("user_call_trigger", "POST_USER_API_CALL") end
    return audit("user", p)
end

function admin_call_trigger(p)
    if (p == nil) then return descriptor("admin_call_trigger", "POST_ADMIN_API_CALL") end
    return audit("admin", p)
end

function audit(side, p)
    for _, prefix in ipairs(quiet) do
        if (string.find(p.triggerOption, "^" .. prefix) ~= nil) then
            return { exitState = "CONTINUE" }
        end
    end
    local who = "nobody"
    if (p.user ~= nil) then who = p.user:getEmail() end
    local where = "the platform"
    if (p.customer ~= nil) then where = p.customer:getResourceName() end
    local line = string.format("%s %s by %s for %s", side, p.triggerOption, who, where)
    syslog.openlog("audit", syslog.LOG_ODELAY + syslog.LOG_PID)
    syslog.syslog("LOG_INFO", line)
    syslog.closelog()
    return { exitState = "SUCCESS" }
end
