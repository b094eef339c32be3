//! Keys in order, packed densely. New keys are nearly always the largest (ids begin with the time), so the common
//! insertion is an append; and an entry costs its own size, where a B-tree of the standard library costs near twice that.

use crate::{Order, key::Key};

/// Entries for each chunk; moving half of one is what an insertion in the middle costs.
const CHUNK: usize = 256;

/// A map from key to `V`, in chunks none of which is empty.
#[derive(Default)]
pub(crate) struct Sorted<V> {
    chunks: Vec<Vec<(Key, V)>>,
    len: usize,
}

impl<V> Sorted<V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        chunk.binary_search_by(|(k, _)| k.cmp(key)).ok().map(|i| &chunk[i].1)
    }

    /// Stores `value` under `key`.
    pub(crate) fn insert(&mut self, key: Key, value: V) {
        let at = self.chunk_of(&key);
        if at == self.chunks.len() {
            self.len += 1;
            match self.chunks.last_mut() {
                Some(chunk) if chunk.len() < CHUNK => chunk.push((key, value)),
                last => {
                    // What filled a chunk goes on growing: the next is made whole. Most values never fill one.
                    let mut chunk = Vec::with_capacity(if last.is_some() { CHUNK } else { 4 });
                    chunk.push((key, value));
                    self.chunks.push(chunk);
                }
            }
            return;
        }
        let chunk = &mut self.chunks[at];
        match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(i) => chunk[i].1 = value,
            Err(i) => {
                self.len += 1;
                chunk.insert(i, (key, value));
                if chunk.len() > CHUNK {
                    let upper = chunk.split_off(CHUNK / 2);
                    self.chunks.insert(at + 1, upper);
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        let at = self.chunk_of(key);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Ok(i) = chunk.binary_search_by(|(k, _)| k.cmp(key)) else { return };
        chunk.remove(i);
        self.len -= 1;
        let left = chunk.len();
        // Thinned-out neighbours merge, so that scattered deletions give their memory back.
        if left == 0 || self.chunks.get(at + 1).is_some_and(|next| left + next.len() <= CHUNK / 2) {
            let mut rest = self.chunks.remove(at);
            if let Some(next) = self.chunks.get_mut(at).filter(|_| left > 0) {
                rest.append(next);
                *next = rest;
            }
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.chunks.iter().flatten().map(|(k, _)| k)
    }

    /// The keys beyond `after`, in order.
    pub(crate) fn beyond<'a>(&'a self, after: Option<&Key>, order: Order) -> Box<dyn Iterator<Item = &'a Key> + 'a> {
        let at = after.map(|key| (self.chunk_of(key), key));
        match order {
            Order::Ascending => {
                let (at, skip) = match at {
                    None => (0, 0),
                    Some((at, key)) => (at, self.chunks.get(at).map_or(0, |c| c.partition_point(|(k, _)| k <= key))),
                };
                Box::new(self.chunks[at..].iter().flatten().skip(skip).map(|(k, _)| k))
            }
            Order::Descending => {
                let (whole, part) = match at {
                    None => (self.chunks.len(), None),
                    Some((at, key)) => (at, self.chunks.get(at).map(|c| &c[..c.partition_point(|(k, _)| k < key)])),
                };
                let part = part.unwrap_or_default().iter().rev();
                Box::new(part.chain(self.chunks[..whole].iter().rev().flat_map(|c| c.iter().rev())).map(|(k, _)| k))
            }
        }
    }

    /// The chunk that holds `key` if any does; past the end when `key` is beyond all.
    fn chunk_of(&self, key: &Key) -> usize {
        let last = |chunk: &Vec<(Key, V)>| chunk.last().is_some_and(|(k, _)| k < key);
        match self.chunks.last() {
            Some(chunk) if last(chunk) => self.chunks.len(),
            _ => self.chunks.partition_point(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(n: u16) -> Key {
        Key::new(&[[0; 14].as_slice(), &n.to_be_bytes()].concat())
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_b_tree(steps in prop::collection::vec((any::<bool>(), 0..900_u16), 0..3000), at in 0..900_u16) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeMap::new());
            for (i, (insert, n)) in steps.into_iter().enumerate() {
                if insert {
                    sorted.insert(key(n), i);
                    model.insert(key(n), i);
                } else {
                    sorted.remove(&key(n));
                    model.remove(&key(n));
                }
            }
            prop_assert_eq!(sorted.len(), model.len());
            prop_assert!(sorted.keys().eq(model.keys()));
            prop_assert!(sorted.chunks.iter().all(|c| !c.is_empty() && c.len() <= CHUNK));
            prop_assert_eq!(sorted.get(&key(at)), model.get(&key(at)));
            let after = key(at);
            prop_assert!(sorted.beyond(Some(&after), Order::Ascending).eq(model.keys().filter(|k| **k > after)));
            prop_assert!(sorted.beyond(Some(&after), Order::Descending).eq(model.keys().rev().filter(|k| **k < after)));
            prop_assert!(sorted.beyond(None, Order::Descending).eq(model.keys().rev()));
        }
    }
}
