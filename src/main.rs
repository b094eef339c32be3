//! Sutler arms a small cloud provider. This is its one program: server, offline tools and client.

mod api;
mod cli;
mod config;
mod serve;
mod wiring;

fn main() -> std::process::ExitCode {
    cli::main()
}
