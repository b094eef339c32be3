//! The fast inner loop.

use crate::{home, openapi, setup, shell, step::Step, tidy};
use anyhow::Result;
use std::process::Command;

/// Format, lints, unit tests, tidiness, OpenAPI document; stops at the first that fails.
pub fn check() -> Result<()> {
    setup::setup(setup::Scope::Run)?;
    tidiness()?;
    cargo("format", &["fmt", "--all", "--check"])?;
    cargo("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    cargo("unit tests", &["test", "--quiet", "--workspace", "--lib"])?;
    document()
}

/// The rules of `tidy`.
pub fn tidiness() -> Result<()> {
    let step = Step::begin("tidiness");
    tidy::tidy(&home::checkout())?;
    step.done("");
    Ok(())
}

/// The OpenAPI document.
pub fn document() -> Result<()> {
    let step = Step::begin("docs/openapi.json");
    openapi::check()?;
    step.done("as the code says");
    Ok(())
}

/// Runs cargo as a step, with its own output.
pub fn cargo(what: &str, arguments: &[&str]) -> Result<()> {
    println!("── {what}: cargo {}", arguments.join(" "));
    shell::run(Command::new("cargo").args(arguments).current_dir(home::checkout()))
}
