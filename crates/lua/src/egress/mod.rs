//! Where scripts may go, whatever protocol they speak.

mod gate;
mod http;
mod line;
mod rule;
mod stream;

pub(crate) use gate::{Gate, Refused};
pub(crate) use http::Clients;
pub use rule::Rule;
pub(crate) use stream::{Stream, tls};

use reqwest::Url;
use rule::bare;
use rustls::pki_types::CertificateDer;
use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

/// Outbound policy. Checked after name resolution, on the very address that is then connected to.
#[derive(Clone, PartialEq, Eq)]
pub struct Egress {
    /// Whether loopback, link-local, private and other special addresses may be reached.
    pub allow_private: bool,
    /// What may be reached though its addresses are special.
    pub exceptions: Vec<Rule>,
    /// If not empty, only these.
    pub allow: Vec<Rule>,
    /// Never these, whatever the others say.
    pub deny: Vec<Rule>,
    /// Where HTTP requests go instead of to their target, which stays subject to the policy.
    pub proxy: Option<Url>,
    /// Addresses of names, in place of name resolution.
    pub hosts: BTreeMap<String, IpAddr>,
    /// Certificates trusted besides those of the system.
    pub roots: Vec<CertificateDer<'static>>,
    /// Where mail goes that names no server: `smtp://` or `smtps://`. The rules above do not concern it.
    pub relay: Option<Url>,
    /// Whom mail is from that does not say so.
    pub mail_from: String,
    /// For one request, answer included.
    pub timeout_ms: u64,
    /// Largest answer kept; a longer one fails.
    pub response_bytes: usize,
    /// Most requests of one run.
    pub requests: u32,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            allow_private: false,
            exceptions: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            proxy: None,
            hosts: BTreeMap::new(),
            roots: Vec::new(),
            relay: None,
            mail_from: "sutler@localhost".to_owned(),
            timeout_ms: 30_000,
            response_bytes: 8 << 20,
            requests: 100,
        }
    }
}

/// Without the passwords of proxy and relay.
impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("allow_private", &self.allow_private)
            .field("exceptions", &self.exceptions)
            .field("allow", &self.allow)
            .field("deny", &self.deny)
            .field("proxy", &self.proxy.as_ref().and_then(Url::host_str))
            .field("hosts", &self.hosts)
            .field("roots", &self.roots.len())
            .field("relay", &self.relay.as_ref().and_then(Url::host_str))
            .finish_non_exhaustive()
    }
}

impl Egress {
    /// The way to a host, if its name, or the address that stands for it, is not refused.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn gate(self: &Arc<Self>, host: &str, port: u16) -> Result<Gate, Refused> {
        let host = bare(host);
        if self.deny.iter().any(|rule| rule.names(&host, port)) {
            return Err(Refused(format!("requests to `{host}` are denied")));
        }
        let named = self.allow.is_empty() || self.allow.iter().any(|rule| rule.names(&host, port));
        // Its address may still be in a network that is allowed.
        if !named && !self.allow.iter().any(Rule::is_network) {
            return Err(Refused(format!("requests to `{host}` are not among those allowed")));
        }
        let private = self.allow_private || self.exceptions.iter().any(|rule| rule.names(&host, port));
        let gate = Gate { egress: self.clone(), port, named, private, host };
        match gate.known() {
            Some(address) => gate.check(address).map(|()| gate),
            None => Ok(gate),
        }
    }

    /// The way to a host that the operator chose: past every rule.
    pub(crate) fn open_gate(&self, host: &str, port: u16) -> Gate {
        let egress = Self { deny: Vec::new(), ..self.clone() };
        Gate { egress: Arc::new(egress), port, named: true, private: true, host: bare(host) }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(a == 0
                || v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19)) // benchmarking
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            let s = v6.segments();
            let embedded = |high: u16, low: u16| {
                let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
                is_public(IpAddr::from([a, b, c, d]))
            };
            match s[0] {
                0x0064 if s[1] == 0xff9b && s[2] == 0 => embedded(s[6], s[7]), // NAT64
                0x2002 => embedded(s[1], s[2]),                                // 6to4
                0x2001 if s[1] == 0 => false,                                  // Teredo
                0x2001 if s[1] == 0xdb8 => false,                              // documentation
                _ => (s[0] & 0xe000) == 0x2000,                                // global unicast
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn reaches(egress: &Egress, host: &str, port: u16, address: &str) -> bool {
        let address = address.parse().unwrap();
        Arc::new(egress.clone()).gate(host, port).is_ok_and(|gate| gate.check(address).is_ok())
    }

    #[test]
    fn special_addresses_are_refused_in_every_spelling() {
        let egress = Egress::default();
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(!reaches(&egress, "a.test", 80, address) && !reaches(&egress, address, 80, "9.9.9.9"), "{address}");
        }
        for address in ["9.9.9.9", "2620:fe::fe", "64:ff9b::909:909", "::ffff:9.9.9.9"] {
            assert!(reaches(&egress, "a.test", 80, address), "{address}");
        }
        assert!(reaches(&Egress { allow_private: true, ..egress }, "a.test", 80, "127.0.0.1"));
    }

    #[test]
    fn exceptions_open_a_target_or_a_network_and_nothing_beside_it() {
        let exceptions = rules(&["10.1.0.0/16", "db.test:5432", "fd00::/8"]);
        let egress = Egress { exceptions, ..Egress::default() };
        assert!(reaches(&egress, "a.test", 80, "10.1.255.1") && !reaches(&egress, "a.test", 80, "10.2.0.1"));
        assert!(reaches(&egress, "a.test", 80, "fd12::1") && !reaches(&egress, "a.test", 80, "::1"));
        assert!(reaches(&egress, "DB.test.", 5432, "127.0.0.1"));
        assert!(!reaches(&egress, "db.test", 5433, "127.0.0.1"));
        assert!(!reaches(&egress, "other.test", 5432, "127.0.0.1"));
    }

    #[test]
    fn deny_wins_over_allow_and_wildcards_need_a_label() {
        let egress = Egress {
            allow: rules(&["*.example.com", "api.test:8443"]),
            deny: rules(&["bad.example.com"]),
            ..Egress::default()
        };
        for (host, port, open) in [
            ("a.example.com", 443, true),
            ("A.Example.COM.", 443, true),
            ("example.com", 443, false),
            ("badexample.com", 443, false),
            ("bad.example.com", 443, false),
            ("api.test", 8443, true),
            ("api.test", 443, false),
        ] {
            assert_eq!(reaches(&egress, host, port, "9.9.9.9"), open, "{host}");
        }
    }

    #[test]
    fn networks_are_allowed_and_denied_by_what_a_name_resolves_to() {
        let egress = Egress { allow: rules(&["9.9.9.0/24", "named.test"]), ..Egress::default() };
        assert!(reaches(&egress, "any.test", 443, "9.9.9.9") && !reaches(&egress, "any.test", 443, "8.8.8.8"));
        assert!(reaches(&egress, "named.test", 443, "8.8.8.8"));
        let egress = Egress { deny: rules(&["9.9.9.0/24", "8.8.8.8:53"]), allow_private: true, ..Egress::default() };
        assert!(!reaches(&egress, "any.test", 443, "9.9.9.9") && !reaches(&egress, "any.test", 443, "::ffff:9.9.9.9"));
        assert!(!reaches(&egress, "any.test", 53, "8.8.8.8") && reaches(&egress, "any.test", 443, "8.8.8.8"));
        let egress = Egress { exceptions: rules(&["10.0.0.0/8"]), deny: rules(&["10.0.0.5"]), ..Egress::default() };
        assert!(reaches(&egress, "a.test", 1, "10.0.0.4") && !reaches(&egress, "a.test", 1, "10.0.0.5"));
    }

    #[tokio::test]
    async fn a_name_with_an_address_of_its_own_is_not_resolved_and_not_exempt() {
        let hosts = BTreeMap::from([("inner.test".to_owned(), "127.0.0.1".parse().unwrap())]);
        let egress = Egress { hosts, ..Egress::default() };
        assert!(Arc::new(egress.clone()).gate("inner.test", 80).is_err());
        let open = Arc::new(Egress { exceptions: rules(&["127.0.0.1:80"]), ..egress });
        let found = open.gate("Inner.test", 80).unwrap().addresses().await.unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
        assert!(open.gate("inner.test", 81).is_err());
    }
}
