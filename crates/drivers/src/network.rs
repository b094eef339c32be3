//! Connecting guests.

use crate::{
    Result,
    compute::{Link, NicAttachment},
};
use async_trait::async_trait;
use sutler_model::{Nic, ServerId};

/// Connects the guests of one node. Every call is idempotent.
#[async_trait]
pub trait Network: Send + Sync {
    /// Makes what the interface needs, or finds it made. The interface is answered with the addresses that it will have once
    /// its guest runs, as far as they are known beforehand.
    async fn ensure_nic(&self, server: ServerId, nic: &Nic) -> Result<NicAttachment>;
    /// Takes away what the interface needed; no error when it is absent.
    async fn remove_nics(&self, server: ServerId) -> Result<()>;
    /// Addresses the interface has as far as the node knows.
    async fn addresses(&self, server: ServerId, nic: &Nic) -> Result<Vec<String>>;
}

/// The hardware address of an interface, as its record has it.
pub fn mac(server: ServerId, index: u32) -> String {
    Nic::derived(server, index).mac
}

/// What QEMU's user-mode network gives a guest's first interface.
const USER_MODE_ADDRESS: &str = "10.0.2.15";

pub(crate) fn user_mode_addresses(nic: &Nic, runs: bool) -> Vec<String> {
    if runs && nic.index == 0 { vec![USER_MODE_ADDRESS.into()] } else { vec![] }
}

/// An interface on that network.
pub(crate) fn user_mode_nic(server: ServerId, nic: &Nic) -> NicAttachment {
    let nic = Nic { mac: mac(server, nic.index), addresses: user_mode_addresses(nic, true), ..nic.clone() };
    NicAttachment { nic, link: Link::User }
}

/// QEMU's user-mode network: nothing to set up, outbound only.
pub struct UserMode {
    /// Says whether the guest runs: an address is only there with it.
    compute: std::sync::Arc<dyn crate::Compute>,
}

impl UserMode {
    /// For the guests of `compute`.
    pub fn new(compute: std::sync::Arc<dyn crate::Compute>) -> Self {
        Self { compute }
    }
}

#[async_trait]
impl Network for UserMode {
    async fn ensure_nic(&self, server: ServerId, nic: &Nic) -> Result<NicAttachment> {
        Ok(user_mode_nic(server, nic))
    }

    async fn remove_nics(&self, _server: ServerId) -> Result<()> {
        Ok(())
    }

    async fn addresses(&self, server: ServerId, nic: &Nic) -> Result<Vec<String>> {
        use crate::compute::GuestState;
        let runs = self
            .compute
            .see(server)
            .await?
            .is_some_and(|g| matches!(g.state, GuestState::Running | GuestState::Paused | GuestState::Frozen));
        Ok(user_mode_addresses(nic, runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_has_its_own_address_and_keeps_it() {
        let server = ServerId::new(1, [7; 10]);
        assert_eq!(mac(server, 0), mac(server, 0));
        assert_ne!(mac(server, 0), mac(server, 1));
        assert_ne!(mac(server, 0), mac(ServerId::new(1, [8; 10]), 0));
        assert!(mac(server, 0).starts_with("52:54:00:") && mac(server, 0).len() == 17);
    }
}
