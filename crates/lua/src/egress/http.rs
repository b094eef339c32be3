//! HTTP clients under the policy.

use super::{Egress, Gate, line::Line};
use reqwest::{
    Certificate, Client, Proxy,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use std::{cell::RefCell, sync::Arc, time::Duration};

/// Most clients that are kept. One is made for a target, so that no connection made for one is used for another that
/// the policy treats differently.
const CLIENTS: usize = 16;

/// The clients of one thread, those used last at the end.
#[derive(Default)]
pub(crate) struct Clients(RefCell<Vec<(Gate, bool, Line)>>);

impl Clients {
    /// The client for a target; one that does not verify accepts any certificate.
    pub fn to(&self, gate: &Gate, verify: bool) -> Result<Line, String> {
        let mut clients = self.0.borrow_mut();
        let known = clients.iter().position(|(known, verifies, _)| *verifies == verify && known == gate);
        let client = match known {
            Some(at) => clients.remove(at).2,
            None => client(gate, verify).map_err(|error| format!("preparing a request: {error}"))?,
        };
        if clients.len() == CLIENTS {
            clients.remove(0);
        }
        clients.push((gate.clone(), verify, client.clone()));
        Ok(client)
    }
}

fn client(gate: &Gate, verify: bool) -> reqwest::Result<Line> {
    // Another part of the program may have set the provider already; either is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let egress = &gate.egress;
    let limit = Duration::from_millis(egress.timeout_ms);
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(Resolver(gate.clone())))
        .connect_timeout(limit)
        .timeout(limit)
        .tls_danger_accept_invalid_certs(!verify)
        .user_agent(concat!("sutler/", env!("CARGO_PKG_VERSION")));
    if verify && !egress.roots.is_empty() {
        let roots: reqwest::Result<Vec<_>> = egress.roots.iter().map(|root| Certificate::from_der(root)).collect();
        builder = builder.tls_certs_merge(roots?);
    }
    if let Some(proxy) = &egress.proxy {
        builder = builder.proxy(Proxy::all(proxy.clone())?);
    }
    Line::new(builder)
}

/// Resolves the target's name to the addresses that the policy allows.
struct Resolver(Gate);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = self.0.clone();
        Box::pin(async move {
            if is_proxy(&gate.egress, name.as_str()) {
                // The operator's word; the target was checked before it was asked for.
                let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
                return Ok(Box::new(found.into_iter()) as Addrs);
            }
            let found = gate.addresses().await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn is_proxy(egress: &Egress, name: &str) -> bool {
    egress.proxy.as_ref().and_then(|proxy| proxy.host_str()).is_some_and(|host| host.eq_ignore_ascii_case(name))
}
