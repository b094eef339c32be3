//! What addressing an entity costs: a round trip through the registry to an awake actor, beside one over a channel to a
//! plain task on the same threads; and the memory of each awake actor, beside its record alone.

use crate::Measure;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use sutler_actors::registry::{ArbiterPool, Config, Ctx, Entity, Handles, LoadError, Registry};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// As large as a server's record.
const RECORD: usize = 300;
/// Callers at once.
const CALLERS: u128 = 64;
const ENTITIES: u128 = 1_000;
const AWAKE: u128 = 200_000;
const TIME: Duration = Duration::from_secs(2);
/// Looking an actor up, waking it, keeping its mailbox bounded: three channels' worth.
const TARGET_ROUND_TRIP: f64 = 0.33;
/// Bytes of an awake actor that the design allows.
const BYTES: f64 = 2_048.0;

struct Record {
    _state: [u8; RECORD],
    asked: u64,
}

impl Entity for Record {
    type Env = ();
    const KIND: &'static str = "record";
    const MAILBOX: usize = 128;

    async fn load((): (), _: Uuid) -> Result<Option<Self>, LoadError> {
        Ok(Some(Self { _state: [1; RECORD], asked: 0 }))
    }

    fn idle(&self) -> bool {
        true
    }
}

struct Touch;

impl actix::Message for Touch {
    type Result = u64;
}

impl Handles<Touch> for Record {
    async fn handle(&mut self, _: Touch, _: &Ctx<Self>) -> u64 {
        self.asked += 1;
        self.asked
    }
}

pub fn run() -> Result<Vec<Measure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let pool = ArbiterPool::start(2)?;
    let config = Config { idle_ms: 3_600_000, max_awake: usize::MAX, ..Config::default() };
    let registry: Registry<Record> = Registry::new((), pool.clone(), config);
    let (value, reference, bytes) = runtime.block_on(async {
        let asked = registry.clone();
        let ours = round_trips(move |n| {
            let registry = asked.clone();
            async move { anyhow::Ok(registry.ask(Uuid::from_u128(n), Touch).await?) }
        });
        let ours = ours.await?;
        let tasks: Vec<_> = (0..ENTITIES).map(|_| plain_task()).collect();
        let plain = round_trips(move |n| {
            let task = tasks[n as usize].clone();
            async move {
                let (to, answer) = oneshot::channel();
                task.send(to).await.context("the task ended")?;
                Ok(answer.await?)
            }
        });
        let plain = plain.await?;
        let before = crate::resident_bytes()?;
        for n in 0..AWAKE {
            registry.ask(Uuid::from_u128(ENTITIES + n), Touch).await?;
        }
        let each = (crate::resident_bytes()? - before) / AWAKE as f64;
        registry.shut_down().await;
        anyhow::Ok((ours, plain, each))
    })?;
    pool.stop()?;
    let measure = |bench: &str, value, unit, reference: f64, target| Measure {
        bench: format!("registry/{bench}"),
        value,
        unit,
        reference,
        ratio: value / reference,
        target,
    };
    Ok(vec![
        measure("round_trips", value, "1/s", reference, TARGET_ROUND_TRIP),
        measure("awake_actor", bytes, "B", BYTES, 1.0),
    ])
}

/// Round trips a second, all callers together; each asks the entities in turn.
async fn round_trips<F>(ask: impl Fn(u128) -> F + Clone + Send + 'static) -> Result<f64>
where
    F: Future<Output = Result<u64>> + Send,
{
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut done = 0_u128;
                while begun.elapsed() < TIME {
                    ask((caller * 31 + done) % ENTITIES).await?;
                    done += 1;
                }
                anyhow::Ok(done)
            })
        })
        .collect();
    let mut done = 0;
    for caller in callers {
        done += caller.await??;
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

/// What an actor is without its registry: a task that counts.
fn plain_task() -> mpsc::Sender<oneshot::Sender<u64>> {
    let (to, mut asked) = mpsc::channel::<oneshot::Sender<u64>>(128);
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(to) = asked.recv().await {
            count += 1;
            let _ = to.send(count);
        }
    });
    to
}
