//! One node of a simulated world, as its drivers show it.

use super::Shared;
use crate::{
    Compute, Error, Network, Result, Storage,
    compute::{
        Capacity, Console, DiskSource, GuestSpec, GuestState, GuestStats, NicAttachment, NodeEvent, SeenGuest, Stop,
    },
    image, network,
    storage::{DiskSpec, SeedSpec, StoredImage},
};
use async_trait::async_trait;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use sutler_model::{DiskId, Kvm, Nic, ServerId};
use tokio::sync::{broadcast, mpsc};

/// Space a simulated node has: enough that benches do not fill it.
const SPACE_BYTES: u64 = 1 << 50;

/// All drivers of one node.
pub(super) struct View {
    shared: Arc<Shared>,
    node: Arc<str>,
}

impl View {
    pub(super) fn new(shared: Arc<Shared>, node: &str) -> Self {
        Self { shared, node: Arc::from(node) }
    }

    /// Does `work` as a call of this name: counted, delayed, and subject to the faults asked for.
    async fn call<T>(
        &self,
        name: &'static str,
        attempted: impl Fn() -> String + Send + Sync,
        work: impl FnOnce(&mut super::World) -> Result<T> + Send,
    ) -> Result<T> {
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        let config = &self.shared.config;
        let suffering = self.shared.faults.take(name);
        let delay = suffering.delay + Duration::from_millis(config.delay_ms);
        let deadline = Duration::from_millis(config.deadline_ms);
        let overrun = || Error::Deadline { attempted: attempted(), deadline_ms: config.deadline_ms };
        if suffering.hang || delay >= deadline {
            tokio::time::sleep(deadline).await;
            return Err(overrun());
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        suffering.before(&attempted)?;
        let done = {
            let mut world = self.shared.world();
            if !world.is_connected(&self.node) {
                return Err(Error::Disconnected { attempted: attempted() });
            }
            work(&mut world)?
        };
        suffering.after(&attempted, deadline)?;
        Ok(done)
    }

    fn no_guest(attempted: String) -> Error {
        Error::permanent(attempted, "the node has no such guest")
    }
}

#[async_trait]
impl Compute for View {
    async fn define(&self, spec: &GuestSpec) -> Result<()> {
        let attempted = || format!("defining server `{}`", spec.id);
        self.call("define", attempted, |w| w.define(spec.id, &self.node, spec.cpu, spec.memory_mib)).await
    }

    async fn start(&self, id: ServerId) -> Result<()> {
        let attempted = || format!("starting server `{id}`");
        self.call("start", attempted, |w| match self.mine(w, id) {
            None => Err(Self::no_guest(attempted())),
            Some(_) => w.start(id).map(|_| ()),
        })
        .await
    }

    async fn stop(&self, id: ServerId, how: Stop) -> Result<()> {
        self.call(
            "stop",
            || format!("stopping server `{id}`"),
            |w| {
                // A frozen guest does not hear its power button.
                let deaf = how == Stop::Ask && self.mine(w, id) == Some(GuestState::Frozen);
                if self.mine(w, id).is_some() && !deaf {
                    w.end(id, false, true)?;
                }
                Ok(())
            },
        )
        .await
    }

    async fn reset(&self, id: ServerId) -> Result<()> {
        let attempted = || format!("resetting server `{id}`");
        self.call("reset", attempted, |w| match self.mine(w, id) {
            Some(GuestState::Running | GuestState::Paused) => Ok(()),
            Some(_) => Err(Error::permanent(attempted(), "it does not run")),
            None => Err(Self::no_guest(attempted())),
        })
        .await
    }

    async fn undefine(&self, id: ServerId) -> Result<()> {
        let attempted = || format!("forgetting server `{id}`");
        self.call("undefine", attempted, |w| match self.mine(w, id) {
            None => Ok(()),
            Some(GuestState::Stopped | GuestState::Crashed) => w.undefine(id).map(|_| ()),
            Some(_) => Err(Error::permanent(attempted(), "it runs; stop it first")),
        })
        .await
    }

    async fn see(&self, id: ServerId) -> Result<Option<SeenGuest>> {
        let attempted = || format!("looking at server `{id}`");
        self.call("see", attempted, |w| Ok(self.mine(w, id).map(|state| SeenGuest { id, state }))).await
    }

    async fn see_all(&self) -> Result<Vec<SeenGuest>> {
        self.call("see_all", || "looking at all servers".into(), |w| Ok(w.guests(Some(&self.node)))).await
    }

    async fn stats(&self) -> Result<Vec<GuestStats>> {
        self.call(
            "stats",
            || "reading statistics".into(),
            |w| {
                let running = w.of_node(Some(&self.node)).filter(|(_, g)| g.state == GuestState::Running);
                let stats = running.map(|(id, g)| {
                    let ns = g.since.map_or(0, |s| s.elapsed().as_nanos() as u64);
                    // A tenth of its CPUs, and traffic of a few kilobytes a second: grows, and is checked by eye.
                    GuestStats {
                        id: Some(id),
                        cpu_ns: Some(ns / 10 * u64::from(g.cpu)),
                        memory_rss_kib: Some(g.memory_mib * 512),
                        disk_read_bytes: Some(ns / 1_000_000 * 16),
                        disk_write_bytes: Some(ns / 1_000_000 * 8),
                        net_rx_bytes: Some(ns / 1_000_000 * 4),
                        net_tx_bytes: Some(ns / 1_000_000 * 2),
                    }
                });
                Ok(stats.collect())
            },
        )
        .await
    }

    async fn console(&self, id: ServerId) -> Result<Console> {
        let attempted = || format!("opening the console of server `{id}`");
        let seen = self.call("console", attempted, |w| Ok(self.mine(w, id))).await?;
        let runs = seen.ok_or_else(|| Self::no_guest(attempted()))? == GuestState::Running;
        let (to_reader, output) = mpsc::channel(64);
        let (input, mut from_writer) = mpsc::channel::<Vec<u8>>(64);
        // The guest echoes what is typed, as a terminal does.
        tokio::spawn(async move {
            let greeting = format!("simulated server {id}\r\n").into_bytes();
            if !runs || to_reader.send(greeting).await.is_err() {
                return;
            }
            while let Some(typed) = from_writer.recv().await {
                if to_reader.send(typed).await.is_err() {
                    return;
                }
            }
        });
        Ok(Console { output, input })
    }

    async fn capacity(&self) -> Result<Capacity> {
        let config = &self.shared.config;
        let version = format!("simulated, Sutler {}", env!("CARGO_PKG_VERSION"));
        self.call(
            "capacity",
            || "reading the node's capacity".into(),
            |_| Ok(Capacity { cpus: config.cpus, memory_mib: config.memory_mib, version }),
        )
        .await
    }

    async fn kvm_host(&self) -> Result<String> {
        Ok("simulated".into())
    }

    async fn test_kvm(&self) -> Result<Kvm> {
        let none = || Kvm::Unusable("the node is simulated".into());
        self.call("test_kvm", || "testing KVM".into(), |_| Ok(none())).await
    }

    fn use_kvm(&self, _usable: bool) {}

    fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.shared.world().events(&self.node)
    }
}

impl View {
    /// What a guest of this node does.
    fn mine(&self, world: &super::World, id: ServerId) -> Option<GuestState> {
        world.guest(id).filter(|g| g.node == self.node).map(|g| g.state)
    }
}

#[async_trait]
impl Storage for View {
    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<DiskSource> {
        self.call(
            "ensure_disk",
            || format!("creating disk `{}`", spec.id),
            |w| {
                w.ensure_disk(spec.id, &self.node, spec.size_gib, spec.image.as_deref())?;
                Ok(DiskSource::Simulated(spec.id.to_string()))
            },
        )
        .await
    }

    async fn delete_disk(&self, id: DiskId) -> Result<()> {
        self.call("delete_disk", || format!("deleting disk `{id}`"), |w| w.delete_disk(id)).await
    }

    async fn list_disks(&self) -> Result<Vec<DiskId>> {
        self.call("list_disks", || "listing disks".into(), |w| Ok(w.disks(Some(&self.node)))).await
    }

    async fn ensure_seed(&self, spec: &SeedSpec) -> Result<Option<PathBuf>> {
        let attempted = || format!("writing the seed of server `{}`", spec.id);
        self.call("ensure_seed", attempted, |w| w.ensure_seed(spec.id, &self.node).map(|()| None)).await
    }

    async fn delete_seed(&self, id: ServerId) -> Result<()> {
        self.call("delete_seed", || format!("deleting the seed of server `{id}`"), |w| w.delete_seed(id)).await
    }

    async fn import_image(&self, storage_key: &str, file: &Path) -> Result<StoredImage> {
        let attempted = || format!("importing image `{storage_key}`");
        image::check_storage_key(storage_key)?;
        let (key, file) = (storage_key.to_owned(), file.to_owned());
        // The same first look as with real storage, so that what is refused there is refused here.
        let stored = tokio::task::spawn_blocking(move || {
            let found = image::probe(&file)?;
            Ok(StoredImage { storage_key: key, virtual_bytes: found.virtual_bytes, sha256: image::sha256(&file)? })
        })
        .await
        .map_err(|e| Error::transient(attempted(), e))?;
        self.call("import_image", attempted, |w| {
            let stored: StoredImage = stored?;
            w.put_image(&self.node, stored.clone())?;
            Ok(stored)
        })
        .await
    }

    async fn capture_image(&self, storage_key: &str, disk: DiskId) -> Result<StoredImage> {
        let attempted = || format!("copying disk `{disk}` into image `{storage_key}`");
        image::check_storage_key(storage_key)?;
        self.call("capture_image", attempted, |w| w.capture_image(&self.node, storage_key, disk)).await
    }

    async fn share_image(&self, image: &StoredImage, _file: &Path) -> Result<()> {
        let attempted = || format!("copying image `{}` from another storage", image.storage_key);
        // There is no file: what is known of an image is all there is of it.
        self.call("share_image", attempted, |w| w.put_image(&self.node, image.clone())).await
    }

    async fn delete_image(&self, storage_key: &str) -> Result<()> {
        let attempted = || format!("deleting image `{storage_key}`");
        self.call("delete_image", attempted, |w| w.delete_image(&self.node, storage_key)).await
    }

    fn image_file(&self, name: &str) -> PathBuf {
        Path::new("/simulated/images").join(name)
    }

    async fn space(&self) -> Result<(u64, u64)> {
        self.call(
            "space",
            || "reading free space".into(),
            |w| Ok((SPACE_BYTES.saturating_sub(w.promised_bytes(&self.node)), SPACE_BYTES)),
        )
        .await
    }
}

#[async_trait]
impl Network for View {
    async fn ensure_nic(&self, server: ServerId, nic: &Nic) -> Result<NicAttachment> {
        let attempted = || format!("connecting interface {} of server `{server}`", nic.index);
        self.call("ensure_nic", attempted, |_| Ok(network::user_mode_nic(server, nic))).await
    }

    async fn remove_nics(&self, server: ServerId) -> Result<()> {
        self.call("remove_nics", || format!("disconnecting server `{server}`"), |_| Ok(())).await
    }

    async fn addresses(&self, server: ServerId, nic: &Nic) -> Result<Vec<String>> {
        let attempted = || format!("reading addresses of server `{server}`");
        self.call("addresses", attempted, |w| {
            let runs = self.mine(w, server).is_some_and(|s| !matches!(s, GuestState::Stopped | GuestState::Crashed));
            Ok(network::user_mode_addresses(nic, runs))
        })
        .await
    }
}
