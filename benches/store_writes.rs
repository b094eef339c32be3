//! How much of raw redb's write rate do durable change sets keep?
//!
//! Raw: one thread encodes a 336-byte server record and puts it alone into one table, N puts for each commit. Ours: one
//! producer hands over change sets, each creating such a record, and awaits the answers; for that each is also checked,
//! indexed in memory, appended to the change feed, and answered. Same bytes, same durability, two-phase commit, quick
//! repair and cache. N sets are handed over together and share a commit (the mean is printed); the next N are made while
//! they are committed, and handed over once all N are answered (`queued`: as soon as they are made).

use crate::Measure;
use anyhow::{Context, Result, ensure};
use redb::{Database, Durability, TableDefinition};
use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use sutler_model::{BillingEntityId, Cause, CustomerId, ImageId, Server, ServerId, ServerState, Timestamp, Wanted};
use sutler_store::{ChangeSet, Options, Store};
use uuid::Uuid;

/// Sets for each commit, commits for each round (about half a second of work), and whether the next batch waits already
/// while one is committed, as under steady load; the largest batch is the writer's limit, so none grows beyond it.
const BATCHES: [(usize, usize, bool); 5] =
    [(1, 1500, false), (16, 800, false), (100, 300, false), (1000, 60, false), (1000, 60, true)];
const ROUNDS: usize = 5;
const TARGET: f64 = 0.7;
/// Bytes of an encoded record.
const RECORD: usize = 336;
/// Customers the records belong to.
const CUSTOMERS: u128 = 10_000;
/// What the program gives its store.
pub(crate) const CACHE: usize = 16 << 20;
const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("server");

/// Runs the bench.
pub fn run() -> Result<Vec<Measure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut measures = Vec::new();
    let only: Option<usize> = std::env::args().nth(2).map(|n| n.parse()).transpose()?;
    for (batch, commits, queued) in BATCHES.into_iter().filter(|(batch, ..)| only.is_none_or(|n| n == *batch)) {
        let name = format!("store_writes/{batch}{}", if queued { "/queued" } else { "" });
        let folder = tempfile::tempdir()?;
        let raw = redb::Builder::new().set_cache_size(CACHE).create(folder.path().join("raw.redb"))?;
        let store = open(folder.path())?;
        let mut samples = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let sets = (batch * (commits + usize::from(queued))) as f64;
            // Alternating which goes first, so that neither always meets the warmer disk.
            for ours in [round % 2 == 0, round % 2 != 0] {
                let began = Instant::now();
                if ours {
                    runtime.block_on(write_ours(&store, batch, commits, queued))?;
                    samples.0.push(sets / began.elapsed().as_secs_f64());
                } else {
                    write_raw(&raw, batch, commits + usize::from(queued))?;
                    samples.1.push(sets / began.elapsed().as_secs_f64());
                }
            }
        }
        let stats = store.stats();
        eprintln!("{name}: {:.1} sets a commit", stats.change_sets as f64 / stats.commits as f64);
        runtime.block_on(store.close());
        let (value, reference) = (median(samples.0), median(samples.1));
        measures.push(Measure {
            bench: name,
            value,
            unit: "sets/s",
            reference,
            ratio: value / reference,
            target: TARGET,
        });
    }
    Ok(measures)
}

/// A transaction with the store's own settings.
pub(crate) fn begin(db: &Database) -> Result<redb::WriteTransaction> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}

pub(crate) fn write_raw(db: &Database, batch: usize, commits: usize) -> Result<()> {
    for commit in 0..commits {
        let txn = begin(db)?;
        {
            let mut table = txn.open_table(TABLE)?;
            for i in 0..batch {
                let mut record = record(new_id(), (commit * batch + i) as u128);
                record.version = 1;
                let bytes = rmp_serde::to_vec_named(&record)?;
                ensure!(bytes.len() == RECORD, "the record has {} bytes", bytes.len());
                table.insert(record.id.0.as_bytes().as_slice(), bytes.as_slice())?;
            }
        }
        txn.commit()?;
    }
    Ok(())
}

async fn write_ours(store: &Store, batch: usize, commits: usize, queued: bool) -> Result<()> {
    let prepare = |commit: usize| -> Vec<ChangeSet> {
        (0..batch)
            .map(|i| {
                let mut set = ChangeSet::new(Cause::system("bench"));
                set.create(&mut record(new_id(), (commit * batch + i) as u128));
                set
            })
            .collect()
    };
    let mut waiting = if queued { store.submit_all(prepare(0)) } else { Vec::new() };
    let mut next = prepare(1);
    for commit in 1..=commits {
        let handed_over = store.submit_all(next);
        next = if commit < commits { prepare(commit + 1) } else { Vec::new() };
        let committing = if queued { std::mem::replace(&mut waiting, handed_over) } else { handed_over };
        for answer in committing {
            answer.await.context("committing")?;
        }
    }
    for answer in waiting {
        answer.await.context("committing")?;
    }
    Ok(())
}

/// A new id, in order as the store gives them out, and like those without a call of the system for each.
pub(crate) fn new_id() -> Uuid {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    Uuid::from_u128((1 << 126) + u128::from(GIVEN.fetch_add(1, Ordering::Relaxed)))
}

/// A server as the API makes them, 336 bytes when encoded.
pub(crate) fn record(id: Uuid, n: u128) -> Server {
    Server {
        id: ServerId(id),
        version: 0,
        // Its random end makes it unique, as names within a customer are.
        name: format!("web-{}", &id.simple().to_string()[20..]),
        customer_id: CustomerId(Uuid::from_u128((1 << 96) | (n.wrapping_mul(0x9e37_79b9) % CUSTOMERS))),
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        cpu: 1,
        memory_mib: 512,
        image_id: ImageId(Uuid::from_u128(3)),
        node_id: None,
        nics: Vec::new(),
        state: ServerState::Building,
        state_since: Timestamp(1_795_386_245_007),
        state_reason: None,
        wanted: Wanted::Running,
        job_id: None,
        user_data: Some("#cloud-config\npackage_upgrade: 1\n".to_owned()),
        ssh_keys: Vec::new(),
        keys: Vec::new(),
        provider_values: Default::default(),
        metadata: None,
        runtime_metadata: None,
        created_at: Timestamp(1_795_386_245_007),
    }
}

fn open(folder: &Path) -> Result<Store> {
    let now = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    };
    let options = Options {
        cache_bytes: CACHE,
        reserve_bytes: 0,
        feed_keep_ms: i64::MAX,
        feed_max_ms: i64::MAX,
        feed_max_bytes: u64::MAX,
        clock: now,
        ..Options::default()
    };
    Ok(Store::open(&folder.join("store.redb"), options)?)
}

pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
