//! `simplehttp`: requests under the egress policy, one at a time for each connection, waiting without a thread.

use super::{Module, connection, text_of};
use crate::{Egress, shard::Shard};
use mlua::{Error, Lua, LuaString, Result, Table, Value as Lv};
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

/// Longest text encoded: no URL is longer, and nothing can interrupt the work.
const ENCODE_BYTES: usize = 1 << 20;

pub(super) fn create(lua: &Lua, shard: &Rc<Shard>) -> Result<Table> {
    let module = Module::new(lua)?;
    let host = shard.clone();
    module.function("newConnection", move |lua, options: Option<Table>| {
        connection::create(lua, &host, options.as_ref())
    })?;
    let encode = |_: &Lua, text: Lv| match text_of(&text) {
        Some(text) if text.len() > ENCODE_BYTES => {
            Err(Error::runtime(format!("URLEncode: the text is longer than {ENCODE_BYTES} bytes")))
        }
        text => Ok(text.map(|text| percent(text.as_bytes()))),
    };
    module.function("URLEncode", encode)?;
    module.function("urlEncode", encode)?;
    module.function("URLDecode", |lua, text: LuaString| lua.create_string(unpercent(&text.as_bytes())))?;
    Ok(module.table)
}

/// Encodes all but letters, digits and `-_.~`.
fn percent(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            other => {
                out.push('%');
                out.push(char::from(DIGITS[usize::from(other >> 4)]));
                out.push(char::from(DIGITS[usize::from(other & 15)]));
            }
        }
    }
    out
}

fn unpercent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let code = (text[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if text[at] == b'+' { b' ' } else { text[at] });
                at += 1;
            }
        }
    }
    out
}

/// A client under one policy. Kept connections are its own, so none made under a looser policy is used again under a
/// stricter one.
pub(crate) fn client(egress: &Arc<Egress>, verify: bool) -> std::result::Result<Client, String> {
    // Another part of the program may have set the provider already; either is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(Resolver(egress.clone())))
        .connect_timeout(Duration::from_millis(egress.timeout_ms))
        .timeout(Duration::from_millis(egress.timeout_ms))
        .tls_danger_accept_invalid_certs(!verify)
        .user_agent(concat!("sutler/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("preparing a request: {error}"))
}

/// Resolves names and lets through only the addresses the policy allows. What it returns is what is connected to, so a
/// name that changes its mind between two look-ups gains nothing.
struct Resolver(Arc<Egress>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut refused = None;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| match egress.check_address(address.ip()) {
                    Ok(()) => true,
                    Err(reason) => {
                        refused = Some(reason);
                        false
                    }
                })
                .collect();
            match (allowed.is_empty(), refused) {
                (true, Some(reason)) => Err(reason.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_encoding_reads_back() {
        assert_eq!(percent("a b&c/é~".as_bytes()), "a%20b%26c%2F%C3%A9~");
        assert_eq!(unpercent(percent("a b&c/é~+%".as_bytes()).as_bytes()), "a b&c/é~+%".as_bytes());
        assert_eq!(unpercent(b"a+b%2"), b"a b%2");
    }
}
