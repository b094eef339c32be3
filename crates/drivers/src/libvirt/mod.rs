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
mod pool;
mod process;
mod stats;
mod xml;

use crate::{
    Compute, Error, Result,
    compute::{Capacity, Console, GuestSpec, GuestState, GuestStats, NodeEvent, SeenGuest, Stop},
};
use async_trait::async_trait;
use domain::Virtualization;
use error::failure;
use link::{Link, Live};
use pool::{Lost, Pool};
use process::Alive;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use sutler_model::{Kvm, ServerId};
use tokio::{sync::broadcast, task::JoinSet};
use virt::{domain::Domain, error::ErrorNumber, sys};

/// Most calls take milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);
/// A first start probes QEMU's capabilities, for seconds.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// libvirt itself waits some 15 seconds for a process that does not hear SIGTERM before it uses SIGKILL.
const DESTROY_DEADLINE: Duration = Duration::from_secs(40);
/// A healthy monitor answers in milliseconds; what takes this long is a frozen guest.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(3);
/// What a node that is there answers within.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// How often an unresponsive node is asked again.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A monitor busy with one command for longer than this is not answering.
const MONITOR_BUSY_MS: u64 = 5_000;

/// Where things lie that libvirt does not decide.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folder of the console logs; none: guests have none. The embedded driver uses `<root>/console` unless told.
    pub console_folder: Option<PathBuf>,
}

/// Guests of one libvirt.
pub struct Libvirt {
    inner: Arc<Inner>,
    /// Given back after the connection is closed: fields drop in order.
    root: Option<embed::Root>,
}

struct Inner {
    link: Arc<Link>,
    pool: Pool,
    test_driver: bool,
    use_kvm: AtomicBool,
    console_folder: Option<PathBuf>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    /// A probe is under way.
    probing: bool,
    /// The node answers nothing.
    unresponsive: bool,
    /// The number of the connection that `confirmed` belongs to.
    connection: u64,
    /// Guests whose monitor answered since the connection was made.
    confirmed: HashSet<ServerId>,
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
            let inner = Inner {
                link,
                pool: Pool::new(),
                test_driver,
                use_kvm: AtomicBool::new(false),
                console_folder,
                health: Mutex::default(),
            };
            Ok(Self { inner: Arc::new(inner), root })
        };
        tokio::task::spawn_blocking(open).await.map_err(|e| Error::transient(attempted, e))?
    }

    /// The embedded driver's folder.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_ref().map(embed::Root::path)
    }
}

/// The folder in `qemu:///embed?root=FOLDER`; empty when it is missing.
fn embedded_root(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("qemu:///embed")?;
    let query = rest.strip_prefix('?').unwrap_or_default();
    let root = query.split('&').find_map(|pair| pair.strip_prefix("root=")).unwrap_or_default();
    Some(root.to_owned())
}

/// What one call is about.
struct Call {
    attempted: String,
    guest: Option<ServerId>,
    /// Begun even for a stuck guest.
    anyway: bool,
    deadline: Duration,
}

impl Call {
    fn node(attempted: &str) -> Self {
        Self { attempted: attempted.into(), guest: None, anyway: false, deadline: DEADLINE }
    }

    fn guest(verb: &str, id: ServerId) -> Self {
        let attempted = format!("{verb} server `{id}`");
        Self { attempted, guest: Some(id), anyway: false, deadline: DEADLINE }
    }
}

type Answer<T> = std::result::Result<T, virt::error::Error>;

impl Inner {
    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the connection.
    async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: Call,
        work: impl FnOnce(&Live) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        let Call { attempted, guest, anyway, deadline } = call;
        let Some(live) = self.link.live() else { return Err(Error::Disconnected { attempted }) };
        let overrun = |attempted| Error::Deadline { attempted, deadline_ms: deadline.as_millis() as u64 };
        if self.health().unresponsive {
            return Err(overrun(attempted));
        }
        let on = live.clone();
        let done = self
            .pool
            .run(guest, anyway, deadline, move || {
                let answer = work(&on);
                let dead = answer.is_err() && !on.connect.is_alive().unwrap_or(false);
                (answer, dead)
            })
            .await;
        match done {
            Ok((Ok(value), _)) => Ok(value),
            Ok((Err(error), true)) => {
                self.link.lost(Some(&live), &error.to_string());
                Err(Error::Disconnected { attempted })
            }
            Ok((Err(error), false)) => Err(failure(&attempted, error)),
            Err(Lost::Panicked) => Err(Error::permanent(attempted, "the call panicked")),
            Err(Lost::NotBegun | Lost::Overran) => {
                self.suspect(&attempted);
                Err(overrun(attempted))
            }
        }
    }

    /// After an overrun: asks the node something simple, and holds it unresponsive while it does not answer that.
    fn suspect(self: &Arc<Self>, attempted: &str) {
        if std::mem::replace(&mut self.health().probing, true) {
            return;
        }
        let why = format!("{attempted} was not answered, nor anything else");
        let inner = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(inner) = inner.upgrade() else { return };
                let Some(live) = inner.link.live() else {
                    // Making the connection anew is another's work, and says so itself.
                    *inner.health() = Health::default();
                    return;
                };
                let probe = move || live.connect.num_of_domains();
                let answered = inner.pool.run(None, false, PROBE_DEADLINE, probe).await;
                let was = {
                    let mut health = inner.health();
                    let was = std::mem::replace(&mut health.unresponsive, answered.is_err());
                    health.probing = answered.is_err();
                    was
                };
                match (was, answered.is_err()) {
                    (false, true) => inner.link.tell(NodeEvent::Disconnected(why.clone())),
                    (true, false) => inner.link.tell(NodeEvent::Connected),
                    _ => {}
                }
                if answered.is_ok() {
                    return;
                }
                drop(inner);
                tokio::time::sleep(PROBE_EVERY).await;
            }
        });
    }

    fn console_log(&self, id: ServerId) -> Option<PathBuf> {
        Some(self.console_folder.as_ref()?.join(format!("{id}.log")))
    }

    /// Whether this guest's monitor answered since the connection was made.
    fn is_confirmed(&self, id: ServerId) -> bool {
        let connection = self.link.live().map_or(0, |live| live.number);
        let mut health = self.health();
        if health.connection != connection {
            health.connection = connection;
            health.confirmed.clear();
        }
        health.confirmed.contains(&id)
    }

    /// Turns what libvirt believes into what is confirmed.
    async fn confirm(self: &Arc<Self>, id: ServerId, believed: Believed, alive: Option<Alive>) -> Result<GuestState> {
        let state = match believed.state {
            GuestState::Stopped | GuestState::Crashed => return Ok(believed.state),
            state if self.test_driver => return Ok(state),
            state => state,
        };
        match alive {
            None => return Ok(GuestState::Crashed),
            Some(Alive::Stopped) => return Ok(GuestState::Frozen),
            Some(Alive::Yes) if believed.busy || self.pool.is_stuck(id) => return Ok(GuestState::Frozen),
            Some(Alive::Yes) if self.is_confirmed(id) => return Ok(state),
            Some(Alive::Yes) => {}
        }
        let call = Call { deadline: CONFIRM_DEADLINE, ..Call::guest("confirming", id) };
        let asked = self.call(call, move |live| {
            let domain = live.connect.lookup_domain_by_uuid(id.0)?;
            // Goes through the monitor, and does nothing.
            domain.memory_stats(0).map(drop)
        });
        match asked.await {
            Ok(()) => {
                self.health().confirmed.insert(id);
                Ok(state)
            }
            Err(Error::Deadline { .. }) if !self.health().unresponsive => Ok(GuestState::Frozen),
            Err(e @ (Error::Deadline { .. } | Error::Disconnected { .. })) => Err(e),
            // It ended while it was asked: look again.
            Err(_) => Ok(self.believed(id).await?.map_or(GuestState::Crashed, |b| b.state)),
        }
    }

    async fn believed(self: &Arc<Self>, id: ServerId) -> Result<Option<Believed>> {
        self.call(Call { anyway: true, ..Call::guest("looking at", id) }, move |live| match find(live, id)? {
            Some(domain) => believed(&domain).map(Some),
            None => Ok(None),
        })
        .await
    }
}

/// What libvirt believes of a guest.
#[derive(Clone, Copy)]
struct Believed {
    state: GuestState,
    /// Its monitor has been busy with one command for too long, or is unusable.
    busy: bool,
}

fn believed(domain: &Domain) -> Answer<Believed> {
    let (state, reason) = ffi::state(domain)?;
    let state = match (state, reason) {
        (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_CRASHED) | (sys::VIR_DOMAIN_CRASHED, _) => {
            GuestState::Crashed
        }
        (sys::VIR_DOMAIN_SHUTOFF | sys::VIR_DOMAIN_NOSTATE, _) => GuestState::Stopped,
        (sys::VIR_DOMAIN_PAUSED, sys::VIR_DOMAIN_PAUSED_CRASHED) => GuestState::Crashed,
        (sys::VIR_DOMAIN_PAUSED | sys::VIR_DOMAIN_PMSUSPENDED, _) => GuestState::Paused,
        _ => GuestState::Running,
    };
    let busy = match ffi::control(domain) {
        Ok((sys::VIR_DOMAIN_CONTROL_OCCUPIED, ms)) => ms > MONITOR_BUSY_MS,
        Ok((sys::VIR_DOMAIN_CONTROL_ERROR, _)) => true,
        // The test driver and guests that do not run have no monitor.
        Ok(_) | Err(_) => false,
    };
    Ok(Believed { state, busy })
}

/// The domain of a server; none when absent.
fn find(live: &Live, id: ServerId) -> Answer<Option<Domain>> {
    match live.connect.lookup_domain_by_uuid(id.0) {
        Ok(domain) => Ok(Some(domain)),
        Err(e) if e.code().is(ErrorNumber::NoDomain) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Our domains among all.
fn ours(domain: &Domain) -> Option<ServerId> {
    let named = domain.name().ok()?;
    named.strip_prefix(process::NAME_PREFIX)?.parse().ok()
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
            () if self.inner.test_driver => Virtualization::Test,
            () if self.inner.use_kvm.load(Ordering::Relaxed) => Virtualization::Kvm,
            () => Virtualization::Emulation,
        };
        let id = spec.id;
        let xml = domain::xml(spec, kind, self.inner.console_log(id).as_deref());
        self.inner
            .call(Call::guest("defining", id), move |live| match find(live, id)? {
                Some(domain) if domain.is_active()? => Ok(()),
                _ => live.connect.define_domain_xml(&xml).map(drop),
            })
            .await
    }

    async fn start(&self, id: ServerId) -> Result<()> {
        let call = Call { deadline: START_DEADLINE, ..Call::guest("starting", id) };
        self.inner
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
        self.inner
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
        self.inner
            .call(Call::guest("resetting", id), move |live| live.connect.lookup_domain_by_uuid(id.0)?.reset())
            .await
    }

    async fn undefine(&self, id: ServerId) -> Result<()> {
        let call = Call::guest("forgetting", id);
        let attempted = call.attempted.clone();
        let test_driver = self.inner.test_driver;
        let active = self
            .inner
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
        match self.inner.console_log(id).map(std::fs::remove_file) {
            Some(Err(e)) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::from_io(attempted, e)),
            _ => Ok(()),
        }
    }

    async fn see(&self, id: ServerId) -> Result<Option<SeenGuest>> {
        let Some(believed) = self.inner.believed(id).await? else { return Ok(None) };
        let alive = processes().await.remove(&id);
        let state = self.inner.confirm(id, believed, alive).await?;
        Ok(Some(SeenGuest { id, state }))
    }

    async fn see_all(&self) -> Result<Vec<SeenGuest>> {
        let all = self.inner.call(Call::node("looking at all servers"), |live| {
            let domains = live.connect.list_all_domains(0)?;
            let known = domains.iter().filter_map(|d| Some((ours(d)?, d)));
            // One that goes away meanwhile is absent.
            Ok(known.filter_map(|(id, d)| Some((id, believed(d).ok()?))).collect::<Vec<_>>())
        });
        let all = all.await?;
        let mut processes = processes().await;
        let mut confirmations = JoinSet::new();
        for (id, believed) in all {
            let (inner, alive) = (self.inner.clone(), processes.remove(&id));
            confirmations.spawn(async move { Ok(SeenGuest { id, state: inner.confirm(id, believed, alive).await? }) });
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
        let inner = self.inner.clone();
        let answering = self.inner.call(Call::node("listing servers that run"), move |live| {
            inner.trim_logs();
            let running = live.connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)?;
            let answers = |id: &ServerId| {
                inner.test_driver || (processes.get(id) == Some(&Alive::Yes) && !inner.pool.is_stuck(*id))
            };
            Ok(running.iter().filter_map(ours).filter(answers).collect::<Vec<_>>())
        });
        let answering = answering.await?;
        let attempted = "reading statistics";
        match self.inner.stats_of(Call::node(attempted), answering.clone()).await {
            Err(Error::Deadline { .. }) if !self.inner.health().unresponsive => {}
            all => return all,
        }
        // One of them froze unseen. Each by itself then: what holds up its own call holds up no other.
        let mut each = JoinSet::new();
        for id in answering {
            let inner = self.inner.clone();
            let call = Call { deadline: CONFIRM_DEADLINE, ..Call::guest("reading statistics of", id) };
            each.spawn(async move { inner.stats_of(call, vec![id]).await });
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
        let live = self.inner.link.live().ok_or_else(|| Error::Disconnected { attempted: attempted.clone() })?;
        let log = self.inner.console_log(id).filter(|_| !self.inner.test_driver);
        let log = log.ok_or_else(|| Error::permanent(attempted, "this node has no consoles"))?;
        self.inner.call(call, move |live| live.connect.lookup_domain_by_uuid(id.0).map(drop)).await?;
        Ok(console::open(live, id, log))
    }

    async fn capacity(&self) -> Result<Capacity> {
        self.inner
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

    async fn test_kvm(&self) -> Result<Kvm> {
        if self.inner.test_driver {
            return Ok(Kvm::Unusable("libvirt's test driver runs no guests".into()));
        }
        kvm::test().await
    }

    fn use_kvm(&self, usable: bool) {
        self.inner.use_kvm.store(usable, Ordering::Relaxed);
    }

    fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.inner.link.events()
    }
}

impl Inner {
    /// The counters of these guests, those that are gone left out.
    async fn stats_of(self: &Arc<Self>, call: Call, ids: Vec<ServerId>) -> Result<Vec<GuestStats>> {
        self.call(call, move |live| {
            let mut domains = vec![];
            for id in ids {
                domains.extend(find(live, id)?);
            }
            if domains.is_empty() {
                return Ok(vec![]);
            }
            match ffi::stats(&domains) {
                // The test driver counts nothing.
                Err(e) if e.code().is(ErrorNumber::NoSupport) => {
                    Ok(domains.iter().map(|d| GuestStats { id: ours(d), ..GuestStats::default() }).collect())
                }
                other => other,
            }
        })
        .await
    }

    /// Cuts console logs that grew too long; with a daemon, virtlogd does so too.
    fn trim_logs(&self) {
        let Some(folder) = &self.console_folder else { return };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if let Err(error) = console::trim(&entry.path()) {
                tracing::warn!(%error, log = %entry.path().display(), "a console log could not be cut");
            }
        }
    }
}

async fn processes() -> std::collections::HashMap<ServerId, Alive> {
    // A panic in reading leaves nothing confirmed.
    tokio::task::spawn_blocking(process::all).await.unwrap_or_default()
}
