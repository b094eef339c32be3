//! A pattern of targets.

use std::{fmt, net::IpAddr, str::FromStr};

/// A host name, `*.example.com`, an address or a network such as `10.1.0.0/16`. All but networks may end in `:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    what: What,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Name(String),
    /// Names below a domain, which itself is not meant.
    Below(String),
    Network(IpAddr, u32),
}

impl Rule {
    /// Whether it means this name.
    pub(super) fn names(&self, host: &str, port: u16) -> bool {
        let meant = match &self.what {
            What::Name(name) => host == name,
            What::Below(domain) => host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.')),
            What::Network(..) => false,
        };
        meant && self.port.is_none_or(|wanted| wanted == port)
    }

    /// Whether it means this address.
    pub(super) fn holds(&self, address: IpAddr, port: u16) -> bool {
        // Shifted by the part that may differ; a shift by all bits leaves nothing to compare.
        let within = match (&self.what, address) {
            (What::Network(IpAddr::V4(base), length), IpAddr::V4(address)) => {
                (u32::from(*base) ^ u32::from(address)).checked_shr(32 - length).unwrap_or(0) == 0
            }
            (What::Network(IpAddr::V6(base), length), IpAddr::V6(address)) => {
                (u128::from(*base) ^ u128::from(address)).checked_shr(128 - length).unwrap_or(0) == 0
            }
            _ => false,
        };
        within && self.port.is_none_or(|wanted| wanted == port)
    }

    /// Whether it means addresses and not names.
    pub(super) fn is_network(&self) -> bool {
        matches!(self.what, What::Network(..))
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("is `{text}`; must be a host, `*.domain`, an address (each with or without `:port`) or a network")
        };
        if let Some((base, length)) = text.split_once('/') {
            let (base, length) = base.parse::<IpAddr>().ok().zip(length.parse().ok()).ok_or_else(wrong)?;
            if length > if base.is_ipv4() { 32 } else { 128 } {
                return Err(wrong());
            }
            return Ok(Self { what: What::Network(base, length), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address has colons of its own, and brackets where a port follows.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        let what = match bare(host) {
            host if let Ok(address) = host.parse::<IpAddr>() => {
                What::Network(address, if address.is_ipv4() { 32 } else { 128 })
            }
            host => {
                let (below, name) = host.strip_prefix("*.").map_or((false, host.as_str()), |name| (true, name));
                let letters = |label: &str| label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
                if !name.split('.').all(|label| !label.is_empty() && letters(label)) {
                    return Err(wrong());
                }
                if below { What::Below(name.to_owned()) } else { What::Name(name.to_owned()) }
            }
        };
        Ok(Self { what, port })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Name(name) => f.write_str(name)?,
            What::Below(domain) => write!(f, "*.{domain}")?,
            What::Network(base, length) => write!(f, "{base}/{length}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A host without brackets and the root's dot, in lower case.
pub(super) fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_target_is_refused() {
        for text in
            ["", "a b", "10.0.0.0/33", "x/8", "fd00::/129", "host:port", "host:99999", "http://a", "*.", "a..b", "*"]
        {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
        for text in ["a", "a:1", "*.b.c", "10.0.0.1", "10.0.0.1:5", "::1", "[::1]", "[::1]:5", "fd00::/8", "a_b-c.d."] {
            text.parse::<Rule>().unwrap_or_else(|e| panic!("{text}: {e}"));
        }
    }

    #[test]
    fn networks_hold_their_addresses_and_a_port_narrows() {
        let holds =
            |rule: &str, address: &str, port| rule.parse::<Rule>().unwrap().holds(address.parse().unwrap(), port);
        assert!(holds("10.1.0.0/16", "10.1.255.1", 1) && !holds("10.1.0.0/16", "10.2.0.1", 1));
        assert!(holds("0.0.0.0/0", "127.0.0.1", 1) && !holds("0.0.0.0/0", "::1", 1));
        assert!(holds("fd00::/8", "fd12::1", 1) && !holds("fd00::/8", "fe12::1", 1));
        assert!(holds("127.0.0.1:80", "127.0.0.1", 80) && !holds("127.0.0.1:80", "127.0.0.1", 81));
        assert!(holds("[::1]:80", "::1", 80) && !holds("[::1]:80", "::1", 81));
    }
}
