//! Starts and ends the real program.

use super::Client;
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Far more than anything takes on a busy machine; only a failure waits this long.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// The first administrator's password.
pub const PASSWORD: &str = "correct horse battery staple";

/// The program, running on a folder of its own.
pub struct Program {
    child: Child,
    folder: TempDir,
    settings: Vec<(String, String)>,
    /// Where plain HTTP is answered: `http://127.0.0.1:1234`.
    pub base: String,
    /// Where HTTPS is answered.
    pub secure: String,
    /// The certificate's fingerprint.
    pub fingerprint: String,
}

/// A command that runs the program on `data`, with nothing of the tester's own environment.
pub fn command(data: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sutler"));
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
        .env("SUTLER_DATA_DIR", data)
        .env("SUTLER_LISTEN_TLS", "127.0.0.1:0")
        .env("SUTLER_LISTEN_PLAIN", "127.0.0.1:0")
        .env("SUTLER_ADMIN_PASSWORD", PASSWORD)
        .env("SUTLER_STORE_RESERVE_MIB", "1")
        .env("SUTLER_JOBS_RETRY_MS", "10")
        .env("SUTLER_LOG_LEVEL", "warn")
        .env("SUTLER_COMPUTE_SIMULATED", "true")
        .envs(settings.iter().cloned())
        .arg("serve");
    command
}

impl Program {
    /// Starts the program with its defaults.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts the program with settings by environment variable.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self::on(folder, settings).await
    }

    async fn on(folder: TempDir, settings: Vec<(String, String)>) -> Self {
        let ready = folder.path().join("ready.json");
        let _ = fs::remove_file(&ready);
        let log = File::options().create(true).append(true).open(folder.path().join("log")).expect("a log file");
        let child = command(&folder.path().join("data"), &settings)
            .arg("--ready-file")
            .arg(&ready)
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut program =
            Self { child, folder, settings, base: String::new(), secure: String::new(), fingerprint: String::new() };
        let addresses: Value = eventually("the program is ready", async || {
            if let Some(status) = program.child.try_wait().expect("the child's state") {
                panic!("the program ended with {status}:\n{}", program.log());
            }
            fs::read(&ready).ok().and_then(|text| serde_json::from_slice(&text).ok())
        })
        .await;
        let text = |name: &str| addresses[name].as_str().unwrap_or_default().to_owned();
        (program.base, program.secure, program.fingerprint) = (text("plain"), text("tls"), text("fingerprint"));
        program
    }

    /// A client without a credential.
    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// A client signed in as the first administrator.
    pub async fn admin(&self) -> Client {
        self.client().sign_in("admin@localhost", PASSWORD).await
    }

    /// What the program printed and logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The program's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Kills the program as a power cut would, and starts it again on the same folder.
    pub async fn kill_and_restart(mut self) -> Self {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        self.restart().await
    }

    /// Starts a program that has ended again.
    pub async fn restart(mut self) -> Self {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a temporary folder"));
        let settings = std::mem::take(&mut self.settings);
        drop(self);
        Self::on(folder, settings).await
    }

    /// The same, with one setting changed.
    pub async fn restart_with(mut self, variable: &str, value: &str) -> Self {
        self.settings.retain(|(name, _)| name != variable);
        self.settings.push((variable.to_owned(), value.to_owned()));
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        self.restart().await
    }

    /// Asks the program to stop and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(told.success());
        let child = &mut self.child;
        eventually("the program ends", async || child.try_wait().expect("the child's state")).await
    }

    /// Whether the program runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child's state").is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `look` finds something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
