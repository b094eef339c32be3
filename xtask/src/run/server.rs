//! The walk's server: made or found, seen to run, its triggers' runs shown.

use super::{
    client::Client,
    service::Service,
    walk::{Guest, items},
};
use crate::step::Step;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Its name.
pub const NAME: &str = "web-1";
/// How long a boot may take: a slow machine, emulation, and others at work on it.
const BOOT_S: &str = "600";
/// How long to wait for what should take a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes the server or finds it, waits until its console shows who and where it is, and returns its address.
pub fn ensure(service: &Service, customer: &str, guest: &Guest) -> Result<String> {
    let client = &service.client;
    match client.find(&["server", "show", NAME])? {
        None => {
            let (disk, memory) = (guest.size_gib.max(4).to_string(), guest.memory_mib_min.max(512).to_string());
            let asked = ["server", "create", NAME, "--customer", customer, "--image", &guest.name];
            let size = ["--cpu", "1", "--memory", &memory, "--disk", &disk];
            client.show(&[&asked[..], &size[..]].concat())?;
        }
        Some(server) => {
            let state = server["state"].as_str().unwrap_or_default();
            println!("  ✓ server {NAME}: found, {state}");
            if state == "stopped" {
                client.show(&["server", "start", NAME])?;
            }
        }
    }
    wait_for("the server to run", || {
        let server = client.ask(&["server", "show", NAME])?;
        let state = server["state"].as_str().unwrap_or_default();
        if state == "error" {
            bail!("the server is in error: {}", server["state_reason"].as_str().unwrap_or("no reason given"));
        }
        Ok((state == "running").then_some(server))
    })?;
    if service.simulated {
        return Ok("no address: it is simulated".into());
    }
    println!("  Its console, up to the login prompt:");
    let prompt = format!("{NAME} login:");
    client.show(&["server", "console", NAME, "--until", &prompt, "--timeout", BOOT_S])?;
    address(client)
}

/// The address that the console showed last.
fn address(client: &Client) -> Result<String> {
    let server = client.ask(&["server", "show", NAME])?;
    let known = server["nics"][0]["addresses"][0].as_str().map(str::to_owned);
    known.with_context(|| format!("the server {NAME} runs and has no address"))
}

/// Waits for a trigger's run about the server and shows what it logged.
pub fn show_run(client: &Client, trigger: &str) -> Result<()> {
    let server = client.ask(&["server", "show", NAME])?;
    wait_for(&format!("the trigger {trigger}"), || {
        let runs = client.ask(&["trigger", "runs", trigger])?;
        let done = |run: &&Value| run["resource_id"] == server["id"] && run["state"] == "succeeded";
        Ok(items(&runs).iter().find(done).cloned())
    })?;
    client.show(&["trigger", "logs", trigger, "--limit", "1"])
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if began.elapsed() > PATIENCE {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Stops every server that is not stopped yet.
pub fn stop_servers(service: &Service) -> Result<()> {
    let servers = service.client.ask(&["server", "list"])?;
    for server in items(&servers) {
        let (id, name) = (server["id"].as_str().unwrap_or_default(), server["name"].as_str().unwrap_or_default());
        if matches!(server["state"].as_str(), Some("stopped" | "error" | "deleting")) {
            continue;
        }
        let step = Step::begin(format!("server {name}"));
        service.client.ask(&["server", "stop", id])?;
        step.done("stopped");
    }
    Ok(())
}
