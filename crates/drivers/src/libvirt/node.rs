//! One libvirt: how its calls are made, whose fault a silence is, and what is confirmed.

use super::{
    console, embed,
    error::failure,
    ffi,
    link::{Lease, Link},
    pool::{Lost, Pool},
    process::{self, Alive},
};
use crate::{
    Error, Result,
    compute::{GuestState, GuestStats, NodeEvent},
};
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};
use sutler_model::ServerId;
use virt::{domain::Domain, error::ErrorNumber, sys};

/// Most calls take milliseconds.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// A first start probes QEMU's capabilities, for seconds.
pub(super) const START_DEADLINE: Duration = Duration::from_secs(60);
/// A healthy monitor answers in milliseconds, on an overloaded node in seconds; what takes this long is a frozen guest.
pub(super) const CONFIRM_DEADLINE: Duration = Duration::from_secs(8);
/// What a node that is there answers within.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// How often an unresponsive node is asked again.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A monitor busy with one command for longer than this is not answering.
const MONITOR_BUSY_MS: u64 = 5_000;

/// What all calls share.
pub(super) struct Node {
    pub(super) link: Arc<Link>,
    pub(super) pool: Pool,
    pub(super) test_driver: bool,
    pub(super) use_kvm: AtomicBool,
    pub(super) console_folder: Option<PathBuf>,
    pub(super) health: Mutex<Health>,
    /// Given back after the connection is closed: fields drop in order.
    pub(super) root: Option<embed::Root>,
}

#[derive(Default)]
pub(super) struct Health {
    /// A probe is under way.
    probing: bool,
    /// The node answers nothing.
    pub(super) unresponsive: bool,
    /// The number of the connection that `confirmed` belongs to.
    connection: u64,
    /// Guests whose monitor answered since the connection was made.
    confirmed: HashSet<ServerId>,
}

/// What one call is about.
pub(super) struct Call {
    pub(super) attempted: String,
    pub(super) guest: Option<ServerId>,
    /// Begun even for a stuck guest.
    pub(super) anyway: bool,
    pub(super) deadline: Duration,
}

impl Call {
    pub(super) fn node(attempted: &str) -> Self {
        Self { attempted: attempted.into(), guest: None, anyway: false, deadline: DEADLINE }
    }

    pub(super) fn guest(verb: &str, id: ServerId) -> Self {
        let attempted = format!("{verb} server `{id}`");
        Self { attempted, guest: Some(id), anyway: false, deadline: DEADLINE }
    }
}

pub(super) type Answer<T> = std::result::Result<T, virt::error::Error>;

impl Node {
    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a connection that it has for itself.
    pub(super) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: Call,
        work: impl FnOnce(&Lease) -> Answer<T> + Send + 'static,
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
                let lease = match on.lease() {
                    Ok(lease) => lease,
                    Err(error) => return (Err(error), true),
                };
                let answer = work(&lease);
                let dead = answer.is_err() && !lease.connect.is_alive().unwrap_or(false);
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

    /// Has libvirt find out what QEMU can do, which takes seconds the first time and would be waited for by whoever
    /// comes first.
    pub(super) fn warm_up(self: &Arc<Self>) {
        let node = self.clone();
        tokio::spawn(async move {
            let call = Call { deadline: START_DEADLINE, ..Call::node("reading QEMU's capabilities") };
            if let Err(error) = node.call(call, |live| live.connect.capabilities().map(drop)).await {
                tracing::debug!(%error, "libvirt is not warm yet");
            }
        });
    }

    /// After an overrun: asks the node something simple, and holds it unresponsive while it does not answer that.
    fn suspect(self: &Arc<Self>, attempted: &str) {
        if std::mem::replace(&mut self.health().probing, true) {
            return;
        }
        let why = format!("{attempted} was not answered, nor anything else");
        let node = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(node) = node.upgrade() else { return };
                let Some(live) = node.link.live() else {
                    // Making the connection anew is another's work, and says so itself.
                    *node.health() = Health::default();
                    return;
                };
                let probe = move || live.connect.num_of_domains();
                let answered = node.pool.run(None, false, PROBE_DEADLINE, probe).await;
                let was = {
                    let mut health = node.health();
                    let was = std::mem::replace(&mut health.unresponsive, answered.is_err());
                    health.probing = answered.is_err();
                    was
                };
                match (was, answered.is_err()) {
                    (false, true) => node.link.tell(NodeEvent::Disconnected(why.clone())),
                    (true, false) => node.link.tell(NodeEvent::Connected),
                    _ => {}
                }
                if answered.is_ok() {
                    return;
                }
                drop(node);
                tokio::time::sleep(PROBE_EVERY).await;
            }
        });
    }

    pub(super) fn console_log(&self, id: ServerId) -> Option<PathBuf> {
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
    pub(super) async fn confirm(
        self: &Arc<Self>,
        id: ServerId,
        believed: Believed,
        alive: Option<Alive>,
    ) -> Result<GuestState> {
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
            // Its call is still out: the monitor does not answer. A call that did not begin says nothing of the guest.
            Err(Error::Deadline { .. }) if self.pool.is_stuck(id) && !self.health().unresponsive => {
                Ok(GuestState::Frozen)
            }
            Err(e @ (Error::Deadline { .. } | Error::Disconnected { .. })) => Err(e),
            // It ended while it was asked: look again.
            Err(_) => Ok(self.believed(id).await?.map_or(GuestState::Crashed, |b| b.state)),
        }
    }

    pub(super) async fn believed(self: &Arc<Self>, id: ServerId) -> Result<Option<Believed>> {
        self.call(Call { anyway: true, ..Call::guest("looking at", id) }, move |live| match find(live, id)? {
            Some(domain) => believed(&domain).map(Some),
            None => Ok(None),
        })
        .await
    }
}

/// What libvirt believes of a guest.
#[derive(Clone, Copy)]
pub(super) struct Believed {
    pub(super) state: GuestState,
    /// Its monitor has been busy with one command for too long, or is unusable.
    busy: bool,
}

pub(super) fn believed(domain: &Domain) -> Answer<Believed> {
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
pub(super) fn find(live: &Lease, id: ServerId) -> Answer<Option<Domain>> {
    match live.connect.lookup_domain_by_uuid(id.0) {
        Ok(domain) => Ok(Some(domain)),
        Err(e) if e.code().is(ErrorNumber::NoDomain) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Our domains among all.
pub(super) fn ours(domain: &Domain) -> Option<ServerId> {
    let named = domain.name().ok()?;
    named.strip_prefix(process::NAME_PREFIX)?.parse().ok()
}

impl Node {
    /// The counters of these guests, those that are gone left out.
    pub(super) async fn stats_of(self: &Arc<Self>, call: Call, ids: Vec<ServerId>) -> Result<Vec<GuestStats>> {
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
    pub(super) fn trim_logs(&self) {
        let Some(folder) = &self.console_folder else { return };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if let Err(error) = console::trim(&entry.path()) {
                tracing::warn!(%error, log = %entry.path().display(), "a console log could not be cut");
            }
        }
    }
}

pub(super) async fn processes() -> HashMap<ServerId, Alive> {
    // A panic in reading leaves nothing confirmed.
    tokio::task::spawn_blocking(process::all).await.unwrap_or_default()
}
