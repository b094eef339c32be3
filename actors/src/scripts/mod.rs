//! Triggers. INTERIM FACE so that the rest compiles; its author replaces this file.
use crate::{Caller, Core, Error, registry::{ArbiterPool, Quarantine}};
use std::sync::Weak;
use sutler_model::{Customer, Disk, ScriptRun, Server};

#[derive(Clone)]
pub(crate) struct Scripts;

#[derive(Default)]
pub(crate) struct PreOutcome {
    pub runs: Vec<ScriptRun>,
}

#[allow(clippy::unused_async, unused_variables)]
impl Scripts {
    pub(crate) fn new(core: Core, system: Weak<crate::system::Inner>, pool: ArbiterPool) -> Self { Self }
    pub(crate) async fn start(&self) -> Result<(), Error> { Ok(()) }
    pub(crate) async fn stop(&self) {}
    pub(crate) async fn pre_create_server(&self, caller: &Caller, server: &mut Server, disk: &mut Disk) -> Result<PreOutcome, Error> { Ok(PreOutcome::default()) }
    pub(crate) async fn pre_create_customer(&self, caller: &Caller, customer: &mut Customer) -> Result<PreOutcome, Error> { Ok(PreOutcome::default()) }
    pub(crate) fn quarantined(&self) -> Vec<Quarantine> { Vec::new() }
    pub(crate) fn release(&self, id: uuid::Uuid) -> bool { false }
}
