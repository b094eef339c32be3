//! The actors and what they do: admission, jobs, reconciliation, metering and triggers.

mod caller;
mod core;
mod customer;
mod enrol;
mod error;
mod family;
mod jobs;
mod keeper;
mod meter;
mod node;
mod nodes;
mod ops;
pub mod password;
mod payments;
mod placement;
pub mod registry;
mod remains;
mod scripts;
mod server;
mod statistics;
mod system;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use caller::{Caller, Idempotency, KeyedRequest};
pub use core::{Core, Settings};
pub use error::Error;
pub use nodes::Nodes;
pub use ops::*;
pub use placement::Placement;
pub use scripts::{ApiCall, CallUnderWay, LastError, Reader, Rehearsal, Replay, ScriptCounts, Verdict};
pub use system::{NodeConfig, Setup, System};
