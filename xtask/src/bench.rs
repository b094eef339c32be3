//! Benchmarks.

use crate::{home, image, setup, shell};
use anyhow::Result;
use std::process::Command;

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Only this one.
    name: Option<String>,
}

/// Builds the benchmarks for release and runs them; each measure is a line of JSON.
pub fn bench(options: &Options) -> Result<()> {
    setup::setup(setup::Scope::Bench)?;
    shell::run(
        Command::new("cargo")
            .args(["build", "--quiet", "--release", "--package", "sutler", "--package", "sutler-benches"])
            .current_dir(home::checkout()),
    )?;
    let busybox = image::ensure(image::BUSYBOX, false)?;
    let program = home::target().join("release/sutler-benches");
    shell::run(
        Command::new(program)
            .args(&options.name)
            .env("SUTLER_TEST_BUSYBOX", &busybox.folder)
            .current_dir(home::checkout()),
    )
}
