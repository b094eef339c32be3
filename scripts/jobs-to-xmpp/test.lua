local function job(status, fields)
  local all = { resourceUUID = "job-1", jobType = "START_SERVER", itemUUID = "s-1", itemName = "web-1" }
  for name, value in pairs(fields or {}) do all[name] = value end
  return event("job_to_xmpp", { triggerOption = status, input = bean("Job", all) })
end

function test_a_failed_job_is_a_message_with_what_is_known()
  equal(job("FAILED", { errorCode = "NO_CAPACITY", info = "no node has room", customerName = "Ada Ltd" }).exitState, "SUCCESS")
  equal(calls, {
    {
      call = "xmpp.send",
      url = "xmpp://sutler:change-me@chat.example.com",
      to = "operators@chat.example.com",
      id = "job-1.FAILED",
      body = "START_SERVER of web-1: failed\nReason: no node has room\nError: NO_CAPACITY\nCustomer: Ada Ltd\nJob: job-1",
    },
  })
end

function test_a_cancelled_job_without_details_is_told_too()
  job("CANCELLED")
  equal(calls[1].body, "START_SERVER of web-1: cancelled\nJob: job-1")
end

function test_a_message_that_is_not_taken_fails_the_run()
  answer("xmpp.send", function() error("xmpp: the server says service-unavailable") end)
  raises("service-unavailable", function() job("FAILED") end)
end
