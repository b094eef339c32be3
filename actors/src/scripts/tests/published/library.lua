-- Helper functions that the scripts of one house share, written for Lua 5.1; the trigger proves them on each new server.

local util = {}

-- Counts and joins whatever it is given, nil as well.
function util.join(separator, ...)
    local parts = {}
    for i = 1, arg.n do
        parts[i] = tostring(arg[i])
    end
    return table.concat(parts, separator)
end

function util.printf(...)
    print(string.format(unpack(arg)))
end

function util.split(text, separator)
    local found = {}
    for part in string.gfind(text .. separator, "(.-)" .. util.escape(separator)) do
        table.insert(found, part)
    end
    return found
end

function util.escape(text)
    return (string.gsub(text, "([%^%$%(%)%%%.%[%]%*%+%-%?])", "%%%1"))
end

function util.map(list, f)
    local mapped = {}
    table.foreachi(list, function(i, value) mapped[i] = f(value) end)
    return mapped
end

function util.keys(t)
    local found = {}
    for key in pairs(t) do found[table.getn(found) + 1] = key end
    table.sort(found)
    return found
end

-- Runs a function with its own globals.
function util.sandbox(f)
    local env = setmetatable({}, { __index = getfenv(1) })
    setfenv(f, env)
    f()
    return env
end

function util.money(amount, decimals)
    local text = string.format("%." .. (decimals or 2) .. "f", amount)
    local changed
    repeat
        text, changed = string.gsub(text, "^(-?%d+)(%d%d%d)", "%1,%2")
    until changed == 0
    return text
end

Account = {}
Account.__index = Account
Account.__eq = function(a, b) return a.balance == b.balance end
Account.__lt = function(a, b) return a.balance < b.balance end
Account.__le = function(a, b) return a.balance <= b.balance end
Account.__add = function(a, b) return Account.new(a.balance + b.balance) end
Account.__unm = function(a) return Account.new(-a.balance) end
Account.__concat = function(a, b) return tostring(a) .. tostring(b) end
Account.__tostring = function(a) return "[" .. util.money(a.balance) .. "]" end
Account.__len = function(a) return math.floor(a.balance) end
Account.__call = function(a, amount) a.balance = a.balance + amount; return a end
function Account.new(balance) return setmetatable({ balance = balance }, Account) end

function register() return { "library_trigger" } end

function library_trigger(p)
    if p == nil then
        return { ref = "library_trigger", name = "Library", description = "", triggerType = "POST_CREATE", triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1 }
    end
    util.printf("%s has %d MB and %.1f GB", p.input:getResourceName(), p.input:getRam(), p.input:getRam() / 1024)
    print(util.join("|", 1, nil, true, 2.50, p.input:getStatus()))
    print(util.join(",", unpack(util.split("a.b..c", "."))))
    print(util.join(" ", unpack(util.map({ 1, 2, 3 }, function(n) return n * n / 2 end))))
    print(util.join(" ", unpack(util.keys({ z = 1, a = 2, m = 3 }))))
    local env = util.sandbox(function() answer = 6 * 7 print(type(print), answer) end)
    print(env.answer, answer, rawget(env, "answer"))
    print(util.money(1234567.891), util.money(-1234.5), util.money(0.1 + 0.2), util.money(1e9, 0))
    local a, b = Account.new(1000.25), Account.new(0.5)
    print(a + b .. "", -a .. b, #a, a == Account.new(1000.25), b < a, b <= a, a > b, tostring(a(0.5)))
    print("\x48\105\z
           !", "tab\tend", [[long
text]], 0x1F, 1e3, .5, 3., 5 % 3, -5 % 3, 2 ^ 10, 7 / 2, 1 / 4)
    print(#"", #{ 1, 2, 3 }, not nil, nil == false, 1 == 1.0, "10" + 5, 10 .. 20)
    local co = coroutine.create(function(x) while true do x = coroutine.yield(x * 2) end end)
    print(select(2, coroutine.resume(co, 1)), select(2, coroutine.resume(co, 21)), coroutine.status(co))
    local t = setmetatable({}, { __index = function(t, k) return k .. "?" end, __newindex = function(t, k, v) rawset(t, k, v .. "!") end })
    t.x = "set"
    print(t.x, t.y, next({}), type(next), tostring(nil))
    print(pcall(error, { code = 7 }) == false, select("#", pcall(error)), (select(2, pcall(error, "plain", 0))))
    print(string.rep("ab", 3), ("x"):rep(0), string.reverse("abc"), ("%5.2f|%-6s|%06d|%x|%q"):format(3.14159, "ab", 42, 255, 'a "b"'))
    print(tostring(12345678901234), 1395000000000, 1e15, 2 ^ 53, 1 / 3, 100 * 1.1, 1e-7)
    print(table.maxn({ 1, 2, [7] = 1 }), math.mod(7, 3), math.pow(2, 3), math.max(1, 7, 3), math.floor(-1.5))
    for k, v in string.gmatch("a=1, b=2", "(%w+)=(%w+)") do io_like = (io_like or "") .. k .. v end
    print(io_like, string.find("a.b", ".", 1, true), string.match("2014-03-09", "(%d+)-(%d+)-(%d+)"))
    do local function f(n) if n == 0 then return "deep" end return f(n - 1) end print(f(10000)) end
    local sum = 0; for i = 10, 1, -3 do sum = sum + i end; for i = 1, 0 do sum = nil end;
    print(sum, (function(...) return select("#", ...) end)(nil, nil), (function() end)() == nil)
    return { exitState = "SUCCESS" }
end
