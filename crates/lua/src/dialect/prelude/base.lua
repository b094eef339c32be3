-- Lua 5.1 and 5.2 as published scripts expect them, on Luau. Runs once for each Lua state, before any script.
-- Everything it needs later is a local or kept in `host`: the globals it was loaded with are emptied afterwards.
local g, base, host = ...
local text, no_memory, log, metatable = host.text, host.no_memory, host.log, host.metatable
local type, select, tostring, error = g.type, g.select, g.tostring, g.error

for _, name in
	{
		"assert", "error", "ipairs", "next", "pairs", "rawequal", "rawget", "rawset", "rawlen",
		"select", "tostring", "type", "string",
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

-- A lack of memory stays what it is when it is raised again.
local function lasting(raised)
	if raised == "not enough memory" then
		no_memory()
	end
	return raised
end

-- What a library function raises when it is called from here bears no line of the script: it gets that of the script's call,
-- `level` functions further up. What stops a run is no text.
local function placed(level, ok, ...)
	if ok then
		return ...
	end
	local raised = lasting((...))
	error(raised, type(raised) == "string" and level + 2 or 0)
end
local function must_be_table(t, what)
	if type(t) ~= "table" then
		error("invalid argument #1 to '" .. what .. "' (table expected, got " .. type(t) .. ")", 3)
	end
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
		-- One that `__metatable` hides counts as well.
		if meta ~= nil and type(meta) ~= "table" and type(t) == "table" then
			meta = metatable(t)
		end
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

base.print = function(...)
	local line = ""
	for i = 1, select("#", ...) do
		line = line .. (i > 1 and "\t" or "") .. tostring((select(i, ...)))
	end
	log(line)
end

-- What the host calls goes through here: an error need be no text, and nobody above could ask it for its words.
local words = host.words
local function worded(ok, ...)
	if ok then
		return ...
	end
	local raised = lasting((...))
	error(type(raised) == "table" and words(raised, tostring(raised)) or raised, 0)
end
host.top = function(f, ...)
	return worded(pcall(f, ...))
end

local collectgarbage = g.collectgarbage
base.collectgarbage = function(what)
	return what == "count" and collectgarbage("count") or 0
end

-- What the load-time rewrite gives to functions that use `arg`.
base.__args = function(...)
	return { n = select("#", ...), ... }
end

-- The metatable of an environment leads to what the platform gives. What a script sets as one counts behind that, as it does in
-- Lua for globals that are not there; it may well be filled afterwards.
local rawset, match, setmetatable = g.rawset, g.string.match, g.setmetatable
-- The line is that of the script's access, where it is not one of the script's own function.
local function asked(ok, ...)
	if ok then
		return ...
	end
	local raised = lasting((...))
	error(raised, type(raised) == "string" and not match(raised, "^[^:]+:%d+: ") and 3 or 0)
end
host.environment = function()
	local env, own = {}, { __index = base, __metatable = false, __environment = host.mark }
	env._G, env._ENV = env, env
	return setmetatable(env, own)
end
base.getmetatable = host.native("getmetatable", getmetatable)
base.setmetatable = host.native("setmetatable", setmetatable, function(own, meta)
	own.__metatable = meta or false
	own.__index = meta and function(env, name)
		local value, index = base[name], rawget(meta, "__index")
		if value ~= nil or index == nil then
			return value
		end
		if type(index) == "function" then
			return (asked(pcall(index, env, name)))
		end
		return index[name]
	end or base
	own.__newindex = meta and function(env, name, value)
		local take = rawget(meta, "__newindex")
		if take == nil or base[name] ~= nil then
			rawset(env, name, value)
		elseif type(take) == "function" then
			asked(pcall(take, env, name, value))
		else
			take[name] = value
		end
	end or nil
end)

-- What few blocks use comes when they first name it, for every function takes memory in every loaded block. Of the functions
-- for texts, which are also found as methods of a text, these wait until anything is asked for that is not there.
local string, plain = g.string, {}
for _, name in { "find", "gsub", "rep", "format" } do
	plain[name], string[name] = string[name], nil
end
string.gfind = string.gmatch
string.pack, string.unpack, string.packsize, string.split = nil, nil, nil, nil
local next, make = g.next, host.make_strings
setmetatable(string, {
	__index = function(_, name)
		make()
		return string[name]
	end,
	__pairs = function()
		make()
		return next, string
	end,
})

local kept = {}
for _, name in
	{
		"coroutine", "error", "getfenv", "next", "pcall", "select", "setfenv", "setmetatable", "string", "tonumber", "tostring",
		"type",
	}
do
	kept[name] = g[name]
end
host.g, host.base, host.string = kept, base, plain
host.globals, host.fixed, host.lasting, host.placed, host.must_be_table = g, fixed, lasting, placed, must_be_table
