//! What guests use, as their nodes count it.
//!
//! A node answers for all of its guests at once, so many askers share one answer: it is kept for a moment.

use crate::{Caller, Core, Error, System};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use sutler_drivers::compute::GuestStats;
use sutler_model::{NodeId, Permission, Server, ServerId};

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(1);

/// The counters of a node's running guests.
pub(crate) type Guests = Arc<HashMap<ServerId, GuestStats>>;

/// The last answers; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Statistics {
    by_node: Arc<Mutex<HashMap<NodeId, Slot>>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Guests)>>>;

impl Statistics {
    /// The counters of all running guests of a node; none when the node is not configured in this process.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub(crate) async fn of_node(&self, core: &Core, node: NodeId) -> Result<Option<Guests>, Error> {
        let Some(drivers) = core.nodes.get(node) else { return Ok(None) };
        let slot = self.by_node.lock().unwrap_or_else(PoisonError::into_inner).entry(node).or_default().clone();
        // Held while the node is asked: who comes meanwhile waits for the same answer.
        let mut slot = slot.lock().await;
        if let Some((_, guests)) = slot.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(Some(guests.clone()));
        }
        let stats = drivers.compute.stats().await?;
        let guests: Guests = Arc::new(stats.into_iter().filter_map(|guest| Some((guest.id?, guest))).collect());
        *slot = Some((Instant::now(), guests.clone()));
        Ok(Some(guests))
    }
}

impl System {
    /// What a server's guest has used since it started; all unknown while it does not run.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`]; [`Error::Driver`] when its node does not answer.
    pub async fn server_statistics(&self, caller: &Caller, id: ServerId) -> Result<GuestStats, Error> {
        caller.must(Permission::ServersRead)?;
        let server: Server = self.find(id).await?;
        let owner = (server.billing_entity_id, Some(server.customer_id));
        self.reach(caller, owner.0, owner.1, (sutler_model::Noun::Server, id.into())).await?;
        let core = &self.inner.core;
        let guests = match server.node_id {
            Some(node) => core.statistics.of_node(core, node).await?,
            None => None,
        };
        let counted = guests.and_then(|guests| guests.get(&id).cloned());
        Ok(counted.unwrap_or(GuestStats { id: Some(id), ..GuestStats::default() }))
    }
}
