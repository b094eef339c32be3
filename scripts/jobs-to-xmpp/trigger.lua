--[[ {"FDLINFO": {"NAME": "Job notices over XMPP", "VERSION": "1.0.0"}} ]]

-- The account that writes. `xmpp://` becomes private by STARTTLS, `xmpps://` is inside TLS from the start.
local ACCOUNT = "xmpp://sutler:change-me@chat.example.com"
-- Who is told.
local TO = { "operators@chat.example.com" }
-- Which jobs: the states a job comes into. SUCCESSFUL besides would tell of every job.
local STATES = { "FAILED", "CANCELLED" }

function register()
  return { "job_to_xmpp" }
end

function job_to_xmpp(p)
  if p == nil then
    return {
      ref = "job_to_xmpp",
      name = "Job notices over XMPP",
      description = "Writes a message for each job that ends otherwise than well",
      priority = 0,
      triggerType = "POST_JOB_STATE_CHANGE",
      triggerOptions = STATES,
      api = "TRIGGER",
      version = 1,
    }
  end

  local job = p.input
  local status = p.triggerOption
  local lines = { job:getJobType():name() .. " of " .. (job:getItemName() or job:getItemUUID() or "?") .. ": " .. status:lower() }
  local function add(label, value)
    if value ~= nil and value ~= "" then table.insert(lines, label .. ": " .. tostring(value)) end
  end
  add("Reason", job:getInfo())
  add("Error", job:getErrorCode())
  add("Customer", job:getCustomerName())
  add("Job", job:getResourceUUID())
  for _, to in ipairs(TO) do
    -- Returns once the server has it. A repeated run sends the same id, by which a client knows the message.
    xmpp.send({
      url = ACCOUNT,
      to = to,
      id = job:getResourceUUID() .. "." .. status,
      body = table.concat(lines, "\n"),
    })
  end
  return { exitState = "SUCCESS" }
end
