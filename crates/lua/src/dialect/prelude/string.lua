-- What is changed of the library `string`. What a call mostly needs is in C functions of ours, the rest here: errors of these
-- functions are the script's, which called the C function that called them.
local host = ...
local g, plain, native, find_plain, placed = host.g, host.string, host.native, host.find_plain, host.placed
local type, tonumber, error, pcall, string = g.type, g.tonumber, g.error, g.pcall, g.string
local find, gsub, rep = plain.find, plain.gsub, plain.rep
local changed = {}

-- Plain search takes the product of both lengths in Luau and cannot be interrupted there.
changed.find = native("find", find, find_plain)
-- In a replacement, `%` before anything but a digit stands for what follows.
local function escape(c)
	if find(c, "[%d%%]") then
		return nil
	end
	return c
end
local function gsub_leniently(s, pattern, replacement, most)
	if type(replacement) == "string" then
		replacement = gsub(replacement, "%%(.)", escape)
	end
	return placed(2, pcall(gsub, s, pattern, replacement, most))
end
changed.gsub = native("gsub", gsub, gsub_leniently, find, find_plain)
local function rep_separated(s, n, separator)
	local times = tonumber(n)
	if times and times > 2147483647 then
		if s == "" then
			return s
		end
		error("resulting string too large", 3)
	end
	if separator == nil or separator == "" or not times or times < 2 then
		return placed(2, pcall(rep, s, n))
	end
	return placed(2, pcall(rep, s .. separator, n - 1)) .. s
end
changed.rep = native("rep", rep, rep_separated)
changed.format = native("format", plain.format)

-- What a script has put there meanwhile stays.
g.setmetatable(string, nil)
for name, f in g.next, changed do
	string[name] = string[name] or f
end
