//! `goto` back to a label before it, as in `::retry:: … goto retry`: what stands behind the label in its block becomes the body
//! of a loop of one turn, and the label goes to the end of that body, where [`jump`](super::jump) finds it.

use super::{
    jump::{is_jump, is_label},
    lexer::{Kind, Token},
    syntax::tokens,
};
use std::borrow::Cow;

/// Most labels of a source that are jumped back to, and most tokens looked at behind labels: this works outside every limit.
const LABELS: usize = 20;
const LOOKS: usize = 1_000_000;

/// What stands behind a label in its block, by the places of its tokens.
struct Rest {
    /// Behind the last of it, labels at the end of the block left out.
    end: usize,
    /// Whether its last statement is a `return`.
    returns: bool,
}

/// Rewrites the labels that are jumped back to; no line of the source moves. What cannot be made a loop is left as it is.
pub(super) fn rewrite(source: &str) -> Cow<'_, str> {
    let mut rewritten = Cow::Borrowed(source);
    let mut looks = LOOKS;
    for _ in 0..LABELS {
        if !(rewritten.contains("goto") && rewritten.contains("::")) {
            break;
        }
        let tokens = tokens(&rewritten);
        // The last first: of two in one block, the inner loop is there when the outer one is made.
        let labels = (0..tokens.len()).rev().filter(|at| is_label(&tokens, *at));
        let found =
            labels.map_while(|at| Some((at, rest(&tokens, at, &mut looks)?))).find_map(|(at, rest)| Some((at, rest?)));
        let Some((at, rest)) = found else { break };
        let next = looped(&rewritten, &tokens, at, &rest);
        rewritten = Cow::Owned(next);
    }
    rewritten
}

/// The source with a loop from the label on.
fn looped(source: &str, tokens: &[Token<'_>], at: usize, rest: &Rest) -> String {
    let (from, behind) = (tokens[at].start, end_of(tokens[at + 2]));
    let close = end_of(tokens[rest.end - 1]);
    let lines = "\n".repeat(source[from..behind].matches('\n').count());
    let leave = if rest.returns { "" } else { " break" };
    let name = tokens[at + 1].text;
    format!(
        "{}while true do{lines}{}{leave} ::{name}:: end{}",
        &source[..from],
        &source[behind..close],
        &source[close..]
    )
}

fn end_of(token: Token<'_>) -> usize {
    token.start + token.text.len()
}

/// What stands behind the label at a place, if it is jumped back to from there and a loop around it changes nothing else; none
/// at all when there were looks enough.
fn rest(tokens: &[Token<'_>], label: usize, looks: &mut usize) -> Option<Option<Rest>> {
    let name = tokens[label + 1].text;
    let (mut again, mut returns) = (false, false);
    let mut open: Vec<Block> = Vec::new();
    // How many of the open blocks keep a `break` or a jump within to themselves.
    let (mut loops, mut functions) = (0, 0);
    // `for` and `while` that still wait for their `do`, by how many blocks were open there.
    let mut heads: Vec<usize> = Vec::new();
    let mut at = label + 3;
    while at < tokens.len() {
        *looks = looks.checked_sub(1)?;
        let token = tokens[at];
        let member = matches!(tokens[at - 1].text, "." | ":");
        match token.text {
            _ if token.kind != Kind::Name || member => {}
            "for" | "while" => heads.push(open.len()),
            "do" if heads.last() == Some(&open.len()) => {
                heads.pop();
                loops += 1;
                open.push(Block::Loop);
            }
            "repeat" => {
                loops += 1;
                open.push(Block::Loop);
            }
            "do" | "if" => open.push(Block::Plain),
            "function" => {
                functions += 1;
                open.push(Block::Function);
            }
            // Its condition sees the locals of the block.
            "until" if open.is_empty() => return Some(None),
            "else" | "elseif" if open.is_empty() => break,
            "end" | "until" => match open.pop() {
                Some(Block::Loop) => loops -= 1,
                Some(Block::Function) => functions -= 1,
                Some(Block::Plain) => {}
                None => break,
            },
            // One of a loop around the label.
            "break" if loops + functions == 0 => return Some(None),
            "return" if open.is_empty() => returns = true,
            "goto" if is_jump(tokens, at) && tokens[at + 1].text == name => again |= functions == 0,
            _ => {}
        }
        at += 1;
    }
    if !again {
        return Some(None);
    }
    // Not beyond the jump.
    let mut end = at;
    loop {
        if end >= 3 && is_label(tokens, end - 3) {
            end -= 3;
        } else if !returns && tokens[end - 1].text == ";" {
            end -= 1;
        } else {
            break;
        }
    }
    Some(Some(Rest { end, returns }))
}

enum Block {
    Plain,
    Loop,
    Function,
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    #[test]
    fn what_is_jumped_back_to_becomes_a_loop() {
        for (source, rewritten) in [
            ("::top:: f() if a then goto top end", "while true do f() if a then goto top end break ::top:: end"),
            (
                "function g()\n::top::\nif a then goto top end\nreturn 1 -- so\nend",
                "function g()\nwhile true do\nif a then goto top end\nreturn 1 ::top:: end -- so\nend",
            ),
            (
                "for i in a do ::top:: if i then goto top end f() ::next:: end",
                "for i in a do while true do if i then goto top end f() break ::top:: end ::next:: end",
            ),
            (
                "if a then ::x:: f() goto x else g() end",
                "if a then while true do f() goto x break ::x:: end else g() end",
            ),
            (
                "::a:: f() ::b:: g() goto b goto a",
                "while true do f() while true do g() goto b goto a break ::b:: end break ::a:: end",
            ),
        ] {
            assert_eq!(rewrite(source), rewritten, "{source}");
        }
    }

    #[test]
    fn what_a_loop_would_change_is_left() {
        for source in [
            "for i in a do if i then goto next end ::next:: end",
            "goto done f() ::done::",
            "for i in a do ::top:: if b then break end goto top end",
            "repeat ::top:: local x = f() if x then goto top end until x",
            "::top:: f(function() goto top end)",
            "::top:: local goto_top = 'goto top' -- goto top",
        ] {
            assert_eq!(rewrite(source), source, "{source}");
        }
    }
}
