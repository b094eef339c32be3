//! `sutler serve` in the background: started once, found again, stopped by `down`.

use super::client::Client;
use crate::{home, shell, step::Step};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long the server may take until it answers, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// The profile of the client that is left for the user.
pub const PROFILE: &str = "local";

/// What is remembered of a server that runs.
#[derive(Serialize, Deserialize)]
pub struct State {
    pid: u32,
    /// The program, to be recognized by.
    program: PathBuf,
    /// Whether its drivers are simulated.
    pub simulated: bool,
}

/// What the server writes once it answers.
#[derive(Deserialize)]
struct Addresses {
    tls: String,
    fingerprint: String,
}

/// A server that answers, and us signed in to it.
pub struct Service {
    /// For everything else.
    pub client: Client,
    /// The administrator and, at the very first start only, the password.
    pub admin: (String, Option<String>),
    /// Whether its drivers are simulated.
    pub simulated: bool,
}

/// Files of `run` in the data folder.
struct Places {
    data: PathBuf,
    log: PathBuf,
    ready: PathBuf,
    state: PathBuf,
    key: PathBuf,
}

impl Places {
    fn new() -> Result<Places> {
        let home = home::data()?;
        Ok(Places {
            data: home.join("data"),
            log: home.join("serve.log"),
            ready: home.join("serve.json"),
            state: home.join("run.json"),
            key: home.join("run.key"),
        })
    }
}

impl State {
    /// The server that runs now, if one does.
    pub fn running() -> Result<Option<State>> {
        let Ok(text) = fs::read(Places::new()?.state) else { return Ok(None) };
        let Ok(state) = serde_json::from_slice::<State>(&text) else { return Ok(None) };
        Ok(state.lives().then_some(state))
    }

    /// Whether that process is still ours: a process id is given to others later.
    fn lives(&self) -> bool {
        let arguments = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0);
        arguments.next() == Some(self.program.as_os_str().as_encoded_bytes()) && arguments.next() == Some(b"serve")
    }

    /// Asks it to stop and waits until it has. Its guests run on.
    pub fn stop(&self) -> Result<()> {
        // A shell's own `kill`, since the program of that name is no part of every Debian.
        shell::run(Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid)]))?;
        let asked = Instant::now();
        while self.lives() {
            if asked.elapsed() > PATIENCE {
                bail!("sutler serve (process {}) did not stop within {} s", self.pid, PATIENCE.as_secs());
            }
            thread::sleep(PAUSE);
        }
        fs::remove_file(Places::new()?.state)?;
        Ok(())
    }
}

impl Service {
    /// Starts the server, or finds it running.
    pub fn start(program: &Path, listen: &str, simulated: bool) -> Result<Service> {
        let places = Places::new()?;
        let step = Step::begin("sutler serve");
        if let Some(state) = State::running()? {
            if state.simulated != simulated {
                let drivers = |simulated| if simulated { "simulated" } else { "real" };
                bail!(
                    "Sutler runs already, with {} drivers; `cargo xtask down` first, or set SUTLER_HOME to another folder",
                    drivers(state.simulated)
                );
            }
            let service = Service::connect(program, &places, simulated, None)?;
            step.done(format!("runs already at {}", service.client.url));
            return Ok(service);
        }
        check_mode(&places, simulated)?;
        let (child, password) = spawn(program, &places, listen, simulated)?;
        let state = State { pid: child.id(), program: program.to_owned(), simulated };
        fs::write(&places.state, serde_json::to_vec(&state)?)?;
        let service = Service::connect(program, &places, simulated, password)?;
        step.done(format!("answers at {}, log in {}", service.client.url, places.log.display()));
        Ok(service)
    }

    /// Signs in: the first time with the one-time password, for an API key of our own; with that from then on.
    fn connect(program: &Path, places: &Places, simulated: bool, password: Option<Admin>) -> Result<Service> {
        let addresses: Addresses =
            serde_json::from_slice(&fs::read(&places.ready)?).context("where the server listens")?;
        let mut client =
            Client { program: program.to_owned(), url: addresses.tls, fingerprint: addresses.fingerprint, token: None };
        if let Some(admin) = &password {
            client.ask_with_input(
                &["--profile", PROFILE, "login", "--email", &admin.email, "--password-stdin"],
                &admin.password,
            )?;
            let key = client.ask(&["--profile", PROFILE, "key", "create", "cargo-xtask-run"])?;
            let secret = key["secret"].as_str().context("the server gave no key")?;
            write_secret(&places.key, secret)?;
        }
        let key = fs::read_to_string(&places.key).with_context(|| {
            format!(
                "reading our key to the server, {}. Without it only the administrator gets in; \
                 `cargo xtask down --delete` begins anew",
                places.key.display()
            )
        })?;
        client.token = Some(key.trim().to_owned());
        let me = client.ask(&["whoami"])?;
        let email = me["email"].as_str().or(me["user"]["email"].as_str()).unwrap_or("admin@localhost").to_owned();
        Ok(Service { client, admin: (email, password.map(|admin| admin.password)), simulated })
    }
}

/// Who the server made at its very first start.
struct Admin {
    email: String,
    password: String,
}

/// A store with real servers must not meet simulated drivers: they would all be found missing.
fn check_mode(places: &Places, simulated: bool) -> Result<()> {
    let marker = places.data.join("simulated-by-run");
    let store = places.data.join("sutler.redb");
    if store.exists() && marker.exists() != simulated {
        bail!(
            "the data in {} was made with {} drivers. Set SUTLER_HOME to another folder, or `cargo xtask down --delete`",
            places.data.display(),
            if simulated { "real" } else { "simulated" }
        );
    }
    fs::create_dir_all(&places.data)?;
    fs::set_permissions(&places.data, PermissionsExt::from_mode(0o700))?;
    if simulated {
        fs::write(marker, "")?;
    }
    Ok(())
}

/// Starts the process in a session of its own, so that neither Ctrl-C nor a closed terminal ends it, and waits until it
/// answers. What it says on standard output, a password perhaps, is read here and kept nowhere; the log goes to its file.
fn spawn(program: &Path, places: &Places, listen: &str, simulated: bool) -> Result<(Child, Option<Admin>)> {
    let _ = fs::remove_file(&places.ready);
    let log = OpenOptions::new().create(true).append(true).open(&places.log)?;
    let before = log.metadata()?.len();
    let mut command = Command::new("setsid");
    command.arg(program).arg("serve").arg("--data-dir").arg(&places.data).arg("--ready-file").arg(&places.ready);
    if simulated {
        command.arg("--simulated");
    }
    // Other settings are the user's own business, but not the password: the one made up is shown.
    command.env("SUTLER_LISTEN_TLS", listen).env_remove("SUTLER_ADMIN_PASSWORD");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().context("starting sutler serve")?;

    let (mut email, mut password) = (None, None);
    for line in BufReader::new(child.stdout.take().context("the server has no output")?).lines() {
        let line = line?;
        if let Some(text) = line.strip_prefix("First start: the administrator is ") {
            email = Some(text.to_owned());
        } else if let Some(text) = line.strip_prefix("One-time password, shown only now: ") {
            password = Some(text.to_owned());
        } else if line.contains(" is ready at ") {
            break;
        }
    }
    let started = Instant::now();
    while !places.ready.exists() {
        if child.try_wait()?.is_some() {
            let log = fs::read(&places.log)?;
            let said = String::from_utf8_lossy(&log[usize::try_from(before)?..]).trim().to_owned();
            bail!(
                "sutler serve did not start:\n{said}\n(--listen ADDRESS chooses another port; the log is {})",
                places.log.display()
            );
        }
        if started.elapsed() > PATIENCE {
            bail!("sutler serve does not answer; see {}", places.log.display());
        }
        thread::sleep(PAUSE);
    }
    Ok((child, email.zip(password).map(|(email, password)| Admin { email, password })))
}

fn write_secret(file: &Path, secret: &str) -> Result<()> {
    let _ = fs::remove_file(file);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    Ok(std::io::Write::write_all(&mut file, secret.as_bytes())?)
}
