//! Builds a server: room, disks, interfaces, domain, and starts it.

use super::{
    Apply, StepCtx, StepError, Work,
    guest::{Guest, force_off, note_addresses},
    nothing,
    step::steps,
};
use crate::family::Family;
use async_trait::async_trait;
use sutler_model::{DiskId, DiskState, ServerState, Timestamp, Wanted};

steps! {
    /// Order of work when creating a server.
    CreateStep {
        /// Promises room on a node.
        ReserveCapacity => "reserve_capacity",
        /// Clones the boot disk.
        EnsureDisks => "ensure_disks",
        /// Makes interfaces and sets their addresses aside.
        EnsureNics => "ensure_nics",
        /// Makes the seed and defines the domain.
        DefineDomain => "define_domain",
        /// Starts it.
        StartDomain => "start_domain",
        /// Hands it over.
        Publish => "publish",
    }
}

/// The job.
pub(crate) struct CreateServer {
    disk_id: DiskId,
    start: bool,
    guest: Guest,
}

impl CreateServer {
    pub(crate) fn new(disk_id: DiskId, start: bool) -> Self {
        Self { disk_id, start, guest: Guest::default() }
    }
}

#[async_trait]
impl Work for CreateServer {
    type Step = CreateStep;
    const FIRST: CreateStep = CreateStep::ReserveCapacity;

    fn next(&self, done: CreateStep) -> Option<CreateStep> {
        use CreateStep::*;
        match done {
            ReserveCapacity => Some(EnsureDisks),
            EnsureDisks => Some(EnsureNics),
            EnsureNics => Some(DefineDomain),
            DefineDomain if self.start => Some(StartDomain),
            DefineDomain | StartDomain => Some(Publish),
            Publish => None,
        }
    }

    async fn run(&self, step: CreateStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        match step {
            CreateStep::ReserveCapacity => {
                let server = ctx.server()?;
                let node = ctx.core.placement.reserve(server.id, server.cpu, server.memory_mib).ok_or_else(|| {
                    StepError::Permanent {
                        code: "no_capacity",
                        message: format!(
                            "no node has room for {} vCPUs and {} MiB of memory; try a smaller server or ask your provider",
                            server.cpu, server.memory_mib
                        ),
                        operator: None,
                    }
                })?;
                Ok(Box::new(move |family: &mut Family, _| {
                    if let Some(server) = &mut family.server {
                        server.node_id = Some(node);
                    }
                    for disk in &mut family.disks {
                        disk.node_id = Some(node);
                    }
                }))
            }
            CreateStep::EnsureDisks => {
                self.guest.disks(ctx).await?;
                Ok(nothing())
            }
            CreateStep::EnsureNics => {
                let made = self.guest.nics(ctx).await?;
                let addresses: Vec<_> = made.iter().map(|made| made.nic.addresses.clone()).collect();
                // Triggers that say what the guest is told look for them.
                Ok(Box::new(move |family: &mut Family, _| note_addresses(family, &addresses)))
            }
            CreateStep::DefineDomain => {
                self.guest.define(ctx).await?;
                Ok(Box::new(|family: &mut Family, at| {
                    if family.server.as_ref().is_some_and(|s| s.wanted == Wanted::Running) {
                        family.enter(ServerState::Starting, at, None);
                    }
                }))
            }
            CreateStep::StartDomain => {
                ctx.drivers()?.compute.start(ctx.server()?.id).await?;
                let addresses = self.guest.addresses(ctx).await?;
                // With the state: what is told that it runs looks for its addresses.
                Ok(Box::new(move |family: &mut Family, at| {
                    note_addresses(family, &addresses);
                    family.enter(ServerState::Running, at, None);
                }))
            }
            CreateStep::Publish => {
                let (disk_id, start) = (self.disk_id, self.start);
                Ok(Box::new(move |family: &mut Family, at| {
                    if let Some(disk) = family.disk_mut(disk_id) {
                        disk.state = DiskState::Ready;
                    }
                    if !start {
                        family.enter(ServerState::Stopped, at, None);
                    }
                }))
            }
        }
    }

    async fn undo(&self, step: CreateStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        match step {
            CreateStep::ReserveCapacity => {
                return Ok(Box::new(|family: &mut Family, _| {
                    if let Some(server) = &mut family.server {
                        server.node_id = None;
                    }
                }));
            }
            CreateStep::EnsureDisks => {
                if let Some(drivers) = ctx.drivers_if_placed()? {
                    // Never handed over, so nobody's data: no grace period.
                    for disk in ctx.family.disks.iter().filter(|d| d.state == DiskState::Creating) {
                        drivers.storage.delete_disk(disk.id).await?;
                    }
                }
            }
            CreateStep::EnsureNics => {
                if let Some(drivers) = ctx.drivers_if_placed()? {
                    drivers.network.remove_nics(ctx.server()?.id).await?;
                }
                let none = vec![Vec::new(); ctx.server()?.nics.len()];
                return Ok(Box::new(move |family: &mut Family, _| note_addresses(family, &none)));
            }
            CreateStep::DefineDomain => {
                if let Some(drivers) = ctx.drivers_if_placed()? {
                    drivers.compute.undefine(ctx.server()?.id).await?;
                    drivers.storage.delete_seed(ctx.server()?.id).await?;
                }
            }
            CreateStep::StartDomain => {
                force_off(ctx).await?;
                return Ok(Box::new(|family: &mut Family, at| family.enter(ServerState::Building, at, None)));
            }
            CreateStep::Publish => {}
        }
        Ok(nothing())
    }

    fn gave_up(&self, family: &mut Family, at: Timestamp, reason: &str) {
        family.disks.retain(|disk| disk.state != DiskState::Creating);
        if let Some(server) = &mut family.server {
            // Also when reserving itself failed half-way and was never applied.
            server.node_id = None;
            if server.wanted != Wanted::Deleted {
                server.wanted = Wanted::Stopped;
            }
        }
        family.enter(ServerState::Error, at, Some(reason.to_owned()));
    }
}
