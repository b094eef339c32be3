//! The node actor: looks at all guests of its node and tells each server's actor what does not match its record.
//!
//! Asked by its watcher (time to look, or something happened); mailbox of 256. Awake as long as the process runs.
//!
//! ```text
//!            a look succeeds                     a look fails or takes too long
//! unwatched ─────────────────▶ watched (node up) ──────────────────────────────▶ unwatched (node unresponsive)
//! ```
//!
//! The node's `seen_at` moves on only after every server that changed has taken its change in, so an end that nobody
//! saw is put at the last moment its guest was surely alive. A restart loses nothing but the watch.

use crate::{
    Core,
    jobs::{chain, state_of},
    registry::{Ctx, Entity, Handles, LoadError, Registry},
    server::{Seen, ServerActor},
};
use metrics::gauge;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use sutler_drivers::{
    Drivers,
    compute::{Capacity, GuestState, GuestStats, NodeEvent, SeenGuest},
};
use sutler_model::{Cause, Node, NodeId, NodeState, Noun, Server, ServerId, ServerState, Timestamp};
use sutler_store::{ChangeSet, Field};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

/// Time to look at all guests.
pub(crate) struct Look;

impl actix::Message for Look {
    type Result = ();
}

/// A guest did something that its server's record may not know.
pub(crate) struct Happened(pub SeenGuest);

impl actix::Message for Happened {
    type Result = ();
}

/// What the actor works with.
#[derive(Clone)]
pub(crate) struct Env {
    /// Store, nodes, settings.
    pub core: Core,
    /// The servers' actors.
    pub servers: Registry<ServerActor>,
}

/// The actor.
pub(crate) struct NodeActor {
    env: Env,
    id: NodeId,
    drivers: Drivers,
    /// The last look after which the node was watched without a break; none before the first and after a failure.
    watched_at: Option<Timestamp>,
    /// What the records say, by version, so that an unchanged server is not read again at each look.
    known: HashMap<ServerId, (u64, ServerState)>,
    /// What the guests had used at the last look.
    used: Option<Used>,
}

impl Entity for NodeActor {
    type Env = Env;
    const KIND: &'static str = "node";
    const MAILBOX: usize = 256;

    async fn load(env: Env, id: Uuid) -> Result<Option<Self>, LoadError> {
        let Some(drivers) = env.core.nodes.get(NodeId(id)) else { return Ok(None) };
        Ok(Some(Self { env, id: NodeId(id), drivers, watched_at: None, known: HashMap::new(), used: None }))
    }

    fn idle(&self) -> bool {
        false
    }
}

impl Handles<Look> for NodeActor {
    async fn handle(&mut self, _: Look, _: &Ctx<Self>) {
        let at = self.env.core.now();
        let result = match self.look().await {
            Ok((size, guests)) => self.compare(at, size, &guests).await,
            Err(error) => {
                self.watched_at = None;
                self.record(None, None, Some(chain(&error))).await
            }
        };
        if let Err(error) = result {
            // Not counted as seen, so nothing is lost: the next look finds the same.
            tracing::warn!(node = %self.id, "a look at the node's guests was not recorded: {error}");
        }
    }
}

impl Handles<Happened> for NodeActor {
    async fn handle(&mut self, Happened(guest): Happened, _: &Ctx<Self>) {
        // Before the first look nothing is known of the time before; that look will find it.
        let Some(watched_at) = self.watched_at else { return };
        let at = self.env.core.now();
        let seen = Seen { state: Some(guest.state), at, alive_at: watched_at, watched: true, version: None };
        self.tell(guest.id, seen).await;
    }
}

impl NodeActor {
    /// All guests; before them how large the node is, unless it has been watched since that was told: who could not be reached at
    /// the start would else have room for nothing, and may be another machine by now.
    async fn look(&self) -> Result<(Option<Capacity>, Vec<SeenGuest>), sutler_drivers::Error> {
        let size = match self.watched_at {
            Some(_) => None,
            None => Some(self.drivers.compute.capacity().await?),
        };
        Ok((size, self.drivers.compute.see_all().await?))
    }

    /// Tells the servers whose records differ from what was seen at `at`, then records the look.
    async fn compare(
        &mut self,
        at: Timestamp,
        size: Option<Capacity>,
        guests: &[SeenGuest],
    ) -> Result<(), crate::Error> {
        let seen: HashMap<ServerId, GuestState> = guests.iter().map(|g| (g.id, g.state)).collect();
        let node: Node = match self.env.core.store.get(self.id).await? {
            Some(node) => node,
            None => return Ok(()),
        };
        let alive_at = self.watched_at.unwrap_or(node.seen_at);
        let ids = self.env.core.store.index().ids(Noun::Server, Field::Node, self.id.0.as_bytes());
        self.refresh(&ids).await?;
        for id in ids.into_iter().map(ServerId) {
            let Some(&(version, recorded)) = self.known.get(&id) else { continue };
            let state = seen.get(&id).copied();
            if state_of(state) != recorded {
                let watched = self.watched_at.is_some();
                self.tell(id, Seen { state, at, alive_at, watched, version: Some(version) }).await;
            }
        }
        self.publish(&seen);
        self.measure(&seen).await;
        self.record(Some(at), size, None).await?;
        self.watched_at = Some(at);
        Ok(())
    }

    /// Reads the records that changed since the last look.
    async fn refresh(&mut self, ids: &[Uuid]) -> Result<(), crate::Error> {
        let index = self.env.core.store.index();
        self.known.retain(|id, (version, _)| index.version(Noun::Server, (*id).into()) == Some(*version));
        let changed: Vec<Uuid> = ids.iter().copied().filter(|id| !self.known.contains_key(&ServerId(*id))).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let read = move |s: &sutler_store::Snapshot| {
            changed.into_iter().filter_map(|id| s.get::<Server>(id).transpose()).collect::<Result<Vec<_>, _>>()
        };
        for server in self.env.core.store.read(read).await? {
            self.known.insert(server.id, (server.version, server.state));
        }
        Ok(())
    }

    async fn tell(&self, id: ServerId, seen: Seen) {
        match self.env.servers.ask(id.into(), seen).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(server = %id, "what was seen of the guest was not recorded: {error}"),
            Err(crate::registry::AskError::NotFound) => {}
            Err(error) => tracing::warn!(server = %id, "the server's actor was not told what was seen: {error}"),
        }
    }

    /// Records a look, or why there was none.
    async fn record(
        &self,
        seen_at: Option<Timestamp>,
        size: Option<Capacity>,
        trouble: Option<String>,
    ) -> Result<(), crate::Error> {
        let core = &self.env.core;
        loop {
            let Some(old) = core.store.get::<Node>(self.id).await? else { return Ok(()) };
            let mut new = old.clone();
            new.seen_at = seen_at.map_or(old.seen_at, |at| at.max(old.seen_at));
            new.state = match (&trouble, old.state) {
                (Some(_), _) => NodeState::Unresponsive,
                (None, NodeState::Draining) => NodeState::Draining,
                (None, _) => NodeState::Up,
            };
            new.state_reason.clone_from(&trouble);
            if let Some(size) = &size {
                (new.cpus, new.memory_mib) = (size.cpus, size.memory_mib);
            }
            if new == old {
                return Ok(());
            }
            if new.state != old.state {
                tracing::warn!(node = %old.name, "node is {:?}{}", new.state, trouble.as_deref().map(|t| format!(": {t}")).unwrap_or_default());
            }
            let mut set = ChangeSet::new(Cause::system("node watch"));
            set.update(&old, &mut new);
            match core.store.commit(set).await {
                Ok(_) => {
                    core.placement.set_node(&new);
                    return Ok(());
                }
                Err(sutler_store::Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Publishes what the guests use. A node that cannot tell is watched all the same.
    async fn measure(&mut self, seen: &HashMap<ServerId, GuestState>) {
        if seen.is_empty() {
            self.used = None;
            return;
        }
        let core = &self.env.core;
        let guests = match core.statistics.of_node(core, self.id).await {
            Ok(Some(guests)) => guests,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(node = %self.id, "reading what the guests use: {error}");
                return;
            }
        };
        let node = self.id.to_string();
        let kib: u64 = guests.values().filter_map(|guest| guest.memory_rss_kib).sum();
        gauge!("sutler_node_memory_used_bytes", "node" => node.clone()).set((kib << 10) as f64);
        let used = Used::of(&guests);
        if let Some(earlier) = self.used.replace(used)
            && let Some(used) = &self.used
        {
            gauge!("sutler_node_cpus_busy", "node" => node).set(used.busy_cpus(&earlier));
        }
    }

    /// Publishes what was seen; nodes without guests have no series, so thousands of them cost nothing.
    fn publish(&self, seen: &HashMap<ServerId, GuestState>) {
        if seen.is_empty() {
            return;
        }
        let running = seen.values().filter(|s| state_of(Some(**s)).is_metered()).count();
        let node = self.id.to_string();
        gauge!("sutler_node_guests_running", "node" => node.clone()).set(running as f64);
        let index = self.env.core.store.index();
        let unknown = seen.keys().filter(|id| index.version(Noun::Server, id.0).is_none()).count();
        gauge!("sutler_node_guests_unknown", "node" => node.clone()).set(unknown as f64);
        if let Some([cpus, _, memory_mib, _]) = self.env.core.placement.usage(self.id) {
            gauge!("sutler_node_cpus_promised", "node" => node.clone()).set(cpus as f64);
            gauge!("sutler_node_memory_promised_bytes", "node" => node).set((memory_mib << 20) as f64);
        }
    }
}

/// CPU time a node's guests had used at a look.
struct Used {
    at: Instant,
    cpu_ns: HashMap<ServerId, u64>,
}

impl Used {
    fn of(guests: &HashMap<ServerId, GuestStats>) -> Self {
        let cpu_ns = guests.iter().filter_map(|(id, guest)| Some((*id, guest.cpu_ns?))).collect();
        Self { at: Instant::now(), cpu_ns }
    }

    /// CPUs kept busy since `earlier`, by the guests that ran then and now.
    fn busy_cpus(&self, earlier: &Self) -> f64 {
        let used: u64 =
            self.cpu_ns.iter().filter_map(|(id, now)| Some(now.saturating_sub(*earlier.cpu_ns.get(id)?))).sum();
        let passed = self.at.duration_since(earlier.at).as_secs_f64();
        if passed > 0.0 { used as f64 / 1e9 / passed } else { 0.0 }
    }
}

/// Describes what this file publishes.
pub(crate) fn describe() {
    metrics::describe_gauge!("sutler_node_guests_running", "Guests seen running at the last look");
    metrics::describe_gauge!("sutler_node_guests_unknown", "Guests on the node that no record knows");
    metrics::describe_gauge!("sutler_node_cpus_promised", "vCPUs promised to servers");
    metrics::describe_gauge!("sutler_node_memory_promised_bytes", "Memory promised to servers");
    metrics::describe_gauge!("sutler_node_memory_used_bytes", "Memory that the node holds for its guests");
    metrics::describe_gauge!("sutler_node_cpus_busy", "CPUs the guests kept busy between the last two looks");
}

/// Watches a node until the process stops: looks at set times, and at once when something happened.
pub(crate) async fn watch(core: Core, nodes: Registry<NodeActor>, id: NodeId, first: Duration) {
    let Some(drivers) = core.nodes.get(id) else { return };
    let mut events = drivers.compute.events();
    let mut next = tokio::time::Instant::now() + first;
    loop {
        let event = tokio::select! {
            () = tokio::time::sleep_until(next) => None,
            event = events.recv() => Some(event),
        };
        let answer = match event {
            // A start of ours is recorded by its job, one by hand is found at the next look.
            Some(Ok(NodeEvent::Guest(SeenGuest { state: GuestState::Running, .. }))) => continue,
            Some(Ok(NodeEvent::Guest(guest))) => nodes.ask(id.into(), Happened(guest)).await,
            Some(Ok(NodeEvent::Connected | NodeEvent::Disconnected(_)) | Err(RecvError::Lagged(_))) | None => {
                next = tokio::time::Instant::now() + Duration::from_millis(core.settings.node_poll_ms);
                nodes.ask(id.into(), Look).await
            }
            Some(Err(RecvError::Closed)) => return,
        };
        if let Err(error) = answer {
            tracing::warn!(node = %id, "the node's actor did not answer: {error}");
        }
    }
}
