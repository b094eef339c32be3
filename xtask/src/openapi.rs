//! The API's document, written from the code.

use crate::{home, shell};
use anyhow::{Context, Result, bail};
use std::{fs, path::PathBuf, process::Command};

fn file() -> PathBuf {
    home::checkout().join("docs/openapi.json")
}

/// What the code says.
fn from_code() -> Result<String> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--package", "sutler", "--bin", "sutler", "--", "openapi"]);
    let text = shell::read(command.current_dir(home::checkout()))?;
    Ok(text.trim_end().to_owned() + "\n")
}

/// Writes the document.
pub fn write() -> Result<()> {
    fs::write(file(), from_code()?).context("writing docs/openapi.json")?;
    println!("docs/openapi.json");
    Ok(())
}

/// Refuses a document that is not what the code says.
pub fn check() -> Result<()> {
    let written = fs::read_to_string(file()).unwrap_or_default();
    if written != from_code()? {
        bail!("docs/openapi.json is not what the code says: run `cargo xtask openapi` and commit it");
    }
    Ok(())
}
