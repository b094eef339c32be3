-- The function `tonumber`.
local host = ...
local g, placed = host.g, host.placed
local type, select, pcall, tonumber, match = g.type, g.select, g.pcall, g.tonumber, g.string.match

-- Without a base, only what Lua would read as a number: not the words for what is none. With one, a sign and its digits.
host.base.tonumber = function(value, ...)
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
