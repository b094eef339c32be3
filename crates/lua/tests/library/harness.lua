-- What the tests of library scripts (scripts/*/test.lua) find: the helpers that reach outside are replaced by ones that note
-- what they are asked for and answer what the test says.

-- Everything that was asked of the outside, in order: { call = "http.post", url = ..., ... }.
calls = {}

local answers = {}
local resources = {}
local present = 1700000000000

-- Says what the next `call` answers: a table of fields, or a function that raises. Several are used up in order.
function answer(call, what)
  answers[call] = answers[call] or {}
  table.insert(answers[call], what)
end

-- Sets the present, in milliseconds or as `2026-03-01T22:00:00Z`.
function now(at)
  present = type(at) == "string" and time.parse(at) or at
end

-- A bean with properties: bean("Job", { itemName = "web-1" }). Lists are arrays, beans in them too.
function bean(kind, properties)
  local made = new(kind)
  for name, value in pairs(properties or {}) do
    made["set" .. name:sub(1, 1):upper() .. name:sub(2)](made, value)
  end
  return made
end

-- Makes a bean what adminAPI:getResource finds by its UUID.
function resource(made)
  resources[made:getResourceUUID()] = made
  return made
end

-- Runs a function of the script over an event and returns what it returns.
function event(name, p)
  local entry = assert(_G[name], "the script has no function " .. name)(nil)
  assert(contains(entry.triggerOptions, p.triggerOption) or contains(entry.triggerOptions, "ANY"),
    name .. " does not run at " .. tostring(p.triggerOption))
  return _G[name](p)
end

function contains(list, value)
  for _, each in ipairs(list) do
    if each == value then return true end
  end
  return false
end

-- Raises unless both are the same, tables by what they hold.
function equal(actual, expected, what)
  local function same(a, b, path)
    if type(a) == "table" and type(b) == "table" then
      for key, value in pairs(b) do same(a[key], value, path .. "." .. tostring(key)) end
      for key, value in pairs(a) do
        if b[key] == nil then same(value, nil, path .. "." .. tostring(key)) end
      end
    elseif a ~= b then
      error(path .. " is `" .. tostring(a) .. "`, not `" .. tostring(b) .. "`", 4)
    end
  end
  same(actual, expected, what or "it")
end

-- Raises unless the function raises an error with these words.
function raises(words, run)
  local ok, reason = pcall(run)
  assert(not ok, "it did not raise")
  assert(tostring(reason):find(words, 1, true), tostring(reason) .. " does not say " .. words)
end

local function asked(call, fields, usual)
  local note = { call = call }
  for key, value in pairs(fields) do note[key] = value end
  table.insert(calls, note)
  local what = table.remove(answers[call] or {}, 1)
  if type(what) == "function" then return what(note) end
  for key, value in pairs(what or {}) do usual[key] = value end
  return usual
end

local function response(call, fields)
  local got = asked(call, fields, { status = 200, headers = {}, body = "" })
  got.ok = got.status >= 200 and got.status < 300
  local decoded = got.json
  got.json = function() return decoded or json.decode(got.body) end
  return got
end

http = {}
for _, method in ipairs({ "get", "head", "post", "put", "patch", "delete" }) do
  http[method] = function(url, options)
    local fields = { url = url }
    for key, value in pairs(options or {}) do fields[key] = value end
    return response("http." .. method, fields)
  end
end

local function peer(name, functions)
  local made = {}
  for _, each in ipairs(functions) do
    made[each] = function(options) return asked(name .. "." .. each, options, {}) end
  end
  return made
end
amqp = peer("amqp", { "publish" })
mysql = peer("mysql", { "query", "execute" })
smtp = peer("smtp", { "send" })
xmpp = peer("xmpp", { "send" })

adminAPI = {
  getResource = function(self, uuid) return resources[uuid] end,
}

local clock = time
time = setmetatable({ now = function() return present end }, { __index = clock })
