local function failed(kind, code, at)
  now(at)
  local job = bean("Job", {
    resourceUUID = "job-1",
    jobType = kind,
    itemName = "web-1",
    customerName = "A & B",
    errorCode = code,
    info = "it broke",
  })
  answer("http.post", { status = 201, json = { sid = "SM1" } })
  return event("failure_to_phone", { triggerOption = "FAILED", input = job }).exitState
end

local ACCOUNT = "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000000/"

function test_a_failed_start_is_a_text_message_to_the_shift_on_duty()
  equal(failed("START_SERVER", "FAILED", "2026-03-01T12:00:00Z"), "SUCCESS")
  equal(calls[1].url, ACCOUNT .. "Messages.json")
  equal(calls[1].auth, { user = "AC00000000000000000000000000000000", password = "change-me" })
  equal(calls[1].form, {
    To = "+441632960001",
    From = "+15005550006",
    Body = "START_SERVER of web-1 failed for A & B: it broke",
  })
end

function test_a_serious_error_at_night_is_a_call()
  for _, at in ipairs({ "2026-03-01T19:00:00Z", "2026-03-01T23:59:59Z", "2026-03-02T06:59:59Z" }) do
    equal(failed("CREATE_SERVER", "NO_CAPACITY", at), "SUCCESS")
  end
  for i = 1, 3 do
    equal(calls[i].url, ACCOUNT .. "Calls.json")
    equal(calls[i].form.To, "+441632960002")
    equal(calls[i].form.Twiml,
      '<Response><Say loop="2">CREATE_SERVER of web-1 failed for A &amp; B: it broke</Say></Response>')
  end
end

function test_a_serious_error_in_the_day_is_a_text_message()
  for _, at in ipairs({ "2026-03-01T07:00:00Z", "2026-03-01T18:59:59Z" }) do
    equal(failed("CREATE_SERVER", "NO_CAPACITY", at), "SUCCESS")
  end
  equal(calls[1].url, ACCOUNT .. "Messages.json")
  equal(calls[2].form.To, "+441632960001")
end

function test_other_failures_are_nobodys_phones_business()
  equal(failed("DELETE_SERVER", "FAILED", "2026-03-01T23:00:00Z"), "CONTINUE")
  equal(#calls, 0)
end

function test_a_refusal_by_twilio_fails_the_run()
  answer("http.post", { status = 401, body = '{"code": 20003}' })
  raises("Twilio answered 401", function() failed("START_SERVER", nil, "2026-03-01T12:00:00Z") end)
end
