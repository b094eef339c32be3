-- The library `table`.
local host = ...
local g, placed, must_be_table = host.g, host.placed, host.must_be_table
local type, error, pcall, next, table = g.type, g.error, g.pcall, g.next, g.table
host.base.table, host.base.unpack = table, g.unpack

table.maxn = function(t)
	local most = 0
	for key in next, t do
		if type(key) == "number" and key > most then
			most = key
		end
	end
	return most
end
table.getn = function(t)
	return #t
end
table.setn = function() end
-- Until the function answers something.
local function visit(f, step, t, key)
	for at, value in step, t, key do
		local found = f(at, value)
		if found ~= nil then
			return found
		end
	end
	return nil
end
table.foreach = function(t, f)
	return visit(f, next, t)
end
table.foreachi = function(t, f)
	local count = #t
	return visit(f, function(_, i)
		if i < count then
			return i + 1, t[i + 1]
		end
		return nil
	end, t, 0)
end
-- Numbers become texts in C, where nothing interrupts: long tables are joined piece by piece.
local concat = table.concat
local PIECE = host.joined
local function concat_long(t, separator, from, to)
	from, to = from or 1, to or #t
	if type(from) ~= "number" or type(to) ~= "number" then
		return placed(2, pcall(concat, t, separator, from, to))
	end
	local pieces = {}
	for at = from, to, PIECE do
		local last = at + PIECE - 1
		pieces[#pieces + 1] = placed(2, pcall(concat, t, separator, at, last < to and last or to))
	end
	return placed(2, pcall(concat, pieces, separator))
end
table.concat = host.native("concat", concat, concat_long)
-- By a function it sorts here rather than in C, so that the function may wait, and so are long tables, so that the limits hold; a
-- merge asks no more often than it must.
local sort, gsub = table.sort, host.string.gsub
local LONG = 50000
local function min(a, b)
	return a < b and a or b
end
local function less(a, b)
	return a < b
end
local function merge_sort(t, before)
	local from, to, count, width = {}, {}, #t, 1
	for i = 1, count do
		from[i] = t[i]
	end
	while width < count do
		for low = 1, count, 2 * width do
			local middle, high = min(low + width, count + 1), min(low + 2 * width, count + 1)
			local i, j = low, middle
			for k = low, high - 1 do
				if i < middle and (j >= high or not before(from[j], from[i])) then
					to[k] = from[i]
					i += 1
				else
					to[k] = from[j]
					j += 1
				end
			end
		end
		from, to = to, from
		width *= 2
	end
	for i = 1, count do
		t[i] = from[i]
	end
end
table.sort = function(t, before)
	must_be_table(t, "sort")
	if before ~= nil then
		if type(before) ~= "function" then
			error("invalid argument #2 to 'sort' (function expected, got " .. type(before) .. ")", 2)
		end
		merge_sort(t, before)
	elseif #t > LONG then
		-- What cannot be compared is told as by the sort in C, without the place of the comparison here.
		local ok, raised = pcall(merge_sort, t, less)
		placed(1, ok, type(raised) == "string" and gsub(raised, "^prelude:%d+: ", "") or raised)
	else
		placed(1, pcall(sort, t))
	end
end
table.unpack = g.unpack
-- Luau's own additions are not of the language, and some loop long where nothing can interrupt them.
for _, name in { "move", "create", "clear", "clone", "find", "freeze", "isfrozen" } do
	table[name] = nil
end
