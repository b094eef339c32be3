-- The library `coroutine`.
local host = ...
local g, base, pending, fixed, placed = host.g, host.base, host.pending, host.fixed, host.placed
local type, select, error, pcall, unpack = g.type, g.select, g.error, g.pcall, g.unpack

-- A host call that waits inside a script's own coroutine hands its sign of waiting up to whoever resumed it, and so on to
-- the run, instead of showing it to the script. One that only makes way for other runs goes on at once where that cannot be.
local co = g.coroutine
local create, resume, yield, running, yieldable = co.create, co.resume, co.yield, co.running, co.isyieldable
local made_way = host.made_way
-- The run itself is a coroutine of the host's, which the script takes for no coroutine.
local own = g.setmetatable({}, { __mode = "k" })
local function make(f)
	local thread = placed(2, pcall(create, f))
	own[thread] = true
	return thread
end
local function pack(...)
	return { n = select("#", ...), ... }
end
local function relay(thread, ...)
	local ok, first = ...
	if not ok or first ~= pending or select("#", ...) ~= 2 then
		return fixed(...)
	end
	local results
	repeat
		if yieldable() or not made_way() then
			results = pack(resume(thread, yield(pending)))
		else
			results = pack(resume(thread))
		end
	until not results[1] or results[2] ~= pending or results.n ~= 2
	return fixed(unpack(results, 1, results.n))
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
