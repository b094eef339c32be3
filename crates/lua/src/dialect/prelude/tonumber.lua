-- The function `tonumber`.
local host = ...
local g, placed = host.g, host.placed
local pcall, tonumber, match = g.pcall, g.tonumber, g.string.match

-- With a base, a sign and its digits.
local function tonumber_signed(value, ...)
	local digits = match(value, "^%s*%-(%w+)%s*$")
	if digits then
		local number = placed(2, pcall(tonumber, digits, ...))
		return number and -number
	end
	return placed(2, pcall(tonumber, value, ...))
end
host.base.tonumber = host.native("tonumber", tonumber, tonumber_signed)
