//! What files may hold beside Lua's statements: a mark of the byte order, a first line for a shell, and semicolons that end
//! nothing, which Lua 5.2 takes for empty statements.

use super::{
    lexer::{Kind, Token},
    syntax::tokens,
};
use std::borrow::Cow;

/// Blanks out what the compiler would refuse; no line moves.
pub(super) fn rewrite(source: &str) -> Cow<'_, str> {
    let marked = source.strip_prefix('\u{feff}').unwrap_or(source);
    let plain = match marked.strip_prefix('#') {
        Some(rest) => &rest[rest.find('\n').unwrap_or(rest.len())..],
        None => marked,
    };
    if !plain.contains(';') {
        return Cow::Borrowed(plain);
    }
    let empty = empty(&tokens(plain));
    if empty.is_empty() {
        return Cow::Borrowed(plain);
    }
    let mut out = String::with_capacity(plain.len());
    let mut from = 0;
    for at in empty {
        out.push_str(&plain[from..at]);
        out.push(' ');
        from = at + 1;
    }
    out.push_str(&plain[from..]);
    Cow::Owned(out)
}

/// Where semicolons stand that end no statement.
fn empty(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut found = Vec::new();
    // Whether a statement may begin here, and what is known of a function's head that is being read.
    let (mut fresh, mut head) = (true, Head::None);
    for token in tokens {
        let symbol = token.kind == Kind::Symbol;
        if symbol && token.text == ";" {
            if fresh {
                found.push(token.start);
            }
            fresh = true;
            continue;
        }
        head = match (head, token.text) {
            (_, "function") if token.kind == Kind::Name => Head::Name,
            (Head::Name, "(") if symbol => Head::Parameters,
            (Head::Parameters, ")") if symbol => Head::Closed,
            (Head::Closed, _) if token.kind == Kind::Type => Head::Closed,
            (Head::Closed, _) => Head::None,
            (head, _) => head,
        };
        fresh = match token.kind {
            Kind::Name => matches!(token.text, "do" | "then" | "else" | "repeat"),
            // Behind a label.
            Kind::Symbol => token.text == "::",
            _ => false,
        } || head == Head::Closed;
    }
    found
}

/// How much of `function name(parameters)` was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    None,
    Name,
    Parameters,
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_that_end_nothing_become_blanks() {
        for (source, plain) in [
            (";;a();;\n;b();", "  a(); \n b();"),
            ("if x then; a(); else; end;", "if x then  a(); else  end;"),
            ("function f(a, b); return a; end", "function f(a, b)  return a; end"),
            ("while f(); do; end", "while f(); do  end"),
            ("a(); ::b::; ; goto c; ::c::;", "a(); ::b::    goto c; ::c:: "),
            ("\u{feff}a()", "a()"),
            ("#!/usr/bin/lua\na()", "\na()"),
            ("#", ""),
        ] {
            assert_eq!(rewrite(source), plain);
        }
        for same in ["local t = {a; b;} f();", "s = ';;' --;;\nt = [[;;]]", "function f(", "a()\n;b()"] {
            assert_eq!(rewrite(same), same);
        }
    }
}
