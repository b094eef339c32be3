-- The library `bit32`, without Luau's own additions.
local host = ...
local bit32 = host.g.bit32
host.base.bit32 = bit32

for _, name in { "byteswap", "countlz", "countrz" } do
	bit32[name] = nil
end
