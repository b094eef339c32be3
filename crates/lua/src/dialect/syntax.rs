//! The tokens of a source as those see them who look for what Lua has: of what Luau adds to the syntax, a type with what
//! announces it is one token, and the words of an `if` expression, which opens no block, are operators.

use super::lexer::{self, Kind, Token};

/// Words that an expression follows.
const BEFORE_EXPRESSIONS: [&str; 9] = ["and", "elseif", "if", "in", "not", "or", "return", "until", "while"];

/// What is open around a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// A function or block, up to its `end` or `until`.
    Block,
    /// A table that is being written.
    Table,
    /// An `if` expression whose condition is read: its `then` is still to come.
    Condition,
    /// The same when its `else` or `elseif` is still to come.
    Value,
}

/// The tokens of a source.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let plain = lexer::tokens(source);
    let mut reader = Reader { source, plain: &plain, at: 0, read: Vec::with_capacity(plain.len()), open: Vec::new() };
    while reader.at < plain.len() {
        reader.step();
    }
    reader.read
}

/// Whether what follows a token is an expression, or goes on with one, and begins no statement.
pub(super) fn expects(token: Token<'_>) -> bool {
    match token.kind {
        Kind::Name => BEFORE_EXPRESSIONS.contains(&token.text),
        Kind::Number | Kind::Text | Kind::Type => false,
        Kind::Symbol => !matches!(token.text, ")" | "]" | "}" | "..." | "::" | ";"),
    }
}

struct Reader<'t, 'a> {
    source: &'a str,
    plain: &'t [Token<'a>],
    at: usize,
    read: Vec<Token<'a>>,
    open: Vec<Open>,
}

impl<'a> Reader<'_, 'a> {
    fn text(&self, at: usize) -> &'a str {
        self.plain.get(at).map_or("", |token| token.text)
    }

    fn is_name(&self, at: usize) -> bool {
        self.plain.get(at).is_some_and(|token| token.kind == Kind::Name)
    }

    fn step(&mut self) {
        let token = self.plain[self.at];
        match token.text {
            "{" if token.kind == Kind::Symbol => self.open.push(Open::Table),
            "}" if token.kind == Kind::Symbol => self.close(Open::Table),
            "::" if self.is_name(self.at + 1) && self.text(self.at + 2) == "::" => {
                (0..3).for_each(|_| self.take());
                return;
            }
            "::" => return self.take_type(self.at + 1),
            _ if token.kind != Kind::Name => {}
            "type" | "export" if self.declares_type() => return self.take_declaration(),
            "local" if self.text(self.at + 1) != "function" => return self.take_names(),
            "for" => return self.take_names(),
            "function" => return self.take_head(),
            "do" | "repeat" => self.open.push(Open::Block),
            "end" | "until" => self.close(Open::Block),
            "if" if self.expected() => return self.take_operator(Some(Open::Condition)),
            "if" => self.open.push(Open::Block),
            "then" if self.open.last() == Some(&Open::Condition) => {
                self.open.pop();
                return self.take_operator(Some(Open::Value));
            }
            "elseif" | "else" if self.open.last() == Some(&Open::Value) => {
                self.open.pop();
                return self.take_operator((token.text == "elseif").then_some(Open::Condition));
            }
            _ => {}
        }
        self.take();
    }

    /// Whether an expression is expected here.
    fn expected(&self) -> bool {
        let in_table = self.open.last() == Some(&Open::Table);
        self.read.last().is_some_and(|before| expects(*before) || in_table && before.text == ";")
    }

    /// Ends what is open, and with it what in it was never ended.
    fn close(&mut self, what: Open) {
        if let Some(place) = self.open.iter().rposition(|open| matches!(open, Open::Block | Open::Table))
            && self.open[place] == what
        {
            self.open.truncate(place);
        }
    }

    fn take(&mut self) {
        self.read.extend(self.plain.get(self.at));
        self.at += 1;
    }

    fn take_operator(&mut self, open: Option<Open>) {
        self.open.extend(open);
        self.read.push(Token { kind: Kind::Symbol, ..self.plain[self.at] });
        self.at += 1;
    }

    /// From here to before another token.
    fn take_whole(&mut self, until: usize) {
        let (first, last) = (self.plain[self.at], self.plain[until - 1]);
        let text = &self.source[first.start..last.start + last.text.len()];
        self.read.push(Token { kind: Kind::Type, text, start: first.start });
        self.at = until;
    }

    /// What announces a type, up to `at`, and the type.
    fn take_type(&mut self, at: usize) {
        self.take_whole(self.after_type(at));
    }

    /// `local` or `for`, and the names behind it with their types.
    fn take_names(&mut self) {
        loop {
            self.take();
            if !self.is_name(self.at) {
                return;
            }
            self.take();
            if self.text(self.at) == ":" {
                self.take_type(self.at + 1);
            }
            if self.text(self.at) != "," {
                return;
            }
        }
    }

    /// `function`, its name, its parameters and all their types.
    fn take_head(&mut self) {
        self.open.push(Open::Block);
        self.take();
        while self.is_name(self.at) || matches!(self.text(self.at), "." | ":") {
            self.take();
        }
        if self.text(self.at) == "<" {
            self.take_whole(self.after_brackets(self.at));
        }
        while self.at < self.plain.len() && self.text(self.at) != ")" {
            if self.text(self.at) == ":" {
                self.take_type(self.at + 1);
            } else {
                self.take();
            }
        }
        self.take();
        if self.text(self.at) == ":" {
            self.take_type(self.at + 1);
        }
    }

    /// `type Name =`, with `export` or parameters.
    fn declares_type(&self) -> bool {
        let at = self.at + usize::from(self.text(self.at) == "export");
        let named = self.text(at) == "type" && self.is_name(at + 1) && matches!(self.text(at + 2), "=" | "<");
        let in_expression = self.expected() || self.read.last().is_some_and(|before| before.text == "goto");
        named && !in_expression
    }

    fn take_declaration(&mut self) {
        let mut at = self.at + usize::from(self.text(self.at) == "export") + 2;
        if self.text(at) == "<" {
            at = self.after_brackets(at);
        }
        self.take_type((at + 1).min(self.plain.len()));
    }

    /// Where a type ends that begins at a token.
    fn after_type(&self, mut at: usize) -> usize {
        loop {
            match self.text(at) {
                "|" | "&" | "..." => {
                    at += 1;
                    continue;
                }
                "<" => {
                    at = self.after_brackets(at);
                    continue;
                }
                "(" => {
                    at = self.after_brackets(at);
                    if self.text(at) == "-" && self.text(at + 1) == ">" {
                        at += 2;
                        continue;
                    }
                }
                "{" => at = self.after_brackets(at),
                "typeof" => at = self.after_brackets(at + 1),
                _ if self.is_name(at) => {
                    at += 1;
                    while self.text(at) == "." && self.is_name(at + 1) {
                        at += 2;
                    }
                    if self.text(at) == "<" {
                        at = self.after_brackets(at);
                    }
                    at += usize::from(self.text(at) == "...");
                }
                _ => at += usize::from(self.plain.get(at).is_some_and(|token| token.kind == Kind::Text)),
            }
            while self.text(at) == "?" {
                at += 1;
            }
            if !matches!(self.text(at), "|" | "&") {
                return at.min(self.plain.len());
            }
        }
    }

    /// Behind the bracket that closes the one here.
    fn after_brackets(&self, mut at: usize) -> usize {
        let mut depth = 0_usize;
        while at < self.plain.len() {
            match self.text(at) {
                "(" | "{" | "[" | "<" => depth += 1,
                // Of an arrow.
                ">" if at > 0 && self.text(at - 1) == "-" => {}
                ")" | "}" | "]" | ">" => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types in brackets, and what is an operator here and no word in Lua in slashes.
    fn shown(source: &str) -> String {
        let show = |token: Token<'_>| match token.kind {
            Kind::Type => format!("[{}]", token.text),
            Kind::Symbol if token.text.starts_with(|c: char| c.is_ascii_alphabetic()) => format!("/{}/", token.text),
            _ => token.text.to_owned(),
        };
        tokens(source).into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_words_of_an_if_expression_are_operators_and_those_of_statements_are_not() {
        for (source, expected) in [
            ("local x = if a then b else c", "local x = /if/ a /then/ b /else/ c"),
            ("if a then b() else c() end", "if a then b ( ) else c ( ) end"),
            ("return if a then b elseif c then d else e", "return /if/ a /then/ b /elseif/ c /then/ d /else/ e"),
            (
                "x = if a then if b then 1 else 2 else 3 if c then d() end",
                "x = /if/ a /then/ /if/ b /then/ 1 /else/ 2 /else/ 3 if c then d ( ) end",
            ),
            (
                "if if a then b else c then x = if d then e else f else g() end",
                "if /if/ a /then/ b /else/ c then x = /if/ d /then/ e /else/ f else g ( ) end",
            ),
            (
                "f(if a then function() if b then c() else d() end end else e)",
                "f ( /if/ a /then/ function ( ) if b then c ( ) else d ( ) end end /else/ e )",
            ),
            (
                "t = {1; if a then b else c} ; if d then e() end",
                "t = { 1 ; /if/ a /then/ b /else/ c } ; if d then e ( ) end",
            ),
            (
                "s = `{if a then `{b}` else c}` if d then e() end",
                "s = `{ /if/ a /then/ `{ b }` /else/ c }` if d then e ( ) end",
            ),
            ("while if a then b else c do f() end", "while /if/ a /then/ b /else/ c do f ( ) end"),
            ("else if a then end end", "else if a then end end"),
        ] {
            assert_eq!(shown(source), expected);
        }
    }

    #[test]
    fn a_type_is_one_token() {
        for (source, expected) in [
            (
                "local a: number, b: string? = 1, 'x' if c then d() end",
                "local a [: number] , b [: string?] = 1 , 'x' if c then d ( ) end",
            ),
            (
                "local x: Map<string, {number}> if a then b() end",
                "local x [: Map<string, {number}>] if a then b ( ) end",
            ),
            (
                "function m.f<T>(a: (T) -> (string, ...any), ...: number): (T, ...string) return a end",
                "function m . f [<T>] ( a [: (T) -> (string, ...any)] , ... [: number] ) [: (T, ...string)] return a end",
            ),
            ("for k: string, v in t do end", "for k [: string] , v in t do end"),
            ("x = (y :: any) :: | 'a' | \"b\" & c.d z = 1", "x = ( y [:: any] ) [:: | 'a' | \"b\" & c.d] z = 1"),
            (
                "type A = { x: number } export type B<T> = typeof(f(1)) | (T) -> () -> nil c()",
                "[type A = { x: number }] [export type B<T> = typeof(f(1)) | (T) -> () -> nil] c ( )",
            ),
            ("f() ::next:: g()", "f ( ) :: next :: g ( )"),
            ("a:b(c) t = type x = 1", "a : b ( c ) t = type x = 1"),
            ("local type x = 1 y = t.type z = 2", "local type x = 1 y = t . type z = 2"),
            ("type = 1 type(x)", "type = 1 type ( x )"),
        ] {
            assert_eq!(shown(source), expected);
        }
    }

    #[test]
    fn broken_sources_end() {
        for source in [
            "local x:",
            "function",
            "function f(a:",
            "function f<",
            "x ::",
            "type A",
            "type A =",
            "type A<",
            "for",
            "local",
            "if",
            "x = if",
            "} end",
            "::a",
        ] {
            tokens(source);
        }
    }
}
