//! Asking for pages of records.

use crate::{Field, Record};
use std::sync::Arc;

/// What a filter asks of a record beyond its indexed fields.
type Predicate<R> = Arc<dyn Fn(&R) -> bool + Send + Sync>;

/// Conditions that must all hold. Indexed ones narrow the search; the predicate is checked on the record.
pub struct Filter<R: Record> {
    pub(crate) fields: Vec<(Field, Vec<Vec<u8>>)>,
    pub(crate) predicate: Option<Predicate<R>>,
}

impl<R: Record> Default for Filter<R> {
    fn default() -> Self {
        Self { fields: Vec::new(), predicate: None }
    }
}

impl<R: Record> Clone for Filter<R> {
    fn clone(&self) -> Self {
        Self { fields: self.fields.clone(), predicate: self.predicate.clone() }
    }
}

impl<R: Record> Filter<R> {
    /// No condition.
    pub fn new() -> Self {
        Self::default()
    }

    /// `field` holds `value`.
    #[must_use]
    pub fn is(self, field: Field, value: impl AsRef<[u8]>) -> Self {
        self.any(field, [value])
    }

    /// `field` holds one of `values`.
    #[must_use]
    pub fn any<V: AsRef<[u8]>>(mut self, field: Field, values: impl IntoIterator<Item = V>) -> Self {
        self.fields.push((field, values.into_iter().map(|v| v.as_ref().to_vec()).collect()));
        self
    }

    /// `predicate` holds; checked on each candidate record of the snapshot.
    #[must_use]
    pub fn when(mut self, predicate: impl Fn(&R) -> bool + Send + Sync + 'static) -> Self {
        let earlier = self.predicate.take();
        self.predicate = Some(Arc::new(move |r| earlier.as_ref().is_none_or(|e| e(r)) && predicate(r)));
        self
    }

    /// Whether a record satisfies all conditions.
    pub(crate) fn matches(&self, record: &R) -> bool {
        if !self.fields.is_empty() {
            let keys = record.index();
            let holds = |(field, values): &(Field, Vec<Vec<u8>>)| {
                keys.fields().any(|(f, v)| f == *field && values.iter().any(|wanted| wanted == v))
            };
            if !self.fields.iter().all(holds) {
                return false;
            }
        }
        self.predicate.as_ref().is_none_or(|p| p(record))
    }
}

/// Direction of a listing: by key, which for all but intervals is by creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

impl Order {
    /// How `a` stands to `b` in this direction.
    pub(crate) fn compare<T: Ord + ?Sized>(self, a: &T, b: &T) -> std::cmp::Ordering {
        match self {
            Self::Ascending => a.cmp(b),
            Self::Descending => b.cmp(a),
        }
    }
}

/// Which page.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Where to go on: [`Page::next`] of the page before.
    pub cursor: Option<String>,
    /// At most this many records, 1–1000.
    pub limit: usize,
    /// Direction.
    pub order: Order,
}

/// A page of records.
#[derive(Clone, Debug)]
pub struct Page<R> {
    /// The records.
    pub items: Vec<R>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}
