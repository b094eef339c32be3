-- The library `math`. Luau's own additions are not of the language, and scripts ask whether theirs are already there.
local host = ...
local math = host.g.math
host.base.math = math

for _, name in { "clamp", "isfinite", "isinf", "isnan", "lerp", "map", "noise", "round", "sign" } do
	math[name] = nil
end
math.mod = math.fmod
math.pow = function(x, y)
	return x ^ y
end
