//! The running whole: starts the actors in order and stops them in reverse.

use crate::{
    Core, Error, Nodes, Placement, Settings,
    customer::CustomerActor,
    enrol,
    jobs::{Engine, Later, keep_time},
    keeper,
    meter::MeterActor,
    node::{self, NodeActor},
    payments::Payments,
    registry::{ArbiterPool, Config, Registry},
    scripts::{Enabled, Exception, Scripts},
    server::{self, ServerActor},
    statistics::Statistics,
};
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use sutler_drivers::{Drivers, simulated::Simulated};
use sutler_model::{Noun, Server};
use sutler_store::Store;
use tokio::task::JoinHandle;

/// A node to run guests on.
pub struct NodeConfig {
    /// Display name; finds the node's record again.
    pub name: String,
    /// Where its compute driver connects.
    pub uri: String,
    /// Its drivers.
    pub drivers: Drivers,
}

/// What a system is made of.
pub struct Setup {
    /// Everything that lasts.
    pub store: Store,
    /// The nodes.
    pub nodes: Vec<NodeConfig>,
    /// How to behave.
    pub settings: Settings,
    /// The world that the drivers simulate, whose faults operators may order.
    pub simulated: Option<Simulated>,
    /// Threads that actors share, at least 1.
    pub arbiters: usize,
}

/// The running system; cheap to clone.
#[derive(Clone)]
pub struct System {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) core: Core,
    pub(crate) customers: Registry<CustomerActor>,
    pub(crate) servers: Registry<ServerActor>,
    pub(crate) meters: Registry<MeterActor>,
    pub(crate) node_actors: Registry<NodeActor>,
    pub(crate) scripts: Scripts,
    pub(crate) payments: Payments,
    pool: ArbiterPool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl System {
    /// Starts everything: nodes, actors, triggers; unfinished jobs resume. Call it on the program's own runtime.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Busy`] when threads cannot be started. A node that does not answer is no error.
    pub async fn start(setup: Setup) -> Result<Self, Error> {
        node::describe();
        let Setup { store, nodes, settings, simulated, arbiters } = setup;
        let core = Core {
            store,
            nodes: Nodes::default(),
            placement: Placement::default(),
            later: Later::default(),
            statistics: Statistics::default(),
            enabled: Enabled::default(),
            settings: Arc::new(settings),
            simulated,
            runtime: tokio::runtime::Handle::current(),
        };
        let enrolled = enrol::enrol_all(&core, nodes).await?;
        hold_places(&core).await?;

        let pool = ArbiterPool::start(arbiters)
            .map_err(|e| Error::Busy { detail: format!("starting the actors' threads: {e}"), retry_after_s: 10 })?;
        // The triggers come to be later than the actors whose quarantine they are told of; their own is told to nobody, for what
        // triggers raise sets off none.
        let told = Arc::new(OnceLock::<Scripts>::new());
        let telling = told.clone();
        let config = Config {
            on_quarantine: Some(Arc::new(move |quarantine| {
                if let Some(scripts) = telling.get() {
                    scripts.raise(Exception {
                        source: "ACTOR",
                        code: "quarantine",
                        message: format!(
                            "the {} {} kept failing and waits for an operator: {}",
                            quarantine.kind, quarantine.id, quarantine.reason
                        ),
                        request_id: None,
                        item: Some((quarantine.kind, quarantine.id)),
                    });
                }
            })),
            ..Config::default()
        };
        let engine = Engine::new(core.clone());
        let customers = Registry::new(core.clone(), pool.clone(), config.clone());
        let servers: Registry<ServerActor> =
            Registry::new(server::Env { core: core.clone(), engine: engine.clone() }, pool.clone(), config.clone());
        let meters = Registry::new(core.clone(), pool.clone(), config.clone());
        let env = node::Env { core: core.clone(), servers: servers.clone() };
        let node_actors: Registry<NodeActor> = Registry::new(env, pool.clone(), config);

        let inner = Arc::new_cyclic(|inner| Inner {
            scripts: Scripts::new(core.clone(), inner.clone(), pool.clone()),
            core: core.clone(),
            customers,
            servers: servers.clone(),
            meters,
            node_actors: node_actors.clone(),
            payments: Payments::default(),
            pool,
            tasks: Mutex::new(Vec::new()),
        });
        let system = Self { inner };
        engine.ask(system.inner.scripts.clone());
        // Set once, right here.
        let _ = told.set(system.inner.scripts.clone());
        system.inner.scripts.start().await?;
        system.resume_pluggables().await?;
        system.resume_actions().await?;
        system.spawn(keep_time(system.clone()));
        system.resume_payments().await?;
        system.spawn(keeper::keep(core.clone(), servers));
        system.resume_deletions().await?;
        system.resume_operations().await?;
        let spread = core.settings.node_poll_ms / u64::try_from(enrolled.len().max(1)).unwrap_or(1);
        for (i, id) in (0..).zip(enrolled) {
            // The first look at once for a few nodes, spread over a poll interval for thousands.
            let first = if i < 16 { 0 } else { i * spread };
            system.spawn(node::watch(core.clone(), node_actors.clone(), id, Duration::from_millis(first)));
        }
        Ok(system)
    }

    /// The store, for reads.
    pub fn store(&self) -> &Store {
        &self.inner.core.store
    }

    /// What everything stands on.
    pub fn core(&self) -> &Core {
        &self.inner.core
    }

    /// Ends all work; stops no guest. Jobs under way resume at the next start. The store stays open.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
        }
        self.inner.payments.stop().await;
        self.inner.scripts.stop().await;
        self.inner.node_actors.shut_down().await;
        self.inner.meters.shut_down().await;
        self.inner.customers.shut_down().await;
        self.inner.servers.shut_down().await;
        let pool = self.inner.pool.clone();
        match tokio::task::spawn_blocking(move || pool.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the actors' threads did not end cleanly: {error}"),
            Err(panic) => tracing::warn!("the actors' threads did not end cleanly: {panic}"),
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.inner.core.runtime.spawn(task);
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

/// Takes the places that servers hold into the book, before anything is placed.
async fn hold_places(core: &Core) -> Result<(), Error> {
    let core = core.clone();
    let placement = core.placement.clone();
    let ids = core.store.index().all(Noun::Server);
    core.store
        .read(move |s| {
            for id in ids {
                if let Some(server) = s.get::<Server>(id)?
                    && let Some(node) = server.node_id
                {
                    placement.hold(server.id, node, server.cpu, server.memory_mib);
                }
            }
            Ok(())
        })
        .await?;
    Ok(())
}
