//! PostgreSQL as a queue: producers insert, a consumer takes with SKIP LOCKED, reads five fields and records the run.
//!
//! Driven by pgbench, PostgreSQL's own load generator, over prepared statements.

use super::Load;
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const SCHEMA: &str = "CREATE TABLE event (id bigserial PRIMARY KEY, name text, uuid text, customer text, seller text, cpu text, rest text);
CREATE TABLE run (event_id bigint PRIMARY KEY, state text, bytes int);";
const TAKE: &str = "WITH taken AS (DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING *)
INSERT INTO run SELECT id, 'SUCCESS', length(name || uuid || customer || seller || cpu) FROM taken;\n";

struct Server {
    child: Child,
    bin: PathBuf,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// PostgreSQL refuses to run as root; then it runs as the package's user.
fn as_postgres(program: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    if fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).context("who we are")? == 0 {
        let passwd = fs::read_to_string("/etc/passwd")?;
        let line =
            passwd.lines().find(|l| l.starts_with("postgres:")).context("no user `postgres`; install postgresql")?;
        let ids: Vec<u32> = line.split(':').skip(2).take(2).filter_map(|n| n.parse().ok()).collect();
        command.uid(ids[0]).gid(ids[1]);
    }
    Ok(command)
}

fn start(folder: &Path) -> Result<Server> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("no PostgreSQL; install postgresql")?;
    let bin = versions.filter_map(|v| Some(v.ok()?.path().join("bin"))).max().context("no PostgreSQL")?;
    let data = folder.join("data");
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let made = as_postgres(&bin.join("initdb"))?
        .arg("-D")
        .arg(&data)
        .args(["-U", "postgres"])
        .stdout(Stdio::null())
        .status()?;
    ensure!(made.success(), "initdb failed");
    let child = as_postgres(&bin.join("postgres"))?
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let server = Server { child, bin, folder: folder.to_owned() };
    let begun = Instant::now();
    while server.sql("SELECT 1").is_err() {
        ensure!(begun.elapsed() < Duration::from_secs(30), "PostgreSQL does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(server)
}

impl Server {
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.arg("-h").arg(&self.folder).args(["-U", "postgres"]);
        command
    }

    fn sql(&self, text: &str) -> Result<String> {
        let out = self.tool("psql").args(["-d", "postgres", "-qtAc", text]).stderr(Stdio::null()).output()?;
        ensure!(out.status.success(), "psql failed on `{text}`");
        Ok(String::from_utf8(out.stdout)?.trim().to_owned())
    }

    fn pgbench(&self, script: &Path, clients: usize, transactions: usize) -> Result<Child> {
        let (clients, transactions) = (clients.to_string(), transactions.to_string());
        let mut command = self.tool("pgbench");
        command.args(["-n", "-M", "prepared", "-c", &clients, "-j", "1", "-t", &transactions, "-f"]).arg(script);
        Ok(command.arg("postgres").stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }
}

pub fn events_per_s(load: Load) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    server.sql(SCHEMA)?;
    let (insert, take) = (folder.path().join("insert.sql"), folder.path().join("take.sql"));
    let row = format!("('{0}','{0}','{0}','{0}','{0}','{1}')", "x".repeat(36), "x".repeat(336 - 36 * 5));
    let rows = vec![row; load.batch].join(",");
    fs::write(&insert, format!("INSERT INTO event (name, uuid, customer, seller, cpu, rest) VALUES {rows};\n"))?;
    fs::write(&take, TAKE)?;
    let begun = Instant::now();
    let mut producers = server.pgbench(&insert, load.producers, load.events / load.producers / load.batch)?;
    let mut consumer = server.pgbench(&take, 1, 1_000_000_000)?;
    ensure!(producers.wait()?.success(), "the producers failed");
    let wanted = load.events.to_string();
    while server.sql("SELECT count(*) FROM run")? != wanted {
        ensure!(begun.elapsed() < Duration::from_secs(120), "events are missing");
    }
    let rate = load.events as f64 / begun.elapsed().as_secs_f64();
    consumer.kill()?;
    consumer.wait()?;
    Ok(rate)
}
