-- Lua 5.1 and 5.2 as published scripts expect them, on Luau. Runs once for each Lua state, before any script.
-- Everything it needs later is a local: the globals it was loaded with are emptied afterwards.
local g, base, host = ...
local pending, text, find_plain, load_text, log, env_of_run =
	host.pending, host.text, host.find_plain, host.load_text, host.log, host.env
local type, select, tostring, error, next = g.type, g.select, g.tostring, g.error, g.next
local concat = g.table.concat

for _, name in
	{
		"assert", "error", "getmetatable", "setmetatable", "ipairs", "next", "pairs", "rawequal", "rawget", "rawset", "rawlen",
		"select", "tonumber", "tostring", "type", "unpack", "string", "table", "math", "bit32",
	}
do
	base[name] = g[name]
end
base._VERSION = "Lua 5.2"

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

-- A host call that waits inside a script's own coroutine hands its sign of waiting up to whoever resumed it, and so on to
-- the run, instead of showing it to the script.
local co = g.coroutine
local create, resume, yield = co.create, co.resume, co.yield
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
	create = create,
	yield = yield,
	status = co.status,
	running = co.running,
	isyieldable = co.isyieldable,
	resume = function(thread, ...)
		return relay(thread, resume(thread, ...))
	end,
	wrap = function(f)
		local thread = create(f)
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
	return find(s, pattern, from, plain)
end
-- In a replacement, `%` before anything but a digit stands for what follows.
local function escape(c)
	if find(c, "[%d%%]") then
		return nil
	end
	return c
end
string.gsub = function(s, pattern, replacement, most)
	if type(replacement) == "string" and find(replacement, "%%[^%d%%]") then
		replacement = gsub(replacement, "%%(.)", escape)
	end
	return gsub(s, pattern, replacement, most)
end
string.gfind = gmatch
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
