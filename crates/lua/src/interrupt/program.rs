//! Programs in Lua, made of random choices, that do what making way for others is most likely to disturb.
//!
//! A program is made of as many choices as there are; when they run out, the rest is as simple as can be, so that one that
//! fails is made smaller by leaving choices out. Loops are bounded and functions are called by those around them only, so
//! every program ends.

use std::slice::Iter;

/// What programs begin with: shared variables, what notes down values, and what ends a program that does too much.
const HEAD: &str = r#"
local out, fuel, a, b, s, list, parked = {}, 250, 1, 2, 'x y', {3, 1, 2}, {}
local function show(value, depth)
    local kind, depth = type(value), depth or 0
    if kind == 'number' or kind == 'boolean' or kind == 'nil' then return tostring(value) end
    if kind == 'string' then return '"' .. value:sub(1, 60) .. '"' end
    if kind ~= 'table' or depth > 2 then return kind end
    local parts = {}
    for key, each in next, value do parts[#parts + 1] = show(key, depth + 1) .. '=' .. show(each, depth + 1) end
    table.sort(parts)
    return '{' .. table.concat(parts, ' ', 1, math.min(#parts, 9)) .. '}'
end
local function say(...)
    local line = select('#', ...) .. ':'
    for i = 1, select('#', ...) do line = line .. ' ' .. show((select(i, ...))) end
    if #out < 500 then out[#out + 1] = line end
    return ...
end
local function tick() fuel = fuel - 1 if fuel < 0 then error('out of fuel', 0) end end
local function num(value) return type(value) == 'number' and value == value and value or 0 end
local function str(value) return type(value) == 'string' and value:sub(1, 30) or show(value) end
local function many(n, ...) if n <= 0 then return ... end return many(n - 1, n, ...) end
local dug = false
local function deep(n) if n == 0 then return 0 end return 1 + deep(n - 1) end
"#;

/// And end with.
const TAIL: &str = r"
say('main', pcall(main, 4, 'v', nil))
for i = 1, 3 do for _, each in ipairs(parked) do say('parked', coroutine.status(each), coroutine.resume(each, i)) end end
say(a, b, s, list, fuel)
return table.concat(out, '\n')";

/// Deepest that blocks are nested.
const DEPTH: usize = 6;

/// The body of a function without parameters.
pub(super) fn program(choices: &[u16]) -> String {
    let mut maker = Maker { choices: choices.iter(), depth: 0, inside: false, sources: 0 };
    let body = maker.block();
    format!("{HEAD}\nlocal function main(x, ...)\n{body}\nend\n{TAIL}")
}

struct Maker<'c> {
    choices: Iter<'c, u16>,
    depth: usize,
    /// Whether what is written may yield to what is around it.
    inside: bool,
    /// How many sources are written in texts, one in another.
    sources: usize,
}

impl Maker<'_> {
    /// Below `count`; 0 when there are no more choices.
    fn pick(&mut self, count: u16) -> u16 {
        self.choices.next().map_or(0, |choice| choice % count)
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[usize::from(self.pick(u16::try_from(of.len()).unwrap()))]
    }

    fn number(&mut self) -> String {
        match self.pick(16) {
            0..=5 => self.one(&["1", "0", "2", "3", "-1"]).to_owned(),
            6..=10 => self.one(&["a", "b", "#list", "#s", "num(x)", "select('#', ...)"]).to_owned(),
            11 => format!("({} {} {})", self.number(), self.one(&["+", "-", "*", "%"]), self.number()),
            12 => format!("num(tonumber({}, 16))", self.text()),
            13 => format!("num({})", self.called()),
            14 => format!("num(list[{}])", self.number()),
            _ => format!("math.max({}, {})", self.number(), self.number()),
        }
    }

    fn text(&mut self) -> String {
        match self.pick(14) {
            0..=3 => self.one(&["'x'", "'ab c'", "''", "'k1=v1, k2=v2'", "'%d'", "'zzzz'"]).to_owned(),
            4..=6 => "s".to_owned(),
            7 => format!("({} .. {})", self.text(), self.number()),
            8 => format!("({}):rep({} % 4, {})", self.text(), self.number(), self.one(&["nil", "''", "'-'"])),
            9 => format!("str({})", self.value()),
            10 => format!("({}):{}()", self.text(), self.one(&["upper", "reverse", "len"])),
            11 => format!("string.format('%s|%d', {}, {})", self.text(), self.number()),
            12 => format!("table.concat({{{}, {}}}, {})", self.text(), self.number(), self.text()),
            _ => format!("({}):sub({}, {})", self.text(), self.number(), self.number()),
        }
    }

    fn value(&mut self) -> String {
        match self.pick(16) {
            0..=3 => self.number(),
            4..=6 => self.text(),
            7 | 8 => self.one(&["nil", "true", "false", "x", "list", "(...)"]).to_owned(),
            9 | 10 => format!("{{{}}}", self.values()),
            11 => format!("{{k1 = {}, [{}] = {}}}", self.value(), self.number(), self.value()),
            12 if self.depth < DEPTH => self.function(),
            13 => self.called(),
            14 => format!("({} {} {})", self.value(), self.one(&["==", "and", "or", "~="]), self.value()),
            _ => self.object(),
        }
    }

    /// None, one or several, the last of which may be many.
    fn values(&mut self) -> String {
        let count = self.pick(4);
        let mut all: Vec<String> = (0..count).map(|_| self.value()).collect();
        match self.pick(8) {
            1 => all.push("...".to_owned()),
            2 => all.push(format!("many({})", self.one(&["0", "1", "5", "40", "150"]))),
            3 => all.push(self.called()),
            4 => all.push(format!("table.unpack({{{}}}, 1, {})", self.value(), self.one(&["0", "3", "50"]))),
            _ => {}
        }
        all.join(", ")
    }

    /// The same behind another value.
    fn more(&mut self) -> String {
        let values = self.values();
        if values.is_empty() { values } else { format!(", {values}") }
    }

    /// Something that is called, with what that answers.
    fn called(&mut self) -> String {
        if self.depth >= DEPTH {
            return "many(2)".to_owned();
        }
        match self.pick(16) {
            0 | 1 => format!("say({})", self.values()),
            2 if self.inside || self.pick(6) == 5 => format!("coroutine.yield({})", self.values()),
            2..=4 => format!("({})({})", self.function(), self.values()),
            5 | 6 => format!("pcall({}, {})", self.function(), self.value()),
            7 => format!("xpcall({}, {}, {})", self.function(), self.function(), self.value()),
            8 => format!("coroutine.wrap({})({})", self.yielding(), self.values()),
            9 => format!("coroutine.resume(coroutine.create({}), {})", self.yielding(), self.value()),
            10 => format!("adminAPI:echo({}, {}):get({})", self.number(), self.text(), self.one(&["0", "1", "'x'"])),
            11 => self.replaced(),
            12 => self.operated(),
            13 => format!("select({}, {}{})", self.one(&["1", "2", "-1", "'#'", "0"]), self.value(), self.more()),
            14 => self.loaded(),
            _ => self.listed(),
        }
    }

    /// A text with something replaced or found in it.
    fn replaced(&mut self) -> String {
        let text = self.text();
        let pattern = self.one(&[
            "'%a'",
            "'%w+'",
            "'.'",
            "'(%w+)=(%w+)'",
            "'()'",
            "''",
            "'^%a'",
            "'x'",
            "'%f[%w]%w'",
            "'('",
            "'a*'",
        ]);
        let most = self.one(&["", ", 1", ", 0", ", 2", ", nil", ", 1.5"]);
        match self.pick(8) {
            0..=3 => format!("({text}):gsub({pattern}, {}{most})", self.function()),
            4 => format!("({text}):gsub({pattern}, {{a = {}, x = {}, k1 = 'v'}}{most})", self.value(), self.text()),
            5 => format!("({text}):gsub({pattern}, setmetatable({{}}, {{__index = {}}}){most})", self.held()),
            6 => format!("({text}):gsub({pattern}, {}{most})", self.one(&["'<%0>'", "'%-'", "'%1%1'", "'%2'", "'%%'"])),
            _ => format!("({text}):find({pattern}, {}, {})", self.number(), self.one(&["false", "true"])),
        }
    }

    /// An operator or function that calls a metamethod.
    fn operated(&mut self) -> String {
        // With itself, or with something else.
        let (object, other) = (self.object(), if self.pick(2) == 0 { "nil".to_owned() } else { self.value() });
        let operation = match self.pick(14) {
            0..=5 => {
                format!("return o {} y", self.one(&["+", "..", "==", "<", "<=", "*", "-", "%", "/", "^", "~=", ">"]))
            }
            6 => "return #o, -o".to_owned(),
            7 => "return o(y, o)".to_owned(),
            8 => "o.new = y return o.new, o[y], rawget(o, 'new')".to_owned(),
            9 => "return o:method(y)".to_owned(),
            10 => "return #tostring(o), string.format('%5s', o):len()".to_owned(),
            11 => "local n = 0 for k, v in pairs(o) do n = n + 1 say(k, v) if n > 3 then break end end return n"
                .to_owned(),
            12 => "local n = 0 for k, v in o do n = n + 1 say(k, v) if n > 3 then break end end return n".to_owned(),
            _ => "local t = {o, y, o} table.sort(t) return #t".to_owned(),
        };
        format!("(function(o, y) if y == nil then y = o end {operation} end)({object}, {other})")
    }

    /// A table with metamethods.
    fn object(&mut self) -> String {
        if self.depth >= DEPTH {
            return "{}".to_owned();
        }
        let mut meta = Vec::new();
        for _ in 0..=self.pick(3) {
            let name = self.one(&[
                "__index",
                "__add",
                "__concat",
                "__eq",
                "__lt",
                "__call",
                "__newindex",
                "__len",
                "__tostring",
                "__le",
                "__unm",
                "__mul",
                "__pairs",
                "__iter",
                "__sub",
                "__mod",
                "__pow",
                "__div",
            ]);
            let body = self.held();
            let body = match name {
                "__tostring" => format!("function(x) say(({body})(x)) return 'object' end"),
                _ => body,
            };
            meta.push(format!("{name} = {body}"));
        }
        format!("setmetatable({{{}}}, {{{}}})", self.value(), meta.join(", "))
    }

    /// A source that is read and called.
    fn loaded(&mut self) -> String {
        match self.pick(3) {
            0 => {
                // One in another is in brackets of its own.
                self.sources += 1;
                let (body, level) = (self.value(), "=".repeat(self.sources));
                self.sources -= 1;
                format!("assert(loadstring([{level}[local x = ... return {body}]{level}]))({})", self.value())
            }
            1 => format!("load({})", self.function()),
            _ => format!(
                "setfenv(function(...) return {}, missing end, setmetatable({{}}, {{__index = {}}}))()",
                "k1",
                self.held()
            ),
        }
    }

    /// What functions for tables and lists answer.
    fn listed(&mut self) -> String {
        match self.pick(8) {
            0 => format!("table.sort(list, {})", self.function()),
            1 => "table.unpack(list)".to_owned(),
            2 => format!("table.foreach({{{}}}, {})", self.values(), self.function()),
            3 => format!("table.foreachi({{{}}}, {})", self.values(), self.function()),
            4 => format!("table.remove({{{}}}, {})", self.values(), self.one(&["1", "2", "nil"])),
            5 => format!("table.concat({{{}}}, {})", self.values(), self.text()),
            6 => "coroutine.running()".to_owned(),
            _ => "table.insert(list, 1, #list < 20 and 1 or table.remove(list))".to_owned(),
        }
    }

    fn function(&mut self) -> String {
        self.depth += 1;
        let body = self.block();
        self.depth -= 1;
        let parameters = self.one(&["x, ...", "...", "x, y, ..."]);
        let own = if parameters == "..." { "local x = ... " } else { "" };
        format!("function({parameters}) {own}tick() {body} end")
    }

    /// A function that may yield.
    fn yielding(&mut self) -> String {
        let around = std::mem::replace(&mut self.inside, true);
        let function = self.function();
        self.inside = around;
        function
    }

    /// A function where nothing can yield.
    fn held(&mut self) -> String {
        let around = std::mem::replace(&mut self.inside, false);
        let function = self.function();
        self.inside = around;
        function
    }

    fn block(&mut self) -> String {
        let count = self.pick(4);
        let mut lines: Vec<String> = (0..=count).map(|_| self.statement()).collect();
        match self.pick(6) {
            1..=3 => lines.push(format!("return {}", self.values())),
            4 => lines.push(format!("do return {} end", self.called())),
            _ => {}
        }
        lines.join("\n")
    }

    fn inner(&mut self) -> String {
        self.depth += 1;
        let body = self.block();
        self.depth -= 1;
        format!("tick() {body}")
    }

    fn statement(&mut self) -> String {
        if self.depth >= DEPTH {
            return format!("say({})", self.number());
        }
        match self.pick(26) {
            0 | 1 => format!("say({})", self.values()),
            2 => format!("a = {} % 1000", self.number()),
            3 => format!("b, s = {} % 1000, str({})", self.number(), self.text()),
            4 => format!("for i = 1, {} do local x = i {} end", self.one(&["2", "3", "5", "0"]), self.inner()),
            5 => format!("local i = 0 while i < {} do i = i + 1 {} end", self.one(&["2", "4"]), self.inner()),
            // What the body declares is seen by the condition, which must see the counter.
            6 => format!("local i = 0 repeat i = i + 1 do {} end until i > {}", self.statement(), self.one(&["2", "3"])),
            7 => format!("if {} == {} then {} else {} end", self.value(), self.value(), self.inner(), self.inner()),
            8 => format!("say(pcall({}, {}))", self.function(), self.value()),
            9 => self.raised(),
            10 => self.driven(),
            11 => {
                let source = self.yielding();
                format!("for x, y in coroutine.wrap({source}) do {} end", self.inner())
            }
            12 => self.walked(),
            13 => format!("parked[#parked + 1] = coroutine.create({})", self.yielding()),
            14 => "local c = table.remove(parked, 1) if c then say(coroutine.resume(c, x)) if coroutine.status(c) == 'suspended' then parked[#parked + 1] = c end end".to_owned(),
            15 => format!("say({})", self.replaced()),
            16 => format!("say(pcall(function(x, ...) return {} end, x, ...))", self.operated()),
            17 => {
                let body = self.inner();
                format!("local function again(n, ...) local x = n tick() if n == 0 then do {body} end return ... end {} again(n - 1, n, ...) end say(again({}))", self.one(&["return", "local y ="]), self.one(&["2", "3", "20"]))
            }
            18 => format!("print({}, {}, str({}))", self.text(), self.number(), self.value()),
            19 if self.pick(12) == 11 => "if not dug then dug = true say(pcall(deep, 1e6)) end".to_owned(),
            19 => format!("say(deep({}))", self.one(&["3", "30", "150"])),
            20 => format!("if #list < 20 then table.insert(list, {}) end", self.number()),
            21 => format!("say(pcall(table.sort, {{{}, 5, 3, 4, 1}}, {}))", self.number(), self.comparing()),
            22 => format!("for each in ({}):gmatch({}) do local x = each {} end", self.text(), self.one(&["'%w'", "'(%w)=(%w)'", "'()'"]), self.inner()),
            23 => {
                let label = format!("on{}", self.depth);
                let (wanted, body) = (self.one(&["i == 2", "a % 2 == 0", "num(x) > 1"]), self.inner());
                format!("for i = 1, 3 do local x = i do if {wanted} then say(i) goto {label} end {body} end ::{label}:: end")
            }
            24 => {
                let body = self.inner();
                format!("do local _ENV = setmetatable({{k1 = {}}}, {{__index = _ENV}}) k2 = {} do {body} end say(k1, k2) end", self.number(), self.number())
            }
            _ => format!("say({})", self.called()),
        }
    }

    /// An order, or nearly.
    fn comparing(&mut self) -> String {
        let body = self.inner();
        format!("function(x, y, ...) do {body} end return x < y end")
    }

    fn raised(&mut self) -> String {
        let what = match self.pick(6) {
            0 => self.text(),
            1 => format!("{{at = {}}}", self.number()),
            2 => "nil".to_owned(),
            3 => self.value(),
            4 => format!("{}, 2", self.text()),
            _ => format!("{}, 0", self.text()),
        };
        format!("if {} then error({what}) end", self.one(&["true", "a % 2 == 0", "b % 2 == 0", "fuel % 3 == 0"]))
    }

    /// A coroutine that is resumed some times.
    fn driven(&mut self) -> String {
        let (function, times) = (self.yielding(), self.one(&["1", "2", "3", "5"]));
        let with = self.values();
        format!(
            "do local c = coroutine.create({function}) for i = 1, {times} do say(i, coroutine.status(c), coroutine.resume(c, {})) end say(coroutine.status(c)) end",
            if with.is_empty() { "i" } else { &with }
        )
    }

    /// A loop over something.
    fn walked(&mut self) -> String {
        let over = match self.pick(6) {
            0 => format!("pairs({{{}}})", self.values()),
            1 => "ipairs(list)".to_owned(),
            2 => {
                let body = self.held();
                format!("function(_, n) n = (n or 0) + 1 if n < 4 then return n, ({body})(n) end end")
            }
            3 => format!(
                "setmetatable({{}}, {{__call = function(_, _, n) n = (n or 0) + 1 if n < 4 then return n, ({})(n) end end}})",
                self.held()
            ),
            4 => "pairs((function() local l = new('List') l:add(4) l:add('x') return l end)())".to_owned(),
            _ => format!("next, {{{}}}", self.values()),
        };
        format!("for x, y in {over} do {} end", self.inner())
    }
}
