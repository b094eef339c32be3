//! The whole program with real guests: libvirt's embedded driver, and a daemon of the test's own.

use crate::support::{Client, Program, eventually};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

#[allow(dead_code, reason = "the drivers' tests use more of it")]
#[path = "../crates/drivers/tests/guest.rs"]
mod guest;
#[allow(dead_code, reason = "the drivers' tests use more of it")]
#[path = "../crates/drivers/tests/libvirtd.rs"]
mod libvirtd;

use libvirtd::Daemon;

/// Far more than an emulated guest takes to boot on a busy machine.
const BOOT: Duration = Duration::from_secs(900);

/// A program on one real node, with a customer's worth of what a server needs.
struct Real {
    program: Program,
    admin: Client,
    customer: String,
    image: String,
}

impl Real {
    async fn start(uri: &str, image: Value) -> Self {
        let nodes = format!("[{{ name = \"real\", uri = \"{uri}\" }}]");
        let program = Program::with(&[
            ("SUTLER_COMPUTE_SIMULATED", "false"),
            ("SUTLER_COMPUTE_NODES", &nodes),
            ("SUTLER_COMPUTE_POLL_MS", "1000"),
        ])
        .await;
        let admin = program.admin().await;
        // On a busy machine it takes a while to answer for the first time.
        eventually("the node", async || {
            let nodes = admin.get("/nodes").await.expect(200);
            (nodes.items()[0]["state"] == "up").then_some(())
        })
        .await;
        let plan = admin.get("/plans").await.expect(200).items()[0]["id"].clone();
        let customer = admin.post("/customers", json!({ "name": "ada", "plan_id": plan })).await.expect(201).id();
        let image = admin.post("/images", image).await.expect(201).id();
        Self { program, admin, customer, image }
    }

    /// A server of the echo sector's image: says that it is there, and gives back what is typed.
    async fn echoing(uri: &str, folder: &std::path::Path) -> Self {
        let file = folder.join("echo.img");
        guest::write_image(&file);
        Self::start(uri, json!({ "name": "echo", "file": file, "size_gib": 1, "memory_mib_min": 64 })).await
    }

    async fn create(&self, name: &str, memory_mib: u64, disk_gib: u64) -> String {
        self.create_with(name, memory_mib, disk_gib, true).await
    }

    async fn create_with(&self, name: &str, memory_mib: u64, disk_gib: u64, start: bool) -> String {
        let new = json!({ "customer_id": self.customer, "name": name, "cpu": 1, "memory_mib": memory_mib,
                          "disk_gib": disk_gib, "image_id": self.image, "start": start });
        let job = self.admin.post("/servers", new).await.expect(202);
        let done = self.admin.finished(&job.id()).await;
        assert_eq!(done["state"], "successful", "{done}\n{}", self.program.log());
        done["item_id"].as_str().expect("a server").to_owned()
    }

    async fn act(&self, server: &str, action: Value) {
        let job = self.admin.post(&format!("/servers/{server}/actions"), action).await.expect(202);
        let done = self.admin.finished(&job.id()).await;
        assert_eq!(done["state"], "successful", "{done}\n{}", self.program.log());
    }

    async fn delete(&self, server: &str) {
        let job = self.admin.delete(&format!("/servers/{server}")).await.expect(202);
        let done = self.admin.finished(&job.id()).await;
        assert_eq!(done["state"], "successful", "{done}\n{}", self.program.log());
        assert_eq!(process(server), None, "its process is gone");
    }

    /// Waits until the console has shown `text`. A whole Debian boots in minutes where other tests run beside it.
    async fn console_shows(&self, server: &str, text: &str) {
        let begun = Instant::now();
        loop {
            let log = self.admin.get(&format!("/servers/{server}/console-log?seconds=2")).await;
            if log.status == 200 && log.text.contains(text) {
                return;
            }
            assert!(begun.elapsed() < BOOT, "the console never showed `{text}`:\n{}", log.text);
        }
    }
}

/// The QEMU process of a server; one that is dead and not yet reaped does not count.
fn process(server: &str) -> Option<u32> {
    let name = format!("sutler-{server}");
    std::fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        (line.contains("qemu-system") && line.contains(&name)).then_some(id)
    })
}

fn signal(server: &str, signal: &str) {
    let id = process(server).expect("the guest's process").to_string();
    assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
}

/// Kills a guest when the test ends, however it ends.
struct Reap(String);

impl Drop for Reap {
    fn drop(&mut self) {
        if let Some(id) = process(&self.0) {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        }
    }
}

/// The folder of an image that `cargo xtask image` made; none when run without it.
fn made_image(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: {variable} is not set; `cargo xtask test` makes the image and sets it");
    }
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_outlives_the_program_and_is_found_again_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut real = Real::echoing(&format!("qemu:///embed?root={}", folder.path().display()), folder.path()).await;
    let server = real.create("web-1", 64, 1).await;
    let _reap = Reap(server.clone());
    real.console_shows(&server, "SUTLER-GUEST-READY").await;
    eventually("the node counts what the guest uses", async || {
        let used = real.admin.get(&format!("/servers/{server}/statistics")).await.expect(200).body;
        (used["cpu_ns"].as_u64()? > 0 && used["memory_rss_kib"].as_u64()? > 0).then_some(())
    })
    .await;
    let before = process(&server);

    let token = real.admin.token.clone().expect("signed in");
    real.program = real.program.kill_and_restart().await;
    real.admin = real.program.client().with_token(&token);
    assert_eq!(process(&server), before, "the same process runs on");
    real.admin.server_in(&server, "running").await;

    // One that dies while we are down does not read as running afterwards: it is started again.
    assert!(real.program.stop().await.success());
    assert_eq!(process(&server), before, "stopping the program stops no guest");
    signal(&server, "-9");
    real.program = real.program.restart().await;
    real.admin = real.program.client().with_token(&token);
    eventually("it is started again", async || {
        let runs = real.admin.get(&format!("/servers/{server}")).await.body["state"] == "running";
        (runs && process(&server).is_some_and(|id| Some(id) != before)).then_some(())
    })
    .await;
    let usage = format!(
        "/customers/{}/usage?from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&resource={server}&meter=cpu",
        real.customer
    );
    let intervals = real.admin.get(&usage).await.expect(200);
    assert_eq!(intervals.items()[0]["evidence"], "last_seen_alive", "{}", intervals.text);

    // Frozen is seen as frozen, and recovers.
    signal(&server, "-STOP");
    real.admin.server_in(&server, "frozen").await;
    signal(&server, "-CONT");
    real.admin.server_in(&server, "running").await;
    real.delete(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_daemon_what_happens_behind_our_back_is_taken_in() {
    let Some(daemon) = Daemon::running() else { return };
    let real = Real::echoing(&daemon.uri(), daemon.dir.path()).await;
    let server = real.create("web-1", 64, 1).await;
    let _reap = Reap(server.clone());

    // Killed: started again.
    let before = process(&server);
    signal(&server, "-9");
    eventually("it is started again", async || {
        let body = real.admin.get(&format!("/servers/{server}")).await.body;
        (body["state"] == "running" && body["job_id"].is_null() && process(&server) != before).then_some(())
    })
    .await;

    // Stopped by us, started by hand: taken in as running.
    real.act(&server, json!({ "action": "stop", "force": true })).await;
    real.admin.server_in(&server, "stopped").await;
    assert!(daemon.virsh(&["start", &format!("sutler-{server}")]));
    real.admin.server_in(&server, "running").await;

    // The daemon goes away and comes back: the node shows it, the guest runs on.
    let before = process(&server);
    daemon.kill();
    let node = async |state: &str| {
        eventually(state, async || {
            let nodes = real.admin.get("/nodes").await.expect(200);
            (nodes.items()[0]["state"] == state).then_some(())
        })
        .await;
    };
    node("unresponsive").await;
    assert_eq!(real.admin.get(&format!("/servers/{server}")).await.body["state"], "running");
    daemon.start();
    node("up").await;
    assert_eq!(process(&server), before);
    real.delete(&server).await;
}

/// Keeps metadata on each server that is made.
const KEEPING: &str = r#"
function register() return { "keep" } end
function keep(p)
  if p == nil then
    return { ref = "keep", name = "keep", description = "keeps metadata", priority = 0, triggerType = "POST_CREATE",
      triggerOptions = { "SERVER" }, api = "TRIGGER", version = 1 }
  end
  local metadata = new("ResourceMetadata")
  metadata:setPublicMetadata("<rack>kept-for-the-guest</rack>")
  metadata:setPrivateMetadata("<note>not-for-the-guest</note>")
  adminAPI:updateMetadata(p.input:getResourceUUID(), metadata)
  return { exitState = "SUCCESS" }
end
"#;

/// Adds to what a guest is told at its start, and has it say on its console what it found.
const TELLING: &str = r##"
function register() return { "tell" } end
function tell(p)
  if p == nil then
    return { ref = "tell", name = "tell", description = "tells guests", priority = 0, triggerType = "PRE_SERVER_METADATA_UPDATE",
      triggerOptions = { "ANY" }, api = "TRIGGER", version = 1 }
  end
  local server, document = p.input[1], p.input[2]
  local xml = new("FDLXMLHelper")
  xml:addTextNode(document, xml:findNode(document, "CONFIG/meta/server/system"), "zone", "added-at-the-start")
  -- The console's own words have none of the marks that are looked for.
  server:addCloudInitData([[#!/bin/sh
for mark in kept-for not-for added-at; do
  found=$(grep -o "$mark-the-[a-z]*" /run/sutler/metadata.xml) || found=nothing
  echo "GUEST $mark: <$found>" > /dev/ttyS0
done]])
  return { exitState = "SUCCESS" }
end
"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debian_boots_and_cloud_init_gives_it_its_name_and_address_and_what_scripts_have_for_it() {
    let Some(folder) = made_image("SUTLER_TEST_DEBIAN") else { return };
    let text = std::fs::read(folder.join("manifest.json")).expect("the image's manifest");
    let manifest: Value = serde_json::from_slice(&text).expect("JSON");
    let file = folder.join(manifest["disk"].as_str().expect("a disk"));
    let image = json!({ "name": "debian-12", "file": file, "size_gib": manifest["size_gib"],
                        "memory_mib_min": manifest["memory_mib_min"] });
    let root = tempfile::tempdir().expect("a folder");
    let real = Real::start(&format!("qemu:///embed?root={}", root.path().display()), image).await;
    let size = manifest["size_gib"].as_u64().expect("a size");
    for (name, source) in [("keep", KEEPING), ("tell", TELLING)] {
        real.admin.post("/triggers", json!({ "name": name, "source": source })).await.expect(201);
    }
    let server = real.create_with("debian-web-1", 512, size + 1, false).await;
    let _reap = Reap(server.clone());
    eventually("a script has kept metadata", async || {
        let runs = real.admin.get("/runs?state=succeeded").await.expect(200);
        runs.items().iter().any(|run| run["function"] == "keep").then_some(())
    })
    .await;
    real.act(&server, json!({ "action": "start" })).await;
    real.console_shows(&server, "debian-web-1").await;
    real.console_shows(&server, "10.0.2.15").await;
    real.console_shows(&server, "GUEST kept-for: <kept-for-the-guest>").await;
    real.console_shows(&server, "GUEST not-for: <nothing>").await;
    real.console_shows(&server, "GUEST added-at: <added-at-the-start>").await;
    // It heeds the power button.
    real.act(&server, json!({ "action": "stop", "force": false })).await;
    let stopped = real.admin.server_in(&server, "stopped").await;
    assert_eq!(stopped["wanted"], "stopped");
    real.delete(&server).await;
}
