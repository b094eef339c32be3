-- Functions that read a source or change what a function takes for its globals.
local host = ...
local g, base, load_text, env_of_run, globals = host.g, host.base, host.load_text, host.env, host.globals
local type, error, concat = g.type, g.error, g.table.concat

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
	return found == globals and env_of_run() or found
end
base.setfenv = function(f, env)
	if f == 0 then
		error("setfenv: level 0 is not the script's", 2)
	end
	return setfenv(place(f), env)
end
