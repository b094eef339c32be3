//! How long does a store with 25,000 servers and 25,000 nodes take to open, and how much memory?

use crate::Measure;
use anyhow::Result;

/// Runs the bench.
pub fn run() -> Result<Vec<Measure>> {
    Ok(Vec::new())
}
