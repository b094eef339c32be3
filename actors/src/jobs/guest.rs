//! A server's guest outside: its disks, seed, interfaces and domain, made or found made.

use super::{StepCtx, StepError};
use crate::{family::Family, scripts::Metadata};
use std::path::PathBuf;
use sutler_drivers::{
    compute::{DiskSource, GuestSpec, GuestState, KernelBoot, NicAttachment, Stop},
    storage::{DiskSpec, SeedSpec},
};
use sutler_model::{Boot, Image, ServerState};
use tokio::sync::OnceCell;

/// What the steps of one job learn about its guest. Kept in memory only: after a crash it is found again.
#[derive(Default)]
pub(crate) struct Guest {
    image: OnceCell<Image>,
    disks: OnceCell<Vec<DiskSource>>,
    seed: OnceCell<Option<PathBuf>>,
    nics: OnceCell<Vec<NicAttachment>>,
}

impl Guest {
    /// Makes the disks, or finds them made.
    pub async fn disks(&self, ctx: &StepCtx<'_>) -> Result<&[DiskSource], StepError> {
        let made = self.disks.get_or_try_init(|| async {
            let storage = ctx.drivers()?.storage;
            let mut sources = Vec::with_capacity(ctx.family.disks.len());
            for disk in &ctx.family.disks {
                let image = match disk.image_id {
                    Some(_) => Some(self.image(ctx).await?.storage_key.clone()),
                    None => None,
                };
                let spec = DiskSpec { id: disk.id, size_gib: disk.size_gib, image };
                sources.push(storage.ensure_disk(&spec).await?);
            }
            Ok::<_, StepError>(sources)
        });
        made.await.map(Vec::as_slice)
    }

    /// Makes the seed, or finds it made. Triggers may add to what it says.
    pub async fn seed(&self, ctx: &StepCtx<'_>) -> Result<&Option<PathBuf>, StepError> {
        let made = self.seed.get_or_try_init(|| async {
            let server = ctx.server()?;
            let told = match ctx.scripts {
                Some(scripts) => scripts.before_boot(ctx.job, server).await?,
                None => None,
            };
            let mut spec = SeedSpec {
                id: server.id,
                host_name: server.name.clone(),
                ssh_keys: server.ssh_keys.clone(),
                user_data: server.user_data.clone(),
                additions: Vec::new(),
                metadata: None,
            };
            if let Some(Metadata { user_data, additions, document }) = told {
                (spec.user_data, spec.additions, spec.metadata) = (user_data, additions, Some(document));
            }
            Ok::<_, StepError>(ctx.drivers()?.storage.ensure_seed(&spec).await?)
        });
        made.await
    }

    /// Makes what the interfaces need, or finds it made.
    pub async fn nics(&self, ctx: &StepCtx<'_>) -> Result<&[NicAttachment], StepError> {
        let made = self.nics.get_or_try_init(|| async {
            let (server, network) = (ctx.server()?, ctx.drivers()?.network);
            let mut attachments = Vec::with_capacity(server.nics.len());
            for nic in &server.nics {
                attachments.push(network.ensure_nic(server.id, nic).await?);
            }
            Ok::<_, StepError>(attachments)
        });
        made.await.map(Vec::as_slice)
    }

    /// Defines the domain, or redefines it while it does not run.
    pub async fn define(&self, ctx: &StepCtx<'_>) -> Result<(), StepError> {
        let (server, drivers) = (ctx.server()?, ctx.drivers()?);
        let kernel = match self.image(ctx).await?.boot.clone() {
            Boot::Disk => None,
            Boot::Kernel { kernel, initrd, command_line } => Some(KernelBoot {
                kernel: drivers.storage.image_file(&kernel),
                initrd: drivers.storage.image_file(&initrd),
                command_line,
            }),
        };
        let spec = GuestSpec {
            id: server.id,
            cpu: server.cpu,
            memory_mib: server.memory_mib,
            disks: self.disks(ctx).await?.to_vec(),
            seed: self.seed(ctx).await?.clone(),
            nics: self.nics(ctx).await?.to_vec(),
            kernel,
        };
        Ok(drivers.compute.define(&spec).await?)
    }

    /// The addresses of the interfaces, as far as the node knows them.
    pub async fn addresses(&self, ctx: &StepCtx<'_>) -> Result<Vec<Vec<String>>, StepError> {
        let (server, network) = (ctx.server()?, ctx.drivers()?.network);
        let mut addresses = Vec::with_capacity(server.nics.len());
        for nic in &server.nics {
            addresses.push(network.addresses(server.id, nic).await?);
        }
        Ok(addresses)
    }

    async fn image(&self, ctx: &StepCtx<'_>) -> Result<&Image, StepError> {
        let read = self.image.get_or_try_init(|| async {
            let id = ctx.server()?.image_id;
            let found = ctx.core.store.get::<Image>(id).await;
            found.map_err(|e| StepError::Transient { operator: super::chain(&e) })?.ok_or_else(|| {
                StepError::Permanent {
                    code: "image_gone",
                    message: "the image was deleted meanwhile".to_owned(),
                    operator: Some(format!("no image {id}")),
                }
            })
        });
        read.await
    }
}

/// Notes the addresses of a server's interfaces.
pub(crate) fn note_addresses(family: &mut Family, addresses: &[Vec<String>]) {
    if let Some(server) = &mut family.server {
        for (nic, addresses) in server.nics.iter_mut().zip(addresses) {
            nic.addresses.clone_from(addresses);
        }
    }
}

/// Pulls the plug and waits for nothing: the driver answers when the guest is off.
pub(crate) async fn force_off(ctx: &StepCtx<'_>) -> Result<(), StepError> {
    if let Some(drivers) = ctx.drivers_if_placed()? {
        drivers.compute.stop(ctx.server()?.id, Stop::Force).await?;
    }
    Ok(())
}

/// What a seen guest means for the record.
pub(crate) fn state_of(seen: Option<GuestState>) -> ServerState {
    match seen {
        Some(GuestState::Running) => ServerState::Running,
        Some(GuestState::Paused) => ServerState::Paused,
        Some(GuestState::Frozen) => ServerState::Frozen,
        Some(GuestState::Stopped | GuestState::Crashed) | None => ServerState::Stopped,
    }
}
