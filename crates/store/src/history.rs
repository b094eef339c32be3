//! Keys of the on-disk index of records that are no longer live.
//!
//! `noun | field | length of value | value | key` finds records; `noun | 0 | claim` is a unique value. The record's key is
//! stored under both.

use crate::{Field, IndexKeys, Record};
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

/// Under what a claim of a record that is no longer live is kept.
pub(crate) fn claim(noun: Noun, claim: &[u8]) -> Vec<u8> {
    [&[noun as u8, 0], claim].concat()
}

/// By what records of a noun are found here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    fields: &'static [Field],
    common: &'static [(Field, &'static [u8])],
}

impl Rule {
    pub(crate) const fn of<R: Record>() -> Self {
        Self { fields: R::HISTORY, common: R::COMMON }
    }

    /// Whether its records are always live.
    pub(crate) const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether records with `value` in `field` have an entry.
    pub(crate) fn holds(&self, field: Field, value: &[u8]) -> bool {
        self.fields.contains(&field) && !self.common.contains(&(field, value))
    }
}

/// Every entry of a record that is no longer live.
pub(crate) fn entries(noun: Noun, rule: Rule, key: &[u8], keys: &IndexKeys) -> impl Iterator<Item = Vec<u8>> {
    let fields = keys.fields().filter(move |(field, value)| rule.holds(*field, value));
    fields
        .map(move |(field, value)| entry(noun, field, value, key))
        .chain(keys.claims().map(move |(_, value)| claim(noun, value)))
}
