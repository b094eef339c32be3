--[[ {"FDLINFO": {"NAME": "Refuse forbidden names", "VERSION": "1.0.0"}} ]]

-- Names of new servers must not begin with one of these.
local FORBIDDEN = { "forbidden" }

function register()
  return { "refuse_forbidden_names" }
end

function refuse_forbidden_names(p)
  if p == nil then
    return {
      ref = "refuse_forbidden_names",
      name = "Refuse forbidden names",
      description = "Refuses new servers whose name begins with a forbidden word",
      priority = 0,
      triggerType = "PRE_CREATE",
      triggerOptions = { "SERVER" },
      api = "TRIGGER",
      version = 1,
    }
  end

  local name = p.input:getResourceName()
  for _, word in ipairs(FORBIDDEN) do
    if name:lower():sub(1, #word) == word then
      return {
        exitState = "FAILURE",
        errorString = "names beginning with `" .. word .. "` are reserved; choose another name",
      }
    end
  end
  return { exitState = "CONTINUE" }
end
