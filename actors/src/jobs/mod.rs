//! Durable jobs: what each kind does, step by step, and the engine that runs them all.

mod create_image;
mod create_server;
mod delete_server;
mod engine;
mod guest;
mod later;
mod power;
mod step;
#[cfg(test)]
mod suite;

pub use engine::Engine;
pub(crate) use engine::fault_name;
pub(crate) use guest::state_of;
pub(crate) use later::{Later, keep_time};
pub(crate) use step::{Apply, Step, StepCtx, StepError, Work, chain, nothing};
#[cfg(test)]
pub(crate) use suite::{committed, die_as_told, run_child, var};

use create_image::CreateImage;
use create_server::CreateServer;
use delete_server::DeleteServer;
use power::{RebootServer, StartServer, StopServer};
use sutler_model::{DiskId, JobInput};
use uuid::Uuid;

/// The name of a job's first step, which the commit that accepts the job starts.
pub(crate) fn first_step(input: &JobInput) -> &'static str {
    match input {
        JobInput::CreateServer { .. } => CreateServer::FIRST.name(),
        JobInput::StartServer { .. } => StartServer::FIRST.name(),
        JobInput::StopServer { .. } => StopServer::FIRST.name(),
        JobInput::RebootServer { .. } => RebootServer::FIRST.name(),
        JobInput::DeleteServer { .. } => DeleteServer::FIRST.name(),
        JobInput::CreateImage { .. } => CreateImage::FIRST.name(),
        JobInput::Operation { .. } => crate::ops::CARRY_OUT,
        JobInput::DeleteCustomer { .. } => crate::ops::DELETE_SERVERS,
    }
}

/// Every kind of job.
pub(crate) const KINDS: [&str; 6] =
    ["create_server", "start_server", "stop_server", "reboot_server", "delete_server", "create_image"];

/// The steps of a kind of job in their order, those included that only some jobs of the kind take; none for no kind.
pub(crate) fn steps(kind: &str) -> Option<Vec<&'static str>> {
    Some(match kind {
        "create_server" => path(&CreateServer::new(DiskId(Uuid::nil()), true)),
        "start_server" => path(&StartServer::default()),
        "stop_server" => path(&StopServer { force: false }),
        "reboot_server" => path(&RebootServer::new(false)),
        "delete_server" => path(&DeleteServer),
        "create_image" => path(&CreateImage { disk_id: DiskId(Uuid::nil()) }),
        _ => return None,
    })
}

fn path<W: Work>(work: &W) -> Vec<&'static str> {
    std::iter::successors(Some(W::FIRST), |step| work.next(*step)).map(Step::name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_job_has_its_steps() {
        for kind in KINDS {
            assert!(!steps(kind).expect("a kind").is_empty(), "{kind}");
        }
        assert_eq!(steps("create_server").unwrap()[0], "reserve_capacity");
        assert_eq!(steps("dance"), None);
    }
}
