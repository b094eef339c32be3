//! `translate`: the texts of the block's package in its owner's language, and those of the platform.

use super::{Module, text_of};
use crate::{meter::Meter, room::Room};
use mlua::{Error, Lua, Result, Table, Value as Lv, Variadic};

/// Longest text made from a key and its arguments.
const TEXT_BYTES: usize = 1 << 20;

/// The platform's own texts that scripts ask for (`fdl.md` 3.6). A package may have its own for the same keys.
const PLATFORM: [(&str, &str); 5] = [
    ("LBL_NO_CHARGE", "No charge"),
    ("#__BILLING_KEY_CHARGE_MEASUREMENT_TYPE_NAME", "Charge measurement type"),
    ("#__BILLING_KEY_CHARGE_MEASUREMENT_TYPE_DESCRIPTION", "The measurement that one unit of the charge is for"),
    ("#__BILLING_KEY_REPEAT_UNITS_NAME", "Repeat units"),
    ("#__BILLING_KEY_REPEAT_UNITS_DESCRIPTION", "How many units there are in one charge"),
];

/// Measure types by what people call one of them.
const MEASURES: [(&str, &str); 12] = [
    ("B", "byte"),
    ("KB", "KB"),
    ("MB", "MB"),
    ("GB", "GB"),
    ("TB", "TB"),
    ("SECOND", "second"),
    ("MINUTE", "minute"),
    ("HOUR", "hour"),
    ("DAY", "day"),
    ("MONTH", "month"),
    ("YEAR", "year"),
    ("UNIT", "unit"),
];

pub(super) fn create(lua: &Lua) -> Result<Table> {
    let module = Module::new(lua)?;
    module.function("string", |_, (key, args): (Lv, Variadic<Lv>)| {
        let mut room = Room::new("what is put into a text", TEXT_BYTES);
        let args = args.iter().map(|arg| room.text(arg)).collect::<Result<Vec<_>>>()?;
        text_of(&key).map(|key| fill(&translated(&key), &args)).transpose()
    })?;
    module.function("advanced", |_, (key, args): (Lv, Variadic<Lv>)| {
        let mut room = Room::new("what is put into a text", TEXT_BYTES);
        let read = |arg| Ok(room.text(arg)?.map(|key| translated(&key)));
        let args = args.iter().map(read).collect::<Result<Vec<_>>>()?;
        text_of(&key).map(|key| fill(&translated(&key), &args)).transpose()
    })?;
    module.function("measureType", |_, kind: Lv| {
        let Some(kind) = text_of(&kind) else { return Ok(None) };
        let own = translated(&kind);
        let known = MEASURES.iter().find(|(name, _)| *name == kind).map(|(_, text)| (*text).to_owned());
        Ok(Some(if own == kind { known.unwrap_or(own) } else { own }))
    })?;
    Ok(module.table)
}

/// The text of a key; a key without one is its own.
fn translated(key: &str) -> String {
    let own = Meter::current().and_then(|meter| {
        let texts = &meter.texts;
        sutler_model::translation::text(&texts.translations, texts.language.as_deref(), key).map(str::to_owned)
    });
    own.unwrap_or_else(|| platform_text(key).unwrap_or(key).to_owned())
}

/// The platform's own text for a key.
pub fn platform_text(key: &str) -> Option<&'static str> {
    PLATFORM.iter().find(|(name, _)| *name == key).map(|(_, text)| *text)
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
