//! From asking for a server to the first byte its guest's userland writes on the serial console, against the same steps
//! by hand: `qemu-img create`, `virsh define`, `virsh start` on a daemon of this run. The same busybox guest, the same
//! domain, turn by turn; emulated where KVM does not work.

use crate::{
    Measure,
    program::{Client, Program, id, median},
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

#[allow(dead_code, clippy::print_stderr, reason = "the drivers' tests use more of it")]
#[path = "../crates/drivers/tests/libvirtd.rs"]
mod libvirtd;

/// What the guest's `/init` writes before anything else.
const READY: &[u8] = b"SUTLER-GUEST-READY";
const ROUNDS: usize = 5;
/// Far more than an emulated boot takes.
const FAR: Duration = Duration::from_secs(300);

pub fn run() -> Result<Vec<Measure>> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<Vec<Measure>> {
    let folder = std::env::var_os("SUTLER_TEST_BUSYBOX").map(PathBuf::from);
    let folder = folder.context("SUTLER_TEST_BUSYBOX names no folder; `cargo xtask bench` sets it")?;
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json"))?)?;
    let daemon = libvirtd::Daemon::running().context("libvirtd and virtlogd cannot be run here")?;
    let data = tempfile::tempdir()?;
    // A short path: QEMU's sockets lie below it.
    let root = data.path().join("r");
    let settings = format!("[compute]\nnodes = [{{name=\"local\",uri=\"qemu:///embed?root={}\"}}]\n", root.display());
    let program = Program::start(data.path(), &settings)?;
    let mut admin = program.admin().await?;
    let (customers, _) = admin.furnish(data.path(), 1).await?;
    let image = admin.post("/api/v1/images", &image(&folder, &manifest)).await?;
    let new = json!({"customer_id": customers[0], "cpu": 1, "memory_mib": 256, "disk_gib": 1, "image_id": id(&image)?});

    let base = data.path().join("images").join(image["storage_key"].as_str().context("no storage key")?);
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (server, took) = create(&mut admin, &new, round, &root).await?;
        // The domain we made is the domain made by hand.
        let domain = std::fs::read_to_string(root.join(format!("etc/qemu/sutler-{server}.xml")))?;
        delete(&mut admin, &server).await?;
        let reference = hand(&daemon, &domain, &server, &base, data.path())?;
        // The first turn fills caches for both.
        if round > 0 {
            ours.push(took.as_secs_f64());
            by_hand.push(reference.as_secs_f64());
        }
    }
    program.stop()?;
    let (value, reference) = (median(ours), median(by_hand));
    let ratio = value / reference;
    Ok(vec![Measure { bench: "boot/first_userland_byte".into(), value, unit: "s", reference, ratio, target: 1.1 }])
}

fn image(folder: &Path, manifest: &Value) -> Value {
    let within = |name: &Value| folder.join(name.as_str().unwrap_or_default());
    let mut boot = manifest["boot"].clone();
    for file in ["kernel", "initrd"] {
        boot[file] = json!(within(&manifest["boot"][file]));
    }
    json!({"name": "busybox", "file": within(&manifest["disk"]), "size_gib": manifest["size_gib"], "boot": boot,
           "memory_mib_min": manifest["memory_mib_min"]})
}

async fn create(admin: &mut Client, new: &Value, round: usize, root: &Path) -> Result<(String, Duration)> {
    let mut new = new.clone();
    new["name"] = json!(format!("guest-{round}"));
    let begun = Instant::now();
    let job = admin.post("/api/v1/servers", &new).await?;
    let server = job["item_id"].as_str().context("no server")?.to_owned();
    wait_for_ready(&root.join(format!("console/{server}.log")))?;
    let took = begun.elapsed();
    finished(admin, &job).await?;
    Ok((server, took))
}

async fn delete(admin: &mut Client, server: &str) -> Result<()> {
    let (status, body) =
        admin.send(hyper::Method::DELETE, &format!("/api/v1/servers/{server}"), bytes::Bytes::new()).await?;
    ensure!(status == 202, "deleting answered {status}");
    finished(admin, &serde_json::from_slice(&body)?).await
}

async fn finished(admin: &mut Client, job: &Value) -> Result<()> {
    let path = format!("/api/v1/jobs/{}", id(job)?);
    loop {
        let job = admin.get(&path).await?;
        if job["finished"] == true {
            ensure!(job["state"] == "successful", "{job}");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same guest by the tools an administrator would use.
fn hand(daemon: &libvirtd::Daemon, domain: &str, server: &str, base: &Path, folder: &Path) -> Result<Duration> {
    let (disk, log) = (folder.join("by-hand.qcow2"), folder.join("by-hand.log"));
    let old_disk = between(domain, "<source file='", "'").context("no disk in the domain")?;
    let old_log = between(domain, "<log file='", "'").context("no log in the domain")?;
    let mut xml = domain.replace(old_disk, &disk.display().to_string()).replace(old_log, &log.display().to_string());
    xml = xml.replace(&format!("sutler-{server}"), "by-hand");
    // The seed was deleted with the server; the guest boots the same without it.
    if let Some(seed) = between(domain, "seeds/", "'") {
        let seed = format!("seeds/{seed}");
        let path =
            domain.lines().find(|l| l.contains(&seed)).and_then(|l| between(l, "file='", "'")).context("no seed")?;
        std::fs::create_dir_all(Path::new(path).parent().context("no folder")?)?;
        std::fs::write(path, vec![0_u8; 1 << 19])?;
    }
    let file = folder.join("by-hand.xml");
    std::fs::write(&file, xml)?;
    let _ = std::fs::remove_file(&log);

    let begun = Instant::now();
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(base)
        .arg(&disk)
        .arg("1G")
        .status()?;
    ensure!(made.success(), "qemu-img failed");
    ensure!(daemon.virsh(&["define", &file.display().to_string()]), "virsh define failed");
    ensure!(daemon.virsh(&["start", "by-hand"]), "virsh start failed");
    wait_for_ready(&log)?;
    let took = begun.elapsed();
    ensure!(daemon.virsh(&["destroy", "by-hand"]) && daemon.virsh(&["undefine", "by-hand"]), "virsh undefine failed");
    std::fs::remove_file(&disk)?;
    Ok(took)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// Looks at the console's log, once a millisecond for both.
fn wait_for_ready(log: &Path) -> Result<()> {
    let begun = Instant::now();
    while !std::fs::read(log).is_ok_and(|text| text.windows(READY.len()).any(|w| w == READY)) {
        ensure!(begun.elapsed() < FAR, "`{}` never showed the guest", log.display());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
