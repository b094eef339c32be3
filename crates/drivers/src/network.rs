//! Connecting guests.

use crate::{Result, compute::NicAttachment};
use async_trait::async_trait;
use sutler_model::{Nic, ServerId};

/// Connects the guests of one node. Every call is idempotent.
#[async_trait]
pub trait Network: Send + Sync {
    /// Makes what the interface needs, or finds it made.
    async fn ensure_nic(&self, server: ServerId, nic: &Nic) -> Result<NicAttachment>;
    /// Takes away what the interface needed; no error when it is absent.
    async fn remove_nics(&self, server: ServerId) -> Result<()>;
    /// Addresses the interface has as far as the node knows.
    async fn addresses(&self, server: ServerId, nic: &Nic) -> Result<Vec<String>>;
}
