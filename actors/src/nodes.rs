//! The drivers of each node.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};
use sutler_drivers::Drivers;
use sutler_model::NodeId;

/// Drivers by node; cheap to clone.
#[derive(Clone, Default)]
pub struct Nodes {
    by_id: Arc<RwLock<HashMap<NodeId, Drivers>>>,
}

impl Nodes {
    /// Sets the drivers of a node.
    pub fn insert(&self, id: NodeId, drivers: Drivers) {
        self.by_id.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id, drivers);
    }

    /// The drivers of a node; none when it is not configured in this process.
    pub fn get(&self, id: NodeId) -> Option<Drivers> {
        self.by_id.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(&id).cloned()
    }

    /// All configured nodes.
    pub fn ids(&self) -> Vec<NodeId> {
        self.by_id.read().unwrap_or_else(std::sync::PoisonError::into_inner).keys().copied().collect()
    }

    /// Each storage once, also where nodes share one.
    pub fn storages(&self) -> Vec<Arc<dyn sutler_drivers::Storage>> {
        let nodes = self.by_id.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut distinct: Vec<Arc<dyn sutler_drivers::Storage>> = Vec::new();
        for drivers in nodes.values() {
            if !distinct.iter().any(|known| Arc::ptr_eq(known, &drivers.storage)) {
                distinct.push(drivers.storage.clone());
            }
        }
        distinct
    }
}
