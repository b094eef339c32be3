local function job(status)
  return event("job_to_rabbitmq", {
    triggerOption = status,
    timeStamp = 1700000000123,
    input = bean("Job", {
      resourceUUID = "job-1",
      jobType = "START_SERVER",
      itemUUID = "s-1",
      itemName = "web-1",
      customerUUID = "c-1",
      customerName = "Ada Ltd",
    }),
  })
end

function test_every_change_of_a_job_is_published_to_the_queue()
  for _, status in ipairs({ "NOT_STARTED", "IN_PROGRESS", "SUCCESSFUL", "FAILED", "CANCELLED" }) do
    equal(job(status).exitState, "SUCCESS")
  end
  equal(#calls, 5)
  local sent = calls[2]
  equal({ sent.call, sent.queue, sent.message_id }, { "amqp.publish", "sutler.jobs", "job-1.IN_PROGRESS" })
  equal(sent.headers, { type = "START_SERVER", status = "IN_PROGRESS" })
  equal(sent.json, {
    job = "job-1",
    type = "START_SERVER",
    status = "IN_PROGRESS",
    at = "2023-11-14T22:13:20.123Z",
    item = { id = "s-1", name = "web-1" },
    customer = { id = "c-1", name = "Ada Ltd" },
  })
  assert(sent.exchange == nil and sent.routing_key == nil)
end

function test_a_broker_that_does_not_take_it_fails_the_run()
  answer("amqp.publish", function() error("amqp: the broker hung up") end)
  raises("hung up", function() job("FAILED") end)
end
