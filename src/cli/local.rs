//! Commands that need no server: running one, its store offline, its settings, and texts about the program itself.

use super::{
    error::{Error, chain},
    output::{Format, lines, note},
};
use crate::{config::Config, serve, wiring};
use clap_complete::Shell;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use sutler_store::{Committed, Error as StoreError};

/// Commands that work in this process.
#[derive(clap::Subcommand, Debug)]
pub enum Local {
    /// Run the server until it is told to stop; stopping it stops no guest
    Serve(serve::Options),
    /// Put a backup in place where no store is
    Restore {
        /// The backup
        from: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// The store of a stopped server
    #[command(subcommand)]
    Store(StoreCommand),
    /// The settings of the server
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the API's description (OpenAPI 3.1)
    Openapi,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write man pages into a folder
    Man {
        /// The folder; made when it is not there
        folder: PathBuf,
    },
}

/// Commands of `store`.
#[derive(clap::Subcommand, Debug)]
pub enum StoreCommand {
    /// Make the store anew, where none is, from the folder of a follower (`follower.dir`)
    Rebuild {
        /// The folder
        folder: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Read everything in a store and check that it fits together
    Verify {
        /// The file; default: the store in the data folder
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
}

/// Commands of `config`.
#[derive(clap::Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the default settings with their comments
    Default,
    /// Check settings, those from the environment too; with `-o json` print what is in force
    Check {
        /// The settings file; default: the one that `serve` would read
        file: Option<PathBuf>,
    },
}

/// Where the store is.
#[derive(clap::Args, Debug)]
pub struct Place {
    /// The settings file [default: /etc/sutler/sutler.toml, if it is there]
    #[arg(long, env = "SUTLER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

impl Place {
    /// The settings it leads to.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn settings(self) -> Result<Config, Error> {
        let options = serve::Options { config: self.config, data_dir: self.data_dir, ..serve::Options::default() };
        options.settings().map_err(failed)
    }

    /// The store file in the data folder.
    fn store(self) -> Result<PathBuf, Error> {
        Ok(self.settings()?.data.dir.join(wiring::STORE_FILE))
    }

    /// The same, with the folder made: for a store that is about to be there.
    fn for_new_store(self) -> Result<PathBuf, Error> {
        let dir = self.settings()?.data.dir;
        wiring::data_folder(&dir).map_err(failed)?;
        Ok(dir.join(wiring::STORE_FILE))
    }
}

/// Runs one of these commands. `root` makes the whole command line, for texts about it.
///
/// # Errors
/// [`Error::Failed`], saying what was attempted.
pub fn run(command: Local, format: Format, root: fn() -> clap::Command) -> Result<(), Error> {
    match command {
        Local::Serve(options) => serve::run(&options).map_err(failed),
        Local::Restore { from, place } => {
            let store = place.for_new_store()?;
            let copied = sutler_store::restore(&from, &store).map_err(of_store)?;
            told(format, &format!("restored `{}` from `{}`", store.display(), from.display()), copied)
        }
        Local::Store(StoreCommand::Rebuild { folder, place }) => {
            let store = place.for_new_store()?;
            let made = sutler_store::rebuild(&folder, &store).map_err(of_store)?;
            told(format, &format!("rebuilt `{}` from `{}`", store.display(), folder.display()), made)
        }
        Local::Store(StoreCommand::Verify { file, place }) => verify(file, place, format),
        Local::Config(ConfigCommand::Default) => lines(crate::config::DEFAULT_TEXT),
        Local::Config(ConfigCommand::Check { file }) => {
            let config = Config::load(file.as_deref()).map_err(|e| Error::Failed(chain(&e)))?;
            match format {
                Format::Table => lines("the settings are good"),
                _ => format.value(&serde_json::to_value(config).map_err(|e| Error::because("writing settings", &e))?),
            }
        }
        Local::Openapi => lines(&crate::api::openapi_text()),
        Local::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut root(), "sutler", &mut script);
            lines(&String::from_utf8_lossy(&script))
        }
        Local::Man { folder } => man(root(), &folder),
    }
}

/// Copies the store of a stopped server. Opening a store checks it, so a backup is of a store that opens.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Failed`], saying what was attempted.
pub async fn backup(config: &Config, to: PathBuf, format: Format) -> Result<(), Error> {
    let path = config.data.dir.join(wiring::STORE_FILE);
    present(&path)?;
    let shown = to.display().to_string();
    let store = wiring::open_store(config).await.map_err(|e| match e.downcast() {
        Ok(error) => of_store(error),
        Err(error) => failed(error),
    })?;
    let copied = store.backup(to).await;
    store.close().await;
    let copied = copied.map_err(of_store)?;
    told(format, &format!("copied `{}` to `{shown}`", path.display()), copied)
}

fn verify(file: Option<PathBuf>, place: Place, format: Format) -> Result<(), Error> {
    let path = file.map_or_else(|| place.store(), Ok)?;
    let found = present(&path).and_then(|()| sutler_store::verify(&path).map_err(of_store))?;
    let records: BTreeMap<&str, u64> = found.records.iter().map(|(noun, count)| (noun.name(), *count)).collect();
    let report = json!({"records": records, "oldest_seq": found.oldest_seq, "seq": found.seq});
    if format == Format::Table {
        lines(&format!("`{}` is sound", path.display()))?;
    }
    format.record(&report)
}

fn present(path: &Path) -> Result<(), Error> {
    match path.exists() {
        true => Ok(()),
        false => Err(Error::NotFound(format!("there is no store at `{}`", path.display()))),
    }
}

/// Says what was copied.
///
/// # Errors
/// [`Error::OutputClosed`].
pub fn told(format: Format, what: &str, copied: Committed) -> Result<(), Error> {
    match format {
        Format::Table => lines(&format!("{what}: everything up to event {} of {}", copied.seq, copied.at)),
        _ => format.value(&json!({"seq": copied.seq, "at": copied.at})),
    }
}

/// A store's error, with the way out where the command line has one.
fn of_store(error: StoreError) -> Error {
    let text = chain(&error);
    match error {
        StoreError::InUse { .. } => Error::Failed(format!(
            "{text}: the server is running. Stop it first; or ask it for a copy with `sutler backup --online`, or set `follower.dir` to copy every change as it happens"
        )),
        _ => Error::Failed(text),
    }
}

fn failed(error: anyhow::Error) -> Error {
    Error::Failed(chain(&*error))
}

/// One page per command: `sutler.1`, `sutler-server.1`, `sutler-server-create.1` …
fn man(root: clap::Command, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|e| Error::because(format!("making `{}`", folder.display()), &e))?;
    clap_mangen::generate_to(root, folder)
        .map_err(|e| Error::because(format!("writing man pages into `{}`", folder.display()), &e))?;
    note(&format!("man pages are in {0}; read one with `man -l {0}/sutler.1`", folder.display()));
    Ok(())
}
