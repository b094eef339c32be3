//! `simplehttp`: requests under the egress policy, one at a time for each connection, waiting without a thread.

use super::{Module, connection, text_of};
use crate::shard::Shard;
use mlua::{Error, Lua, LuaString, Result, Table, Value as Lv};
use std::rc::Rc;

/// Longest text encoded or decoded: no URL is longer, and nothing can interrupt the work.
const ENCODE_BYTES: usize = 1 << 20;

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let host = shard.clone();
    module.function("newConnection", move |lua, options: Option<Table>| {
        connection::create(lua, &host, options.as_ref())
    })?;
    let encode = |_: &Lua, text: Lv| match text_of(&text) {
        Some(text) if text.len() > ENCODE_BYTES => {
            Err(Error::runtime(format!("URLEncode: the text is longer than {ENCODE_BYTES} bytes")))
        }
        text => Ok(text.map(|text| percent(text.as_bytes()))),
    };
    module.function("URLEncode", encode)?;
    module.function("urlEncode", encode)?;
    module.function("URLDecode", |lua, text: LuaString| {
        let text = text.as_bytes();
        if text.len() > ENCODE_BYTES {
            return Err(Error::runtime(format!("URLDecode: the text is longer than {ENCODE_BYTES} bytes")));
        }
        lua.create_string(unpercent(&text))
    })?;
    Ok(module.table)
}

/// Encodes all but letters, digits and `-_.~`.
fn percent(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            other => {
                out.push('%');
                out.push(char::from(DIGITS[usize::from(other >> 4)]));
                out.push(char::from(DIGITS[usize::from(other & 15)]));
            }
        }
    }
    out
}

fn unpercent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let code = (text[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if text[at] == b'+' { b' ' } else { text[at] });
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_encoding_reads_back() {
        assert_eq!(percent("a b&c/é~".as_bytes()), "a%20b%26c%2F%C3%A9~");
        assert_eq!(unpercent(percent("a b&c/é~+%".as_bytes()).as_bytes()), "a b&c/é~+%".as_bytes());
        assert_eq!(unpercent(b"a+b%2"), b"a b%2");
    }
}
