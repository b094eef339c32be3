-- Lua 5.1 and 5.2 as published scripts expect them, on Luau. Runs once for each Lua state, before any script.
-- Everything it needs later is a local: the globals it was loaded with are emptied afterwards.
local g, base, host = ...
local pending, text, find_plain, load_text, log, env_of_run =
	host.pending, host.text, host.find_plain, host.load_text, host.log, host.env
local no_memory = host.no_memory
local type, select, tostring, error, next = g.type, g.select, g.tostring, g.error, g.next
local concat, unpack = g.table.concat, g.unpack

for _, name in
	{
		"assert", "error", "getmetatable", "setmetatable", "ipairs", "next", "pairs", "rawequal", "rawget", "rawset", "rawlen",
		"select", "tonumber", "tostring", "type", "unpack", "string", "table", "math", "bit32",
	}
do
	base[name] = g[name]
end
base._VERSION = "Lua 5.2"
-- Luau's own additions are not of the language, and scripts ask whether theirs are already there.
for name, own in
	{
		math = { "clamp", "isfinite", "isinf", "isnan", "lerp", "map", "noise", "round", "sign" },
		bit32 = { "byteswap", "countlz", "countrz" },
	}
do
	for _, each in own do
		g[name][each] = nil
	end
end

-- Errors of host functions are objects here and were texts there.
local function fixed(ok, ...)
	if not ok then
		local raised = ...
		if type(raised) == "userdata" then
			return false, text(raised)
		end
	end
	return ok, ...
end

local pcall, xpcall = g.pcall, g.xpcall
base.pcall = function(f, ...)
	return fixed(pcall(f, ...))
end
base.xpcall = function(f, handler, ...)
	return fixed(xpcall(f, function(raised)
		if type(raised) == "userdata" then
			raised = text(raised)
		end
		return handler(raised)
	end, ...))
end

-- What a library function raises when it is called from here bears no line of the script: it gets that of the script's call,
-- `level` functions further up. What stops a run is no text, and a lack of memory stays what it is.
local function placed(level, ok, ...)
	if ok then
		return ...
	end
	local raised = ...
	if raised == "not enough memory" then
		no_memory()
	end
	error(raised, type(raised) == "string" and level + 2 or 0)
end
local function must_be_table(t, what)
	if type(t) ~= "table" then
		error("invalid argument #1 to '" .. what .. "' (table expected, got " .. type(t) .. ")", 3)
	end
end

-- Without a base, only what Lua would read as a number: not the words for what is none. With one, a sign and its digits.
local tonumber, match = g.tonumber, g.string.match
base.tonumber = function(value, ...)
	if type(value) == "string" then
		if select("#", ...) == 0 or ... == nil or ... == 10 then
			local number = tonumber(value)
			if number and number - number ~= 0 and (number ~= number or not match(value, "%d")) then
				return nil
			end
			return number
		end
		local digits = match(value, "^%s*%-(%w+)%s*$")
		if digits then
			local number = placed(1, pcall(tonumber, digits, ...))
			return number and -number
		end
	end
	return placed(1, pcall(tonumber, value, ...))
end

-- `__pairs` and `__ipairs` of 5.2; and lists, maps and iterators of the language, from 1 as Lua counts.
local getmetatable, rawget, pairs, ipairs = g.getmetatable, g.rawget, g.pairs, g.ipairs
local function walk(object)
	local iterator, count = object:iterator(), 0
	local map = object.containsKey ~= nil
	return function()
		if not iterator:hasNext() then
			return nil
		end
		local item = iterator:next()
		count += 1
		if map then
			return item, object:get(item)
		end
		return count, item
	end
end
local function over(name, plain)
	return function(t)
		if type(t) == "userdata" then
			return walk(t)
		end
		local meta = getmetatable(t)
		local own = type(meta) == "table" and rawget(meta, name)
		if own then
			local step, state, first = own(t)
			return step, state, first
		end
		must_be_table(t, plain == pairs and "pairs" or "ipairs")
		return plain(t)
	end
end
base.pairs, base.ipairs = over("__pairs", pairs), over("__ipairs", ipairs)

-- A host call that waits inside a script's own coroutine hands its sign of waiting up to whoever resumed it, and so on to
-- the run, instead of showing it to the script.
local co = g.coroutine
local create, resume, yield, running = co.create, co.resume, co.yield, co.running
-- The run itself is a coroutine of the host's, which the script takes for no coroutine.
local own = g.setmetatable({}, { __mode = "k" })
local function make(f)
	local thread = placed(2, pcall(create, f))
	own[thread] = true
	return thread
end
local function relay(thread, ...)
	local ok, first = ...
	if ok and first == pending and select("#", ...) == 2 then
		return relay(thread, resume(thread, yield(pending)))
	end
	return fixed(...)
end
local function unwrap(ok, ...)
	if ok then
		return ...
	end
	error((...), 0)
end
base.coroutine = {
	create = function(f)
		return make(f)
	end,
	yield = function(...)
		if not own[running()] then
			error("attempt to yield from outside a coroutine", 0)
		end
		return yield(...)
	end,
	status = co.status,
	running = function()
		local thread = running()
		return thread, not own[thread]
	end,
	resume = function(thread, ...)
		if type(thread) ~= "thread" then
			error("invalid argument #1 to 'resume' (thread expected, got " .. type(thread) .. ")", 2)
		end
		return relay(thread, resume(thread, ...))
	end,
	wrap = function(f)
		local thread = make(f)
		return function(...)
			return unwrap(relay(thread, resume(thread, ...)))
		end
	end,
}

-- Plain search takes the product of both lengths in Luau and cannot be interrupted there.
local string = g.string
local find, gsub, gmatch = string.find, string.gsub, string.gmatch
string.find = function(s, pattern, from, plain)
	if
		type(s) == "string"
		and type(pattern) == "string"
		and #s * #pattern > 4194304
		and (plain or not find(pattern, "[%^%$%*%+%?%.%(%)%[%]%%%-]"))
	then
		return find_plain(s, pattern, from)
	end
	return placed(1, pcall(find, s, pattern, from, plain))
end
-- In a replacement, `%` before anything but a digit stands for what follows.
local function escape(c)
	if find(c, "[%d%%]") then
		return nil
	end
	return c
end
-- With a function for a replacement it runs here rather than in C, so that the function may wait.
local sub = string.sub
local function find_safely(s, pattern, from)
	return placed(3, pcall(find, s, pattern, from))
end
local huge = g.math.huge
local function gsub_by(s, pattern, f, most)
	local from, to
	local function value(first, last, ...)
		from, to = first, last
		if not first then
			return nil
		end
		local whole = sub(s, first, last)
		local put
		if select("#", ...) > 0 then
			put = f(...)
		else
			put = f(whole)
		end
		if not put then
			return whole
		end
		if type(put) ~= "string" and type(put) ~= "number" then
			error("invalid replacement value (a " .. type(put) .. ")", 4)
		end
		return put
	end
	local parts, at, count = {}, 1, 0
	while count < most and at <= #s + 1 do
		local put = value(find_safely(s, pattern, at))
		if put == nil then
			break
		end
		count += 1
		parts[#parts + 1] = sub(s, at, from - 1)
		parts[#parts + 1] = put
		at = to + 1
		if to < from then
			-- Nothing was matched: the character there stays.
			parts[#parts + 1] = sub(s, from, from)
			at = from + 1
		end
		if sub(pattern, 1, 1) == "^" then
			break
		end
	end
	parts[#parts + 1] = sub(s, at)
	return concat(parts), count
end
string.gsub = function(s, pattern, replacement, most)
	if type(replacement) == "function" and type(pattern) == "string" and (type(s) == "string" or type(s) == "number") then
		return gsub_by(tostring(s), pattern, replacement, tonumber(most) or huge)
	end
	if type(replacement) == "string" and find(replacement, "%%[^%d%%]") then
		replacement = gsub(replacement, "%%(.)", escape)
	end
	return placed(1, pcall(gsub, s, pattern, replacement, most))
end
string.gfind = gmatch
local rep, format = string.rep, string.format
string.rep = function(s, n, separator)
	local times = tonumber(n)
	if times and times > 2147483647 then
		if s == "" then
			return s
		end
		error("resulting string too large", 2)
	end
	if separator == nil or separator == "" or not times or times < 2 then
		return placed(1, pcall(rep, s, n))
	end
	return placed(1, pcall(rep, s .. separator, n - 1)) .. s
end
-- `%s` takes anything, as in 5.2.
string.format = function(pattern, ...)
	local count = select("#", ...)
	for i = 1, count do
		local kind = type((select(i, ...)))
		if kind ~= "string" and kind ~= "number" then
			local values = { ... }
			for j = i, count do
				kind = type(values[j])
				if kind ~= "string" and kind ~= "number" then
					values[j] = tostring(values[j])
				end
			end
			return placed(1, pcall(format, pattern, unpack(values, 1, count)))
		end
	end
	return placed(1, pcall(format, pattern, ...))
end
string.pack, string.unpack, string.packsize = nil, nil, nil

local math = g.math
math.mod = math.fmod
math.pow = function(x, y)
	return x ^ y
end

local table = g.table
table.maxn = function(t)
	local most = 0
	for key in next, t do
		if type(key) == "number" and key > most then
			most = key
		end
	end
	return most
end
table.getn = function(t)
	return #t
end
table.setn = function() end
table.foreach = function(t, f)
	for key, value in next, t do
		local found = f(key, value)
		if found ~= nil then
			return found
		end
	end
	return nil
end
table.foreachi = function(t, f)
	for i = 1, #t do
		local found = f(i, t[i])
		if found ~= nil then
			return found
		end
	end
	return nil
end
-- By a function it sorts here rather than in C, so that the function may wait; a merge asks no more often than it must.
local sort, min = table.sort, math.min
table.sort = function(t, before)
	if before == nil then
		return placed(1, pcall(sort, t))
	end
	must_be_table(t, "sort")
	if type(before) ~= "function" then
		error("invalid argument #2 to 'sort' (function expected, got " .. type(before) .. ")", 2)
	end
	local from, to, count, width = {}, {}, #t, 1
	for i = 1, count do
		from[i] = t[i]
	end
	while width < count do
		for low = 1, count, 2 * width do
			local middle, high = min(low + width, count + 1), min(low + 2 * width, count + 1)
			local i, j = low, middle
			for k = low, high - 1 do
				if i < middle and (j >= high or not before(from[j], from[i])) then
					to[k] = from[i]
					i += 1
				else
					to[k] = from[j]
					j += 1
				end
			end
		end
		from, to = to, from
		width *= 2
	end
	for i = 1, count do
		t[i] = from[i]
	end
end
table.unpack = g.unpack
-- Luau's own additions are not of the language, and some loop long where nothing can interrupt them.
for _, name in { "move", "create", "clear", "clone", "find", "freeze", "isfrozen" } do
	table[name] = nil
end
string.split = nil

base.print = function(...)
	local parts = { ... }
	for i = 1, select("#", ...) do
		parts[i] = tostring(parts[i])
	end
	log(concat(parts, "\t"))
end

base.loadstring = function(source, name)
	return load_text(source, name)
end
base.load = function(source, name, _, env)
	if type(source) == "function" then
		local parts, size = {}, 0
		while size <= 262144 do
			local part = source()
			if part == nil or part == "" then
				break
			end
			parts[#parts + 1] = part
			size = size + #part
		end
		source = concat(parts)
	end
	return load_text(source, name, env)
end

-- The environment of the run stands for that of level 0, which is not the script's.
local getfenv, setfenv = g.getfenv, g.setfenv
local function place(f)
	if f == nil then
		return 2
	end
	return type(f) == "number" and f > 0 and f + 1 or f
end
base.getfenv = function(f)
	if f == 0 then
		return env_of_run()
	end
	local found = getfenv(place(f))
	return found == g and env_of_run() or found
end
base.setfenv = function(f, env)
	if f == 0 then
		error("setfenv: level 0 is not the script's", 2)
	end
	return setfenv(place(f), env)
end

local collectgarbage = g.collectgarbage
base.collectgarbage = function(what)
	return what == "count" and collectgarbage("count") or 0
end

-- What the load-time rewrite gives to functions that use `arg`.
base.__args = function(...)
	return { n = select("#", ...), ... }
end
