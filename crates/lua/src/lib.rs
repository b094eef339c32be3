//! The trigger sandbox: runs Lua code blocks written in the Flexiant Development Language, each in a Lua state of its own,
//! under limits that a hostile script cannot pass.
//!
//! [`Runtime`] owns a few operating-system threads. A block lives on one of them, is loaded when it is first needed and
//! unloaded when memory runs short. A run is a coroutine: while it waits for the [`Host`] or for an HTTP answer it holds no
//! thread and its CPU time stands still. Everything a script sees of the platform it asks of the [`Host`], which answers
//! for the block's owner alone.

mod answer;
mod bean;
mod call;
mod data;
mod date;
mod descriptor;
mod dialect;
mod egress;
mod entry;
mod error;
mod filter;
mod helper;
mod host;
mod interrupt;
mod json;
mod meter;
mod object;
mod outcome;
mod pages;
mod params;
mod peer;
mod query;
mod room;
mod runtime;
mod schema;
mod shard;
mod subject;
mod vm;
mod xml;

/// A date as scripts write it in filters and arguments, in milliseconds since 1970; a day begins at midnight UTC.
pub fn date_ms(text: &str) -> Option<i64> {
    date::parse_any(text).map(|(from, _)| from)
}

pub use answer::{Answer, Charge, Dialogue, Measured};
pub use bean::{Bean, Properties, Source};
pub use call::{
    Block, Call, Exit, Input, Limit, Limits, Member, Origin, OutboundCall, Outcome, Params, ScriptError, Texts, Who,
    Write,
};
pub use data::{Data, DataAction, DataStep, LIST_BYTES};
pub use descriptor::{Registration, options_of, strange_options};
pub use egress::{Egress, Rule};
pub use filter::Sieve;
pub use helper::platform_text;
pub use host::{Api, Host, HostError};
pub use pages::Allocator;
pub use runtime::{Runtime, Stats};
pub use xml::{text_at, xml_content};
