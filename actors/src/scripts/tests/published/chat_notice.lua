-- Posts finished jobs to a chat room. Key on the billing entity: CHAT_WEBHOOK

local colours = { SUCCESSFUL = "good", FAILED = "danger", CANCELLED = "warning" }

function register() return { "chat_trigger" } end

function chat_trigger(p)
  if p == nil then
    return {
      ref = "chat_trigger", name = "Chat", description = "Tells a chat room of jobs", priority = 0,
      triggerType = "POST_JOB_STATE_CHANGE", triggerOptions = { "SUCCESSFUL", "FAILED", "CANCELLED" }, api = "TRIGGER", version = 1
    }
  end
  local hook = setting(p, "CHAT_WEBHOOK")
  if not hook then return { exitState = "CONTINUE" } end
  local job, dates = p.input, new("FDLDateHelper")
  local took = (dates:getTimestamp(job:getEndTime()) - dates:getTimestamp(job:getStartTime())) / 1000
  local fields = {}
  local function field(title, value, short)
    if value ~= nil and value ~= "" then
      fields[#fields + 1] = { title = title, value = tostring(value), short = short or false }
    end
  end
  field("Customer", job:getCustomerName(), true)
  field("Seller", job:getBillingEntityName(), true)
  field("By", job:getUserName(), true)
  field("Took", new("Utils"):roundNumber(took, 1) .. " s", true)
  field("Error", job:getErrorCode())
  field("Info", job:getInfo())
  local message = {
    username = "cloud",
    text = ("*%s* of %s `%s`: %s"):format(job:getJobType(), job:getItemType(), job:getItemName(), job:getStatus()),
    attachments = { { color = colours[p.triggerOption] or "#888888", fields = fields, ts = math.floor(p.timeStamp / 1000) } },
  }
  local connection = new("simplehttp"):newConnection { url = hook, ssl_verify = true }
  connection:setRequestHeaders { ["Content-Type"] = "application/json; charset=utf-8" }
  connection:post(new("JSON"):encode(message), function() return true end)
  connection:disconnect()
  return { exitState = "SUCCESS" }
end

function setting(p, name)
  local be = adminAPI:getResource(p.beUUID, true)
  while be do
    for i = 0, be:getResourceKey():size() - 1 do
      if be:getResourceKey():get(i):getName():upper() == name then return be:getResourceKey():get(i):getValue() end
    end
    local parent = be:getParentUUID()
    be = parent and adminAPI:getResource(parent, true)
  end
end
