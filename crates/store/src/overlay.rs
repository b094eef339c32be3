//! What the sets of a batch changed so far, before the in-memory index knows.
//!
//! Nearly every question is about something the batch has not touched. So changes are only appended to a list, and a small
//! filter answers those questions without a look at it: a hash map would cost more to fill than all its answers are worth.

use crate::{change::PreparedChange, key::Key};
use rapidhash::fast::RandomState;
use std::hash::{BuildHasher, Hash};
use sutler_model::Noun;

/// Bits of the filter: with a thousand sets, about one question in thirty looks at the list for nothing.
const BITS: u64 = 1 << 16;

pub(crate) struct Overlay<'a> {
    hasher: RandomState,
    filter: Vec<u64>,
    changes: Vec<(u64, &'a PreparedChange)>,
    /// Claims with their holders; none: free.
    claims: Vec<(u64, Noun, &'a [u8], Option<&'a Key>)>,
}

impl<'a> Overlay<'a> {
    /// For a batch of about so many changes.
    pub(crate) fn new(changes: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            filter: vec![0; (BITS / 64) as usize],
            changes: Vec::with_capacity(changes),
            claims: Vec::with_capacity(changes),
        }
    }

    /// Takes in a change.
    pub(crate) fn note(&mut self, change: &'a PreparedChange) {
        let noun = change.noun;
        let hash = self.mark((noun, &change.key));
        self.changes.push((hash, change));
        for (_, claim) in change.removed.claims() {
            let hash = self.mark((noun, claim));
            self.claims.push((hash, noun, claim, None));
        }
        for (_, claim) in change.added.claims() {
            let hash = self.mark((noun, claim));
            self.claims.push((hash, noun, claim, Some(&change.key)));
        }
    }

    /// How much was taken in, for [`Self::truncate`].
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.changes.len(), self.claims.len())
    }

    /// Forgets what was taken in since.
    pub(crate) fn truncate(&mut self, (changes, claims): (usize, usize)) {
        self.changes.truncate(changes);
        self.claims.truncate(claims);
    }

    /// The version of a record the batch has changed; none within: it is gone.
    pub(crate) fn version(&self, noun: Noun, key: &Key) -> Option<Option<u64>> {
        let hash = self.hasher.hash_one((noun, key));
        let same = |(h, c): &&(u64, &PreparedChange)| *h == hash && c.noun == noun && c.key == *key;
        if self.may_hold(hash) { self.changes.iter().rev().find(same).map(|(_, c)| c.version) } else { None }
    }

    /// The holder of a claim the batch has changed; none within: it is free.
    pub(crate) fn holder(&self, noun: Noun, claim: &[u8]) -> Option<Option<&'a Key>> {
        let hash = self.hasher.hash_one((noun, claim));
        let same = |(h, n, c, _): &&(u64, Noun, &[u8], Option<&Key>)| *h == hash && *n == noun && *c == claim;
        if self.may_hold(hash) { self.claims.iter().rev().find(same).map(|(.., holder)| *holder) } else { None }
    }

    fn mark(&mut self, what: impl Hash) -> u64 {
        let hash = self.hasher.hash_one(what);
        let bit = hash % BITS;
        self.filter[(bit / 64) as usize] |= 1 << (bit % 64);
        hash
    }

    fn may_hold(&self, hash: u64) -> bool {
        let bit = hash % BITS;
        self.filter[(bit / 64) as usize] & 1 << (bit % 64) != 0
    }
}
