-- Attacks by way of what the language offers.

--- wide formats
while true do pcall(string.format, '%99999d', 1) string.format('%99.99f', 1e308) end

--- many formats
local p = ('%s'):rep(100000) while true do pcall(string.format, p, 1) end

--- a format with a long text for each of many places
local s, t = ('x'):rep(1000000), {} for i = 1, 200 do t[i] = s end while true do pcall(string.format, ('%s'):rep(200), unpack(t)) end

--- repeating by metamethods
local s = setmetatable({}, { __concat = function(a, b) return ('x'):rep(1e6) end }) while true do local t = s .. 'a' .. s .. s end

--- a separator that multiplies
while true do pcall(string.rep, ('x'):rep(1000), 1000, ('y'):rep(100000)) pcall(string.rep, '', 1e15, 'x') end

--- joining millions
local t = {} for i = 1, 1000000 do t[i] = 1.5 end while true do pcall(table.concat, t, ('x'):rep(40)) end

--- a replacement that grows
local s = 'x' while true do s = s:gsub('.', function(c) return c .. c end) end

--- a replacement that calls itself
local function f(s) return (s:gsub('.', function(c) return f(s .. c) end)) end while true do pcall(f, 'ab') end

--- an anchored pattern against many starts
local s = ('a'):rep(300000) while true do pcall(string.gsub, s, '.-b', 'x') pcall(string.find, s, 'a-a-a-b') end

--- balance without end
local s = ('('):rep(1000000) while true do s:gsub('%b()', '') s:match('%b()', 2) end

--- a frontier behind classes
local s = ('a '):rep(200000) while true do s:gsub('%f[%a].-%f[%z]', 'x') end

--- walking by gmatch in gmatch
local s = ('a'):rep(5000) while true do for a in s:gmatch('.') do for b in s:gmatch('.-$') do end end end

--- coroutines in coroutines
local function f(n) return coroutine.wrap(function() return f(n + 1) end)() end while true do pcall(f, 1) end

--- coroutines that wait in each other
local t = {} while true do local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) t[#t + 1] = co end

--- pcall in a coroutine in pcall
while true do pcall(coroutine.wrap(function() while true do pcall(coroutine.wrap(function() while true do pcall(error, 'x') end end)) end end)) end

--- a coroutine that gives its failure on
local function f() local ok = pcall(function() while true do end end) return f() end while true do coroutine.wrap(f)() end

--- an iterator without end that waits
for v in coroutine.wrap(function() while true do coroutine.yield(1) end end) do pcall(adminAPI.echo, adminAPI, 1) end

--- an index that asks itself
local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. 'x'] end while true do pcall(function() return t.a end) end

--- a chain of indexes
local t = {} for i = 1, 100000 do t = setmetatable({}, { __index = t }) end while true do pcall(function() return t.x end) end

--- two that index each other
local a, b = {}, {} setmetatable(a, { __index = b }) setmetatable(b, { __index = a }) while true do pcall(function() return a.x end) pcall(function() a.y = b.z end) end

--- an assignment that assigns
local t = setmetatable({}, { __newindex = function(t, k, v) t[k] = v end }) while true do pcall(function() t.x = 1 end) end

--- an order that never holds
local m = { __lt = function() return true end } local t = {} for i = 1, 50000 do t[i] = setmetatable({}, m) end while true do pcall(table.sort, t) end

--- an order that changes the list
local t = {} for i = 1, 50000 do t[i] = i end while true do pcall(table.sort, t, function(a, b) t[#t + 1] = a t[a] = nil return a > b end) end

--- an order that sorts
local function by(a, b) local t = { 3, 2, 1 } table.sort(t, by) return a < b end while true do pcall(table.sort, { 3, 2, 1 }, by) end

--- an error of a large table
local t = {} for i = 1, 200000 do t[i] = 'e' .. i end while true do pcall(error, t) local ok, e = xpcall(function() error(t) end, function(e) return e end) end

--- an error with a large table
local t = {} for i = 1, 1000000 do t[i] = i end error(t)

--- an error with a large text
error(('x'):rep(30000000))

--- an error whose text loops
error(setmetatable({}, { __tostring = function() while true do end end }))

--- an error in the text of an error
local m = {} m.__tostring = function(t) error(t) end local t = setmetatable({}, m) while true do pcall(tostring, t) pcall(print, t) pcall(error, t) end

--- a text that asks for itself
local m = {} m.__tostring = function(t) return tostring(t) end local t = setmetatable({}, m) while true do pcall(tostring, t) pcall(string.format, '%s', t) end

--- a handler that fails
local function h(e) error(e) end while true do xpcall(error, h, 'x') end

--- a handler that calls xpcall
local function h(e) xpcall(error, h, e) return e end while true do xpcall(error, h, 'x') end

--- what is collected
while true do for i = 1, 1000 do setmetatable({}, { __gc = function() while true do end end, __mode = 'kv' }) end collectgarbage() end

--- lengths that loop
local t = setmetatable({}, { __len = function() while true do end end }) local n = #t

--- a call of a call of a call
local t = {} for i = 1, 100000 do t = setmetatable({}, { __call = t }) end while true do pcall(t) end

--- a call that calls itself
local t = setmetatable({}, {}) getmetatable(t).__call = function(self) return self() end while true do pcall(t) end

--- equality that loops
local m = { __eq = function(a, b) return a == b end } local a, b = setmetatable({}, m), setmetatable({}, m) while true do pcall(function() return a == b end) end

--- pairs that loop
for k in pairs(setmetatable({}, { __pairs = function(t) return function() return 1 end end })) do end

--- loading what nests
local s = 'x = ' .. ('('):rep(120000) .. '1' .. (')'):rep(120000) while true do load(s) load(('{'):rep(250000)) load('return ' .. ('-'):rep(250000) .. '1') end

--- loading functions in functions
local s = ('function f() '):rep(20000) while true do load(s) load(('if x then '):rep(26000)) load(('do '):rep(80000)) end

--- loading a chain of operators
local s = 'return 1' .. ('..1'):rep(80000) while true do load(s) load('return 2' .. ('^2'):rep(120000)) load('x = ' .. ('not '):rep(60000) .. '1') end

--- loading a chain of calls
local s = 'f' .. ('()'):rep(120000) while true do load(s) load('f' .. ('.x'):rep(120000) .. '()') load('x = ' .. ('a{'):rep(80000)) end

--- loading many constants
local t = {} for i = 1, 20000 do t[i] = '"k' .. i .. '"' end local s = 'return {' .. table.concat(t, ',') .. '}' while true do load(s) end

--- loading many locals
local t = {} for i = 1, 15000 do t[i] = 'local a' .. i .. '=1 ' end local s = table.concat(t) while true do load(s) end

--- loading many jumps
local s = ('for i = 1, 2 do goto c ::c:: end '):rep(7000) while true do load(s) load(('while 1 do '):rep(20000) .. 'goto x') end

--- loading environments
local s = ('local _ENV = {} x = y '):rep(11000) while true do load(s) load(('function f(_ENV) '):rep(15000)) end

--- loading functions that take arg
local s = ('function f(...) return arg '):rep(9000) .. ('end '):rep(9000) while true do load(s) end

--- loading long comments and texts that never end
while true do load(('--[==['):rep(40000)) load(('[=['):rep(80000)) load(('[='):rep(120000)) load('"' .. ('\\'):rep(200000)) end

--- loading what is dearest to compile
while true do
  for _, s in ipairs({ 'function()end,', '{{}},', '{a=1},' }) do load('return {' .. s:rep(98000 // #s - 2) .. '}') end
  for _, s in ipairs({ 'f""', 'a=function()end ', 'a=b ', 'do local a,b,c=d end ', 'x=(((((1)))))' }) do load(s:rep(98000 // #s)) end
  load('--...\n' .. ('do '):rep(16000) .. ('arg '):rep(12000))
  load('while a do ' .. ('do goto c end '):rep(999) .. ('::a::'):rep(16000) .. '::c:: end')
  load('local a' .. (',a'):rep(49000))
end

--- loading from a reader that loads
local function r() return load(r) and 'x = 1 ' end while true do pcall(load, r) end

--- bits without end
while true do pcall(bit32.band, unpack((function() local t = {} for i = 1, 7000 do t[i] = i end return t end)())) end

--- large powers
while true do local x = (2 ^ 1023) % 1e-300 pcall(math.fmod, 1e308, 1e-308) pcall(tonumber, ('9'):rep(100000), 10) end

--- numbers with many digits in a base
local s = ('z'):rep(5000000) while true do pcall(tonumber, s, 36) pcall(tonumber, '-' .. s, 36) end

--- texts of many arguments
local t = {} for i = 1, 7000 do t[i] = ('x'):rep(1000) end while true do pcall(print, unpack(t)) pcall(string.char, unpack(t)) end

--- bytes of a long text
local s = ('x'):rep(20000000) while true do pcall(string.byte, s, 1, -1) pcall(string.byte, s, 1, 7000) end

--- the environment's own metatable
pcall(setmetatable, _G, { __index = function() while true do end end }) pcall(rawset, getmetatable('').__index, 'sub', nil) while true do end
