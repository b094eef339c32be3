//! Load-time changes to a source; none of them moves a line.

use super::{
    lexer::{Kind, Token},
    syntax::tokens,
};
use std::borrow::Cow;

/// What stands for the implicit table of Lua 5.1.
const ARG: &str = " local arg=__args(...) ";

/// An open function or block.
struct Open<'a> {
    opener: &'a str,
    /// For a function: whether it takes `...`, whether a parameter is called `arg`, and where its body begins.
    function: Option<(bool, bool, usize)>,
    uses_arg: bool,
    /// The innermost function, by its place among the open ones, whose `...` or parameter `arg` is meant in here.
    owner: Option<usize>,
}

impl<'a> Open<'a> {
    fn new(opener: &'a str, function: Option<(bool, bool, usize)>, around: &[Self]) -> Self {
        let owner = match function {
            Some((varargs, named, _)) if varargs || named => Some(around.len()),
            _ => around.last().and_then(|block| block.owner),
        };
        Self { opener, function, uses_arg: false, owner }
    }
}

/// Gives functions that take `...` and use `arg` the table that Lua 5.1 gave them.
pub(crate) fn rewrite(source: &str) -> Cow<'_, str> {
    if !source.contains("arg") || !source.contains("...") {
        return Cow::Borrowed(source);
    }
    let tokens = tokens(source);
    let mut inserts = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        if token.kind != Kind::Name {
            continue;
        }
        match token.text {
            "function" => {
                let (parameters, next) = parameters(&tokens, at);
                at = next;
                let typed = tokens.get(at).is_some_and(|next| next.kind == Kind::Type);
                let head = if typed { at } else { at.wrapping_sub(1) };
                let body = tokens.get(head).map_or(source.len(), |last| last.start + last.text.len());
                let varargs = parameters.iter().any(|parameter| parameter.text == "...");
                let named = parameters.iter().any(|parameter| parameter.text == "arg");
                open.push(Open::new(token.text, Some((varargs, named, body)), &open));
            }
            "if" | "do" | "repeat" => open.push(Open::new(token.text, None, &open)),
            "end" | "until" => {
                // A stray one is the compiler's to report.
                if open.last().is_some_and(|block| (block.opener == "repeat") == (token.text == "until"))
                    && let Some(Open { function: Some((_, _, body)), uses_arg: true, .. }) = open.pop()
                {
                    inserts.push(body);
                }
            }
            "arg" => {
                let member = at >= 2 && matches!(tokens[at - 2].text, "." | ":");
                if let Some(owner) = open.last().and_then(|block| block.owner).filter(|_| !member) {
                    let owner = &mut open[owner];
                    owner.uses_arg = owner.function.is_some_and(|(varargs, named, _)| varargs && !named);
                }
            }
            _ => {}
        }
    }
    if inserts.is_empty() {
        return Cow::Borrowed(source);
    }
    inserts.sort_unstable();
    let mut out = String::with_capacity(source.len() + inserts.len() * ARG.len());
    let mut from = 0;
    for insert in inserts {
        out.push_str(&source[from..insert]);
        out.push_str(ARG);
        from = insert;
    }
    out.push_str(&source[from..]);
    Cow::Owned(out)
}

/// The tokens between the parentheses that follow `function name`, and the place after them.
fn parameters<'t, 'a>(tokens: &'t [Token<'a>], from: usize) -> (&'t [Token<'a>], usize) {
    let open = from + tokens[from..].iter().take_while(|token| token.text != "(").count();
    let close = open + tokens[open.min(tokens.len())..].iter().take_while(|token| token.text != ")").count();
    if close >= tokens.len() {
        return (&[], tokens.len());
    }
    (&tokens[open + 1..close], close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_functions_that_take_dots_and_use_arg_change() {
        assert_eq!(
            rewrite("function f(a, ...)\n return arg.n end"),
            format!("function f(a, ...){ARG}\n return arg.n end")
        );
        for same in [
            "function f(...) return ... end",
            "function f(arg, ...) return arg end",
            "function f(...) return x.arg, '... arg' -- arg\n end",
            "function f(...) return function(arg) return arg end end",
            "local arg = 1 function f(...) end",
            "function f(... arg",
            "end end until arg ...",
        ] {
            assert_eq!(rewrite(same), same);
        }
    }

    #[test]
    fn an_inner_function_uses_the_table_of_the_one_around_it() {
        let nested = "function f(...) if x then g(function() return arg[1] end) end end";
        assert_eq!(rewrite(nested), nested.replacen("(...)", &format!("(...){ARG}"), 1));
        let method = "function a.b:c(...) repeat local y = arg until y end";
        assert_eq!(rewrite(method), method.replacen("(...)", &format!("(...){ARG}"), 1));
    }
}
