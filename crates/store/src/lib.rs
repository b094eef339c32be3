//! Everything that lasts: one writer with group commit, one change feed, snapshot reads.
//!
//! Only this crate knows redb.

mod change;
mod error;
mod filter;
mod record;
mod store;

pub use change::{Change, ChangeSet, FeedEntry, FieldChange, Op};
pub use error::Error;
pub use filter::{Filter, Order, Page, PageRequest};
pub use record::{Field, IndexKeys, Record};
pub use store::{Committed, Health, Index, Options, Pending, Snapshot, Stats, Store};
