//! Events a second, durably end to end: from the event's commit to its run's record.
//!
//! An event is a server record of 336 bytes that is created; its POST_CREATE trigger reads five fields. Producers await
//! the acknowledgement of each event (of each batch); runs are pipelined behind them. Clocked from the first event until
//! the last run is recorded. Held against what a provider would use instead, in the same run, on the same disk: each
//! peer's consumer reads five fields of an event of the same size and records that it did.

mod ours;
mod postgres;
mod redis;

use crate::{Measure, store_writes};
use anyhow::Result;
use std::time::Instant;

/// How events come.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Who send side by side.
    pub producers: usize,
    /// Events handed over and awaited together.
    pub batch: usize,
    /// Events in a round, over all producers.
    pub events: usize,
}

const LOADS: [Load; 3] = [
    Load { producers: 1, batch: 1, events: 4_000 },
    Load { producers: 16, batch: 1, events: 48_000 },
    Load { producers: 1, batch: 100, events: 60_000 },
];
const ROUNDS: usize = 3;

pub fn run() -> Result<Vec<Measure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let only = std::env::args().nth(2);
    let mut measures = Vec::new();
    for load in LOADS {
        let mut rates: Vec<(&str, Vec<f64>)> = Vec::new();
        for _ in 0..ROUNDS {
            let mut take = |name: &'static str, measure: &dyn Fn(Load) -> Result<f64>| -> Result<()> {
                if only.as_deref().is_some_and(|only| only != name) {
                    return Ok(());
                }
                let rate = measure(load)?;
                match rates.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, samples)) => samples.push(rate),
                    None => rates.push((name, vec![rate])),
                }
                Ok(())
            };
            take("ours", &|load| runtime.block_on(ours::events_per_s(load)))?;
            take("raw", &raw_commits_per_s)?;
            take("redis", &redis::events_per_s)?;
            take("postgres", &postgres::events_per_s)?;
        }
        let rates: Vec<(&str, f64)> = rates.into_iter().map(|(name, r)| (name, store_writes::median(r))).collect();
        let of = |wanted: &str| rates.iter().find(|(name, _)| *name == wanted).map_or(f64::NAN, |(_, rate)| *rate);
        let value = of("ours");
        for (name, reference) in rates.iter().filter(|(name, _)| *name != "ours") {
            let Load { producers, batch, .. } = load;
            measures.push(Measure {
                bench: format!("triggers/{producers}x{batch}/{name}"),
                value,
                unit: "events/s",
                reference: *reference,
                ratio: value / reference,
                target: if *name == "raw" { 0.9 } else { 1.0 },
            });
        }
        if rates.len() == 1 {
            eprintln!("{load:?}: {rates:?}");
        }
    }
    Ok(measures)
}

/// Raw redb, a record for each commit: what one awaiting producer could reach at most.
fn raw_commits_per_s(load: Load) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let raw = redb::Builder::new().set_cache_size(store_writes::CACHE).create(folder.path().join("raw.redb"))?;
    let size = load.producers * load.batch;
    let begun = Instant::now();
    store_writes::write_raw(&raw, size, load.events / size)?;
    Ok(load.events as f64 / begun.elapsed().as_secs_f64())
}
