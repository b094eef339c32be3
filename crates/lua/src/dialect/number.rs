//! Numbers as texts, the way Lua 5.1 and 5.2 write them: `%.14g`, and whole numbers in full.
//!
//! Luau writes as many digits as read back the same number, so `0.1 + 0.2` would come out as `0.30000000000000004` in each
//! mail and invoice of a script that adds up amounts. Its virtual machine writes numbers in many places (`..`, `tostring`,
//! `table.concat`, `string.format`), all of them through one C++ function, which a script cannot reach and no option of
//! Luau changes. That function is defined here, and so the linker leaves out the library's own: both functions of the
//! object file it stands in have to be here. Were it linked otherwise, `numbers_join_to_texts_as_lua_writes_them` of
//! `tests/dialect.rs` would tell.
#![allow(unsafe_code)]

use std::{
    io::Write,
    os::raw::{c_char, c_long},
};

/// What Luau sets aside for a number's text.
const ROOM: usize = 48;

/// A number as Lua joins it to a text.
pub(crate) fn number_text(n: f64) -> String {
    let mut room = [0; ROOM];
    let length = write(&mut room, n);
    String::from_utf8_lossy(&room[..length]).into_owned()
}

/// Writes a number's text and answers its length.
fn write(room: &mut [u8; ROOM], n: f64) -> usize {
    let mut rest = &mut room[..];
    // None of the texts is longer than 25 bytes.
    let _ = if n.is_nan() {
        rest.write_all(b"nan")
    } else if n.is_infinite() {
        rest.write_all(if n > 0.0 { b"inf" } else { b"-inf" })
    } else if n.fract() == 0.0 && n.abs() < 1e21 {
        write!(rest, "{n}")
    } else {
        general(&mut rest, n)
    };
    let left = rest.len();
    ROOM - left
}

/// `%.14g` of C.
fn general(out: &mut &mut [u8], n: f64) -> std::io::Result<()> {
    let mut room = [0; ROOM];
    let mut rest = &mut room[..];
    write!(rest, "{n:.13e}")?;
    let left = rest.len();
    let text = std::str::from_utf8(&room[..ROOM - left]).unwrap_or_default();
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    if (-4..14).contains(&power) {
        let mut room = [0; ROOM];
        let mut rest = &mut room[..];
        // What is before the point and what is behind it have 14 digits together.
        write!(rest, "{n:.*}", usize::try_from(13 - power).unwrap_or(0))?;
        let left = rest.len();
        out.write_all(trimmed(&room[..ROOM - left]))
    } else if power < 21 && power > 0 {
        // More digits before the point than are rounded to: all of them are told, as of whole numbers.
        write!(out, "{n}")
    } else {
        out.write_all(trimmed(digits.as_bytes()))?;
        write!(out, "e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
    }
}

/// Without zeros at the end of the fraction.
fn trimmed(text: &[u8]) -> &[u8] {
    if !text.contains(&b'.') {
        return text;
    }
    let zeros = text.iter().rev().take_while(|digit| **digit == b'0').count();
    let text = &text[..text.len() - zeros];
    text.strip_suffix(b".").unwrap_or(text)
}

/// `char* luai_num2str(char* buf, double n)`: writes the text without an end mark and answers where it ends.
///
/// # Safety
/// `buf` has room for `LUAI_MAXNUM2STR` (48) bytes, as Luau promises.
#[unsafe(export_name = "_Z12luai_num2strPcd")]
unsafe extern "C" fn num2str(buf: *mut c_char, n: f64) -> *mut c_char {
    let mut room = [0; ROOM];
    let length = write(&mut room, n);
    // SAFETY: the text is no longer than the room, and so is the buffer.
    unsafe {
        buf.cast::<u8>().copy_from_nonoverlapping(room.as_ptr(), length);
        buf.add(length)
    }
}

/// `char* luai_int2str(char* buf, int64_t n)`, for the integers of Luau's own, which scripts do not have.
///
/// # Safety
/// As above.
#[unsafe(export_name = "_Z12luai_int2strPcl")]
unsafe extern "C" fn int2str(buf: *mut c_char, n: c_long) -> *mut c_char {
    let mut room = [0; ROOM];
    let mut rest = &mut room[..];
    let _ = write!(rest, "{n}");
    let length = ROOM - rest.len();
    // SAFETY: the text has at most 20 bytes.
    unsafe {
        buf.cast::<u8>().copy_from_nonoverlapping(room.as_ptr(), length);
        buf.add(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_lua_5_1() {
        for (n, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (2.0, "2"),
            (1_400_000_000_000.0, "1400000000000"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.3"),
            (110.000_000_000_000_01, "110"),
            (19.99 * 3.0, "59.97"),
            (1_234_567.891 * 3.0, "3703703.673"),
            (2.0 / 3.0, "0.66666666666667"),
            (-99_999_999_999_999.5, "-99999999999999.5"),
            (123_456_789_012_345.5, "123456789012345.5"),
            (0.000_1, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-7, "1e-07"),
            (f64::MIN_POSITIVE, "2.2250738585072e-308"),
            (f64::MAX, "1.7976931348623e+308"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(number_text(n), text);
        }
    }
}
