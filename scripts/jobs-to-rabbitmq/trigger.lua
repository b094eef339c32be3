--[[ {"FDLINFO": {"NAME": "Jobs to RabbitMQ", "VERSION": "1.0.0"}} ]]

-- The last part is the virtual host, `/` written as %2F; `amqps://` is inside TLS.
local BROKER = "amqp://guest:guest@broker.example.com:5672/%2F"
-- Made unless it is there. With an EXCHANGE, messages go there instead, the routing key being `job.failed.START_SERVER`.
local QUEUE = "sutler.jobs"
local EXCHANGE = nil

function register()
  return { "job_to_rabbitmq" }
end

function job_to_rabbitmq(p)
  if p == nil then
    return {
      ref = "job_to_rabbitmq",
      name = "Jobs to RabbitMQ",
      description = "Publishes each job, whenever its state changes",
      priority = 0,
      triggerType = "POST_JOB_STATE_CHANGE",
      triggerOptions = { "ANY" },
      api = "TRIGGER",
      version = 1,
    }
  end

  local job = p.input
  local kind = job:getJobType():name()
  local status = p.triggerOption
  -- Returns once the broker has the message on disk, and raises if it reached no queue; then the run is tried again.
  amqp.publish({
    url = BROKER,
    exchange = EXCHANGE,
    queue = not EXCHANGE and QUEUE or nil,
    routing_key = EXCHANGE and ("job." .. status:lower() .. "." .. kind) or nil,
    -- A repeated run sends the same id, by which a consumer knows it.
    message_id = job:getResourceUUID() .. "." .. status,
    headers = { type = kind, status = status },
    json = {
      job = job:getResourceUUID(),
      type = kind,
      status = status,
      at = time.format(p.timeStamp),
      item = { id = job:getItemUUID(), name = job:getItemName() },
      customer = { id = job:getCustomerUUID(), name = job:getCustomerName() },
      user = job:getUserName(),
      error = job:getErrorCode(),
      info = job:getInfo(),
    },
  })
  return { exitState = "SUCCESS" }
end
