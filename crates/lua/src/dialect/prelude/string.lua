-- What is changed of the library `string`.
local host = ...
local g, plain, find_plain, placed = host.g, host.string, host.find_plain, host.placed
local type, select, tostring, tonumber, error, pcall = g.type, g.select, g.tostring, g.tonumber, g.error, g.pcall
local concat, unpack, string = g.table.concat, g.unpack, g.string
local find, gsub, rep, format = plain.find, plain.gsub, plain.rep, plain.format
local changed = {}

-- Plain search takes the product of both lengths in Luau and cannot be interrupted there.
changed.find = function(s, pattern, from, plain)
	if
		type(s) == "string"
		and type(pattern) == "string"
		and #s * #pattern > 4194304
		and (plain or not find(pattern, "[%^%$%*%+%?%.%(%)%[%]%%%-]"))
	then
		return find_plain(s, pattern, from)
	end
	return placed(1, pcall(find, s, pattern, from, plain))
end
-- In a replacement, `%` before anything but a digit stands for what follows.
local function escape(c)
	if find(c, "[%d%%]") then
		return nil
	end
	return c
end
-- With a function for a replacement it runs here rather than in C, so that the function may wait.
local sub = string.sub
local function find_safely(s, pattern, from)
	return placed(3, pcall(find, s, pattern, from))
end
local function gsub_by(s, pattern, f, most)
	local from, to
	local function value(first, last, ...)
		from, to = first, last
		if not first then
			return nil
		end
		local whole = sub(s, first, last)
		local put
		if select("#", ...) > 0 then
			put = f(...)
		else
			put = f(whole)
		end
		if not put then
			return whole
		end
		if type(put) ~= "string" and type(put) ~= "number" then
			error("invalid replacement value (a " .. type(put) .. ")", 4)
		end
		return put
	end
	local parts, at, count = {}, 1, 0
	while count < most and at <= #s + 1 do
		local put = value(find_safely(s, pattern, at))
		if put == nil then
			break
		end
		count += 1
		parts[#parts + 1] = sub(s, at, from - 1)
		parts[#parts + 1] = put
		at = to + 1
		if to < from then
			-- Nothing was matched: the character there stays.
			parts[#parts + 1] = sub(s, from, from)
			at = from + 1
		end
		if sub(pattern, 1, 1) == "^" then
			break
		end
	end
	parts[#parts + 1] = sub(s, at)
	return concat(parts), count
end
changed.gsub = function(s, pattern, replacement, most)
	if type(replacement) == "function" and type(pattern) == "string" and (type(s) == "string" or type(s) == "number") then
		return gsub_by(tostring(s), pattern, replacement, tonumber(most) or 1 / 0)
	end
	if type(replacement) == "string" and find(replacement, "%%[^%d%%]") then
		replacement = gsub(replacement, "%%(.)", escape)
	end
	return placed(1, pcall(gsub, s, pattern, replacement, most))
end
changed.rep = function(s, n, separator)
	local times = tonumber(n)
	if times and times > 2147483647 then
		if s == "" then
			return s
		end
		error("resulting string too large", 2)
	end
	if separator == nil or separator == "" or not times or times < 2 then
		return placed(1, pcall(rep, s, n))
	end
	return placed(1, pcall(rep, s .. separator, n - 1)) .. s
end
-- `%s` takes anything, as in 5.2.
changed.format = function(pattern, ...)
	local count = select("#", ...)
	for i = 1, count do
		local kind = type((select(i, ...)))
		if kind ~= "string" and kind ~= "number" then
			local values = { ... }
			for j = i, count do
				kind = type(values[j])
				if kind ~= "string" and kind ~= "number" then
					values[j] = tostring(values[j])
				end
			end
			return placed(1, pcall(format, pattern, unpack(values, 1, count)))
		end
	end
	return placed(1, pcall(format, pattern, ...))
end

-- What a script has put there meanwhile stays.
g.setmetatable(string, nil)
for name, f in g.next, changed do
	string[name] = string[name] or f
end
