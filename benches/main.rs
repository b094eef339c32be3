//! Answers questions about speed and memory: one JSON line a measure.

mod store_load;
mod store_writes;

use anyhow::{Result, bail};
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

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let measures = match name.as_str() {
        "store_writes" => store_writes::run()?,
        "store_load" => store_load::run()?,
        other => bail!("there is no bench `{other}`; there are store_load and store_writes"),
    };
    let mut out = std::io::stdout().lock();
    for measure in measures {
        writeln!(out, "{}", serde_json::to_string(&measure)?)?;
    }
    Ok(())
}
