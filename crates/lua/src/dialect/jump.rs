//! `goto` of Lua 5.2 as far as the compiler has words for it: to the end of a loop's body, or behind the end of a loop. What jumps
//! back is one of these by now.

use super::{
    lexer::{Kind, Token},
    syntax::tokens,
};
use std::{borrow::Cow, collections::HashMap};

/// Most jumps of a source, and most loops that one leaves: this works outside every limit.
const JUMPS: usize = 1_000;
const LOOPS: usize = 50;

/// A jump that cannot be rewritten, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub line: u32,
    pub message: String,
}

/// A loop with a body, by the places of its tokens.
struct Loop {
    /// `for`, `while` or `repeat`.
    begin: usize,
    /// `end` or `until`.
    end: usize,
    /// The loop around it in the same function.
    around: Option<usize>,
}

struct Jump {
    at: usize,
    inside: Option<usize>,
}

/// Where a label stands.
#[derive(Clone, Copy)]
enum Target {
    /// At the end of a loop's body.
    Continue(usize),
    /// Right behind a loop's `end`.
    Break(usize),
}

/// Rewrites jumps; none of them moves a line.
///
/// # Errors
/// The first jump that goes anywhere else.
pub(super) fn rewrite(source: &str) -> Result<Cow<'_, str>, Refused> {
    if !source.contains("goto") && !source.contains("::") {
        return Ok(Cow::Borrowed(source));
    }
    let tokens = tokens(source);
    let (loops, jumps) = outline(&tokens);
    if jumps.is_empty() && labels(&tokens).is_empty() {
        return Ok(Cow::Borrowed(source));
    }
    let targets = if jumps.is_empty() { HashMap::new() } else { targets(&tokens, &loops) };
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    for (number, jump) in jumps.iter().enumerate() {
        let name = tokens[jump.at + 1].text;
        let refuse = || {
            let line = u32::try_from(source[..tokens[jump.at].start].matches('\n').count() + 1).unwrap_or(u32::MAX);
            let message = format!(
                "`goto {name}` is not offered here: a jump goes to the end of a loop around it (`::{name}::` before its \
                 `end`), right behind that loop, or back to a label before it; write a function or a loop instead"
            );
            Refused { line, message }
        };
        if number == JUMPS {
            return Err(refuse());
        }
        // From the innermost loop outwards.
        let around = std::iter::successors(jump.inside, |inner| loops[*inner].around);
        let path: Vec<usize> = around.take(LOOPS).collect();
        let target = path.iter().find_map(|each| targets.get(&(*each, name)).copied()).ok_or_else(refuse)?;
        let (word, to) = match target {
            Target::Continue(to) => ("continue", to),
            Target::Break(to) => ("break", to),
        };
        let left: Vec<usize> = path.into_iter().take_while(|each| *each != to).collect();
        let from = tokens[jump.at].start;
        let until = tokens[jump.at + 1].start + name.len();
        let Some(outermost) = left.last() else {
            edits.push((from, until, blanks(&source[from..until], &format!("do {word} end"))));
            continue;
        };
        // Each loop on the way is left, and the one behind it told where to.
        let flag = format!("__goto{number}");
        edits.push((from, until, blanks(&source[from..until], &format!("do {flag}=true break end"))));
        let begin = tokens[loops[*outermost].begin].start;
        edits.push((begin, begin, format!("local {flag} ")));
        for each in &left {
            let end = tokens[loops[*each].end];
            if end.text == "until" {
                return Err(refuse());
            }
            let word = if each == outermost { word } else { "break" };
            let behind = end.start + end.text.len();
            edits.push((behind, behind, format!(" if {flag} then {word} end")));
        }
    }
    for at in labels(&tokens) {
        let (from, until) = (tokens[at].start, tokens[at + 2].start + 2);
        edits.push((from, until, blanks(&source[from..until], "")));
    }
    edits.sort_by_key(|(from, until, _)| (*from, *until));
    let mut out = String::with_capacity(source.len() + 64);
    let mut from = 0;
    for (at, until, text) in edits {
        out.push_str(&source[from..at]);
        out.push_str(&text);
        from = until;
    }
    out.push_str(&source[from..]);
    Ok(Cow::Owned(out))
}

/// What stands for a piece of source, with the line ends that were in it.
fn blanks(piece: &str, text: &str) -> String {
    format!("{text}{}", "\n".repeat(piece.matches('\n').count()))
}

/// Where in relation to which loop the labels stand. Each is looked at twice at most, however many jumps there are.
fn targets<'a>(tokens: &[Token<'a>], loops: &[Loop]) -> HashMap<(usize, &'a str), Target> {
    let mut found = HashMap::new();
    for (number, Loop { end, .. }) in loops.iter().enumerate() {
        // Backwards from the end over labels, then forwards behind it.
        let mut at = *end;
        loop {
            if at >= 1 && tokens[at - 1].text == ";" {
                at -= 1;
            } else if at >= 3 && is_label(tokens, at - 3) {
                at -= 3;
                found.insert((number, tokens[at + 1].text), Target::Continue(number));
            } else {
                break;
            }
        }
        let mut at = end + 1;
        while tokens[*end].text == "end" && at < tokens.len() {
            if tokens[at].text == ";" {
                at += 1;
            } else if is_label(tokens, at) {
                found.entry((number, tokens[at + 1].text)).or_insert(Target::Break(number));
                at += 3;
            } else {
                break;
            }
        }
    }
    found
}

pub(super) fn is_label(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at..at + 3).is_some_and(|t| t[0].text == "::" && t[1].kind == Kind::Name && t[2].text == "::")
}

/// All labels. One ends where the next begins.
fn labels(tokens: &[Token<'_>]) -> Vec<usize> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if is_label(tokens, at) {
            found.push(at);
            at += 3;
        } else {
            at += 1;
        }
    }
    found
}

/// The loops of a source and its jumps.
fn outline(tokens: &[Token<'_>]) -> (Vec<Loop>, Vec<Jump>) {
    let (mut loops, mut jumps) = (Vec::<Loop>::new(), Vec::new());
    // Open blocks: the loop a block is the body of, and the loop that what is in it belongs to.
    let mut open: Vec<(bool, Option<usize>, Option<usize>)> = Vec::new();
    // `for` and `while` that still wait for their `do`, and how many blocks were open there.
    let mut heads: Vec<(usize, usize)> = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Name) {
        let member = at > 0 && matches!(tokens[at - 1].text, "." | ":");
        let inside = open.last().and_then(|(.., inside)| *inside);
        match token.text {
            _ if member => {}
            "for" | "while" => heads.push((at, open.len())),
            "do" if heads.last().is_some_and(|(_, depth)| *depth == open.len()) => {
                let begin = heads.pop().map_or(at, |(begin, _)| begin);
                loops.push(Loop { begin, end: 0, around: inside });
                open.push((false, Some(loops.len() - 1), Some(loops.len() - 1)));
            }
            "repeat" => {
                loops.push(Loop { begin: at, end: 0, around: inside });
                open.push((true, Some(loops.len() - 1), Some(loops.len() - 1)));
            }
            "do" | "if" => open.push((false, None, inside)),
            "function" => open.push((false, None, None)),
            "end" | "until" => {
                if open.last().is_some_and(|(repeat, ..)| *repeat == (token.text == "until"))
                    && let Some((_, Some(number), _)) = open.pop()
                {
                    loops[number].end = at;
                }
            }
            "goto" if is_jump(tokens, at) => jumps.push(Jump { at, inside }),
            _ => {}
        }
    }
    // A loop without an end is the compiler's to report.
    let whole = loops.iter().all(|each| each.end > 0);
    (loops, if whole { jumps } else { Vec::new() })
}

/// Whether `goto` is the word of a statement, and not a name that Lua 5.1 allowed.
pub(super) fn is_jump(tokens: &[Token<'_>], at: usize) -> bool {
    let named = tokens.get(at + 1).is_some_and(|next| {
        next.kind == Kind::Name
            && !matches!(next.text, "end" | "then" | "do" | "and" | "or" | "else" | "elseif" | "until" | "in")
    });
    let before = at.checked_sub(1).map(|before| tokens[before].text);
    let in_expression = before.is_some_and(|before| {
        matches!(
            before,
            "=" | ","
                | "("
                | "{"
                | "["
                | "+"
                | "-"
                | "*"
                | "/"
                | "%"
                | "^"
                | "#"
                | "<"
                | ">"
                | "~"
                | ".."
                | "and"
                | "or"
                | "not"
                | "return"
                | "local"
                | "function"
                | "if"
                | "elseif"
                | "while"
                | "until"
                | "in"
                | "goto"
        )
    });
    named && !in_expression
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(source: &str) -> String {
        rewrite(source).unwrap().into_owned()
    }

    #[test]
    fn a_jump_to_the_end_of_a_loop_goes_on_with_it_and_one_behind_it_leaves_it() {
        assert_eq!(
            rewritten("for i = 1, 3 do if i == 2 then goto next end f(i)\n::next:: end"),
            "for i = 1, 3 do if i == 2 then do continue end end f(i)\n end"
        );
        assert_eq!(rewritten("while a do goto out end ::out:: f()"), "while a do do break end end  f()");
        assert_eq!(
            rewritten("repeat if a then goto c end f() ::c:: until b"),
            "repeat if a then do continue end end f()  until b"
        );
    }

    #[test]
    fn a_jump_out_of_several_loops_leaves_each_of_them() {
        assert_eq!(
            rewritten("for i in a do for j in b do goto next end f() ::next:: end"),
            "for i in a do local __goto0 for j in b do do __goto0=true break end end if __goto0 then continue end f()  end"
        );
        assert_eq!(
            rewritten("for i in a do for j in b do goto out end end ::out::"),
            "for i in a do local __goto0 for j in b do do __goto0=true break end end if __goto0 then break end end "
        );
    }

    #[test]
    fn other_jumps_are_refused_with_their_line_and_names_stay_names() {
        for source in [
            "repeat\n::top:: f() goto top until a",
            "f()\ngoto done f() ::done::",
            "a = 1\nfor i in a do g(function() goto n end) ::n:: end",
        ] {
            let refused = rewrite(source).unwrap_err();
            assert_eq!(refused.line, 2, "{source}");
            assert!(refused.message.contains("is not offered here"));
        }
        for same in [
            "goto = 1 f(goto) t.goto = goto",
            "-- goto x\nlocal s = 'goto y'",
            "for i in a do goto x",
            "x = goto y = 2",
        ] {
            assert_eq!(rewritten(same), same);
        }
    }
}
