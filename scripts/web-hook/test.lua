local CUSTOMER = { resourceUUID = "c-1", resourceName = "Ada Ltd" }

local function job(status)
  return event("job_to_web_hook", {
    triggerOption = status,
    timeStamp = 1700000000123,
    customer = bean("Customer", CUSTOMER),
    input = bean("Job", {
      resourceUUID = "job-1",
      jobType = "START_SERVER",
      itemUUID = "s-1",
      itemName = "web-1",
      errorCode = "NO_CAPACITY",
    }),
  })
end

function test_a_job_that_ended_is_posted_with_its_facts()
  equal(job("FAILED").exitState, "SUCCESS")
  equal(calls[1].url, "https://hooks.example.com/sutler")
  equal(json.decode(calls[1].body), {
    id = "job-1.FAILED",
    type = "job.failed",
    at = "2023-11-14T22:13:20.123Z",
    customer = { id = "c-1", name = "Ada Ltd" },
    data = { job = "job-1", type = "START_SERVER", item = { id = "s-1", name = "web-1" }, error = "NO_CAPACITY" },
  })
end

function test_the_receiver_can_check_the_signature()
  job("FAILED")
  local headers = calls[1].headers
  local signed = headers["webhook-id"] .. "." .. headers["webhook-timestamp"] .. "." .. calls[1].body
  local expected = crypto.hmac_sha256("change-me", signed)
  equal(headers["webhook-timestamp"], "1700000000")
  equal(headers["webhook-signature"], "v1," .. crypto.base64(crypto.unhex(expected)))
end

function test_a_repeated_run_sends_the_same_bytes()
  job("FAILED")
  job("FAILED")
  equal(calls[1], calls[2])
end

function test_a_server_that_runs_is_posted()
  local server = bean("Server", { resourceUUID = "s-1", resourceName = "web-1" })
  local p = { triggerOption = "RUNNING", timeStamp = 1700000000123, input = server }
  equal(event("server_to_web_hook", p).exitState, "SUCCESS")
  local body = json.decode(calls[1].body)
  equal({ body.id, body.type, body.data.server.name }, { "s-1.RUNNING.1700000000123", "server.running", "web-1" })
end

function test_anything_but_success_is_tried_again_unless_the_receiver_is_gone()
  answer("http.post", { status = 503 })
  raises("answered 503", function() job("SUCCESSFUL") end)
  answer("http.post", function() error("http: no answer within 30000 ms") end)
  raises("no answer", function() job("SUCCESSFUL") end)
  answer("http.post", { status = 410 })
  equal(job("SUCCESSFUL").exitState, "SUCCESS")
end
