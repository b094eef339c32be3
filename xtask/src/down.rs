//! Ends what `run` started.

use crate::{
    home,
    run::{self, Service, State},
    step::Step,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::{IsTerminal, Write, stdin, stdout},
};

/// What to end.
#[derive(clap::Args)]
pub struct Options {
    /// Delete the data too: every server, its disks, every invoice
    #[arg(long)]
    delete: bool,
    /// Delete without asking
    #[arg(long, requires = "delete")]
    yes: bool,
}

/// Stops every guest, then the server; says what it kept.
pub fn down(options: &Options) -> Result<()> {
    let home = home::data()?;
    let data = home.join("data");
    if options.delete && !options.yes && !confirmed(&data.display().to_string())? {
        bail!("nothing was stopped or deleted");
    }
    let running = State::running()?;
    if data.join("sutler.redb").exists() {
        stop_guests(running.as_ref())?;
    }
    match State::running()? {
        Some(state) => {
            let step = Step::begin("sutler serve");
            state.stop()?;
            step.done("stopped");
        }
        None => println!("  Sutler does not run."),
    }
    if options.delete {
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("deleting {}", data.display()))?;
        }
        for file in ["run.key", "serve.json", "serve.log"] {
            let _ = fs::remove_file(home.join(file));
        }
        println!("  ✓ deleted {}", data.display());
    } else if data.exists() {
        println!("  kept: {} (servers, disks, invoices); `cargo xtask run` goes on with it,", data.display());
        println!("        `cargo xtask down --delete` deletes it");
    }
    if home.join("images").exists() {
        println!("  kept: {} (guest images, made anew when missing)", home.join("images").display());
    }
    Ok(())
}

/// Guests outlive the server, so one that was killed is started once more to find and stop them.
fn stop_guests(running: Option<&State>) -> Result<()> {
    let data = home::data()?.join("data");
    let simulated = running.map_or_else(|| data.join("simulated-by-run").exists(), |state| state.simulated);
    if running.is_none() && simulated {
        return Ok(());
    }
    let program = home::target().join("debug/sutler");
    let program = if program.exists() { program } else { run::build()? };
    let service = Service::start(&program, "127.0.0.1:0", simulated)?;
    run::stop_servers(&service)
}

fn confirmed(what: &str) -> Result<bool> {
    if !stdin().is_terminal() {
        bail!("deleting {what} needs --yes where nobody can be asked");
    }
    print!("Delete {what}, with every server, disk and invoice in it? [y/N] ");
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
