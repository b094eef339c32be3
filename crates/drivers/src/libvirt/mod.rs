//! Guests under libvirt: `test:///default`, `qemu:///embed?root=…`, `qemu:///system`.
//!
//! No call can hold up the process: each runs on a thread of its own kind with a deadline ([`pool`]). When one overruns,
//! the node is asked something simple; only when that overruns too is the node unresponsive (event `Disconnected`), until
//! it answers again (event `Connected`). Otherwise it was the guest's fault: that guest reads `Frozen` until the call
//! returns.

mod console;
mod domain;
mod embed;
mod error;
mod ffi;
mod kvm;
mod link;
mod node;
mod pool;
mod process;
mod stats;
mod xml;

use crate::{
    Compute, Error, Result,
    compute::{Capacity, Console, GuestSpec, GuestStats, NodeEvent, SeenGuest, Stop},
};
use async_trait::async_trait;
use domain::Virtualization;
use error::failure;
use link::Link;
use node::{Answer, CONFIRM_DEADLINE, Call, Node, START_DEADLINE, believed, find, ours, processes};
use pool::Pool;
use process::Alive;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use sutler_model::{Kvm, ServerId};
use tokio::{sync::broadcast, task::JoinSet};
use virt::{domain::Domain, error::ErrorNumber, sys};

/// libvirt itself waits some 15 seconds for a process that does not hear SIGTERM before it uses SIGKILL.
const DESTROY_DEADLINE: Duration = Duration::from_secs(40);

/// Where things lie that libvirt does not decide.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folder of the console logs; none: guests have none. The embedded driver uses `<root>/console` unless told.
    pub console_folder: Option<PathBuf>,
}

/// Guests of one libvirt.
pub struct Libvirt {
    node: Arc<Node>,
}

impl Libvirt {
    /// Connects. For `qemu:///embed?root=FOLDER` the folder is prepared and locked; a process can have one such
    /// connection. A daemon that is not there is waited for: calls answer `Disconnected` until it is.
    ///
    /// # Errors
    /// `Permanent` when the root is in use or the address means nothing to libvirt.
    pub async fn connect(uri: &str, options: Options) -> Result<Self> {
        let uri = uri.to_owned();
        let attempted = format!("connecting to `{uri}`");
        let open = move || {
            let attempted = format!("connecting to `{uri}`");
            let root = match embedded_root(&uri) {
                Some(folder) if folder.is_empty() => {
                    return Err(Error::permanent(attempted, "give its folder: qemu:///embed?root=FOLDER"));
                }
                Some(folder) => Some(embed::Root::take(Path::new(&folder))?),
                None => None,
            };
            let test_driver = uri.starts_with("test:");
            let daemon = root.is_none() && !test_driver;
            let address = root.as_ref().map_or(uri, embed::Root::uri);
            let link = Link::open(&address, daemon).map_err(|e| failure(&attempted, e))?;
            let console_folder = options.console_folder.or_else(|| Some(root.as_ref()?.path().join("console")));
            if let Some(folder) = &console_folder {
                std::fs::create_dir_all(folder).map_err(|e| Error::from_io(attempted, e))?;
            }
            let node = Node {
                link,
                pool: Pool::new(),
                test_driver,
                use_kvm: AtomicBool::new(false),
                console_folder,
                health: Mutex::default(),
                root,
            };
            Ok(Self { node: Arc::new(node) })
        };
        let this = tokio::task::spawn_blocking(open).await.map_err(|e| Error::transient(attempted, e))??;
        this.node.warm_up();
        Ok(this)
    }

    /// The embedded driver's folder.
    pub fn root(&self) -> Option<&Path> {
        self.node.root.as_ref().map(embed::Root::path)
    }
}

/// The folder in `qemu:///embed?root=FOLDER`; empty when it is missing.
fn embedded_root(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("qemu:///embed")?;
    let query = rest.strip_prefix('?').unwrap_or_default();
    let root = query.split('&').find_map(|pair| pair.strip_prefix("root=")).unwrap_or_default();
    Some(root.to_owned())
}

/// A call that has no effect when the guest does not run.
fn unless_stopped(outcome: Answer<()>, domain: &Domain) -> Answer<()> {
    match outcome {
        Err(e) if domain.is_active().unwrap_or(true) => Err(e),
        _ => Ok(()),
    }
}

#[async_trait]
impl Compute for Libvirt {
    async fn define(&self, spec: &GuestSpec) -> Result<()> {
        let kind = match () {
            () if self.node.test_driver => Virtualization::Test,
            () if self.node.use_kvm.load(Ordering::Relaxed) => Virtualization::Kvm,
            () => Virtualization::Emulation,
        };
        let id = spec.id;
        let xml = domain::xml(spec, kind, self.node.console_log(id).as_deref());
        self.node
            .call(Call::guest("defining", id), move |live| match find(live, id)? {
                Some(domain) if domain.is_active()? => Ok(()),
                _ => live.connect.define_domain_xml(&xml).map(drop),
            })
            .await
    }

    async fn start(&self, id: ServerId) -> Result<()> {
        let call = Call { deadline: START_DEADLINE, ..Call::guest("starting", id) };
        self.node
            .call(call, move |live| {
                let domain = live.connect.lookup_domain_by_uuid(id.0)?;
                match domain.create() {
                    Err(_) if domain.is_active().unwrap_or(false) => Ok(()),
                    other => other,
                }
            })
            .await
    }

    async fn stop(&self, id: ServerId, how: Stop) -> Result<()> {
        let mut call = Call::guest("stopping", id);
        if how == Stop::Force {
            call = Call { anyway: true, deadline: DESTROY_DEADLINE, ..call };
        }
        self.node
            .call(call, move |live| match find(live, id)? {
                None => Ok(()),
                Some(domain) if !domain.is_active()? => Ok(()),
                Some(domain) => match how {
                    Stop::Ask => unless_stopped(domain.shutdown(), &domain),
                    Stop::Force => unless_stopped(domain.destroy(), &domain),
                },
            })
            .await
    }

    async fn reset(&self, id: ServerId) -> Result<()> {
        self.node
            .call(Call::guest("resetting", id), move |live| live.connect.lookup_domain_by_uuid(id.0)?.reset())
            .await
    }

    async fn undefine(&self, id: ServerId) -> Result<()> {
        let call = Call::guest("forgetting", id);
        let attempted = call.attempted.clone();
        let test_driver = self.node.test_driver;
        let active = self
            .node
            .call(call, move |live| {
                let Some(domain) = find(live, id)? else { return Ok(false) };
                if domain.is_active()? {
                    // libvirt would make it a guest that is forgotten when it ends.
                    return Ok(true);
                }
                let mut all = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
                if !test_driver {
                    all |= sys::VIR_DOMAIN_UNDEFINE_NVRAM;
                }
                match domain.undefine_flags(all) {
                    Err(e) if e.code().is(ErrorNumber::NoDomain) => Ok(false),
                    other => other.map(|()| false),
                }
            })
            .await?;
        if active {
            return Err(Error::permanent(attempted, "it runs; stop it first"));
        }
        match self.node.console_log(id).map(std::fs::remove_file) {
            Some(Err(e)) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::from_io(attempted, e)),
            _ => Ok(()),
        }
    }

    async fn see(&self, id: ServerId) -> Result<Option<SeenGuest>> {
        let Some(believed) = self.node.believed(id).await? else { return Ok(None) };
        let alive = processes().await.remove(&id);
        let state = self.node.confirm(id, believed, alive).await?;
        Ok(Some(SeenGuest { id, state }))
    }

    async fn see_all(&self) -> Result<Vec<SeenGuest>> {
        let all = self.node.call(Call::node("looking at all servers"), |live| {
            let domains = live.connect.list_all_domains(0)?;
            let known = domains.iter().filter_map(|d| Some((ours(d)?, d)));
            // One that goes away meanwhile is absent.
            Ok(known.filter_map(|(id, d)| Some((id, believed(d).ok()?))).collect::<Vec<_>>())
        });
        let all = all.await?;
        let mut processes = processes().await;
        let mut confirmations = JoinSet::new();
        for (id, believed) in all {
            let (node, alive) = (self.node.clone(), processes.remove(&id));
            confirmations.spawn(async move { Ok(SeenGuest { id, state: node.confirm(id, believed, alive).await? }) });
        }
        let mut seen = vec![];
        while let Some(one) = confirmations.join_next().await {
            seen.push(one.map_err(|e| Error::transient("looking at all servers", e))??);
        }
        Ok(seen)
    }

    async fn stats(&self) -> Result<Vec<GuestStats>> {
        // The no-wait flag spares a busy monitor, but not one that froze at rest: those are left out beforehand.
        let processes = processes().await;
        let node = self.node.clone();
        let answering = self.node.call(Call::node("listing servers that run"), move |live| {
            node.trim_logs();
            let running = live.connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)?;
            let answers = |id: &ServerId| {
                node.test_driver || (processes.get(id) == Some(&Alive::Yes) && !node.pool.is_stuck(*id))
            };
            Ok(running.iter().filter_map(ours).filter(answers).collect::<Vec<_>>())
        });
        let answering = answering.await?;
        let attempted = "reading statistics";
        match self.node.stats_of(Call::node(attempted), answering.clone()).await {
            Err(Error::Deadline { .. }) if !self.node.health().unresponsive => {}
            all => return all,
        }
        // One of them froze unseen. Each by itself then: what holds up its own call holds up no other.
        let mut each = JoinSet::new();
        for id in answering {
            let node = self.node.clone();
            let call = Call { deadline: CONFIRM_DEADLINE, ..Call::guest("reading statistics of", id) };
            each.spawn(async move { node.stats_of(call, vec![id]).await });
        }
        let mut stats = vec![];
        while let Some(one) = each.join_next().await {
            match one.map_err(|e| Error::transient(attempted, e))? {
                Ok(one) => stats.extend(one),
                Err(error) => tracing::debug!(%error, "a server has no statistics"),
            }
        }
        Ok(stats)
    }

    async fn console(&self, id: ServerId) -> Result<Console> {
        let call = Call::guest("opening the console of", id);
        let attempted = call.attempted.clone();
        let live = self.node.link.live().ok_or_else(|| Error::Disconnected { attempted: attempted.clone() })?;
        let log = self.node.console_log(id).filter(|_| !self.node.test_driver);
        let log = log.ok_or_else(|| Error::permanent(attempted, "this node has no consoles"))?;
        self.node.call(call, move |live| live.connect.lookup_domain_by_uuid(id.0).map(drop)).await?;
        Ok(console::open(live, id, log))
    }

    async fn capacity(&self) -> Result<Capacity> {
        self.node
            .call(Call::node("reading the node's capacity"), |live| {
                let info = live.connect.node_info()?;
                let dotted = |v: u32| format!("{}.{}.{}", v / 1_000_000, v / 1000 % 1000, v % 1000);
                let kind = live.connect.driver_type()?;
                let version = format!(
                    "{kind} {}, libvirt {}",
                    dotted(live.connect.hyp_version()?),
                    dotted(live.connect.lib_version()?)
                );
                Ok(Capacity { cpus: info.cpus, memory_mib: info.memory / 1024, version })
            })
            .await
    }

    async fn kvm_host(&self) -> Result<String> {
        if self.node.test_driver {
            return Ok("libvirt's test driver".into());
        }
        kvm::host().await
    }

    async fn test_kvm(&self) -> Result<Kvm> {
        if self.node.test_driver {
            return Ok(Kvm::Unusable("libvirt's test driver runs no guests".into()));
        }
        kvm::test().await
    }

    fn use_kvm(&self, usable: bool) {
        self.node.use_kvm.store(usable, Ordering::Relaxed);
    }

    fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.node.link.events()
    }
}
