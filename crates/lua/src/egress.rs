//! Where scripts may send requests.

use std::{net::IpAddr, sync::Arc};

/// Outbound policy. Checked after name resolution, on the very address that is then connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// Whether loopback, link-local, private and other special addresses may be reached.
    pub allow_private: bool,
    /// What may be reached though its addresses are special: a host as below, or a network such as `10.1.0.0/16`.
    pub exceptions: Vec<String>,
    /// If not empty, only these hosts: `example.com`, `*.example.com`, an address, or either with `:port`.
    pub allow: Vec<String>,
    /// Never these hosts, whatever `allow` says.
    pub deny: Vec<String>,
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
            timeout_ms: 30_000,
            response_bytes: 8 << 20,
            requests: 100,
        }
    }
}

impl Egress {
    /// Whether a host may be asked for at all.
    ///
    /// # Errors
    /// Why not.
    pub fn check_host(&self, host: &str, port: u16) -> Result<(), String> {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        if self.deny.iter().any(|pattern| matches(pattern, &host, port)) {
            return Err(format!("requests to `{host}` are denied"));
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|pattern| matches(pattern, &host, port)) {
            return Err(format!("requests to `{host}` are not among those allowed"));
        }
        Ok(())
    }

    /// The policy for one target: without regard to its addresses where an exception names it.
    pub(crate) fn towards(self: &Arc<Self>, host: &str, port: u16) -> Arc<Self> {
        let name = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        if !self.allow_private && self.exceptions.iter().any(|pattern| matches(pattern, &name, port)) {
            return Arc::new(Self { allow_private: true, ..Self::clone(self) });
        }
        self.clone()
    }

    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// Why not.
    pub fn check_address(&self, address: IpAddr) -> Result<(), String> {
        if self.allow_private || is_public(address) || self.exceptions.iter().any(|network| contains(network, address))
        {
            Ok(())
        } else {
            Err(format!("requests to the address {address} are refused: it is not a public one"))
        }
    }
}

fn matches(pattern: &str, host: &str, port: u16) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let pattern = match pattern.rsplit_once(':') {
        // An IPv6 address has colons of its own and no port here.
        Some((name, digits)) if !name.contains(':') => match digits.parse::<u16>() {
            Ok(wanted) if wanted == port => name.to_owned(),
            _ => return false,
        },
        _ => pattern,
    };
    match pattern.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => host == pattern,
    }
}

/// Whether `network`, such as `10.1.0.0/16`, holds an address. Text that is no network holds none.
fn contains(network: &str, address: IpAddr) -> bool {
    let Some((base, length)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    // Shifted by the part that may differ; a shift by all bits leaves nothing to compare.
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) if length <= 32 => {
            (u32::from(base) ^ u32::from(address)).checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(base), IpAddr::V6(address)) if length <= 128 => {
            (u128::from(base) ^ u128::from(address)).checked_shr(128 - length).unwrap_or(0) == 0
        }
        _ => false,
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
                0x0064 if s[1] == 0xff9b => embedded(s[6], s[7]), // NAT64
                0x2002 => embedded(s[1], s[2]),                   // 6to4
                0x2001 if s[1] == 0 => false,                     // Teredo
                0x2001 if s[1] == 0xdb8 => false,                 // documentation
                _ => (s[0] & 0xe000) == 0x2000,                   // global unicast
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(egress.check_address(address.parse().unwrap()).is_err(), "{address}");
        }
        for address in ["9.9.9.9", "2620:fe::fe", "64:ff9b::909:909", "::ffff:9.9.9.9"] {
            assert!(egress.check_address(address.parse().unwrap()).is_ok(), "{address}");
        }
        assert!(Egress { allow_private: true, ..egress }.check_address("127.0.0.1".parse().unwrap()).is_ok());
    }

    #[test]
    fn exceptions_open_a_target_or_a_network_and_nothing_beside_it() {
        let exceptions = vec!["10.1.0.0/16".into(), "db.test:5432".into(), "fd00::/8".into()];
        let egress = Arc::new(Egress { exceptions, ..Egress::default() });
        let open = |egress: &Egress, address: &str| egress.check_address(address.parse().unwrap()).is_ok();
        assert!(open(&egress, "10.1.255.1") && !open(&egress, "10.2.0.1") && open(&egress, "fd12::1"));
        assert!(!open(&egress, "127.0.0.1") && !open(&egress, "::1"));
        assert!(open(&egress.towards("DB.test.", 5432), "127.0.0.1"));
        assert!(!open(&egress.towards("db.test", 5433), "127.0.0.1"));
        assert!(!open(&egress.towards("other.test", 5432), "127.0.0.1"));
        let all =
            Egress { exceptions: vec!["0.0.0.0/0".into(), "x/8".into(), "1.2.3.4/99".into()], ..Egress::default() };
        assert!(open(&all, "127.0.0.1") && !open(&all, "::1"));
    }

    #[test]
    fn deny_wins_over_allow_and_wildcards_need_a_label() {
        let egress = Egress {
            allow: vec!["*.example.com".into(), "api.test:8443".into()],
            deny: vec!["bad.example.com".into()],
            ..Egress::default()
        };
        assert!(egress.check_host("a.example.com", 443).is_ok());
        assert!(egress.check_host("A.Example.COM.", 443).is_ok());
        assert!(egress.check_host("example.com", 443).is_err());
        assert!(egress.check_host("badexample.com", 443).is_err());
        assert!(egress.check_host("bad.example.com", 443).is_err());
        assert!(egress.check_host("api.test", 8443).is_ok());
        assert!(egress.check_host("api.test", 443).is_err());
    }
}
