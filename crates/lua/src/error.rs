//! Lua errors in the words a scripter needs: the message, the line, no stack trace.

use crate::{ScriptError, json, outcome, vm::CHUNK};
use mlua::{Error, Value};

/// Most that a message repeats of a script's text: it is copied several times on its way.
const SHOWN_BYTES: usize = 1_000;

/// Reads an error that reached the top.
pub(crate) fn from_lua(error: &Error) -> ScriptError {
    let text = text(error);
    match split(&text) {
        Some((line, message)) => ScriptError { line: Some(line), message: message.to_owned() },
        None => ScriptError { line: None, message: text },
    }
}

/// What a table says that was raised and reads as `text`: its own text, the reason in it as in one that is returned, or what is in it.
pub(crate) fn words(raised: &Value, text: String) -> String {
    // Where it lay in memory helps nobody.
    if !text.starts_with("table: 0x") {
        return text;
    }
    let raised = json::from_lua(raised).unwrap_or_default();
    outcome::words(&raised).unwrap_or_else(|| {
        let raised = raised.to_string();
        let shown = shown(&raised);
        format!(
            "the error is a table without a text among its members: {shown}{}",
            if shown.len() < raised.len() { "…" } else { "" }
        )
    })
}

/// The text a script sees in `pcall`: `script:12: message`.
pub(crate) fn text(error: &Error) -> String {
    match error {
        Error::CallbackError { traceback, cause } => {
            let inner = text(cause);
            match line_in(traceback) {
                Some(line) if split(&inner).is_none() => format!("{CHUNK}:{line}: {inner}"),
                _ => inner,
            }
        }
        Error::WithContext { cause, .. } => text(cause),
        Error::SyntaxError { message, .. } => message.clone(),
        Error::MemoryError(_) => "not enough memory".to_owned(),
        Error::RuntimeError(message) => message.split("\nstack traceback:").next().unwrap_or_default().to_owned(),
        other => other.to_string().trim_start_matches("runtime error: ").to_owned(),
    }
}

/// What a message repeats of a script's text.
pub(crate) fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES)]
}

/// Whether the error is, at its root, a lack of memory.
pub(crate) fn is_memory(error: &Error) -> bool {
    match error {
        Error::MemoryError(_) => true,
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => is_memory(cause),
        _ => false,
    }
}

/// Splits `script:12: message`.
fn split(text: &str) -> Option<(u32, &str)> {
    let (line, message) = text.strip_prefix(CHUNK)?.strip_prefix(':')?.split_once(':')?;
    Some((line.parse().ok()?, message.trim_start()))
}

/// The innermost line of the script in a stack trace.
fn line_in(traceback: &str) -> Option<u32> {
    traceback.lines().find_map(|line| {
        let at = line.trim_start().strip_prefix(CHUNK)?.strip_prefix(':')?;
        at.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}
