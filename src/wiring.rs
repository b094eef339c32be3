//! Puts the program together: opens the store, picks the drivers, starts the actors; and takes it apart in reverse.

use crate::{api::password, config::Config};
use anyhow::{Context, anyhow, bail};
use std::{
    fs,
    num::NonZero,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};
use sutler_actors::{NewProvider, NodeConfig, Settings, Setup, System};
use sutler_drivers::simulated::Simulated;
use sutler_model::{Noun, time::DAY_MS, validate};
use sutler_store::{Follower, FollowerStatus, Options, Store};

/// The store's file in the data folder.
pub const STORE_FILE: &str = "sutler.redb";

/// The first administrator, told once.
pub struct FirstAdmin {
    /// Their sign-in name.
    pub email: String,
    /// Their password, when it was made up here.
    pub password: Option<String>,
}

/// Makes the data folder, for its owner's eyes alone, or finds it made and usable.
///
/// # Errors
/// What is wrong with it.
pub fn data_folder(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    match fs::metadata(dir) {
        Ok(found) if !found.is_dir() => bail!("the data folder `{shown}` is not a folder"),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
                .with_context(|| format!("closing the data folder `{shown}` to other users"))?;
        }
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .with_context(|| format!("making the data folder `{shown}`"))?;
        }
        Err(e) => return Err(anyhow!(e).context(format!("looking at the data folder `{shown}`"))),
    }
    fs::read_dir(dir).with_context(|| format!("reading the data folder `{shown}`"))?;
    Ok(())
}

/// How the settings want the store opened.
pub fn store_options(config: &Config) -> Options {
    const MIB: u64 = 1024 * 1024;
    const HOUR_MS: i64 = 3_600_000;
    let store = &config.store;
    Options {
        cache_bytes: store.cache_mib as usize * MIB as usize,
        reserve_bytes: u64::from(store.reserve_mib) * MIB,
        feed_keep_ms: i64::from(store.feed_keep_hours) * HOUR_MS,
        feed_max_ms: i64::from(store.feed_max_hours) * HOUR_MS,
        feed_max_bytes: u64::from(store.feed_max_mib) * MIB,
        ..Options::default()
    }
}

/// Opens the store on a thread where blocking is allowed.
///
/// # Errors
/// The store's, in one line.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let (path, options) = (config.data.dir.join(STORE_FILE), store_options(config));
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, options)).await;
    Ok(opened.context("opening the store")??)
}

/// Starts the continuous copy, when the settings name a folder for it.
///
/// # Errors
/// A folder that cannot be written or holds another store's copy.
pub async fn follow(config: &Config, store: &Store) -> anyhow::Result<Option<Follower>> {
    let folder = config.follower.dir.clone();
    if folder.as_os_str().is_empty() {
        return Ok(None);
    }
    let store = store.clone();
    let started = tokio::task::spawn_blocking(move || Follower::start(store, folder)).await.context("following")?;
    let follower = started.context("starting the continuous copy (follower.dir)")?;
    let mut status = follower.status();
    tokio::spawn(async move {
        let mut trouble = None;
        loop {
            let FollowerStatus { seq, error } = status.borrow_and_update().clone();
            metrics::gauge!("sutler_follower_seq").set(seq as f64);
            if error != trouble {
                match &error {
                    Some(error) => tracing::error!(error, "the continuous copy stands still; it keeps trying"),
                    None => tracing::info!("the continuous copy goes on"),
                }
                trouble = error;
            }
            if status.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(Some(follower))
}

/// Starts drivers and actors over an open store.
///
/// # Errors
/// An address no driver knows; the store's. A node that does not answer is no error.
pub async fn start(config: &Config, store: Store) -> anyhow::Result<System> {
    let data = config.data.dir.as_path();
    let mut nodes = Vec::with_capacity(config.compute.nodes.len());
    for node in &config.compute.nodes {
        let uri = if config.compute.simulated { format!("simulated:///{}", node.name) } else { node.uri.clone() };
        let drivers = sutler_drivers::open_node(&uri, data)
            .await
            .with_context(|| format!("opening node `{}` (compute.nodes)", node.name))?;
        nodes.push(NodeConfig { name: node.name.clone(), uri, drivers });
    }
    let simulated = if config.compute.simulated { Some(Simulated::in_folder(data)?) } else { None };
    let arbiters = std::thread::available_parallelism().map_or(1, NonZero::get);
    let setup = Setup { store, nodes, settings: settings(config)?, simulated, arbiters };
    System::start(setup).await.context("starting the actors")
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        node_poll_ms: config.compute.poll_ms,
        disk_grace_ms: i64::from(config.compute.disk_grace_hours) * 3_600_000,
        job_deadline_ms: i64::from(config.jobs.deadline_s) * 1000,
        retry_base_ms: config.jobs.retry_ms,
        retry_max: config.jobs.tries_max,
        shutdown_ms: u64::from(config.compute.shutdown_s) * 1000,
        jobs_at_once: config.jobs.at_once as usize,
        jobs_waiting_max: config.jobs.waiting_max as usize,
        crash_restarts_max: config.compute.crash_restarts_max,
        lua_threads: config.lua.threads as usize,
        pre_deadline_ms: config.lua.pre_deadline_ms,
        post_deadline_ms: config.lua.post_deadline_ms,
        run_tries_max: config.lua.tries_max,
        owner_cpu_ms_per_s: config.lua.owner_cpu_ms_per_s,
        measure_every_ms: u64::from(config.lua.measure_every_s) * 1000,
        runs_keep_ms: i64::from(config.lua.runs_keep_days) * DAY_MS,
        signing_required: config.lua.signing_required,
        egress: config.egress.policy().map_err(|(setting, fix)| anyhow::anyhow!("{setting} {fix}"))?,
    })
}

/// At the first start, makes the provider and its first administrator. None: they are there.
///
/// # Errors
/// `SUTLER_ADMIN_PASSWORD` or a setting that cannot be used; the store's.
pub async fn bootstrap(config: &Config, system: &System) -> anyhow::Result<Option<FirstAdmin>> {
    if !system.store().index().all(Noun::BillingEntity).is_empty() {
        return Ok(None);
    }
    let given = std::env::var("SUTLER_ADMIN_PASSWORD").ok();
    if let Some(password) = &given {
        validate::password("SUTLER_ADMIN_PASSWORD", password)?;
    }
    let password = given.clone().unwrap_or_else(readable_password);
    let hash = tokio::task::spawn_blocking(move || (password::hash(&password), password)).await?;
    let (hash, password) = (hash.0.map_err(|e| anyhow!("hashing the first password: {e}"))?, hash.1);
    let email = config.provider.admin_email.to_lowercase();
    let new = NewProvider {
        name: config.provider.name.clone(),
        currency: config.provider.currency.parse().context("provider.currency")?,
        admin_email: email.clone(),
        password_hash: hash,
    };
    let made = system.bootstrap(new).await.context("making the provider and the first administrator")?;
    Ok(made.map(|_| FirstAdmin { email, password: given.is_none().then_some(password) }))
}

/// 20 letters and digits that cannot be mistaken for one another, in groups: 98 bits.
fn readable_password() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let letter = |_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
    let groups: Vec<String> = (0..4).map(|_| (0..5).map(letter).collect()).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_passwords_are_long_and_differ() {
        let (a, b) = (readable_password(), readable_password());
        assert_ne!(a, b);
        assert_eq!(a.len(), 23);
        validate::password("password", &a).unwrap();
    }

    #[test]
    fn the_data_folder_is_closed_to_others() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("a/b");
        data_folder(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        data_folder(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let file = outer.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(data_folder(&file).unwrap_err().to_string().contains("is not a folder"));
    }
}
