local function asked(name)
  return event("refuse_forbidden_names", { triggerOption = "SERVER", input = bean("Server", { resourceName = name }) })
end

function test_a_forbidden_word_at_the_beginning_is_refused_with_the_reason()
  local result = asked("Forbidden-web")
  equal(result.exitState, "FAILURE")
  assert(result.errorString:find("forbidden", 1, true), result.errorString)
end

function test_other_names_pass()
  equal(asked("web-1").exitState, "CONTINUE")
  equal(asked("not-forbidden").exitState, "CONTINUE")
end
