//! Deletes a server. Its disks are only marked: the data goes after the grace period.

use super::{Apply, StepCtx, StepError, Work, guest::force_off, nothing, step::steps};
use crate::family::Family;
use async_trait::async_trait;
use sutler_model::{DiskState, ServerState, Timestamp};

steps! {
    /// Order of work when deleting a server.
    DeleteStep {
        /// Pulls the plug.
        StopDomain => "stop_domain",
        /// Forgets the domain.
        UndefineDomain => "undefine_domain",
        /// Takes interfaces and seed away.
        RemoveNics => "remove_nics",
        /// Marks the disks and deletes the record.
        Publish => "publish",
    }
}

/// The job.
pub(crate) struct DeleteServer;

#[async_trait]
impl Work for DeleteServer {
    type Step = DeleteStep;
    const FIRST: DeleteStep = DeleteStep::StopDomain;

    fn next(&self, done: DeleteStep) -> Option<DeleteStep> {
        use DeleteStep::*;
        match done {
            StopDomain => Some(UndefineDomain),
            UndefineDomain => Some(RemoveNics),
            RemoveNics => Some(Publish),
            Publish => None,
        }
    }

    async fn run(&self, step: DeleteStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        // The record may be gone already when the last commit was made and not answered.
        if ctx.family.server.is_none() {
            return Ok(nothing());
        }
        match step {
            DeleteStep::StopDomain => force_off(ctx).await?,
            DeleteStep::UndefineDomain => {
                if let Some(drivers) = ctx.drivers_if_placed()? {
                    drivers.compute.undefine(ctx.server()?.id).await?;
                }
            }
            DeleteStep::RemoveNics => {
                if let Some(drivers) = ctx.drivers_if_placed()? {
                    drivers.network.remove_nics(ctx.server()?.id).await?;
                    drivers.storage.delete_seed(ctx.server()?.id).await?;
                }
            }
            DeleteStep::Publish => {
                return Ok(Box::new(|family: &mut Family, at| {
                    for disk in &mut family.disks {
                        disk.state = DiskState::Deleting;
                        disk.delete_requested_at.get_or_insert(at);
                    }
                    family.server = None;
                }));
            }
        }
        Ok(nothing())
    }

    /// A deletion is not taken back half-way: what is gone is gone, and the rest is deleted by asking again.
    async fn undo(&self, _: DeleteStep, _: &StepCtx<'_>) -> Result<Apply, StepError> {
        Ok(nothing())
    }

    fn gave_up(&self, family: &mut Family, at: Timestamp, reason: &str) {
        family.enter(ServerState::Error, at, Some(format!("deleting failed ({reason}); delete it again")));
    }
}
