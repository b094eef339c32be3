//! Measures runs a second and memory for each loaded block: `cargo run --release -p sutler-lua --example speed`.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use async_trait::async_trait;
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use sutler_lua::*;
use sutler_model::{RunId, Scope, ScriptId};

/// A host that is never asked.
struct Nobody;

#[async_trait]
impl Host for Nobody {
    async fn list(&self, _: &Who, _: &str, _: &[(String, Vec<String>)]) -> Result<Vec<Bean>, HostError> {
        Ok(Vec::new())
    }
    async fn get(&self, _: &Who, _: &str, _: bool) -> Result<Option<Bean>, HostError> {
        Ok(None)
    }
    async fn call(&self, _: &Who, _: Api, operation: &str, _: Vec<Value>, _: u32) -> Result<Value, HostError> {
        if operation == "ready" { Ok(Value::Null) } else { Err(HostError::Unsupported(operation.to_owned())) }
    }
}

const READS_FIVE: &str = "function f(p)
    local job = p.input
    if job:getStatus() == new('JobStatus', 'FAILED') then return { exitState = 'CONTINUE' } end
    local text = job:getJobType():name() .. job:getItemUUID() .. job:getCustomerUUID() .. tostring(job:getInfo())
    return { exitState = 'SUCCESS' }
end";

fn call(number: u32, source: &Arc<str>) -> Call {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    let job = Bean::new("Job")
        .with("resourceUUID", "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee")
        .with("status", "SUCCESSFUL")
        .with("jobType", "CREATE_SERVER")
        .with("itemUUID", "0190aaaa-bbbb-7ccc-8ddd-ffffffffffff")
        .with("customerUUID", "0190aaaa-bbbb-7ccc-8ddd-111111111111")
        .with("info", "done")
        .with("endTime", 1_795_386_245_007_i64)
        .with("resourceKey", json!([]));
    Call {
        block: Block { id: ScriptId::new(1, random), version: 1, source: source.clone() },
        function: "f".to_owned(),
        who: Who { owner: Scope::Provider, run_id: RunId::new(0, [0; 10]), depth: 0, egress: None },
        params: Params { input: Input::Bean(job), option: "SUCCESSFUL".to_owned(), ..Params::default() },
        limits: Limits { resident_bytes: 4 << 30, ..Limits::default() },
    }
}

fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// CPU time of this process, callers included, from a clock of 100 ticks a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let runtime = Arc::new(Runtime::new(1, Arc::new(Nobody), Egress::default()));
    for (name, source) in [
        ("reads five fields", READS_FIVE),
        ("does nothing", "function f(p) return { exitState = 'SUCCESS' } end"),
        ("one host call that is ready", "function f(p) adminAPI:ready() return { exitState = 'SUCCESS' } end"),
    ] {
        let source: Arc<str> = source.into();
        let number = source.len() as u32;
        assert_eq!(runtime.run(call(number, &source)).await.exit, Exit::Success);
        let runs: u32 = std::env::var("RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000);
        let (started, cpu) = (Instant::now(), cpu_seconds());
        for _ in 0..runs {
            runtime.run(call(number, &source)).await;
        }
        let alone = started.elapsed();
        let cpu_alone = cpu_seconds() - cpu;
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (runtime, source) = (runtime.clone(), source.clone());
                tokio::spawn(async move {
                    for _ in 0..runs / 16 {
                        runtime.run(call(number, &source)).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            let _ = task.await;
        }
        let together = started.elapsed();
        let cpu_together = cpu_seconds() - cpu;
        println!(
            "{name}: {:.1} us a run with one caller ({:.0}/s, CPU {:.1} us), {:.1} us with 16 ({:.0}/s, CPU {:.1} us), one Lua thread",
            alone.as_secs_f64() * 1e6 / f64::from(runs),
            f64::from(runs) / alone.as_secs_f64(),
            cpu_alone * 1e6 / f64::from(runs),
            together.as_secs_f64() * 1e6 / f64::from(runs),
            f64::from(runs) / together.as_secs_f64(),
            cpu_together * 1e6 / f64::from(runs),
        );
    }
    let blocks = 1000;
    let source: Arc<str> = READS_FIVE.into();
    let before = resident_kib();
    let started = Instant::now();
    for number in 0..blocks {
        runtime.run(call(1_000_000 + number, &source)).await;
    }
    println!(
        "small block: {:.0} KiB resident ({} KiB by its allocator), loaded and run once in {:.0} us",
        (resident_kib() - before) / f64::from(blocks),
        runtime.stats().bytes / runtime.stats().blocks / 1024,
        started.elapsed().as_secs_f64() * 1e6 / f64::from(blocks),
    );
}
