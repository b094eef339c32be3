//! Every command of the project: `cargo xtask help` lists them.
#![allow(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod bench;
mod check;
mod down;
mod home;
mod image;
mod openapi;
mod run;
mod setup;
mod shell;
mod step;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Commands of the Sutler project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start Sutler here and walk through its main job: from an empty folder to a running server and its invoice
    Run(run::Options),
    /// End everything that `run` started; data stays, unless told otherwise
    Down(down::Options),
    /// Everything CI does: install what is missing, build, make images, run every test and check.
    Test,
    /// The fast inner loop: format, lints, unit tests, tidiness, OpenAPI document.
    Check,
    /// Check the rules of the code that no compiler checks
    Tidy,
    /// Measure: one JSON line for each figure.
    Bench(bench::Options),
    /// Write docs/openapi.json from the code.
    Openapi,
    /// Make the guest images, or find them made.
    Image(image::Options),
    /// Install the Debian packages that building, running and testing need.
    Setup,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Down(options) => down::down(&options),
        Command::Test => test::test(),
        Command::Check => check::check(),
        Command::Tidy => check::tidiness(),
        Command::Bench(options) => bench::bench(&options),
        Command::Openapi => openapi::write(),
        Command::Image(options) => image::image(&options),
        Command::Setup => setup::setup(setup::Scope::Test),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
