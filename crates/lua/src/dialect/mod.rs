//! Lua as scripts expect it: 5.1 and 5.2 on Luau, without what reaches outside.

mod again;
mod compile;
mod env;
mod jump;
mod lexer;
mod native;
mod number;
mod prelude;
#[cfg(test)]
mod random;
mod rewrite;
mod statement;
mod syntax;
mod text;

pub(crate) use compile::{compile, is_short};
pub(crate) use number::number_text;
pub(crate) use prelude::{base, environment, late, libraries, requesting, top};

use crate::{ScriptError, meter::Meter};
use mlua::{Function, Lua, Result, Table, Value};
use std::borrow::Cow;

/// A source as the compiler takes it; no line of it moves.
///
/// # Errors
/// What the compiler has no words for, with its line.
fn rewrite(source: &str) -> std::result::Result<Cow<'_, str>, ScriptError> {
    // The compiler would take it for the end.
    if let Some(at) = memchr::memchr(0, source.as_bytes()) {
        let line = u32::try_from(source[..at].matches('\n').count() + 1).ok();
        return Err(ScriptError { line, message: "a NUL character; a text says `\\0` for it".to_owned() });
    }
    let refused = |refused: jump::Refused| ScriptError { line: Some(refused.line), message: refused.message };
    let plain = then(statement::rewrite(source), again::rewrite);
    let jumped = match plain {
        Cow::Borrowed(source) => jump::rewrite(source).map_err(refused)?,
        Cow::Owned(source) => Cow::Owned(jump::rewrite(&source).map_err(refused)?.into_owned()),
    };
    // First where names lead: what takes the place of `arg` names a global.
    let led = then(jumped, env::rewrite);
    Ok(then(led, rewrite::rewrite))
}

/// One change after another, without a copy where there is none.
fn then<'a>(source: Cow<'a, str>, change: impl for<'s> Fn(&'s str) -> Cow<'s, str>) -> Cow<'a, str> {
    match source {
        Cow::Borrowed(source) => change(source),
        Cow::Owned(source) => Cow::Owned(change(&source).into_owned()),
    }
}

/// Longest source that `load` and `loadstring` take, bytes: it is compiled in the middle of a run, which nothing can stop
/// meanwhile.
const LOAD_BYTES: usize = 96 << 10;

/// `loadstring` and `load`: a function, or nil and the reason.
fn load_text(
    lua: &Lua,
    (source, name, env): (Value, Option<mlua::LuaString>, Option<Table>),
) -> Result<(Option<Function>, Option<String>)> {
    let refuse = |reason: String| Ok((None, Some(reason)));
    let Value::String(source) = source else {
        return refuse(format!("a text expected, got {}", source.type_name()));
    };
    if source.as_bytes().len() > LOAD_BYTES {
        return refuse(format!("the text is longer than {LOAD_BYTES} bytes"));
    }
    let Ok(source) = source.to_str() else {
        return refuse("the text is not UTF-8, so it is no Lua source".to_owned());
    };
    let name = name.map_or_else(|| "=loaded".to_owned(), |name| name.to_string_lossy());
    let rewritten = match rewrite(&source) {
        Ok(rewritten) => rewritten,
        Err(error) => return refuse(error.to_string()),
    };
    let loaded = lua.load(rewritten.as_ref()).set_name(name).set_mode(mlua::chunk::ChunkMode::Text).into_function();
    match loaded {
        Ok(function) => {
            if let Some(env) = env.or_else(|| Meter::current().and_then(|meter| meter.env())) {
                function.set_environment(env)?;
            }
            Ok((Some(function), None))
        }
        Err(error) => refuse(crate::error::text(&error)),
    }
}
