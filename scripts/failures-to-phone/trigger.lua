--[[ {"FDLINFO": {"NAME": "Failures to the phone", "VERSION": "1.0.0"}} ]]

local TWILIO = {
  url = "https://api.twilio.com",
  account = "AC00000000000000000000000000000000",
  token = "change-me",
  from = "+15005550006",
}

-- Who is called, by the hour (UTC) from which on; the last one lasts until the first begins again.
local ROSTER = {
  { from_hour = 7, name = "day shift", phone = "+441632960001" },
  { from_hour = 19, name = "night shift", phone = "+441632960002" },
}

-- Errors that are worth a call. In the day they are a text message, for then somebody looks at the screen anyway.
local SERIOUS = { NO_CAPACITY = true, NO_SPACE = true, INTERNAL = true }
local CALL_FROM_HOUR, CALL_UNTIL_HOUR = 19, 7

function register()
  return { "failure_to_phone" }
end

local function on_duty(hour)
  local found = ROSTER[#ROSTER]
  for _, shift in ipairs(ROSTER) do
    if hour >= shift.from_hour then found = shift end
  end
  return found
end

local function calls_at(hour)
  return hour >= CALL_FROM_HOUR or hour < CALL_UNTIL_HOUR
end

local function twilio(what, form)
  form.From = TWILIO.from
  local url = TWILIO.url .. "/2010-04-01/Accounts/" .. TWILIO.account .. "/" .. what .. ".json"
  local answer = http.post(url, { auth = { user = TWILIO.account, password = TWILIO.token }, form = form })
  if not answer.ok then
    error("Twilio answered " .. answer.status .. ": " .. answer.body:sub(1, 500))
  end
  return answer.json().sid
end

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function spoken(text)
  return "<Response><Say loop=\"2\">" .. text:gsub('[&<>"]', ESCAPES) .. "</Say></Response>"
end

function failure_to_phone(p)
  if p == nil then
    return {
      ref = "failure_to_phone",
      name = "Failures to the phone",
      description = "Sends a text message for each failed start, and calls at night when an error is serious",
      priority = 0,
      triggerType = "POST_JOB_STATE_CHANGE",
      triggerOptions = { "FAILED" },
      api = "TRIGGER",
      version = 1,
    }
  end

  local job = p.input
  local serious = SERIOUS[job:getErrorCode() or ""] or false
  local start = job:getJobType():name() == "START_SERVER"
  if not (serious or start) then
    return { exitState = "CONTINUE" }
  end

  local hour = time.parts(time.now()).hour
  local shift = on_duty(hour)
  local text = job:getJobType():name() .. " of " .. job:getItemName() .. " failed for " .. job:getCustomerName()
    .. ": " .. (job:getInfo() or job:getErrorCode() or "no reason given")
  if serious and calls_at(hour) then
    local sid = twilio("Calls", { To = shift.phone, Twiml = spoken(text) })
    log.info("called", { shift = shift.name, sid = sid })
  else
    -- Longer ones are refused.
    local sid = twilio("Messages", { To = shift.phone, Body = text:sub(1, 1600) })
    log.info("message sent", { shift = shift.name, sid = sid })
  end
  return { exitState = "SUCCESS" }
end
