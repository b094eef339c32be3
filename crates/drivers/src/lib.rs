//! What reaches the outside: compute, storage and network, real and simulated.
//!
//! Only this crate knows libvirt. Drivers take plain values and leave the store alone.

pub mod compute;
pub mod directory;
mod error;
mod image;
pub mod libvirt;
pub mod network;
mod open;
pub mod simulated;
pub mod storage;

pub use compute::Compute;
pub use error::{Error, Result};
pub use network::Network;
pub use open::open_node;
pub use storage::Storage;

use std::sync::Arc;

/// The drivers of one node.
#[derive(Clone)]
pub struct Drivers {
    /// Runs guests.
    pub compute: Arc<dyn Compute>,
    /// Keeps disks, images and seeds.
    pub storage: Arc<dyn Storage>,
    /// Connects guests.
    pub network: Arc<dyn Network>,
}
