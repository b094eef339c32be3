//! What every part of this crate stands on: the store, the nodes' drivers, the settings and the time.

use crate::{jobs::Later, nodes::Nodes, placement::Placement, scripts::Enabled, statistics::Statistics};
use sutler_drivers::simulated::Simulated;
use sutler_lua::Egress;
use sutler_model::Timestamp;
use sutler_store::Store;
use uuid::Uuid;

/// How the actors behave. Defaults suit a small provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time between two looks at all guests of a node, milliseconds. Also the precision of an end that nobody saw.
    pub node_poll_ms: u64,
    /// How long a deleted server's disks are kept, milliseconds.
    pub disk_grace_ms: i64,
    /// How long a job may take before it is given up and undone, milliseconds.
    pub job_deadline_ms: i64,
    /// First pause before a failed step is tried again, milliseconds; doubles with each try.
    pub retry_base_ms: u64,
    /// Tries of a step before it counts as failed for good.
    pub retry_max: u32,
    /// How long a guest has to shut down after it was asked, milliseconds; then it is forced.
    pub shutdown_ms: u64,
    /// Jobs that run at the same time.
    pub jobs_at_once: usize,
    /// Unfinished jobs beyond which new ones are refused with a request to come back.
    pub jobs_waiting_max: usize,
    /// Automatic restarts of a crashed guest in ten minutes before it is left stopped.
    pub crash_restarts_max: u32,
    /// Threads that run Lua.
    pub lua_threads: usize,
    /// Wall-clock limit of a PRE trigger, milliseconds.
    pub pre_deadline_ms: u64,
    /// Wall-clock limit of a POST or scheduled trigger run, milliseconds.
    pub post_deadline_ms: u64,
    /// Tries of a POST trigger run before it goes to the dead-letter list.
    pub run_tries_max: u32,
    /// CPU time of Lua that each reseller and customer may use for each second, milliseconds; saved up for a minute.
    pub owner_cpu_ms_per_s: u64,
    /// Time between two measurements of a resource by a script's function, milliseconds.
    pub measure_every_ms: u64,
    /// How long runs of scripts are kept after their end, milliseconds; 0: for good.
    pub runs_keep_ms: i64,
    /// Whether a script's text takes effect only once the provider's staff have signed it.
    pub signing_required: bool,
    /// Where scripts may go.
    pub egress: Egress,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_poll_ms: 10_000,
            disk_grace_ms: 24 * 3_600_000,
            job_deadline_ms: 3_600_000,
            retry_base_ms: 250,
            retry_max: 6,
            shutdown_ms: 60_000,
            jobs_at_once: 256,
            jobs_waiting_max: 50_000,
            crash_restarts_max: 3,
            lua_threads: 2,
            pre_deadline_ms: 5_000,
            post_deadline_ms: 60_000,
            run_tries_max: 8,
            owner_cpu_ms_per_s: 500,
            measure_every_ms: 3_600_000,
            runs_keep_ms: 90 * 86_400_000,
            signing_required: false,
            egress: Egress::default(),
        }
    }
}

/// Shared by all actors; cheap to clone.
#[derive(Clone)]
pub struct Core {
    /// Everything that lasts.
    pub store: Store,
    /// The nodes' drivers.
    pub nodes: Nodes,
    /// Which node, and why.
    pub placement: Placement,
    /// Jobs accepted for later.
    pub(crate) later: Later,
    /// What guests use.
    pub(crate) statistics: Statistics,
    /// The scripts in force.
    pub(crate) enabled: Enabled,
    /// How to behave.
    pub settings: std::sync::Arc<Settings>,
    /// The simulated world whose faults jobs suffer, in simulated mode.
    pub simulated: Option<Simulated>,
    /// Where work runs that must not hold up the actors' threads.
    pub runtime: tokio::runtime::Handle,
}

impl Core {
    /// The current time by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.store.now()
    }

    /// A new id.
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        I::from(self.store.new_uuid())
    }
}
