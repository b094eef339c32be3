//! The way to one target: addresses are looked up and checked here, and connected to nowhere else.

use super::{Egress, is_public};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The policy will not have it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub String);

/// A target whose name the policy lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(super) egress: Arc<Egress>,
    pub(super) host: String,
    pub(super) port: u16,
    /// Its name alone makes it allowed.
    pub(super) named: bool,
    /// Its name alone lets it have a special address.
    pub(super) private: bool,
}

impl Gate {
    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let (egress, port, address) = (&self.egress, self.port, address.to_canonical());
        if egress.deny.iter().any(|rule| rule.holds(address, port)) {
            return Err(Refused(format!("requests to the address {address} are denied")));
        }
        if !self.named && !egress.allow.iter().any(|rule| rule.holds(address, port)) {
            return Err(Refused(format!("requests to the address {address} are not among those allowed")));
        }
        if self.private || is_public(address) || egress.exceptions.iter().any(|rule| rule.holds(address, port)) {
            return Ok(());
        }
        Err(Refused(format!("requests to the address {address} are refused: it is not a public one")))
    }

    /// The address that is known without resolving a name.
    pub(super) fn known(&self) -> Option<IpAddr> {
        self.host.parse().ok().or_else(|| self.egress.hosts.get(&self.host).copied())
    }

    /// The target's addresses that may be connected to, at least one. A name that changes its mind between two look-ups
    /// gains nothing: these are what is connected to.
    ///
    /// # Errors
    /// [`Refused`] when the policy lets none pass; those of name resolution.
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found: Vec<SocketAddr> = match self.known() {
            Some(address) => vec![(address, self.port).into()],
            None => tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect(),
        };
        let mut refused = Refused(format!("`{}` has no address", self.host));
        let mut allowed = Vec::new();
        for address in found {
            match self.check(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(reason) => refused = reason,
            }
        }
        if allowed.is_empty() { Err(refused.into()) } else { Ok(allowed) }
    }
}
