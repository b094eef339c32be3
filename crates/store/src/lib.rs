//! Everything that lasts: one writer with group commit, one change feed, snapshot reads.
//!
//! Only this crate knows redb.

mod backup;
mod calls;
mod change;
mod claims;
mod consumers;
mod cursor;
mod error;
mod feed;
mod filter;
mod follower;
mod history;
mod ids;
mod index;
mod key;
mod marker;
mod migrations;
mod msgpack;
mod nouns;
mod open;
mod options;
mod overlay;
mod page;
mod queue;
mod readers;
mod rebuild;
mod record;
mod segment;
mod shared;
mod snapshot;
mod sorted;
mod space;
mod store;
mod tables;
mod trim;
mod writer;

#[cfg(test)]
mod tests;

pub use backup::restore;
pub use calls::{CallMade, Touched};
pub use change::ChangeSet;
pub use consumers::{ConsumerPlace, TRIGGERS};
pub use error::Error;
pub use feed::{Change, Content, FeedEntry, FieldChange, Op};
pub use filter::{Filter, Order, Page, PageRequest};
pub use follower::{Follower, FollowerStatus};
pub use index::Index;
pub use nouns::{interval_key, interval_prefix, job::waiting_of, measurement_prefix};
pub use page::Records;
pub use rebuild::{Verified, rebuild, verify};
pub use record::{Field, IndexKeys, Record};
pub use shared::describe_metrics;
pub use snapshot::Snapshot;
pub use store::{Committed, Health, Options, Pending, Stats, Store};
