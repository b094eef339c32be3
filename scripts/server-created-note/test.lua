function test_the_server_is_noted()
  local noted
  print = function(text) noted = text end
  local server = bean("Server", { resourceName = "web-1", resourceUUID = "6b1f" })
  event("server_created_note", { triggerOption = "SERVER", input = server })
  equal(noted, "created server web-1 (6b1f)")
end
