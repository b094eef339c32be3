//! Commands that need no server: running one, its store offline, its configuration, and texts about the program itself.

use super::{
    error::Error,
    output::{Format, lines, note},
};
use clap_complete::Shell;
use std::{fs, path::PathBuf};

/// Commands that work in this process.
#[derive(clap::Subcommand, Debug)]
pub enum Local {
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

/// Runs one of these commands. `root` makes the whole command line, for texts about it.
///
/// # Errors
/// [`Error::Failed`], saying what was attempted.
pub fn run(command: Local, _format: Format, root: fn() -> clap::Command) -> Result<(), Error> {
    match command {
        Local::Openapi => lines(&crate::api::openapi_text()),
        Local::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut root(), "sutler", &mut script);
            lines(&String::from_utf8_lossy(&script))
        }
        Local::Man { folder } => man(root(), &folder),
    }
}

/// One page per command: `sutler.1`, `sutler-server.1`, `sutler-server-create.1` …
fn man(root: clap::Command, folder: &std::path::Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|e| Error::because(format!("making `{}`", folder.display()), &e))?;
    clap_mangen::generate_to(root, folder)
        .map_err(|e| Error::because(format!("writing man pages into `{}`", folder.display()), &e))?;
    note(&format!("man pages are in {}; read one with `man -l {}/sutler.1`", folder.display(), folder.display()));
    Ok(())
}
