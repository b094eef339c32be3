//! Keys of the on-disk index of records that are no longer live, and of unique values wherever they are kept.
//!
//! `noun | field | length of value | value | key` finds records; `noun | 0 | length of name | name | value` is a unique
//! value, whose holder's key is stored under it.

use crate::Field;
use sutler_model::Noun;

/// Longest indexed value, bytes; longer ones are cut and told apart by the re-check on the record.
const VALUE_MAX: usize = 512;

/// What all records of `noun` with `value` in `field` begin with.
pub(crate) fn prefix(noun: Noun, field: Field, value: &[u8]) -> Vec<u8> {
    let value = &value[..value.len().min(VALUE_MAX)];
    let mut out = Vec::with_capacity(4 + value.len() + 16);
    out.extend_from_slice(&[noun as u8, field as u8]);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out
}

/// Where a record is found by `value` in `field`.
pub(crate) fn entry(noun: Noun, field: Field, value: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = prefix(noun, field, value);
    out.extend_from_slice(key);
    out
}

/// The name under which a unique value is claimed, in memory and on disk.
pub(crate) fn claim(noun: Noun, field: &str, value: &[u8]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(3 + field.len() + value.len());
    out.extend_from_slice(&[noun as u8, 0, field.len() as u8]);
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(value);
    out.into_boxed_slice()
}

/// Every entry of a record that is no longer live.
pub(crate) fn entries<R: crate::Record>(key: &[u8], fields: &[(Field, Vec<u8>)]) -> Vec<Vec<u8>> {
    fields
        .iter()
        .filter(|(field, _)| R::HISTORY.contains(field))
        .map(|(field, value)| entry(R::NOUN, *field, value, key))
        .collect()
}
