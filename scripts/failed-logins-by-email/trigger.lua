--[[ {"FDLINFO": {"NAME": "Failed logins by e-mail", "VERSION": "1.0.0"}} ]]

-- Who is told. The mail goes through the provider's relay (`egress.mail_relay`).
local TO = { "security@example.com" }

function register()
  return { "failed_login_by_email" }
end

function failed_login_by_email(p)
  if p == nil then
    return {
      ref = "failed_login_by_email",
      name = "Failed logins by e-mail",
      description = "Writes a mail for each sign-in that failed",
      priority = 0,
      triggerType = "POST_AUTH",
      triggerOptions = { "FAILURE" },
      api = "TRIGGER",
      version = 1,
    }
  end

  -- What was presented at the sign-in: `email/customer`.
  local login = p.input
  smtp.send({
    to = TO,
    subject = "Failed sign-in: " .. login,
    body = table.concat({
      "Somebody tried to sign in as " .. login .. " and failed.",
      "Time: " .. time.format(p.timeStamp, "yyyy-MM-dd HH:mm:ss") .. " UTC",
      "Customer: " .. (p.customer and p.customer:getResourceName() or "none that we know"),
    }, "\n"),
  })
  return { exitState = "SUCCESS" }
end
