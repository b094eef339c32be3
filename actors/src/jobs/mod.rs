//! Durable jobs: what each kind does, step by step, and the engine that runs them all.

mod create_server;
mod delete_server;
mod engine;
mod guest;
mod power;
mod step;
#[cfg(test)]
mod suite;

pub use engine::Engine;
pub(crate) use guest::state_of;
pub(crate) use step::{Apply, Step, StepCtx, StepError, Work, chain, nothing};
#[cfg(test)]
pub(crate) use suite::committed as accepted;

use create_server::CreateServer;
use delete_server::DeleteServer;
use power::{RebootServer, StartServer, StopServer};
use sutler_model::JobInput;

/// The name of a job's first step, which the commit that accepts the job starts.
pub(crate) fn first_step(input: &JobInput) -> &'static str {
    match input {
        JobInput::CreateServer { .. } => CreateServer::FIRST.name(),
        JobInput::StartServer { .. } => StartServer::FIRST.name(),
        JobInput::StopServer { .. } => StopServer::FIRST.name(),
        JobInput::RebootServer { .. } => RebootServer::FIRST.name(),
        JobInput::DeleteServer { .. } => DeleteServer::FIRST.name(),
    }
}
