//! Text functions that Luau does otherwise or cannot interrupt.

use mlua::{Lua, LuaString, Result};

/// `string.find(text, what, from, true)` in linear time.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // lengths below 2^53
pub(super) fn find_plain(
    _: &Lua,
    (text, what, from): (LuaString, LuaString, Option<f64>),
) -> Result<(Option<f64>, Option<f64>)> {
    let text = text.as_bytes();
    let what = what.as_bytes();
    let from = from.unwrap_or(1.0);
    let start = if from > 0.0 { from - 1.0 } else { text.len() as f64 + from.min(0.0) };
    let start = start.max(0.0) as usize;
    let found = text.get(start..).and_then(|rest| memchr::memmem::find(rest, &what));
    Ok(match found {
        Some(at) => (Some((start + at + 1) as f64), Some((start + at + what.len()) as f64)),
        None => (None, None),
    })
}
