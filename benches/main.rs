//! Answers questions about speed and memory: one JSON line a measure.

mod boot;
mod create_rate;
mod footprint;
mod limits;
mod list_page;
mod lua;
mod pre;
mod program;
mod provider;
mod registry;
mod store_load;
mod store_writes;
mod triggers;

/// Records and answers are made on one thread and freed on another, by the thousand; with the C library's allocator that
/// takes a seventh of all time and a third of the pace of triggers.
#[global_allocator]
static ALLOCATOR: sutler_lua::Allocator = sutler_lua::Allocator;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::io::Write;

/// One measure, with what it is held against.
#[derive(Clone, Debug, Serialize)]
pub struct Measure {
    /// Which question, and which case of it.
    pub bench: String,
    /// What we reach.
    pub value: f64,
    /// Of what: `sets/s`, `MB`, `s`.
    pub unit: &'static str,
    /// What the reference reaches, in the same run.
    pub reference: f64,
    /// `value ÷ reference`.
    pub ratio: f64,
    /// What the ratio should be: at least, or, for times and sizes, at most.
    pub target: f64,
}

/// Answers a question; what it has not told itself, it gives back.
type Bench = fn() -> Result<Vec<Measure>>;

/// Every question, by name.
const BENCHES: [(&str, Bench); 11] = [
    ("store_writes", store_writes::run),
    ("store_load", store_load::run),
    ("create_rate", create_rate::run),
    ("list_page", list_page::run),
    ("footprint", footprint::run),
    ("boot", boot::run),
    ("triggers", triggers::run),
    ("pre", pre::run),
    ("lua", lua::run),
    ("limits", limits::run),
    ("registry", registry::run),
];

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let chosen: Vec<_> = BENCHES.iter().filter(|(known, _)| name.is_empty() || *known == name).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = BENCHES.iter().map(|(known, _)| *known).collect();
        bail!("there is no bench `{name}`; there are {}", known.join(", "));
    }
    for (_, run) in chosen {
        run()?.iter().try_for_each(tell)?;
    }
    Ok(())
}

/// Writes one measure's line.
fn tell(measure: &Measure) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(measure)?)?)
}

/// Resident memory of this process.
fn resident_bytes() -> Result<f64> {
    memory("VmRSS:")
}

/// Most resident memory that this process has ever had.
fn peak_bytes() -> Result<f64> {
    memory("VmHWM:")
}

fn memory(what: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix(what)?.split_whitespace().next()).context("memory")?;
    Ok(kib.parse::<f64>()? * 1024.0)
}
