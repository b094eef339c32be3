//! Text functions that Luau does otherwise or cannot interrupt.

use mlua::{Lua, LuaString, Result};

/// A number as Lua 5.1 joins it to a text: whole numbers without a fraction.
pub(crate) fn number_text(n: f64) -> String {
    if n.is_nan() {
        "nan".to_owned()
    } else if n.is_infinite() {
        (if n > 0.0 { "inf" } else { "-inf" }).to_owned()
    } else if n == 0.0 || (1e-5..1e21).contains(&n.abs()) {
        n.to_string()
    } else {
        // 1e+21, as C prints it.
        let text = format!("{n:e}");
        match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power:0>2}"),
            Some((digits, power)) => format!("{digits}e-{:0>2}", &power[1..]),
            None => text,
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_lua_5_1() {
        for (n, text) in [
            (2.0, "2"),
            (1_400_000_000_000.0, "1400000000000"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-7, "1e-07"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(number_text(n), text);
        }
    }
}
