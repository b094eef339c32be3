//! Just enough of Lua's lexical grammar to rewrite a source without touching texts and comments.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Name,
    /// A number.
    Number,
    /// A quoted or bracketed text.
    Text,
    /// Anything else, one character at a time but for `...`, `..` and `::`, and for what stands before an expression within a
    /// text in backticks: to those who ask what may follow it is like an operator.
    Symbol,
    /// A type with what announces it, which only [`super::syntax`] knows.
    Type,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub start: usize,
}

/// All tokens; what is not Lua comes out as symbols, and the compiler will complain about it.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    // For each text in backticks around: how many braces are open within its expression.
    let mut within: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (length, kind) = match rest[0] {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => (1, None),
            b'-' if rest.starts_with(b"--") => (comment(rest), None),
            b'[' if long_bracket(rest).is_some() => (long_bracket(rest).unwrap_or(1), Some(Kind::Text)),
            b'"' | b'\'' => (quoted(rest), Some(Kind::Text)),
            b'`' => interpolated(rest, &mut within),
            b'}' if within.last() == Some(&0) => {
                within.pop();
                interpolated(rest, &mut within)
            }
            b'{' | b'}' if !within.is_empty() => {
                if let Some(open) = within.last_mut() {
                    *open = if rest[0] == b'{' { *open + 1 } else { *open - 1 };
                }
                (1, Some(Kind::Symbol))
            }
            b'.' if rest.starts_with(b"...") => (3, Some(Kind::Symbol)),
            b'0'..=b'9' => (number(rest), Some(Kind::Number)),
            b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => (number(rest), Some(Kind::Number)),
            b'.' if rest.starts_with(b"..") => (2, Some(Kind::Symbol)),
            b':' if rest.starts_with(b"::") => (2, Some(Kind::Symbol)),
            c if c.is_ascii_alphabetic() || c == b'_' => {
                (rest.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count(), Some(Kind::Name))
            }
            c if c < 0x80 => (1, Some(Kind::Symbol)),
            // One whole character of UTF-8.
            _ => (1 + rest[1..].iter().take_while(|c| **c & 0xc0 == 0x80).count(), Some(Kind::Symbol)),
        };
        if let Some(kind) = kind {
            tokens.push(Token { kind, text: &source[at..at + length], start: at });
        }
        at += length;
    }
    tokens
}

fn comment(rest: &[u8]) -> usize {
    long_bracket(&rest[2..])
        .map_or_else(|| rest.iter().position(|c| *c == b'\n').unwrap_or(rest.len()), |length| length + 2)
}

/// The length of `[[…]]` or `[==[…]==]`, to the end where it is never closed.
fn long_bracket(rest: &[u8]) -> Option<usize> {
    let level = rest.strip_prefix(b"[")?.iter().take_while(|c| **c == b'=').count();
    if rest.get(level + 1) != Some(&b'[') {
        return None;
    }
    let mut close = vec![b']'];
    close.extend(std::iter::repeat_n(b'=', level));
    close.push(b']');
    let body = level + 2;
    Some(memchr::memmem::find(&rest[body..], &close).map_or(rest.len(), |at| body + at + close.len()))
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += escape(&rest[at..]),
            b'\n' | b'\r' => return at,
            c if c == rest[0] => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a piece of a text in backticks, and what it is: it goes on to the brace of an expression or to its end.
fn interpolated(rest: &[u8], within: &mut Vec<usize>) -> (usize, Option<Kind>) {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += escape(&rest[at..]),
            b'\n' | b'\r' => return (at, Some(Kind::Text)),
            b'`' => return (at + 1, Some(Kind::Text)),
            b'{' => {
                within.push(0);
                return (at + 1, Some(Kind::Symbol));
            }
            _ => at += 1,
        }
    }
    (rest.len(), Some(Kind::Text))
}

/// The length of an escape: both signs of a line end count as one, and `\z` passes over what is blank, line ends too.
fn escape(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'\r') if rest.get(2) == Some(&b'\n') => 3,
        Some(b'z') => 2 + rest[2..].iter().take_while(|c| c.is_ascii_whitespace() || **c == 0x0b).count(),
        _ => 2,
    }
}

fn number(rest: &[u8]) -> usize {
    let hex = rest.starts_with(b"0x") || rest.starts_with(b"0X");
    let mut at = 0;
    while let Some(c) = rest.get(at) {
        let sign = matches!(c, b'+' | b'-') && matches!(rest.get(at.wrapping_sub(1)), Some(b'e' | b'E') if !hex)
            || matches!(c, b'+' | b'-') && matches!(rest.get(at.wrapping_sub(1)), Some(b'p' | b'P') if hex);
        // `1..2` is not a number, `1.` is.
        if *c == b'.' && rest.get(at + 1) == Some(&b'.') {
            break;
        }
        if !(c.is_ascii_alphanumeric() || *c == b'.' || *c == b'_' || sign) {
            break;
        }
        at += 1;
    }
    at.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn texts_and_comments_stay_whole() {
        assert_eq!(texts(r#"a="x\"--y" --[[ b ]] c"#), ["a", "=", r#""x\"--y""#, "c"]);
        assert_eq!(texts("[==[ ]] ]=] ]==] d -- e\nf"), ["[==[ ]] ]=] ]==]", "d", "f"]);
        assert_eq!(
            texts("f(...) x=1..2 0x1Fp-3 1e-5 a.b::c"),
            ["f", "(", "...", ")", "x", "=", "1", "..", "2", "0x1Fp-3", "1e-5", "a", ".", "b", "::", "c"]
        );
        assert_eq!(texts("t[1] 'a\\\nb' é"), ["t", "[", "1", "]", "'a\\\nb'", "é"]);
        assert_eq!(texts("'a\\\r\n;;' b"), ["'a\\\r\n;;'", "b"]);
        assert_eq!(texts("'a\\z\n  goto x' b"), ["'a\\z\n  goto x'", "b"]);
    }

    #[test]
    fn texts_in_backticks_stay_whole_around_their_expressions() {
        assert_eq!(texts("f`;; arg` x"), ["f", "`;; arg`", "x"]);
        assert_eq!(
            texts("`a {x} ;; {{y = `{z}`}} b\\{`;"),
            ["`a {", "x", "} ;; {", "{", "y", "=", "`{", "z", "}`", "}", "} b\\{`", ";"]
        );
        assert_eq!(texts("`a\n} `"), ["`a", "}", "`"]);
    }

    #[test]
    fn broken_sources_end() {
        for source in ["\"open", "[[open", "--[[open", "'\\", "\\", "[=", "\"a\nb", "`", "`{", "`{}", "`\\"] {
            tokens(source);
        }
    }
}
