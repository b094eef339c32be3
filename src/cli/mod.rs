//! The command line: the server and its offline tools, and a client over the public API.
//!
//! Commands on nouns are made from one table ([`nouns`]); what needs more has a file of its own.

mod backup;
mod blob;
mod check;
mod client;
mod console;
mod error;
mod events;
mod field;
mod invoice;
mod job;
mod local;
mod login;
mod metadata;
mod noun;
mod nouns;
mod operator;
mod output;
mod package;
mod profile;
mod provider;
mod session;
mod terminal;
mod tls;
mod transaction;
mod trigger;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use error::Error;
use nouns::Noun;
use output::Format;
use profile::Connection;
use session::Session;
use std::{ffi::OsString, process::ExitCode};

/// Arms a small cloud provider: servers, resellers, metering, invoices and Lua triggers in one process.
#[derive(Parser, Debug)]
#[command(
    name = "sutler",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "SUTLER_TOKEN takes an API key or session token instead of the profile's.\n\
                        Exit codes: 0 done, 1 failed, 2 wrong input, 3 not found, 4 not allowed or not signed in, \
                        5 conflict, 6 the job failed, 7 server not reached.")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
struct Common {
    /// What is printed: table, json or yaml. Tables are cut to the width of a terminal, never when piped
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT", hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// Commands that are not made from the table.
#[derive(Subcommand, Debug)]
enum Command {
    #[command(flatten)]
    Local(local::Local),
    /// Copy the store to a new file: of a stopped server, or with --online of a running one
    Backup(backup::Backup),
    /// Sign in to a server and keep the session in a profile
    Login(login::Login),
    /// Sign out and forget the session
    Logout,
    /// Show who you are and what you may do
    Whoami,
    /// Follow what happens
    #[command(subcommand)]
    Events(events::Events),
    /// Show the intervals of use behind a customer's bill
    Usage(invoice::Usage),
    /// What is out of service
    #[command(subcommand)]
    Quarantine(operator::Quarantine),
    /// Order faults of the simulated drivers
    #[command(subcommand)]
    Simulate(operator::Simulate),
    /// Settings and actions that scripts add to servers, customers and billing entities
    #[command(subcommand)]
    Provider(provider::Provider),
    /// Reports that scripts make
    #[command(subcommand)]
    Report(provider::Report),
    /// What is kept on servers, images, customers and billing entities for programs
    #[command(subcommand)]
    Metadata(metadata::Metadata),
}

/// Commands on a server beside those of the table.
#[derive(Subcommand, Debug)]
enum ServerMore {
    /// Use a server's serial console
    Console(console::Console),
    /// Show what a running server has used since it started
    Stats {
        /// Its name or id
        server: String,
    },
}

/// Commands on a job beside those of the table.
#[derive(Subcommand, Debug)]
enum JobMore {
    /// Follow a job to its end
    Watch {
        /// Its id
        job: String,
    },
}

/// Commands on a trigger beside those of the table and of [`trigger`].
#[derive(Subcommand, Debug)]
enum TriggerMore {
    #[command(flatten)]
    Online(trigger::Trigger),
    /// Compile a source and show what it registers, without a server
    Check {
        /// The Lua file, `-` for the standard input
        file: String,
    },
}

/// Runs the program with the command line it was given.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match root().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // Help goes to the standard output with code 0, mistakes to the standard error with code 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.into(),
    }
}

/// Every command there is.
fn root() -> clap::Command {
    let root = Cli::command();
    nouns::NOUNS.iter().fold(root, |root, noun| root.subcommand(more(noun)))
}

/// The commands of a noun, with those that the table cannot say.
fn more(noun: &'static Noun) -> clap::Command {
    let command = noun::command(noun);
    let command = match noun.name {
        "server" => ServerMore::augment_subcommands(command),
        "job" => JobMore::augment_subcommands(command),
        "trigger" => TriggerMore::augment_subcommands(command),
        "invoice" => invoice::Invoice::augment_subcommands(command),
        "pluggable-resource" => provider::Pluggable::augment_subcommands(command),
        "payment-method" => transaction::MethodMore::augment_subcommands(command),
        "blob" => blob::Blob::augment_subcommands(command),
        _ => command,
    };
    // Each of these says what its own commands are about.
    command.about(noun.about)
}

fn dispatch(matches: &ArgMatches) -> Result<(), Error> {
    let misread = |e: clap::Error| Error::Usage(e.to_string());
    let Common { connection, output } = Common::from_arg_matches(matches).map_err(misread)?;
    if let Some((name, given)) = matches.subcommand()
        && let Some(noun) = nouns::find(name)
    {
        if let ("trigger", Some(("check", _))) = (name, given.subcommand()) {
            let TriggerMore::Check { file } = TriggerMore::from_arg_matches(given).map_err(misread)? else {
                unreachable!("the command is `trigger check`")
            };
            return block_on(check::check(output, &file));
        }
        let session = Session { client: connection.client()?, format: output };
        return block_on(on_noun(&session, noun, given));
    }
    let command = Cli::from_arg_matches(matches).map_err(misread)?.command;
    if let Command::Local(local) = command {
        return local::run(local, output, root);
    }
    block_on(async {
        let session = || connection.client().map(|client| Session { client, format: output });
        match command {
            Command::Local(_) => unreachable!("handled above"),
            Command::Login(login) => login::login(&connection, output, login).await,
            Command::Backup(backup) => backup.run(output, session).await,
            Command::Logout => login::logout(&connection).await,
            Command::Whoami => login::whoami(&session()?.client, output).await,
            Command::Events(command) => events::run(&session()?, command).await,
            Command::Usage(asked) => invoice::usage(&session()?, asked).await,
            Command::Quarantine(command) => operator::quarantine(&session()?, command).await,
            Command::Simulate(command) => operator::simulate(&session()?, command).await,
            Command::Provider(command) => provider::provider(&session()?, command).await,
            Command::Report(command) => provider::report(&session()?, command).await,
            Command::Metadata(command) => metadata::run(&session()?, command).await,
        }
    })
}

async fn on_noun(session: &Session, noun: &'static Noun, given: &ArgMatches) -> Result<(), Error> {
    let misread = |e: clap::Error| Error::Usage(e.to_string());
    let Some((verb, rest)) = given.subcommand() else { return Err(Error::Usage("a command is missing".to_owned())) };
    if noun::run(session, noun, verb, rest).await? {
        return Ok(());
    }
    match noun.name {
        "server" => match ServerMore::from_arg_matches(given).map_err(misread)? {
            ServerMore::Console(asked) => console::run(session, asked).await,
            ServerMore::Stats { server } => {
                let id = session.id(noun, &server).await?;
                session.format.record(&session.client.get(&format!("servers/{id}/statistics")).await?)
            }
        },
        "job" => {
            let JobMore::Watch { job } = JobMore::from_arg_matches(given).map_err(misread)?;
            let id = session.id(noun, &job).await?;
            session.format.record(&job::watch(&session.client, &id, "successful").await?)
        }
        "trigger" => match TriggerMore::from_arg_matches(given).map_err(misread)? {
            TriggerMore::Online(command) => trigger::run(session, command).await,
            TriggerMore::Check { file } => check::check(session.format, &file).await,
        },
        "pluggable-resource" => {
            let command = provider::Pluggable::from_arg_matches(given).map_err(misread)?;
            let id = match &command {
                provider::Pluggable::Act { resource, .. } => Some(session.id(noun, resource).await?),
                provider::Pluggable::Kinds => None,
            };
            provider::pluggable(session, command, id).await
        }
        "payment-method" => transaction::providers(session).await,
        "blob" => blob::run(session, blob::Blob::from_arg_matches(given).map_err(misread)?).await,
        "invoice" => invoice::run(session, invoice::Invoice::from_arg_matches(given).map_err(misread)?).await,
        other => unreachable!("`{other}` has no command `{verb}`"),
    }
}

/// Runs a client's work: one thread is plenty, and it starts at once.
fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::because("starting the runtime", &e))?;
    let result = runtime.block_on(work);
    // Nothing that still runs in the background must hold up the end.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_command_line_is_well_formed() {
        root().debug_assert();
    }

    #[test]
    fn global_options_may_stand_before_and_after_the_command() {
        for line in ["sutler -o json --url http://a server list", "sutler server list --url http://a -o json"] {
            let matches = root().try_get_matches_from(line.split(' ')).unwrap();
            let common = Common::from_arg_matches(&matches).unwrap();
            assert_eq!((common.output, common.connection.url.as_deref()), (Format::Json, Some("http://a")), "{line}");
        }
    }

    #[test]
    fn every_command_has_help() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} of {} has no help", arg.get_id(), command.get_name());
            }
            command.get_subcommands().filter(|c| c.get_name() != "help").for_each(walk);
        }
        walk(&root());
    }

    #[test]
    fn every_command_is_in_the_reference() {
        fn walk(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
            let text = include_str!("../../docs/reference/cli.md");
            for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
                let path = format!("{path} {}", sub.get_name());
                if sub.has_subcommands() {
                    walk(sub, &path, missing);
                } else if !text.contains(&format!("`{path}")) {
                    missing.push(path);
                }
            }
        }
        let mut missing = Vec::new();
        walk(&root(), "sutler", &mut missing);
        assert_eq!(missing, Vec::<String>::new());
    }
}
