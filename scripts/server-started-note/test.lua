function test_the_server_is_noted()
  local noted
  print = function(text) noted = text end
  local server = bean("Server", { resourceName = "web-1", resourceUUID = "6b1f" })
  event("server_started_note", { triggerOption = "RUNNING", input = server })
  equal(noted, "server web-1 is RUNNING now")
end
