//! What the actor registry costs: round trips, activations and bytes for each awake actor.
//!
//! `cargo run --release -p sutler-actors --example registry`

#![allow(clippy::print_stdout)] // The figures are what it is for.

use std::time::{Duration, Instant};

use actix::Message;
use sutler_actors::registry::{ArbiterPool, Config, Ctx, Entity, Handles, LoadError, Registry};
use uuid::Uuid;

/// As large as a server's record.
struct Record {
    _state: [u8; 300],
    asked: u64,
}

impl Entity for Record {
    type Env = ();
    const KIND: &'static str = "record";
    const MAILBOX: usize = 128;

    async fn load((): (), _: Uuid) -> Result<Option<Self>, LoadError> {
        Ok(Some(Self { _state: [1; 300], asked: 0 }))
    }

    fn idle(&self) -> bool {
        true
    }
}

struct Touch;

impl Message for Touch {
    type Result = u64;
}

impl Handles<Touch> for Record {
    async fn handle(&mut self, _: Touch, _: &Ctx<Self>) -> u64 {
        self.asked += 1;
        self.asked
    }
}

/// Callers at once, as in the reference measurements.
const CALLERS: u128 = 64;
const ACTORS: u128 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let pool = ArbiterPool::start(2)?;
    let config = Config { idle_ms: 3_600_000, max_awake: usize::MAX, ..Config::default() };
    let registry: Registry<Record> = Registry::new((), pool.clone(), config);
    runtime.block_on(async {
        for (callers, entities) in [(1, 1), (CALLERS, 1), (CALLERS, 64), (CALLERS, 1_000)] {
            let rate = round_trips(&registry, callers, entities).await;
            println!("{callers} callers, {entities} entities: {rate:.0} round trips/s");
        }
        let (before, start) = (resident_bytes(), Instant::now());
        activate(&registry).await;
        let rate = ACTORS as f64 / start.elapsed().as_secs_f64();
        let each = resident_bytes().saturating_sub(before) / ACTORS as u64;
        println!("{rate:.0} activations/s, {each} bytes for each of {} awake actors", registry.awake());
        let start = Instant::now();
        registry.shut_down().await;
        println!("shut down in {} ms", start.elapsed().as_millis());
    });
    pool.stop()?;
    Ok(())
}

/// Round trips a second over two seconds.
async fn round_trips(registry: &Registry<Record>, callers: u128, entities: u128) -> f64 {
    let start = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let registry = registry.clone();
            tokio::spawn(async move {
                let mut done = 0u64;
                while start.elapsed() < Duration::from_secs(2) {
                    for n in 0..32 {
                        let id = Uuid::from_u128((caller * 31 + n) % entities);
                        registry.ask(id, Touch).await.expect("the entity answers");
                        done += 1;
                    }
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for caller in callers {
        done += caller.await.expect("a caller panicked");
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// Asks each of a million sleeping actors once.
async fn activate(registry: &Registry<Record>) {
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let registry = registry.clone();
            tokio::spawn(async move {
                for n in (caller..ACTORS).step_by(CALLERS as usize) {
                    registry.ask(Uuid::from_u128(ACTORS + n), Touch).await.expect("the entity answers");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller panicked");
    }
}

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
