//! `local _ENV` and parameters of that name, as Lua 5.2 has them: where one is in sight, a name that is no local means a
//! field of it.

use super::{
    lexer::{Kind, Token},
    syntax::{expects, tokens},
};
use std::{borrow::Cow, collections::HashMap};

const ENV: &str = "_ENV";

const KEYWORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until",
];

/// What takes effect when the expression it waits for has ended.
enum After<'a> {
    /// The names of a `local`.
    Names(Vec<&'a str>),
    /// The end of a `repeat`, whose last condition still sees its locals.
    Close,
}

struct Scan<'t, 'a> {
    tokens: &'t [Token<'a>],
    /// The locals of each open block.
    scopes: Vec<Vec<&'a str>>,
    /// How often each name is among them: looking through them all would take too long in a source made for that.
    seen: HashMap<&'a str, u32>,
    /// Open brackets, and how many blocks were open at each.
    brackets: Vec<(&'a str, usize)>,
    /// `for` and `while` that still wait for their `do`: how many blocks were open, and the loop's names.
    heads: Vec<(usize, Vec<&'a str>)>,
    /// See [`After`]; how many brackets and blocks were open.
    pending: Vec<(usize, usize, After<'a>)>,
    /// Where `_ENV.` goes.
    inserts: Vec<usize>,
}

/// Rewrites the source; no line of it moves.
pub(super) fn rewrite(source: &str) -> Cow<'_, str> {
    if !source.contains(ENV) {
        return Cow::Borrowed(source);
    }
    let tokens = tokens(source);
    let mut scan = Scan {
        tokens: &tokens,
        scopes: vec![Vec::new()],
        seen: HashMap::new(),
        brackets: Vec::new(),
        heads: Vec::new(),
        pending: Vec::new(),
        inserts: Vec::new(),
    };
    let mut at = 0;
    while at < tokens.len() {
        at = scan.step(at);
    }
    if scan.inserts.is_empty() {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len() + scan.inserts.len() * 5);
    let mut from = 0;
    for insert in scan.inserts {
        out.push_str(&source[from..insert]);
        out.push_str("_ENV.");
        from = insert;
    }
    out.push_str(&source[from..]);
    Cow::Owned(out)
}

impl<'a> Scan<'_, 'a> {
    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn is_name(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == Kind::Name && !is_keyword(token.text))
    }

    fn is_type(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == Kind::Type)
    }

    /// Takes one token, or several that belong together, and answers where the next one is.
    fn step(&mut self, at: usize) -> usize {
        self.settle(at);
        let token = self.tokens[at];
        let before = at.checked_sub(1).map_or("", |before| self.text(before));
        match token.text {
            "(" | "[" | "{" if token.kind == Kind::Symbol => self.brackets.push((token.text, self.scopes.len())),
            ")" | "]" | "}" if token.kind == Kind::Symbol => drop(self.brackets.pop()),
            // A label.
            "::" if self.text(at + 2) == "::" => return at + 3,
            _ if token.kind != Kind::Name || matches!(before, "." | ":") => {}
            "goto" if self.is_name(at + 1) => return at + 2,
            "local" if self.text(at + 1) == "function" => {
                self.declare(self.text(at + 2));
                return self.function(at + 2);
            }
            "local" => {
                let (names, next) = self.names(at + 1);
                if self.text(next) == "=" {
                    self.pending.push((self.brackets.len(), self.scopes.len(), After::Names(names)));
                } else {
                    names.into_iter().for_each(|name| self.declare(name));
                }
                return next;
            }
            "function" => {
                if self.is_name(at + 1) {
                    self.reference(at + 1);
                }
                return self.function(at + 1);
            }
            "for" => {
                let (names, next) = self.names(at + 1);
                self.heads.push((self.scopes.len(), names));
                return next;
            }
            "while" => self.heads.push((self.scopes.len(), Vec::new())),
            "do" => {
                let head = self.heads.pop_if(|(depth, _)| *depth == self.scopes.len());
                self.open(head.map(|(_, names)| names).unwrap_or_default());
            }
            "repeat" | "if" => self.open(Vec::new()),
            "then" | "elseif" | "else" => {
                self.close();
                self.open(Vec::new());
            }
            "end" if self.scopes.len() > 1 => self.close(),
            "until" => self.pending.push((self.brackets.len(), self.scopes.len(), After::Close)),
            "continue" if self.is_statement(at) => {}
            _ if self.is_name(at) && !self.is_key(at, before) => self.reference(at),
            _ => {}
        }
        at + 1
    }

    /// Lets take effect what waited for the expression that ends before this token.
    fn settle(&mut self, at: usize) {
        let token = self.tokens[at];
        let begins =
            token.kind == Kind::Name && !matches!(token.text, "and" | "or") || matches!(token.text, ";" | "::");
        let ended = at.checked_sub(1).map(|before| self.tokens[before]).is_some_and(|before| match before.kind {
            Kind::Name => !is_keyword(before.text) || matches!(before.text, "nil" | "true" | "false" | "end"),
            Kind::Number | Kind::Text | Kind::Type => true,
            Kind::Symbol => matches!(before.text, ")" | "]" | "}" | "..."),
        });
        if !(begins && ended) {
            return;
        }
        loop {
            let here = (self.brackets.len(), self.scopes.len());
            let Some((.., after)) = self.pending.pop_if(|(brackets, scopes, _)| (*brackets, *scopes) == here) else {
                return;
            };
            match after {
                After::Names(names) => names.into_iter().for_each(|name| self.declare(name)),
                After::Close if self.scopes.len() > 1 => self.close(),
                After::Close => {}
            }
        }
    }

    fn declare(&mut self, name: &'a str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(name);
            *self.seen.entry(name).or_default() += 1;
        }
    }

    fn open(&mut self, names: Vec<&'a str>) {
        self.scopes.push(Vec::new());
        names.into_iter().for_each(|name| self.declare(name));
    }

    fn close(&mut self) {
        for name in self.scopes.pop().unwrap_or_default() {
            if let Some(count) = self.seen.get_mut(name) {
                *count = count.saturating_sub(1);
            }
        }
    }

    fn sees(&self, name: &str) -> bool {
        self.seen.get(name).is_some_and(|count| *count > 0)
    }

    fn reference(&mut self, at: usize) {
        let token = self.tokens[at];
        if token.text != ENV && self.sees(ENV) && !self.sees(token.text) {
            self.inserts.push(token.start);
        }
    }

    /// The names of a list, and what follows it.
    fn names(&self, mut at: usize) -> (Vec<&'a str>, usize) {
        let mut names = Vec::new();
        while self.is_name(at) {
            names.push(self.text(at));
            at += 1 + usize::from(self.is_type(at + 1));
            if self.text(at) != "," {
                break;
            }
            at += 1;
        }
        (names, at)
    }

    /// From a function's name, or its parameters, to its body.
    fn function(&mut self, mut at: usize) -> usize {
        let mut parameters = Vec::new();
        while at < self.tokens.len() && self.text(at) != "(" {
            if self.text(at) == ":" {
                parameters.push("self");
            }
            at += 1;
        }
        while at < self.tokens.len() && self.text(at) != ")" {
            if self.is_name(at) {
                parameters.push(self.text(at));
            }
            at += 1;
        }
        self.open(parameters);
        at + 1
    }

    /// Whether a name that Luau has a statement for is that statement.
    fn is_statement(&self, at: usize) -> bool {
        let begins = at.checked_sub(1).is_none_or(|before| !expects(self.tokens[before]));
        let goes_on = self.tokens.get(at + 1).is_some_and(|next| {
            next.kind == Kind::Text || next.kind == Kind::Symbol && !matches!(next.text, ";" | "::" | "}" | ")")
        });
        begins && !goes_on
    }

    /// Whether it is the name of a field in a table that is being written.
    fn is_key(&self, at: usize, before: &str) -> bool {
        self.brackets.last() == Some(&("{", self.scopes.len()))
            && matches!(before, "{" | "," | ";")
            && self.text(at + 1) == "="
            && !(self.text(at + 2) == "=" && self.tokens[at + 2].start == self.tokens[at + 1].start + 1)
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word) || word == "while"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_names_are_fields_of_the_local_environment_in_sight() {
        for (source, expected) in [
            ("x = 1 local _ENV = t x = y.z", "x = 1 local _ENV = t _ENV.x = _ENV.y.z"),
            ("local t = {} local _ENV = {t = t} print(t)", "local t = {} local _ENV = {t = t} _ENV.print(t)"),
            ("do local _ENV = {} a = 1 end a = 2", "do local _ENV = {} _ENV.a = 1 end a = 2"),
            ("function f(_ENV, b) return a + b end a()", "function f(_ENV, b) return _ENV.a + b end a()"),
            (
                "local _ENV = {} function g(a) local b = b return {a = a, c = c, [d] = 1, e == f} end",
                "local _ENV = {} function _ENV.g(a) local b = _ENV.b return {a = a, c = _ENV.c, [_ENV.d] = 1, _ENV.e == _ENV.f} end",
            ),
            (
                "local _ENV = e for i, v in pairs(x) do i(v, w) end i()",
                "local _ENV = e for i, v in _ENV.pairs(_ENV.x) do i(v, _ENV.w) end _ENV.i()",
            ),
            (
                "local _ENV = e repeat local ok = try() until ok ok = 1",
                "local _ENV = e repeat local ok = _ENV.try() until ok _ENV.ok = 1",
            ),
            (
                "local _ENV = e if a then local b = 1 b() else b() end o:m(b).n = 's'",
                "local _ENV = e if _ENV.a then local b = 1 b() else _ENV.b() end _ENV.o:m(_ENV.b).n = 's'",
            ),
            (
                "local _ENV = e local f = function() g() end local function h() h(f) end",
                "local _ENV = e local f = function() _ENV.g() end local function h() h(f) end",
            ),
        ] {
            assert_eq!(rewrite(source), expected);
        }
        for same in [
            "_ENV.x = 1",
            "local e = _ENV print(e)",
            "-- local _ENV = 1\nx = 1",
            "end end until local _ENV",
            "local _ENV",
        ] {
            assert_eq!(rewrite(same), same);
        }
    }
}
