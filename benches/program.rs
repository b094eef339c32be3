//! The program under measurement: `sutler serve` on the simulated twin, and a lean HTTP client for it.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The first administrator's password.
const PASSWORD: &str = "a password for benches";
/// Longer than any start takes.
const FAR: Duration = Duration::from_secs(120);

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    /// From the start of the process to its first answer.
    pub ready: Duration,
    address: String,
}

/// The built program: `SUTLER_PROGRAM`, or the one beside this one.
pub fn path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SUTLER_PROGRAM") {
        return Ok(path.into());
    }
    let path = std::env::current_exe()?.with_file_name("sutler");
    ensure!(path.exists(), "`{}` is not built; `cargo xtask bench` builds it", path.display());
    Ok(path)
}

impl Program {
    /// Starts on a data folder with more settings (TOML) than the benches' own.
    pub fn start(data: &Path, settings: &str) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let (config, ready_file) = (data.join("bench.toml"), data.join("ready.json"));
        let own = "[listen]\ntls = \"\"\nplain = \"127.0.0.1:0\"\n[limits]\nrequests_per_second = 1000000\nrequest_burst = 1000000\n[log]\nlevel = \"warn\"\n";
        std::fs::write(&config, format!("{own}{settings}"))?;
        let _ = std::fs::remove_file(&ready_file);
        let begun = Instant::now();
        let mut child = Command::new(path()?)
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(data)
            .arg("--ready-file")
            .arg(&ready_file)
            .env("SUTLER_ADMIN_PASSWORD", PASSWORD)
            .stdout(Stdio::null())
            .spawn()
            .context("starting the program")?;
        let address = loop {
            if let Ok(text) = std::fs::read(&ready_file) {
                let addresses: Value = serde_json::from_slice(&text)?;
                let plain = addresses["plain"].as_str().context("no plain address")?;
                break plain.trim_start_matches("http://").to_owned();
            }
            if let Some(status) = child.try_wait()? {
                bail!("the program ended: {status}");
            }
            ensure!(begun.elapsed() < FAR, "the program is not ready");
            std::thread::sleep(Duration::from_millis(1));
        };
        Ok(Self { child, ready: begun.elapsed(), address })
    }

    /// Resident memory, MB (10⁶ bytes).
    pub fn rss_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// CPU time used so far by all threads, seconds.
    pub fn cpu_s(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit_once(')').context("no name")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // utime and stime are fields 14 and 15 of the whole line, in ticks of 10 ms.
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / 100.0)
    }

    /// Ends the program as a crash does.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends the program in order.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "the program was not told to stop");
        self.child.wait()?;
        Ok(())
    }

    /// A connection without a session.
    pub async fn connect(&self) -> Result<Client> {
        Client::connect(&self.address, String::new()).await
    }

    /// A connection signed in as the administrator.
    pub async fn admin(&self) -> Result<Client> {
        let mut client = self.connect().await?;
        let body = json!({"email": "admin@localhost", "password": PASSWORD});
        let session = client.post("/api/v1/sessions", &body).await?;
        client.token = session["token"].as_str().context("no token")?.to_owned();
        Ok(client)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One kept-alive connection.
pub struct Client {
    address: String,
    token: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn connect(address: &str, token: String) -> Result<Self> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address: address.to_owned(), token, sender })
    }

    /// Another connection for the same session.
    pub async fn another(&self) -> Result<Self> {
        Self::connect(&self.address, self.token.clone()).await
    }

    /// The answer's status and body, unread.
    pub async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// Reads a resource.
    pub async fn get(&mut self, path: &str) -> Result<Value> {
        let (status, body) = self.send(Method::GET, path, Bytes::new()).await?;
        answered(status, &body, path)
    }

    /// Creates or asks for something.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let (status, body) = self.send(Method::POST, path, serde_json::to_vec(body)?.into()).await?;
        answered(status, &body, path)
    }

    /// Makes customers with large quotas, and an image; answers their ids.
    pub async fn furnish(&mut self, data: &Path, customers: usize) -> Result<(Vec<String>, String)> {
        let entity = first_id(&self.get("/api/v1/billing-entities").await?)?;
        let plan = first_id(&self.get("/api/v1/plans").await?)?;
        let quota =
            json!({"servers": 1_000_000, "cpus": 4_000_000, "memory_mib": 1_u64 << 40, "disk_gib": 1_u64 << 40});
        let mut ids = Vec::with_capacity(customers);
        for n in 0..customers {
            let new =
                json!({"name": format!("customer-{n}"), "billing_entity_id": entity, "plan_id": plan, "quota": quota});
            ids.push(id(&self.post("/api/v1/customers", &new).await?)?);
        }
        let file = data.join("boot-sector.img");
        let mut sector = [0_u8; 512];
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(&file, sector)?;
        let new =
            json!({"name": "tiny", "billing_entity_id": entity, "file": file, "size_gib": 1, "memory_mib_min": 32});
        let image = id(&self.post("/api/v1/images", &new).await?)?;
        Ok((ids, image))
    }
}

fn answered(status: u16, body: &[u8], path: &str) -> Result<Value> {
    ensure!((200..300).contains(&status), "{path} answered {status}: {}", String::from_utf8_lossy(body));
    Ok(serde_json::from_slice(body)?)
}

/// The id of a record.
pub fn id(record: &Value) -> Result<String> {
    Ok(record["id"].as_str().with_context(|| format!("no id in {record}"))?.to_owned())
}

fn first_id(page: &Value) -> Result<String> {
    id(&page["items"][0])
}

/// The middle one; the lower of the two middle ones for an even count.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// The value that 99 in 100 do not exceed.
pub fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * 99).div_ceil(100).saturating_sub(1)]
}
