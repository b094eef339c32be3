--[[ {"FDLINFO": {"NAME": "Server created note", "VERSION": "1.0.0"}} ]]

function register()
  return { "server_created_note" }
end

function server_created_note(p)
  if p == nil then
    return {
      ref = "server_created_note",
      name = "Server created note",
      description = "Notes each new server in the run's log",
      priority = 0,
      triggerType = "POST_CREATE",
      triggerOptions = { "SERVER" },
      api = "TRIGGER",
      version = 1,
    }
  end

  print("created server " .. p.input:getResourceName() .. " (" .. p.input:getResourceUUID() .. ")")
  return { exitState = "SUCCESS" }
end
