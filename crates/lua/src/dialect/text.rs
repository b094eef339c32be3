//! Text functions that Luau does otherwise or cannot interrupt.

use crate::meter::Meter;
use memchr::memmem::Finder;
use mlua::{Lua, LuaString, Result};

/// How much is searched before the deadline is looked at again, bytes.
const SLICE: usize = 1 << 20;

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
    let found = text.get(start..).map_or(Ok(None), |rest| find(rest, &what))?;
    Ok(match found {
        Some(at) => (Some((start + at + 1) as f64), Some((start + at + what.len()) as f64)),
        None => (None, None),
    })
}

/// Where one text stands in another, searched in slices that overlap by its length.
fn find(text: &[u8], what: &[u8]) -> Result<Option<usize>> {
    let finder = Finder::new(what);
    let overlap = what.len().saturating_sub(1);
    let mut from = 0;
    loop {
        Meter::check_current()?;
        let to = text.len().min(from + SLICE.max(what.len()) + overlap);
        if let Some(at) = finder.find(&text[from..to]) {
            return Ok(Some(from + at));
        }
        if to == text.len() {
            return Ok(None);
        }
        from = to - overlap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_slices_meet() {
        let text = vec![b'a'; 3 * SLICE];
        for at in [0, 1, SLICE - 3, SLICE - 1, SLICE, SLICE + 2, 2 * SLICE + 1, 3 * SLICE - 4] {
            let mut text = text.clone();
            text[at..at + 4].copy_from_slice(b"wxyz");
            assert_eq!(find(&text, b"wxyz").unwrap(), Some(at));
            assert_eq!(find(&text, b"wxyzz").unwrap(), None);
        }
        assert_eq!(find(&text, b"").unwrap(), Some(0));
        assert_eq!(find(&text, &text).unwrap(), Some(0));
        assert_eq!(find(b"a", b"ab").unwrap(), None);
    }
}
