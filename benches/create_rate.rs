//! Server-create jobs finished a second, over a minute, through the HTTP API: simulated compute, metering and one POST
//! trigger on, the client on the same cores. The reference is OpenStack Nova with fake computes on such a machine.

use crate::{
    Measure,
    program::{Client, Program},
};
use anyhow::Result;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Nova with fake computes finished 4.1 creates a second on such a machine.
const NOVA_PER_S: f64 = 4.1;
/// Our target, a second.
const TARGET_PER_S: f64 = 1000.0;
const SECONDS: u64 = 60;
const CONNECTIONS: usize = 32;
const CUSTOMERS: usize = 100;
/// Unfinished jobs beyond which the client waits: the backlog stays bounded.
const BACKLOG: u64 = 2000;

const TRIGGER: &str = r#"
function register() return { "noted" } end
function noted(p)
  if p == nil then
    return { ref = "noted", name = "Noted", description = "Reads five fields", api = "TRIGGER", version = 1,
             triggerType = "POST_CREATE", triggerOptions = { "SERVER" } }
  end
  local s = p.input
  local text = s:getResourceName() .. s:getResourceUUID() .. s:getCustomerUUID() .. s:getBillingEntityUUID()
  return { exitState = (s:getCpu() > 0 and text ~= "") and "SUCCESS" or "CONTINUE" }
end
"#;

pub fn run() -> Result<Vec<Measure>> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<Vec<Measure>> {
    let folder = tempfile::tempdir()?;
    let settings = "[compute]\nsimulated = true\nnodes = [NODES]\n".replace(
        "NODES",
        &(0..256).map(|n| format!("{{name=\"n{n}\",uri=\"simulated:///n{n}\"}}")).collect::<Vec<_>>().join(","),
    );
    let program = Program::start(folder.path(), &settings)?;
    let mut admin = program.admin().await?;
    let (customers, image) = admin.furnish(folder.path(), CUSTOMERS).await?;
    admin.post("/api/v1/triggers", &json!({"name": "noted", "source": TRIGGER})).await?;

    let begun = Instant::now();
    let accepted = Arc::new(AtomicU64::new(0));
    let full = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for c in 0..CONNECTIONS {
        let mut client = admin.another().await?;
        let (accepted, full, customers, image) = (accepted.clone(), full.clone(), customers.clone(), image.clone());
        clients.push(tokio::spawn(async move {
            let mut n = 0;
            while begun.elapsed() < Duration::from_secs(SECONDS) {
                if full.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                let customer = &customers[(c + n * CONNECTIONS) % customers.len()];
                let new = json!({"customer_id": customer, "name": format!("s-{c}-{n}"), "cpu": 1, "memory_mib": 64,
                                 "disk_gib": 1, "image_id": image});
                client.post("/api/v1/servers", &new).await?;
                accepted.fetch_add(1, Ordering::Relaxed);
                n += 1;
            }
            anyhow::Ok(())
        }));
    }
    // Every second, counts what is finished from the program's own metrics, and holds the clients back when it lags.
    let mut backlog_max = 0;
    while begun.elapsed() < Duration::from_secs(SECONDS) {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let backlog = accepted.load(Ordering::Relaxed).saturating_sub(finished(&mut admin).await?);
        backlog_max = backlog_max.max(backlog);
        full.store(backlog > BACKLOG, Ordering::Relaxed);
    }
    let done = finished(&mut admin).await?;
    let per_s = done as f64 / begun.elapsed().as_secs_f64();
    for client in clients {
        client.await??;
    }
    // Each has its trigger run, too: what the feed owes is worked off, not dropped.
    let owed = Instant::now();
    let accepted = accepted.load(Ordering::Relaxed);
    while counted(&mut admin, "sutler_trigger_runs_total", "state=\"succeeded\"").await? < accepted {
        anyhow::ensure!(owed.elapsed() < Duration::from_secs(120), "trigger runs are missing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lag_s = owed.elapsed().as_secs_f64();
    program.stop()?;
    let measure = |bench: &str, value: f64, unit, reference: f64, target| Measure {
        bench: format!("create_rate/{bench}"),
        value,
        unit,
        reference,
        ratio: value / reference,
        target,
    };
    Ok(vec![
        measure("jobs_finished", per_s, "1/s", NOVA_PER_S, TARGET_PER_S / NOVA_PER_S),
        measure("backlog_max", backlog_max as f64, "jobs", BACKLOG as f64, 2.0),
        measure("triggers_behind", lag_s, "s", SECONDS as f64, 0.1),
    ])
}

async fn finished(client: &mut Client) -> Result<u64> {
    counted(client, "sutler_jobs_total", "state=\"successful\"").await
}

/// The sum of a counter's series with a label.
async fn counted(client: &mut Client, name: &str, label: &str) -> Result<u64> {
    let (_, body) = client.send(hyper::Method::GET, "/metrics", bytes::Bytes::new()).await?;
    let text = String::from_utf8_lossy(&body);
    let series = text.lines().filter(|l| l.starts_with(name) && l.contains(label));
    Ok(series.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64)
}
