-- What takes the thread, the memory or the process by the plainest means.

--- endless loop
while true do end

--- loop around pcall
while true do pcall(function() while true do end end) end

--- pcall of pcall
local function f() pcall(f) pcall(f) end while true do pcall(f) end

--- xpcall with a looping handler
while true do xpcall(error, function() while true do end end) end

--- loop in a coroutine
coroutine.wrap(function() while true do end end)()

--- loop of coroutines
while true do local c = coroutine.create(function() while true do end end) coroutine.resume(c) end

--- yielding for ever
while true do coroutine.yield() end

--- repeat until false
repeat until false

--- endless iterator
for _ in function() return 1 end do end

--- recursion
local function f() return 1 + f() end while true do pcall(f) end

--- recursion through metamethods
local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. 'x'] end while true do pcall(function() return t.a end) end

--- recursion through tostring
local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) end while true do pcall(tostring, t) end

--- recursion of gsub callbacks
local function f() return (string.gsub('aaaa', 'a', f)) end while true do pcall(f) end

--- recursion of coroutines
local function f() return coroutine.wrap(f)() end while true do pcall(f) end

--- catastrophic pattern
local s = string.rep('a', 30000) while true do string.find(s, string.rep('a*', 30) .. 'b') end

--- catastrophic lazy pattern
local s = string.rep('a', 30000) while true do string.match(s, '.-.-.-.-.-.-b') end

--- catastrophic gmatch
local s = string.rep('a', 30000) while true do for _ in string.gmatch(s, '(a*)*b') do end end

--- catastrophic gsub
local s = string.rep('a', 30000) while true do string.gsub(s, 'a*a*a*a*b', '') end

--- catastrophic balance
local s = string.rep('(', 100000) while true do string.find(s, '%b()') end

--- long optional pattern
local p = string.rep('x?', 300000) while true do pcall(string.find, string.rep('x', 1000), p) end

--- one gigabyte of text
while true do pcall(string.rep, 'x', 1e9) end

--- one gigabyte of text with a separator
while true do pcall(string.rep, 'x', 5e8, ',') end

--- catastrophic gsub by a function
local s = string.rep('a', 30000) while true do string.gsub(s, 'a*a*a*a*b', function() return '' end) end

--- gsub by a function that grows its text
local s = 'aa' while true do s = string.gsub(s, 'a', function(c) return c .. c end) end

--- sort by a function that makes no sense
local t = {} for i = 1, 50000 do t[i] = i end while true do table.sort(t, function(a, b) return a % 7 ~= b % 5 end) end

--- foreach around pcall
local t = {1} while true do table.foreach(t, function() pcall(error) t[#t + 1] = 1 end) end

--- growing text
local s = 'x' while true do s = s .. s end

--- growing text around pcall
local s = 'x' while true do pcall(function() s = s .. s .. 'y' end) end

--- growing table
local t = {} while true do t[#t + 1] = {} end

--- growing table around pcall
local t = {} while true do pcall(function() for i = 1, 1000 do t[#t + 1] = {i} end end) end

--- many closures
local t = {} while true do local n = #t t[n + 1] = function() return n end end

--- many coroutines
local t = {} while true do t[#t + 1] = coroutine.create(function() end) end

--- sort of a large table
local t = {} for i = 1, 1500000 do t[i] = (i * 7919) % 1500007 end table.sort(t) while true do end

--- sort with a lying comparator
local t = {} for i = 1, 100000 do t[i] = i end while true do pcall(table.sort, t, function() return true end) end

--- concat of a large table
local t = {} for i = 1, 100000 do t[i] = 'x' end while true do table.concat(t) end

--- loadstring of a long source
local s = string.rep('x = 1 ', 700000) while true do loadstring(s) end

--- loadstring in a loop
local s = string.rep('x = 1 ', 20000) while true do loadstring(s) end

--- loadstring of deep nesting
local s = 'return ' .. string.rep('(', 100000) while true do loadstring(s) end

--- load from an endless reader
while true do load(function() return 'x = 1 ' end) end

--- plain find
local s, p = string.rep('a', 30000000), string.rep('a', 1000000) .. 'b' while true do string.find(s, p, 1, true) end

--- plain find of what closes
local s, p = string.rep('a', 30000000), string.rep('a', 1000000) .. ')]' while true do string.find(s, p) end

--- plain gsub by a function
local s, p = string.rep('a', 30000000), string.rep('a', 1000000) .. 'b' while true do string.gsub(s, p, print) end

--- gsub by a function that is none of Lua's
local s = string.rep('a', 30000000) while true do string.gsub(s, 'a', type) string.gsub(s, '', type) end

--- plain find without the flag
local s, p = string.rep('ab', 10000000), string.rep('ba', 500000) .. 'c' while true do s:find(p) end

--- empty texts repeated
while true do string.rep('', 1e9) end

--- functions that Luau adds
while true do pcall(function() table.move({}, 1, 1e9, 2) end) pcall(function() table.create(1e8, 0) end) end

--- concat of a range that is not there
while true do pcall(table.concat, {}, '', 1, 1e9) end

--- unpack of a range that is not there
while true do pcall(unpack, {}, 1, 1e9) end

--- linear gsub of a long text
local s = string.rep('a', 15000000) while true do pcall(string.gsub, s, 'a', 'b') end

--- linear gsub by a table
local s = string.rep('a', 15000000) while true do pcall(string.gsub, s, '.', {a = 'b'}) end

--- splitting a long text
local s = string.rep('a', 10000000) while true do pcall(string.split or string.upper, s, '') end

--- upper and reverse of a long text
local s = string.rep('a', 15000000) while true do pcall(string.upper, s) pcall(string.reverse, s) end

--- comparing long texts
local a, b = string.rep('a', 15000000) .. 'x', string.rep('a', 15000000) .. 'y' while true do local c = a < b end

--- shifting a large table
local t = {} for i = 1, 1000000 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end

--- maxn of a large table
local t = {} for i = 1, 1000000 do t[i] = i end while true do table.maxn(t) end

--- numbers from long texts
local s = string.rep('1', 10000000) while true do tonumber(s) end

--- a format with long texts
local s = string.rep('a', 10000000) while true do pcall(string.format, '%s%q', s, s) end

--- base64 of a long text
local s, h = string.rep('a', 10000000), new('FDLHashHelper') while true do pcall(function() h:toBase64(s) end) end

--- encoding a long text
local s, h = string.rep(' ', 10000000), new('simplehttp') while true do pcall(function() h.URLEncode(s) end) end

--- translating with large arguments
local s = string.rep('x', 1000000) while true do pcall(function() translate.string(string.rep('{0}', 100000), s) end) end

--- starting with a long text
local s, u = string.rep('a', 10000000), new('Utils') while true do u:stringStartsWith(s, s) end

--- a long log line
local s = string.rep('a', 10000000) while true do print(s) syslog.syslog(s, s) end

--- removing from the front of a list
local l = new('List') for i = 1, 100000 do l:add(i) end while true do l:add(0, 1) l:remove(0) l:indexOf('x') end

--- unpack of a large table
local t = {} for i = 1, 100000 do t[i] = i end while true do pcall(unpack, t) end

--- collecting garbage
local t = {} for i = 1, 300000 do t[i] = {} end while true do collectgarbage() end

--- printing
while true do print(string.rep('x', 1000)) end

--- growing list
local l = new('List') while true do l:add(string.rep('x', 1000)) end

--- growing list of tables
local l = new('List') while true do l:add({}) end

--- growing map around pcall
local m, i = new('Map'), 0 while true do i = i + 1 pcall(m.put, 'key' .. i, i) end

--- growing bean
local b, i = new('Server'), 0 while true do i = i + 1 b['setX' .. i](b, string.rep('x', 100)) end

--- garbage lists
while true do local l = new('List') for i = 1, 1000 do l:add(string.rep('x', 1000)) end end

--- chain of lists
local l = new('List') while true do local m = new('List') m:add(l) l = m end

--- lists that share
local l = new('List') l:add('x') for i = 1, 40 do local m = new('List') m:add(l) m:add(l) l = m end while true do tostring(l) pcall(function() new('JSON'):encode(l) end) end

--- tables that share
local t = {'x'} for i = 1, 40 do t = {t, t} end local j = new('JSON') while true do pcall(function() j:encode(t) end) end

--- large texts in JSON
local s, t = string.rep('x', 1000000), {} for i = 1, 10000 do t[i] = s end local j = new('JSON') while true do pcall(function() j:encode(t) end) end

--- deep JSON
local s = string.rep('[', 1000000) local j = new('JSON') while true do pcall(function() j:decode(s) end) end

--- wide JSON
local s = '[' .. string.rep('0,', 1900000) .. '0]' local j = new('JSON') while true do pcall(function() j:decode(s) end) end

--- wide date pattern
local d, s = new('FDLDateHelper'), string.rep('yyyy ', 100000) while true do d:getString(0, s) end

--- escape by environments
setfenv(1, {}) while true do end

--- own pcall and error
pcall, error, coroutine = nil, nil, nil while true do end

--- replaced libraries
for k in pairs(string) do string[k] = nil end for k in pairs(table) do table[k] = nil end while true do end

--- host calls in a loop
while true do pcall(function() adminAPI:echo(1) end) end

--- a loop behind a failed wait
pcall(function() string.gsub('a', 'a', function() userAPI:waitForJob('j', true) end) end) while true do end
