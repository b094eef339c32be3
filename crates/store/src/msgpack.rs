//! Walking MessagePack without decoding it: fields of a record, what differs, patching, and JSON for people.

use crate::Error;
use rmpv::Value;
use sutler_model::Timestamp;
use uuid::Uuid;

/// Appends `value` with field names.
pub(crate) fn write<T: serde::Serialize>(out: &mut Vec<u8>, value: &T) {
    // The model's types have only text keys and no failing serializers; a Vec never refuses bytes.
    rmp_serde::encode::write_named(out, value).expect("records of the model always encode");
}

/// Decodes a `T`; `what` names it in the error.
pub(crate) fn read<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Error> {
    rmp_serde::from_slice(bytes).map_err(|e| Error::io(format!("decoding {what}"), e))
}

/// Length of the value that `bytes` begins with; none when it is cut off or not MessagePack.
fn value_len(bytes: &[u8]) -> Option<usize> {
    // Nested values still to be skipped; iterative, so that no input can exhaust the stack.
    let (mut at, mut left) = (0usize, 1usize);
    while left > 0 {
        left -= 1;
        let marker = *bytes.get(at)?;
        at += 1;
        let mut be = |n: usize| {
            let v = bytes.get(at..at + n)?.iter().fold(0usize, |v, b| v << 8 | usize::from(*b));
            at += n;
            Some(v)
        };
        let (skip, nested) = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0..=0xc3 => (0, 0),
            0x80..=0x8f => (0, 2 * usize::from(marker & 0x0f)),
            0x90..=0x9f => (0, usize::from(marker & 0x0f)),
            0xa0..=0xbf => (usize::from(marker & 0x1f), 0),
            0xc4 | 0xd9 => (be(1)?, 0),
            0xc5 | 0xda => (be(2)?, 0),
            0xc6 | 0xdb => (be(4)?, 0),
            0xc7 => (be(1)? + 1, 0),
            0xc8 => (be(2)? + 1, 0),
            0xc9 => (be(4)? + 1, 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 => (2, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            0xd4..=0xd8 => (1 + (1 << (marker - 0xd4)), 0),
            0xdc => (0, be(2)?),
            0xdd => (0, be(4)?),
            0xde => (0, 2 * be(2)?),
            0xdf => (0, 2 * be(4)?),
        };
        at = at.checked_add(skip)?;
        left = left.checked_add(nested)?;
        if at > bytes.len() {
            return None;
        }
    }
    Some(at)
}

/// The top-level fields of an encoded record: name and encoded value, in stored order.
pub(crate) fn fields(record: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let (count, mut at) = match *record.first()? {
        marker @ 0x80..=0x8f => (usize::from(marker & 0x0f), 1),
        0xde => (usize::from(u16::from_be_bytes(record.get(1..3)?.try_into().ok()?)), 3),
        0xdf => (u32::from_be_bytes(record.get(1..5)?.try_into().ok()?) as usize, 5),
        _ => return None,
    };
    let mut fields = Vec::with_capacity(count.min(record.len()));
    for _ in 0..count {
        let name_end = at + value_len(record.get(at..)?)?;
        let prefix = match *record.get(at)? {
            0xa0..=0xbf => 1,
            0xd9 => 2,
            0xda => 3,
            _ => return None,
        };
        let name = std::str::from_utf8(record.get(at + prefix..name_end)?).ok()?;
        let value_end = name_end + value_len(&record[name_end..])?;
        fields.push((name, &record[name_end..value_end]));
        at = value_end;
    }
    Some(fields)
}

/// A field that differs: name, old value, new value, both encoded.
pub(crate) type Difference<'a> = (&'a str, Option<&'a [u8]>, Option<&'a [u8]>);

/// Top-level fields that differ between two encodings of a record, without `version`, which always does.
pub(crate) fn differences<'a>(old: &'a [u8], new: &'a [u8]) -> Option<Vec<Difference<'a>>> {
    let (old, new) = (fields(old)?, fields(new)?);
    let mut out = Vec::new();
    for (i, (name, value)) in new.iter().enumerate() {
        // Both come from the same struct, so a field is nearly always at the same place.
        let before = match old.get(i) {
            Some((n, v)) if n == name => Some(*v),
            _ => old.iter().find(|(n, _)| n == name).map(|(_, v)| *v),
        };
        if *name != "version" && before != Some(*value) {
            out.push((*name, before, Some(*value)));
        }
    }
    out.extend(old.iter().filter(|(n, _)| !new.iter().any(|(m, _)| m == n)).map(|(n, v)| (*n, Some(*v), None)));
    Some(out)
}

/// `record` with `changes` applied and `version` set: what [`differences`] was made from.
pub(crate) fn patch(record: &[u8], changes: &[Difference<'_>], version: u64) -> Option<Vec<u8>> {
    let mut fields = fields(record)?;
    for (name, _, new) in changes {
        match (fields.iter().position(|(n, _)| n == name), new) {
            (Some(i), Some(value)) => fields[i].1 = value,
            (Some(i), None) => drop(fields.remove(i)),
            (None, Some(value)) => fields.push((name, value)),
            (None, None) => {}
        }
    }
    let mut encoded_version = Vec::new();
    write(&mut encoded_version, &version);
    let mut out = Vec::with_capacity(record.len() + 64);
    match u16::try_from(fields.len()).ok()? {
        n @ 0..=15 => out.push(0x80 | n as u8),
        n => {
            out.push(0xde);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
    for (name, value) in fields {
        write(&mut out, &name);
        out.extend_from_slice(if name == "version" { &encoded_version } else { value });
    }
    Some(out)
}

/// One encoded value, decoded.
pub(crate) fn value(mut bytes: &[u8]) -> Option<Value> {
    rmpv::decode::read_value(&mut bytes).ok()
}

/// A stored value as the API would show it. Stored ids are 16 bytes and times milliseconds; the model's names tell
/// them from 128-bit and plain numbers: `unit_ms` is a number, `…_at`, `…_since` and the like are times.
pub(crate) fn json(name: &str, value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::Nil => Json::Null,
        Value::Boolean(b) => Json::Bool(*b),
        Value::Integer(n) => match n.as_i64() {
            Some(ms) if is_time(name) => Json::String(Timestamp(ms).to_string()),
            Some(n) => Json::from(n),
            None => n.as_u64().map_or(Json::Null, Json::from),
        },
        Value::F32(f) => Json::from(*f),
        Value::F64(f) => Json::from(*f),
        Value::String(s) => Json::String(String::from_utf8_lossy(s.as_bytes()).into_owned()),
        Value::Binary(bytes) | Value::Ext(_, bytes) => match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(number) if name == "unit_ms" => Json::String(i128::from_be_bytes(number).to_string()),
            Ok(id) => Json::String(Uuid::from_bytes(id).to_string()),
            Err(_) => Json::from(bytes.as_slice()),
        },
        Value::Array(items) => items.iter().map(|v| json(name, v)).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(k, v)| {
                let k = k.as_str().map_or_else(|| k.to_string(), str::to_owned);
                let v = json(&k, v);
                (k, v)
            })
            .collect(),
    }
}

fn is_time(name: &str) -> bool {
    matches!(name, "since" | "start" | "end" | "from" | "to")
        || ["_at", "_since", "_until"].iter().any(|suffix| name.ends_with(suffix))
}
