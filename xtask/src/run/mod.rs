//! What a new user sees: from nothing to a running server, its triggers and its invoice, each step shown as it happens.
//!
//! Everything goes through the `sutler` client, as a user would do it, and looks first, so a second run finds what the first
//! made.

mod client;
mod server;
mod service;
mod walk;

pub use server::stop_servers;
pub use service::{Service, State};

use crate::{home, image, setup, shell, step::Step};
use anyhow::{Context, Result};
use std::{fs::File, path::PathBuf, process::Command};

/// How to run.
#[derive(clap::Args)]
pub struct Options {
    /// Use the simulated drivers: no guest, no image, done in seconds
    #[arg(long)]
    simulated: bool,
    /// Address and port of the API
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    listen: String,
}

/// The command.
pub fn run(options: &Options) -> Result<()> {
    println!("Sutler, from an empty folder to a running server and its invoice.");
    println!("Data folder: {} (SUTLER_HOME says otherwise)\n", home::data()?.display());
    setup::setup(setup::Scope::Run)?;
    let program = build()?;
    let image = if options.simulated { None } else { Some(image::ensure(image::DEBIAN, false)?) };

    let service = Service::start(&program, &options.listen, options.simulated)?;
    let guest = match image {
        Some(image) => walk::Guest {
            file: image.folder.join(&image.manifest.disk),
            name: image.manifest.name,
            size_gib: image.manifest.size_gib,
            memory_mib_min: image.manifest.memory_mib_min,
        },
        None => simulated_guest()?,
    };
    let walked = walk::walk(&service, &guest);
    if let (Err(_), (email, Some(password))) = (&walked, &service.admin) {
        println!("\n  administrator {email}, one-time password (shown only now): {password}");
    }
    walked
}

/// Builds the program. A development build: a release takes several times as long to make, and nothing here needs its speed.
pub fn build() -> Result<PathBuf> {
    let program = home::target().join("debug/sutler");
    let first =
        if program.exists() { "" } else { " (the first build takes minutes; a development build, to keep it short)" };
    let step = Step::begin(format!("building sutler{first}"));
    let log = home::data()?.join("build.log");
    File::create(&log)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--package", "sutler", "--bin", "sutler"]).current_dir(home::checkout());
    shell::run_logged(&mut cargo, &log).context("building sutler")?;
    step.done(program.display().to_string());
    Ok(program)
}

/// The simulated drivers take any image, but it must be one.
fn simulated_guest() -> Result<walk::Guest> {
    let file = home::data()?.join("simulated.qcow2");
    shell::read(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&file).arg("1G"))?;
    Ok(walk::Guest { file, name: "simulated".into(), size_gib: 1, memory_mib_min: 64 })
}
