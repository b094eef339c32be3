--[[ {"FDLINFO": {"NAME": "Failed job to Zendesk", "VERSION": "1.0.0"}} ]]

local ZENDESK = {
  url = "https://example.zendesk.com",
  user = "robot@example.com",
  -- Made in Zendesk's admin center: Apps and integrations, APIs.
  token = "change-me",
}

-- The customer's key that holds its level of support, and what a level means for a ticket.
local LEVEL_KEY = "support_level"
local USUAL_LEVEL = "standard"
local PRIORITIES = { gold = "urgent", silver = "high", standard = "normal" }

function register()
  return { "failed_job_to_zendesk" }
end

local function level_of(customer)
  local keys = customer and customer:getResourceKey()
  for i = 0, keys and keys:size() - 1 or -1 do
    local key = keys:get(i)
    if key:getName() == LEVEL_KEY then
      -- Zendesk splits tags at blanks.
      return (key:getValue():lower():gsub("%s+", "_"))
    end
  end
  return USUAL_LEVEL
end

function failed_job_to_zendesk(p)
  if p == nil then
    return {
      ref = "failed_job_to_zendesk",
      name = "Failed job to Zendesk",
      description = "Opens a ticket for each failed job, tagged with the customer's level of support",
      priority = 0,
      triggerType = "POST_JOB_STATE_CHANGE",
      triggerOptions = { "FAILED" },
      api = "TRIGGER",
      version = 1,
    }
  end

  local job = p.input
  local level = level_of(p.customer)
  local answer = http.post(ZENDESK.url .. "/api/v2/tickets.json", {
    auth = { user = ZENDESK.user .. "/token", password = ZENDESK.token },
    -- A run may be repeated after a crash; Zendesk opens one ticket for a key.
    headers = { ["Idempotency-Key"] = job:getResourceUUID() },
    json = {
      ticket = {
        subject = job:getJobType():name() .. " of " .. job:getItemName() .. " failed",
        comment = {
          body = table.concat({
            "Customer: " .. job:getCustomerName(),
            "Item: " .. job:getItemName() .. " (" .. job:getItemUUID() .. ")",
            "Error: " .. (job:getErrorCode() or "none given"),
            job:getInfo() or "",
          }, "\n"),
        },
        priority = PRIORITIES[level] or "normal",
        tags = { "failed_job", "level_" .. level },
        external_id = job:getResourceUUID(),
      },
    },
  })
  if not answer.ok then
    error("Zendesk answered " .. answer.status .. ": " .. answer.body:sub(1, 500))
  end
  log.info("ticket opened", { ticket = answer.json().ticket.id, level = level })
  return { exitState = "SUCCESS" }
end
