//! How long does a store with 25,000 servers and 25,000 nodes take until it is ready, and how much memory does the whole
//! process then hold? After a clean close, and after kill -9 in the middle of writing.
//!
//! Each figure comes from a process of its own, which does nothing but open the store.

use crate::Measure;
use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};
use sutler_model::{
    BillingEntityId, Cause, CustomerId, ImageId, Kvm, Node, NodeId, NodeState, Server, ServerId, ServerState,
    Timestamp, Wanted,
};
use sutler_store::{ChangeSet, Options, Store};
use uuid::Uuid;

const RECORDS: u128 = 25_000;
const SETS_AT_ONCE: usize = 1000;
const READY_S: f64 = 2.0;
const MEMORY_MB: f64 = 300.0;
/// Tells a process of this program to open or to work on a store.
const TASK: &str = "SUTLER_BENCH_STORE_LOAD";

/// Runs the bench.
pub fn run() -> Result<Vec<Measure>> {
    if let Some(task) = std::env::var_os(TASK) {
        let task = task.to_string_lossy().into_owned();
        let (task, path) = task.split_once(' ').context("a task and a path")?;
        match task {
            "open" => open(Path::new(path))?,
            _ => work(Path::new(path))?,
        }
        return Ok(Vec::new());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.redb");
    fill(&path)?;
    let clean = opened(&path)?;
    let mut child = start("work", &path)?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    for _ in 0..50 {
        lines.next().context("the writing process ended")??;
    }
    child.kill()?;
    child.wait()?;
    let killed = opened(&path)?;
    let mut measures = Vec::new();
    for (case, (seconds, megabytes)) in [("closed", clean), ("killed", killed)] {
        for (what, value, unit, reference) in [("ready", seconds, "s", READY_S), ("memory", megabytes, "MB", MEMORY_MB)]
        {
            measures.push(Measure {
                bench: format!("store_load/{case}/{what}"),
                value,
                unit,
                reference,
                ratio: value / reference,
                target: 1.0,
            });
        }
    }
    Ok(measures)
}

fn start(task: &str, path: &Path) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("store_load").env(TASK, format!("{task} {}", path.display())).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

/// Seconds until the store in a new process is ready, and that process's megabytes.
fn opened(path: &Path) -> Result<(f64, f64)> {
    let output = start("open", path)?.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    match text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?[..] {
        [seconds, megabytes] => Ok((seconds, megabytes)),
        _ => bail!("the opening process printed `{text}`"),
    }
}

fn open(path: &Path) -> Result<()> {
    let began = Instant::now();
    let store = Store::open(path, options())?;
    let seconds = began.elapsed().as_secs_f64();
    let records: u64 = store.stats().records.iter().map(|(_, n)| n).sum();
    anyhow::ensure!(u128::from(records) >= 2 * RECORDS, "only {records} records were there");
    writeln!(std::io::stdout(), "{seconds} {}", crate::resident_bytes()? / 1e6)?;
    Ok(())
}

/// Writes until killed, a line for each commit.
fn work(path: &Path) -> Result<()> {
    let store = Store::open(path, options())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for n in RECORDS.. {
        let mut set = ChangeSet::new(Cause::system("bench"));
        set.create(&mut server(&store, n));
        runtime.block_on(store.commit(set))?;
        writeln!(std::io::stdout(), "{n}")?;
    }
    Ok(())
}

fn fill(path: &Path) -> Result<()> {
    let store = Store::open(path, options())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut pending = Vec::new();
    for n in 0..RECORDS {
        let (mut one, mut two) = (ChangeSet::new(Cause::system("bench")), ChangeSet::new(Cause::system("bench")));
        one.create(&mut server(&store, n));
        two.create(&mut node(&store, n));
        pending.extend([store.submit(one), store.submit(two)]);
        if pending.len() >= SETS_AT_ONCE {
            for answer in pending.drain(..) {
                runtime.block_on(answer)?;
            }
        }
    }
    for answer in pending {
        runtime.block_on(answer)?;
    }
    runtime.block_on(store.close());
    Ok(())
}

fn options() -> Options {
    Options { reserve_bytes: 0, ..Options::default() }
}

fn server(store: &Store, n: u128) -> Server {
    Server {
        id: ServerId(store.new_uuid()),
        version: 0,
        name: format!("server-{n}"),
        customer_id: CustomerId(Uuid::from_u128((1 << 96) | (n % 1000))),
        billing_entity_id: BillingEntityId(Uuid::from_u128(1)),
        cpu: 1,
        memory_mib: 512,
        image_id: ImageId(Uuid::from_u128(3)),
        node_id: Some(NodeId(Uuid::from_u128(2 << 96 | n))),
        nics: Vec::new(),
        state: ServerState::Running,
        state_since: Timestamp(1_795_386_245_007),
        state_reason: None,
        wanted: Wanted::Running,
        job_id: None,
        user_data: None,
        ssh_keys: Vec::new(),
        keys: Vec::new(),
        provider_values: Default::default(),
        metadata: None,
        runtime_metadata: None,
        created_at: Timestamp(1_795_386_245_007),
    }
}

fn node(store: &Store, n: u128) -> Node {
    Node {
        id: NodeId(store.new_uuid()),
        version: 0,
        name: format!("node-{n}"),
        uri: "simulated:///".to_owned(),
        state: NodeState::Up,
        state_reason: None,
        cpus: 64,
        memory_mib: 256 << 10,
        kvm: Kvm::Usable,
        kvm_host: String::new(),
        seen_at: Timestamp(1_795_386_245_007),
        created_at: Timestamp(1_795_386_245_007),
    }
}
