//! Events a second, durably end to end: from the event's commit to its run's record.
//!
//! An event is a server record of 336 bytes that is created; its POST_CREATE trigger reads five fields. Producers await
//! the acknowledgement of each event (of each batch); runs are pipelined behind them. Clocked from the first event until
//! the last run is recorded. Held against what a provider would use instead, in the same run, on the same disk: each
//! peer's consumer reads five fields of an event of the same size and records that it did.

mod ours;
mod postgres;
mod redis;

use crate::{
    Measure,
    store_writes::{self, new_id},
};
use anyhow::{Result, ensure};
use std::time::Instant;
use sutler_model::{Cause, RunId, RunState, Scope, ScriptId, ScriptRun, Timestamp};
use uuid::Uuid;

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

const EVENTS: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("server");
const RUNS: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("run");
const FOUND: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("found");
const FEED: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("feed");
/// Fields that a finished run of the provider is found by on disk: its script and its resource.
const FOUND_BY: u8 = 2;
/// Bytes of a block of the feed.
const FEED_BLOCK: usize = 16 << 10;

pub fn run() -> Result<Vec<Measure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // For a closer look: one of those measured, and one of the loads, as `16x1`.
    let (only, only_load) = (std::env::args().nth(2), std::env::args().nth(3));
    let mut measures = Vec::new();
    for load in LOADS {
        let load_name = format!("{}x{}", load.producers, load.batch);
        if only_load.as_ref().is_some_and(|only| *only != load_name) {
            continue;
        }
        let mut rates: Vec<(&str, Vec<f64>)> = Vec::new();
        for _ in 0..ROUNDS {
            let mut take = |name: &'static str, measure: &dyn Fn(Load) -> Result<f64>| -> Result<()> {
                if only.as_deref().is_some_and(|only| only != name) {
                    return Ok(());
                }
                settle()?;
                let rate = measure(load)?;
                match rates.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, samples)) => samples.push(rate),
                    None => rates.push((name, vec![rate])),
                }
                Ok(())
            };
            take("ours", &|load| runtime.block_on(ours::events_per_s(load)))?;
            take("raw", &raw_commits_per_s)?;
            take("redb_limit", &raw_pairs_per_s)?;
            take("redis", &redis::events_per_s)?;
            take("postgres", &postgres::events_per_s)?;
        }
        let rates: Vec<(&str, f64)> = rates.into_iter().map(|(name, r)| (name, store_writes::median(r))).collect();
        let of = |wanted: &str| rates.iter().find(|(name, _)| *name == wanted).map_or(f64::NAN, |(_, rate)| *rate);
        let value = of("ours");
        for (name, reference) in rates.iter().filter(|(name, _)| *name != "ours") {
            measures.push(Measure {
                bench: format!("triggers/{load_name}/{name}"),
                value,
                unit: "events/s",
                reference: *reference,
                ratio: value / reference,
                target: if *name == "raw" || *name == "redb_limit" { 0.9 } else { 1.0 },
            });
        }
        if rates.len() == 1 {
            eprintln!("{load:?}: {rates:?}");
        }
    }
    Ok(measures)
}

/// Has the disk finish what the one before left it to do: the files of a peer that go take it longer than a round.
fn settle() -> Result<()> {
    let status = std::process::Command::new("sync").status()?;
    ensure!(status.success(), "`sync` ended with {status}");
    Ok(())
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

/// Raw redb writing all that an event and its run come to and nothing else: both records, what finds the run again, and
/// both in the feed. Without matching, Lua or anybody who waits, this is what any pace of ours ends at on this disk.
fn raw_pairs_per_s(load: Load) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let raw = redb::Builder::new().set_cache_size(store_writes::CACHE).create(folder.path().join("raw.redb"))?;
    let size = load.producers * load.batch;
    let begun = Instant::now();
    for commit in 0..load.events / size {
        let txn = store_writes::begin(&raw)?;
        {
            let mut events = txn.open_table(EVENTS)?;
            let mut runs = txn.open_table(RUNS)?;
            let mut found = txn.open_table(FOUND)?;
            let mut feed = Vec::new();
            for n in 0..size {
                let event = rmp_serde::to_vec_named(&store_writes::record(new_id(), (commit * size + n) as u128))?;
                let (id, run) = (new_id(), rmp_serde::to_vec_named(&finished_run())?);
                events.insert(id.as_bytes().as_slice(), event.as_slice())?;
                runs.insert(id.as_bytes().as_slice(), run.as_slice())?;
                for field in 0..FOUND_BY {
                    found.insert(
                        [&[field], Uuid::nil().as_bytes().as_slice(), id.as_bytes()].concat().as_slice(),
                        &[][..],
                    )?;
                }
                feed.extend([event, run].concat());
            }
            let mut blocks = txn.open_table(FEED)?;
            for (n, block) in feed.chunks(FEED_BLOCK).enumerate() {
                blocks.insert((commit * size * 2 + n) as u64, block)?;
            }
        }
        txn.commit()?;
    }
    Ok(load.events as f64 / begun.elapsed().as_secs_f64())
}

/// A run's record as the event leaves it.
fn finished_run() -> ScriptRun {
    ScriptRun {
        id: RunId(new_id()),
        version: 1,
        script_id: ScriptId(new_id()),
        function: "watch".to_owned(),
        owner: Scope::Provider,
        seq: Some(1),
        option: "SERVER".to_owned(),
        resource_id: Some(new_id()),
        cause: Cause::system("bench"),
        state: RunState::Succeeded,
        attempts: 1,
        next_at: None,
        duration_us: 100,
        log: String::new(),
        result: String::new(),
        created_at: Timestamp(1_795_386_245_007),
        finished_at: Some(Timestamp(1_795_386_245_008)),
        asked: None,
    }
}
