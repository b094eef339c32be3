//! Real peers, each a process of its own on loopback, in a folder of its own, ended with the test.

mod mariadb;
mod prosody;
mod rsyslog;

pub use mariadb::MariaDb;
pub use prosody::Prosody;
pub use rsyslog::Rsyslog;

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longest wait for a peer: busy machines are slow.
const DEADLINE: Duration = Duration::from_secs(90);

/// A running program with its children.
pub struct Process {
    child: Child,
    what: String,
}

impl Process {
    /// Starts `command` in a process group of its own, its output in `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let what = command.get_program().to_string_lossy().into_owned();
        let file = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let child =
            command.spawn().unwrap_or_else(|e| panic!("{what}: {e}; `cargo xtask test` installs what is missing"));
        Self { child, what }
    }

    /// Whether it runs; its end is a failure.
    pub fn assert_alive(&mut self, log: &Path) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended with {status}: {}", self.what, fs::read_to_string(log).unwrap_or_default());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The whole group: some of these programs are scripts that start others.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago: these programs cannot choose one themselves. It lies below those that the system gives to
/// outgoing connections and to whoever asks for any port, of which one would be taken again before a slow program listens.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id().wrapping_mul(64).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(next % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `look` finds something, while the process lives.
pub async fn eventually<T>(process: &mut Process, log: &Path, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        process.assert_alive(log);
        assert!(
            begun.elapsed() < DEADLINE,
            "waited in vain for {}: {}",
            process.what,
            fs::read_to_string(log).unwrap()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A mail server that offers STARTTLS and takes mail only from who signs in.
pub struct MailServer {
    pub port: u16,
    pub certificate: rustls::pki_types::CertificateDer<'static>,
    folder: TempDir,
    process: Process,
}

impl MailServer {
    /// Its name, which is on its certificate.
    pub const NAME: &str = "mail.test";

    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed([Self::NAME.to_owned()]).unwrap();
        fs::write(at("cert.pem"), made.cert.pem()).unwrap();
        fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::write(at("server.py"), include_str!("mail.py")).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-u", "server.py"]).current_dir(folder.path());
        let mut process = Process::start(command, &at("log"));
        let log = at("log");
        let port = eventually(&mut process, &log, async || {
            fs::read_to_string(&log).ok()?.lines().find_map(|line| line.strip_prefix("port ")?.parse().ok())
        })
        .await;
        Self { port, certificate: made.cert.der().clone(), folder, process }
    }

    /// The mails that came, once there are as many.
    pub async fn mails(&mut self, count: usize) -> Vec<String> {
        let (new, log) = (self.folder.path().join("mail/new"), self.folder.path().join("log"));
        eventually(&mut self.process, &log, async || {
            let files: Vec<_> = fs::read_dir(&new).ok()?.map(|entry| entry.unwrap().path()).collect();
            (files.len() >= count).then(|| files.iter().map(|file| fs::read_to_string(file).unwrap()).collect())
        })
        .await
    }
}

/// A RabbitMQ broker with its management API.
pub struct Rabbit {
    pub port: u16,
    management: String,
    _process: Process,
    _names: Process,
    _folder: TempDir,
}

impl Rabbit {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let [port, management, names, distribution] = [(); 4].map(|()| free_port());
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
        );
        fs::write(at("rabbitmq.conf"), settings).unwrap();
        fs::write(at("plugins"), "[rabbitmq_management].").unwrap();
        // Erlang's name server, which would otherwise stay when the broker is gone.
        let mut command = Command::new("epmd");
        command.args(["-port", &names.to_string(), "-address", "127.0.0.1"]);
        let names_process = Process::start(command, &at("epmd.log"));
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command
            .env("HOME", folder.path())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", names.to_string())
            .env("RABBITMQ_NODENAME", format!("sutler-{port}@localhost"))
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_LOGS", "-");
        for (variable, name) in [
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", "logs"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_PID_FILE", "pid"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
            ("RABBITMQ_PLUGINS_EXPAND_DIR", "expanded"),
        ] {
            command.env(variable, at(name));
        }
        let log = at("log");
        let mut process = Process::start(command, &log);
        let management = format!("http://127.0.0.1:{management}/api");
        eventually(&mut process, &log, async || {
            let answer = request(reqwest::Method::GET, &format!("{management}/overview"), None).await?;
            answer.contains("rabbitmq_version").then_some(())
        })
        .await;
        // The listener for clients comes up last.
        let connect = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
        eventually(&mut process, &log, connect).await;
        Self { port, management, _process: process, _names: names_process, _folder: folder }
    }

    /// Asks the management API.
    pub async fn ask(&self, method: reqwest::Method, path: &str, body: Option<&str>) -> serde_json::Value {
        let text = request(method, &format!("{}{path}", self.management), body).await.unwrap();
        if text.is_empty() { serde_json::Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// Takes the messages of a queue.
    pub async fn messages(&self, queue: &str) -> Vec<serde_json::Value> {
        let body = r#"{"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"}"#;
        let taken = self.ask(reqwest::Method::POST, &format!("/queues/%2F/{queue}/get"), Some(body)).await;
        taken.as_array().unwrap_or_else(|| panic!("{taken}")).clone()
    }
}

async fn request(method: reqwest::Method, url: &str, body: Option<&str>) -> Option<String> {
    // Another test may have set the provider already; either is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, url).basic_auth("guest", Some("guest"));
    if let Some(body) = body {
        request = request.header("Content-Type", "application/json").body(body.to_owned());
    }
    request.send().await.ok()?.text().await.ok()
}
