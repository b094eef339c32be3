-- `require` and `package`, for the environment of one run: what a source puts there itself, and the libraries of the language by
-- their names. Nothing is read from anywhere.
local host, env = ...
local g = host.g
local setmetatable, tostring, error = g.setmetatable, g.tostring, g.error

local libraries = { _G = true, bit32 = true, coroutine = true, math = true, os = true, string = true, table = true }
local preload = {}
local loaded = setmetatable({}, {
	__index = function(_, name)
		return libraries[name] and env[name] or nil
	end,
})
env.package = { loaded = loaded, preload = preload, path = "", cpath = "", config = "/\n;\n?\n!\n-\n" }
env.require = function(name)
	if loaded[name] then
		return loaded[name]
	end
	local make = preload[name]
	if not make then
		error("module '" .. tostring(name) .. "' not found: there are those that the source puts into package.preload", 2)
	end
	local made = make(name)
	if made ~= nil then
		loaded[name] = made
	elseif loaded[name] == nil then
		loaded[name] = true
	end
	return loaded[name]
end
