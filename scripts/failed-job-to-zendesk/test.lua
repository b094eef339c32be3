local JOB = {
  resourceUUID = "job-1",
  jobType = "START_SERVER",
  status = "FAILED",
  itemName = "web-1",
  itemUUID = "6b1f",
  customerName = "Ada Ltd",
  errorCode = "NO_CAPACITY",
  info = "no node has room",
}

local function failed(level)
  local keys = {}
  if level then keys = { bean("ResourceKey", { name = "support_level", value = level }) } end
  local customer = bean("Customer", { resourceName = "Ada Ltd", resourceKey = keys })
  return event("failed_job_to_zendesk", { triggerOption = "FAILED", input = bean("Job", JOB), customer = customer })
end

local CREATED = { status = 201, json = { ticket = { id = 35436 } } }

function test_a_ticket_is_opened_with_the_customers_level()
  answer("http.post", CREATED)
  equal(failed("Gold").exitState, "SUCCESS")
  equal(#calls, 1)
  local ticket = calls[1].json.ticket
  equal(calls[1].url, "https://example.zendesk.com/api/v2/tickets.json")
  equal(calls[1].auth, { user = "robot@example.com/token", password = "change-me" })
  equal(calls[1].headers["Idempotency-Key"], "job-1")
  equal(ticket.subject, "START_SERVER of web-1 failed")
  equal(ticket.tags, { "failed_job", "level_gold" })
  equal(ticket.priority, "urgent")
  equal(ticket.comment.body, "Customer: Ada Ltd\nItem: web-1 (6b1f)\nError: NO_CAPACITY\nno node has room")
end

function test_a_customer_without_a_level_gets_the_usual_one()
  answer("http.post", CREATED)
  failed(nil)
  equal(calls[1].json.ticket.tags, { "failed_job", "level_standard" })
  equal(calls[1].json.ticket.priority, "normal")
end

function test_a_level_with_blanks_stays_one_tag()
  answer("http.post", CREATED)
  failed("Extra Care")
  equal(calls[1].json.ticket.tags[2], "level_extra_care")
  equal(calls[1].json.ticket.priority, "normal")
end

function test_a_refusal_by_zendesk_fails_the_run()
  answer("http.post", { status = 422, body = "RecordInvalid" })
  raises("Zendesk answered 422: RecordInvalid", function() failed("gold") end)
end
