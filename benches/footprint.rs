//! Memory and start of the whole program: idle, and with 25,000 nodes and 25,000 servers, after a clean end and a kill.

use crate::{
    Measure,
    list_page::settled,
    program::{Program, median},
};
use anyhow::Result;
use serde_json::json;
use std::time::Duration;

const MANY: usize = 25_000;

pub fn run() -> Result<Vec<Measure>> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(measure())
}

fn at_most(bench: &str, value: f64, unit: &'static str, limit: f64) -> Measure {
    Measure { bench: format!("footprint/{bench}"), value, unit, reference: limit, ratio: value / limit, target: 1.0 }
}

async fn measure() -> Result<Vec<Measure>> {
    let mut measures = idle().await?;
    let folder = tempfile::tempdir()?;
    let nodes: Vec<_> = (0..MANY).map(|n| format!("{{name=\"n{n}\",uri=\"simulated:///n{n}\"}}")).collect();
    let settings = format!("[compute]\nsimulated = true\npoll_ms = 60000\nnodes = [{}]\n", nodes.join(","));
    let program = Program::start(folder.path(), &settings)?;
    let mut admin = program.admin().await?;
    let (customers, image) = admin.furnish(folder.path(), 100).await?;
    for n in 0..MANY {
        let new = json!({"customer_id": customers[n % customers.len()], "name": format!("s-{n}"), "cpu": 1,
                         "memory_mib": 64, "disk_gib": 1, "image_id": image, "start": n % 2 == 0});
        admin.post("/api/v1/servers", &new).await?;
    }
    settled(&mut admin).await?;
    program.stop()?;
    let (mut clean, mut killed, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..10 {
        let program = Program::start(folder.path(), &settings)?;
        if round % 2 == 0 {
            clean.push(program.ready.as_secs_f64())
        } else {
            killed.push(program.ready.as_secs_f64())
        }
        let mut admin = program.admin().await?;
        admin.get("/api/v1/servers?limit=200").await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        memory.push(program.rss_mb()?);
        if round % 2 == 0 { program.kill()? } else { program.stop()? }
    }
    measures.push(at_most("loaded_memory", median(memory), "MB", 300.0));
    measures.push(at_most("loaded_ready", median(clean), "s", 2.0));
    measures.push(at_most("loaded_ready_after_kill", median(killed), "s", 2.0));
    Ok(measures)
}

/// The program as a small provider runs it, with nothing to do.
async fn idle() -> Result<Vec<Measure>> {
    const SECONDS: f64 = 30.0;
    let folder = tempfile::tempdir()?;
    let settings = format!(
        "[compute]\nnodes = [{{name=\"local\",uri=\"qemu:///embed?root={}/node\"}}]\n",
        folder.path().display()
    );
    let program = Program::start(folder.path(), &settings)?;
    let mut client = program.connect().await?;
    let (status, _) = client.send(hyper::Method::GET, "/healthz", bytes::Bytes::new()).await?;
    anyhow::ensure!(status == 200, "not healthy: {status}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = program.cpu_s()?;
    tokio::time::sleep(Duration::from_secs_f64(SECONDS)).await;
    let cpu_percent = (program.cpu_s()? - before) / SECONDS * 100.0;
    let memory = program.rss_mb()?;
    program.stop()?;
    Ok(vec![at_most("idle_memory", memory, "MB", 64.0), at_most("idle_cpu", cpu_percent, "% of a core", 0.5)])
}
