//! A filtered page out of 20,000 servers at 500 requests a second, open loop: a slow answer does not slow the asking.

use crate::{
    Measure,
    program::{Program, median, p99},
};
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};

const SERVERS: usize = 20_000;
const CUSTOMERS: usize = 20;
const PER_SECOND: u32 = 500;
const SECONDS: u32 = 20;
const CONNECTIONS: usize = 16;
/// OpenNebula's list of as many machines took this long at 30 requests a second on such a machine.
const OPENNEBULA_MS: f64 = 6400.0;
const TARGET_MS: f64 = 10.0;

pub fn run() -> Result<Vec<Measure>> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<Vec<Measure>> {
    let folder = tempfile::tempdir()?;
    let nodes: Vec<_> = (0..64).map(|n| format!("{{name=\"n{n}\",uri=\"simulated:///n{n}\"}}")).collect();
    let program =
        Program::start(folder.path(), &format!("[compute]\nsimulated = true\nnodes = [{}]\n", nodes.join(",")))?;
    let mut admin = program.admin().await?;
    let (customers, image) = admin.furnish(folder.path(), CUSTOMERS).await?;
    for n in 0..SERVERS {
        let new = json!({"customer_id": customers[n % CUSTOMERS], "name": format!("s-{n}"), "cpu": 1, "memory_mib": 64,
                         "disk_gib": 1, "image_id": image, "start": (n / CUSTOMERS).is_multiple_of(2)});
        admin.post("/api/v1/servers", &new).await?;
    }
    settled(&mut admin).await?;

    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(admin.another().await?);
    }
    let begun = Instant::now() + Duration::from_millis(100);
    let gap = Duration::from_secs(1) / PER_SECOND;
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(c, mut client)| {
            let customers = customers.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for n in (c..(PER_SECOND * SECONDS) as usize).step_by(CONNECTIONS) {
                    let due = begun + gap * u32::try_from(n)?;
                    tokio::time::sleep_until(due.into()).await;
                    let path =
                        format!("/api/v1/servers?state=running&limit=50&customer_id={}", customers[n % CUSTOMERS]);
                    let (status, body) = client.send(hyper::Method::GET, &path, bytes::Bytes::new()).await?;
                    // From when it was due: waiting behind a slow answer counts.
                    times.push(due.elapsed().as_secs_f64() * 1e3);
                    ensure!(status == 200 && body.len() > 5000, "{status}: {}", String::from_utf8_lossy(&body));
                }
                Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    program.stop()?;
    let measure = |bench: &str, value: f64| Measure {
        bench: format!("list_page/{bench}"),
        value,
        unit: "ms",
        reference: OPENNEBULA_MS,
        ratio: value / OPENNEBULA_MS,
        target: TARGET_MS / OPENNEBULA_MS,
    };
    Ok(vec![measure("p99", p99(times.clone())), measure("median", median(times))])
}

/// Waits until no job is unfinished.
pub async fn settled(client: &mut crate::program::Client) -> Result<()> {
    loop {
        let page = client.get("/api/v1/jobs?state=not_started,in_progress,waiting&limit=1").await?;
        if page["items"].as_array().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
