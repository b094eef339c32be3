local CUSTOMER = { resourceName = "Ada Ltd" }

local function failed(input, customer)
  return event("failed_login_by_email", {
    triggerOption = "FAILURE",
    timeStamp = 1700000000123,
    input = input,
    customer = customer and bean("Customer", customer),
  }).exitState
end

function test_a_failed_login_is_a_mail_with_name_and_time()
  equal(failed("ada@example.org", CUSTOMER), "SUCCESS")
  equal(calls, {
    {
      call = "smtp.send",
      to = { "security@example.com" },
      subject = "Failed sign-in: ada@example.org",
      body = "Somebody tried to sign in as ada@example.org and failed.\nTime: 2023-11-14 22:13:20 UTC\nCustomer: Ada Ltd",
    },
  })
end

function test_a_login_of_staff_belongs_to_no_customer()
  equal(failed("staff@example.org", nil), "SUCCESS")
  assert(calls[1].body:find("Customer: none that we know", 1, true), calls[1].body)
end

function test_mail_that_is_not_taken_fails_the_run()
  answer("smtp.send", function() error("smtp: the server says 451") end)
  raises("451", function() failed("ada@example.org", CUSTOMER) end)
end
