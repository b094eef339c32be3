//! `translate`: a key is its own text where no translation is installed.

use super::{Module, text_of};
use mlua::{Error, Lua, Result, Table, Value as Lv, Variadic};

/// Longest text made from a key and its arguments.
const TEXT_BYTES: usize = 1 << 20;

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    // The advanced form also translates its arguments, which without translations stay what they are.
    for name in ["string", "advanced"] {
        module.function(name, |_, (key, args): (Lv, Variadic<Lv>)| {
            let args: Vec<Option<String>> = args.iter().map(text_of).collect();
            text_of(&key).map(|key| fill(&key, &args)).transpose()
        })?;
    }
    module.function("measureType", |_, kind: Lv| Ok(text_of(&kind)))?;
    Ok(module.table)
}

/// Replaces `{0}`, `{1}` and so on, once each occurrence: what is put in is not looked at again.
fn fill(key: &str, args: &[Option<String>]) -> Result<String> {
    let mut out = String::new();
    let mut rest = key;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let tail = &rest[open..];
        let place =
            tail[1..].split_once('}').and_then(|(digits, _)| Some((digits.len() + 2, digits.parse::<usize>().ok()?)));
        match place.and_then(|(length, index)| Some((length, args.get(index)?.as_deref()?))) {
            Some((length, text)) => {
                out.push_str(text);
                if out.len() > TEXT_BYTES {
                    return Err(Error::runtime(format!("the text is longer than {TEXT_BYTES} bytes")));
                }
                rest = &tail[length..];
            }
            None => {
                out.push('{');
                rest = &tail[1..];
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}
