//! How long after its deadline each attack on the sandbox ends, and how much memory the process takes meanwhile.
//!
//! Every run has a process of its own, which this program starts: what one attack leaves behind must not hide what the next
//! takes. The deadlines differ, so that they fall into different phases of an attack. A word behind the bench's name chooses
//! the attacks whose names contain it; a second one begins with the first of these that contains that too. All take minutes,
//! so each is told as soon as it is measured.

use crate::{Measure, store_writes::median};
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};
use sutler_lua::{
    Api, Bean, Block, Call, Data, DataAction, Egress, Exit, Host, HostError, Limits, Params, Runtime, Who,
};
use sutler_model::{RunId, Scope, ScriptId};

/// What the tests of the sandbox run as well.
const ATTACKS: [&str; 4] = [
    include_str!("../crates/lua/tests/attacks/plain.lua"),
    include_str!("../crates/lua/tests/attacks/language.lua"),
    include_str!("../crates/lua/tests/attacks/helpers.lua"),
    include_str!("../crates/lua/tests/attacks/sizes.lua"),
];
const DEADLINES_MS: [u64; 6] = [50, 70, 100, 140, 200, 280];
/// Most that a run may take past its deadline.
const OVERRUN_MS: f64 = 100.0;
/// Most that the process may grow by.
const MEMORY_MB: f64 = 64.0 * 1.048_576;
/// The deadline of the run that a process was started for.
const DEADLINE: &str = "SUTLER_BENCH_DEADLINE_MS";

/// One run of an attack.
#[derive(Serialize, Deserialize)]
struct Run {
    overrun_ms: f64,
    grown_mb: f64,
}

pub fn run() -> Result<Vec<Measure>> {
    let word = std::env::args().nth(2).unwrap_or_default();
    let first = std::env::args().nth(3).unwrap_or_default();
    let attacks = ATTACKS.iter().flat_map(|text| text.split("\n--- ").skip(1)).filter_map(|one| one.split_once('\n'));
    if let Ok(deadline_ms) = std::env::var(DEADLINE) {
        let (_, body) = attacks.into_iter().find(|(name, _)| *name == word).context("no such attack")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        serde_json::to_writer(std::io::stdout(), &runtime.block_on(attack(body, deadline_ms.parse()?))?)?;
        return Ok(Vec::new());
    }
    let chosen = attacks.filter(|(name, _)| name.contains(&word)).skip_while(|(name, _)| !name.contains(&first));
    for (name, _) in chosen {
        let runs = DEADLINES_MS.iter().map(|ms| apart(name, *ms)).collect::<Result<Vec<_>>>()?;
        let worst = |value: fn(&Run) -> f64| runs.iter().map(value).fold(0.0, f64::max);
        let measure = |what: &str, value: f64, unit, most: f64| Measure {
            bench: format!("limits/{what}/{name}"),
            value,
            unit,
            reference: most,
            ratio: value / most,
            target: 1.0,
        };
        let measures = [
            measure("overrun", median(runs.iter().map(|run| run.overrun_ms).collect()), "ms", OVERRUN_MS),
            measure("longest_overrun", worst(|run| run.overrun_ms), "ms", OVERRUN_MS),
            measure("memory", worst(|run| run.grown_mb), "MB", MEMORY_MB),
        ];
        measures.iter().try_for_each(crate::tell)?;
    }
    Ok(Vec::new())
}

/// A run in a process of its own.
fn apart(name: &str, deadline_ms: u64) -> Result<Run> {
    let mut command = Command::new(std::env::current_exe()?);
    let command = command.args(["limits", name]).env(DEADLINE, deadline_ms.to_string()).stderr(Stdio::inherit());
    let output = command.output()?;
    ensure!(output.status.success(), "the process fell by `{name}`: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("what `{name}` answered"))
}

async fn attack(body: &str, deadline_ms: u64) -> Result<Run> {
    let runtime = Runtime::new(1, Arc::new(Echo), Egress::default());
    let limits = Limits { cpu_ms: deadline_ms, deadline_ms, ..Limits::default() };
    // What the process makes once, it has made then.
    let first = "return json.decode(json.encode({ exitState = 'SUCCESS' }))";
    let first = runtime.run(call(1, first, Limits::default())).await;
    ensure!(first.exit == Exit::Success, "{}", first.result);
    let before = crate::resident_bytes()?;
    let begun = Instant::now();
    let outcome = runtime.run(call(2, body, limits)).await;
    let took_ms = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(matches!(outcome.exit, Exit::Stopped(_) | Exit::Failed(_)), "{:?}", outcome.exit);
    #[allow(clippy::cast_precision_loss)]
    let overrun_ms = (took_ms - deadline_ms as f64).max(0.0);
    Ok(Run { overrun_ms, grown_mb: (crate::peak_bytes()? - before) / 1e6 })
}

fn call(number: u8, body: &str, limits: Limits) -> Call {
    let source = format!("function f(p) {body}\nend").into();
    Call {
        block: Block { id: ScriptId::new(1, [number; 10]), version: 1, source, texts: Default::default() },
        function: "f".to_owned(),
        who: Who {
            owner: Scope::Provider,
            script: None,
            run_id: RunId::new(0, [number; 10]),
            depth: 0,
            unrecorded: false,
            repeated: false,
            rehearsal: false,
        },
        params: Params::default(),
        limits,
    }
}

/// A host that gives back what it is given.
struct Echo;

#[async_trait]
impl Host for Echo {
    async fn list(&self, _: &Who, _: &Api, _: &str, _: &[(String, Vec<String>)]) -> Result<Vec<Bean>, HostError> {
        let server = Bean::new("Server").with("resourceName", "n").with("cpu", 1).with("status", "RUNNING");
        Ok(vec![server; 10_000])
    }
    async fn get(&self, _: &Who, _: &Api, _: &str, _: bool) -> Result<Option<Bean>, HostError> {
        Ok(None)
    }
    async fn data(&self, _: &Who, request: Data) -> Result<Value, HostError> {
        match request.action {
            DataAction::List { limit, .. } => {
                let value = "x".repeat(60_000);
                Ok((0..limit.min(60)).map(|n| json!([n.to_string(), value])).collect())
            }
            action => Ok(action.decide(None)?.answer),
        }
    }
    async fn call(&self, _: &Who, _: Api, operation: &str, args: Vec<Value>, _: u32) -> Result<Value, HostError> {
        match operation {
            "echo" => Ok(Value::Array(args)),
            other => Err(HostError::Unsupported(other.to_owned())),
        }
    }
}
