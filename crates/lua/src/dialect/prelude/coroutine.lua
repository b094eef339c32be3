-- The library `coroutine`.
local host = ...
local g, base, pending, fixed, placed = host.g, host.base, host.pending, host.fixed, host.placed
local type, select, error, pcall = g.type, g.select, g.error, g.pcall

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
