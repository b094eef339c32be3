//! `sutler serve`: from settings to a running program and back.

mod listen;
mod tls;

use crate::{
    api::{self, Api},
    config::Config,
    wiring::{self, FirstAdmin},
};
use anyhow::{Context, bail};
use listen::Listener;
use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use sutler_store::{Health, Store};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// How to serve; each goes before the settings of the same name.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// The settings file [default: /etc/sutler/sutler.toml, if it is there]
    #[arg(long, env = "SUTLER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Run everything on the simulated twin: no guest, no disk
    #[arg(long)]
    pub simulated: bool,
    /// Write the bound addresses here, as JSON, once requests are answered
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

impl Options {
    /// The settings these options lead to.
    ///
    /// # Errors
    /// What is wrong with the file or the environment.
    pub fn settings(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(dir) = &self.data_dir {
            config.data.dir.clone_from(dir);
        }
        config.compute.simulated |= self.simulated;
        Ok(config)
    }
}

/// Serves until told to stop. Stopping stops no guest.
///
/// # Errors
/// What kept the program from starting, or from going on; one line.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let config = options.settings()?;
    start_log(&config)?;
    wiring::data_folder(&config.data.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let outcome = runtime.block_on(serve(&config, options.ready_file.as_deref()));
    // A driver call that hangs must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter: tracing_subscriber::EnvFilter = config.log.level.parse().context("log.level")?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(terminal).with_writer(std::io::stderr);
    log.try_init().map_err(|e| anyhow::anyhow!("starting the log: {e}"))
}

async fn serve(config: &Config, ready_file: Option<&Path>) -> anyhow::Result<()> {
    let recorder = api::metrics::install().context("starting metrics")?;
    // Ports first: a port in use is the commonest mistake, and nothing has to be taken apart for it.
    let plain = Listener::bind("listen.plain", &config.listen.plain).await?;
    let secure = Listener::bind("listen.tls", &config.listen.tls).await?;
    let identity = match secure {
        Some(_) => Some(tls::identity(&config.listen, &config.data.dir)?),
        None => None,
    };
    let store = wiring::open_store(config).await?;
    let follower = wiring::follow(config, &store).await?;
    let system = wiring::start(config, store.clone()).await?;
    let first = wiring::bootstrap(config, &system).await?;

    let (stop, stopping) = watch::channel(false);
    let limits = api::Limits::new(&config.limits);
    let simulated = config.compute.simulated;
    let api = Api::new(system.clone(), limits, recorder.clone(), stopping.clone(), simulated);
    tokio::spawn(api::metrics::upkeep(recorder));
    tokio::spawn(api.clone().keep_house());
    let router = api::router(&api);
    let gate = listen::Gate::new(&config.limits);
    let addresses = Addresses {
        tls: secure.as_ref().map(|l| format!("https://{}", l.address)),
        plain: plain.as_ref().map(|l| format!("http://{}", l.address)),
        fingerprint: identity.as_ref().map(|i| i.fingerprint.clone()),
    };
    let mut doors = Vec::new();
    for (listener, tls) in [(plain, None), (secure, identity.map(|i| i.acceptor))] {
        if let Some(listener) = listener {
            doors.push(tokio::spawn(listener.serve(tls, router.clone(), gate.clone(), stopping.clone())));
        }
    }
    announce(&addresses, first.as_ref(), simulated)?;
    if let Some(file) = ready_file {
        addresses.write(file)?;
    }

    let outcome = until_told(&store).await;
    tracing::info!("stopping; guests go on");
    // Nobody waits for the channel when every door is closed already.
    let _ = stop.send(true);
    for door in doors {
        if let Err(error) = door.await {
            tracing::error!(%error, "a listener failed");
        }
    }
    system.stop().await;
    // Waits for the copy to take what is committed.
    tokio::task::spawn_blocking(move || drop(follower)).await.context("ending the continuous copy")?;
    store.close().await;
    outcome
}

/// Waits for a signal, or for the store to fail: the program does not go on with a store it cannot trust.
async fn until_told(store: &Store) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for signals")?;
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = look.tick() => if let Health::Stopped(reason) = store.health() {
                bail!("the store has stopped: {reason}");
            },
        }
    }
    tokio::spawn(async move {
        // Told twice, it ends at once; what is committed is safe.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(())
}

/// Where the program can be reached.
#[derive(serde::Serialize)]
struct Addresses {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
}

impl Addresses {
    /// By way of a temporary name, so that a reader never sees half of it.
    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let part = file.with_extension("part");
        let written = std::fs::write(&part, serde_json::to_vec(self)?).and_then(|()| std::fs::rename(&part, file));
        written.with_context(|| format!("writing the ready file `{}`", file.display()))
    }
}

fn announce(addresses: &Addresses, first: Option<&FirstAdmin>, simulated: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if let Some(admin) = first {
        writeln!(out, "First start: the administrator is {}", admin.email)?;
        match &admin.password {
            Some(password) => writeln!(out, "One-time password, shown only now: {password}")?,
            None => writeln!(out, "The password is the one in SUTLER_ADMIN_PASSWORD")?,
        }
    }
    if simulated {
        writeln!(out, "Simulated: there are no guests and no disks")?;
    }
    if let Some(fingerprint) = &addresses.fingerprint {
        writeln!(out, "Certificate fingerprint (SHA-256): {fingerprint}")?;
    }
    let places: Vec<&str> = addresses.tls.iter().chain(&addresses.plain).map(String::as_str).collect();
    writeln!(out, "Sutler {} is ready at {}", env!("CARGO_PKG_VERSION"), places.join(" and "))?;
    out.flush()?;
    Ok(())
}
