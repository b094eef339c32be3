-- What a connection's callback raises reaches the script as it is: had the host called it, only a text of it would be left.
local host = ...
local error, lasting, pcall = host.g.error, host.lasting, host.g.pcall

local function told(turned_down, ok, ...)
	if not ok then
		error(lasting((...)), 0)
	end
	if (...) ~= false then
		return true
	end
	turned_down()
	return false
end
host.requesting = function(request, turned_down)
	return function(...)
		local answered, callback, piece = request(...)
		if callback then
			return told(turned_down, pcall(callback, piece))
		end
		return answered
	end
end
