//! The running whole: starts the actors in order and stops them in reverse.

use crate::{Core, Settings};
use std::sync::Arc;
use sutler_drivers::Drivers;
use sutler_store::Store;

/// A node to run guests on.
pub struct NodeConfig {
    /// Display name; finds the node's record again.
    pub name: String,
    /// Where its compute driver connects.
    pub uri: String,
    /// Its drivers.
    pub drivers: Drivers,
}

/// The running system; cheap to clone.
#[derive(Clone)]
pub struct System {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) core: Core,
}

impl System {
    /// Starts everything: nodes, unfinished jobs, triggers, schedules.
    ///
    /// # Errors
    /// Those of the store; a node that does not answer is no error.
    pub async fn start(store: Store, nodes: Vec<NodeConfig>, settings: Settings) -> Result<Self, crate::Error> {
        let _ = (store, nodes, settings);
        todo!()
    }

    /// The store, for reads.
    pub fn store(&self) -> &Store {
        &self.inner.core.store
    }

    /// Ends all work at the next commit; stops no guest. The store stays open.
    pub async fn stop(&self) {
        todo!()
    }
}
