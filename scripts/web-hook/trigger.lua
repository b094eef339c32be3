--[[ {"FDLINFO": {"NAME": "Web hook", "VERSION": "1.0.0"}} ]]

local URL = "https://hooks.example.com/sutler"
-- Shared with the receiver, who checks the signature with it.
local SECRET = "change-me"

function register()
  return { "job_to_web_hook", "server_to_web_hook" }
end

-- What every hook sends: who, what and when, the same bytes each time the run is repeated.
local function deliver(kind, id, p, data)
  local body = json.encode({
    id = id,
    type = kind,
    at = time.format(p.timeStamp),
    customer = p.customer and { id = p.customer:getResourceUUID(), name = p.customer:getResourceName() },
    data = data,
  })
  local at = tostring(math.floor(p.timeStamp / 1000))
  local answer = http.post(URL, {
    body = body,
    headers = {
      ["Content-Type"] = "application/json",
      -- As in the Standard Webhooks specification.
      ["webhook-id"] = id,
      ["webhook-timestamp"] = at,
      ["webhook-signature"] = "v1,"
        .. crypto.base64(crypto.unhex(crypto.hmac_sha256(SECRET, id .. "." .. at .. "." .. body))),
    },
  })
  if answer.status == 410 then
    log.warn("the receiver wants no more", { url = URL })
    return { exitState = "SUCCESS" }
  end
  if not answer.ok then
    -- The run is tried again, later each time, and then goes to the dead letters.
    error("the receiver answered " .. answer.status)
  end
  return { exitState = "SUCCESS" }
end

function job_to_web_hook(p)
  if p == nil then
    return {
      ref = "job_to_web_hook",
      name = "Jobs to a web hook",
      description = "Posts each job that ended to a URL, signed",
      priority = 0,
      triggerType = "POST_JOB_STATE_CHANGE",
      triggerOptions = { "SUCCESSFUL", "FAILED", "CANCELLED" },
      api = "TRIGGER",
      version = 1,
    }
  end

  local job = p.input
  local status = p.triggerOption
  return deliver("job." .. status:lower(), job:getResourceUUID() .. "." .. status, p, {
    job = job:getResourceUUID(),
    type = job:getJobType():name(),
    item = { id = job:getItemUUID(), name = job:getItemName() },
    error = job:getErrorCode(),
    info = job:getInfo(),
  })
end

function server_to_web_hook(p)
  if p == nil then
    return {
      ref = "server_to_web_hook",
      name = "Server states to a web hook",
      description = "Posts each server that began or ceased to run to a URL, signed",
      priority = 0,
      triggerType = "POST_SERVER_STATE_CHANGE",
      triggerOptions = { "RUNNING", "STOPPED", "ERROR" },
      api = "TRIGGER",
      version = 1,
    }
  end

  local server = p.input
  local id = server:getResourceUUID() .. "." .. p.triggerOption .. "." .. p.timeStamp
  return deliver("server." .. p.triggerOption:lower(), id, p, {
    server = { id = server:getResourceUUID(), name = server:getResourceName() },
  })
end
