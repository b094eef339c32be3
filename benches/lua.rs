//! What a run of a trigger's function costs, what each loaded block holds, and what the language's functions cost.

mod texts;

use crate::Measure;
use anyhow::{Result, ensure};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use sutler_lua::{Api, Bean, Block, Call, Egress, Exit, Host, HostError, Input, Limits, Params, Runtime, Who};
use sutler_model::{RunId, Scope, ScriptId};

/// A host that is never asked.
struct Nobody;

#[async_trait]
impl Host for Nobody {
    async fn list(&self, _: &Who, _: &Api, _: &str, _: &[(String, Vec<String>)]) -> Result<Vec<Bean>, HostError> {
        Ok(Vec::new())
    }
    async fn get(&self, _: &Who, _: &Api, _: &str, _: bool) -> Result<Option<Bean>, HostError> {
        Ok(None)
    }
    async fn call(&self, _: &Who, _: Api, operation: &str, _: Vec<Value>, _: u32) -> Result<Value, HostError> {
        Err(HostError::Unsupported(operation.to_owned()))
    }
}

const READS_FIVE: &str = "function f(p)
    local job = p.input
    if job:getStatus() == new('JobStatus', 'FAILED') then return { exitState = 'CONTINUE' } end
    local text = job:getJobType():name() .. job:getItemUUID() .. job:getCustomerUUID() .. tostring(job:getInfo())
    return { exitState = 'SUCCESS' }
end";
const NOTHING: &str = "function f(p) return { exitState = 'SUCCESS' } end";

/// Runs in a row, after a tenth as many to warm up.
const RUNS: u32 = 30_000;
/// Runs that do nothing for each that reads five fields, at least.
const TARGET_RATE: f64 = 0.5;
const BLOCKS: u32 = 1_000;
/// What a loaded small block may hold, bytes.
const BLOCK_BYTES: f64 = 250_000.0;

pub fn run() -> Result<Vec<Measure>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<Vec<Measure>> {
    let runtime = Runtime::new(1, Arc::new(Nobody), Egress::default());
    let rate = rate(&runtime, 1, READS_FIVE).await?;
    let reference = self::rate(&runtime, 2, NOTHING).await?;
    let source: Arc<str> = READS_FIVE.into();
    let before = crate::resident_bytes()?;
    for number in 0..BLOCKS {
        runtime.run(call(1_000 + number, &source)).await;
    }
    let each = (crate::resident_bytes()? - before) / f64::from(BLOCKS);
    let measure = |bench: &str, value, unit, reference: f64, target| Measure {
        bench: format!("lua/{bench}"),
        value,
        unit,
        reference,
        ratio: value / reference,
        target,
    };
    let mut measures = vec![
        measure("reads_five_fields", rate, "runs/s", reference, TARGET_RATE),
        measure("loaded_block", each, "B", BLOCK_BYTES, 1.0),
    ];
    measures.extend(texts::measure().await?);
    Ok(measures)
}

async fn rate(runtime: &Runtime, number: u32, source: &str) -> Result<f64> {
    let source: Arc<str> = source.into();
    for _ in 0..RUNS / 10 {
        ensure!(runtime.run(call(number, &source)).await.exit == Exit::Success, "the function fails");
    }
    let begun = Instant::now();
    for _ in 0..RUNS {
        runtime.run(call(number, &source)).await;
    }
    Ok(f64::from(RUNS) / begun.elapsed().as_secs_f64())
}

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
        block: Block { id: ScriptId::new(1, random), version: 1, source: source.clone(), texts: Default::default() },
        function: "f".to_owned(),
        who: Who {
            owner: Scope::Provider,
            script: None,
            run_id: RunId::new(0, [0; 10]),
            depth: 0,
            unrecorded: false,
            repeated: false,
            rehearsal: false,
        },
        params: Params { input: Input::Bean(job), option: "SUCCESSFUL".to_owned(), ..Params::default() },
        // All blocks of the bench stay in memory.
        limits: Limits { resident_bytes: 4 << 30, ..Limits::default() },
    }
}
