--[[ {"FDLINFO": {"NAME": "Server started note", "VERSION": "1.0.0"}} ]]

function register()
  return { "server_started_note" }
end

function server_started_note(p)
  if p == nil then
    return {
      ref = "server_started_note",
      name = "Server started note",
      description = "Notes each server that begins to run in the run's log",
      priority = 0,
      triggerType = "POST_SERVER_STATE_CHANGE",
      triggerOptions = { "RUNNING" },
      api = "TRIGGER",
      version = 1,
    }
  end

  print("server " .. p.input:getResourceName() .. " is " .. p.triggerOption .. " now")
  return { exitState = "SUCCESS" }
end
