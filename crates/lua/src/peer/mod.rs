//! Clients of other protocols than HTTP, each over a [`Line`]: one conversation under the egress policy.

pub(crate) mod amqp;
pub(crate) mod mysql;
pub(crate) mod smtp;
pub(crate) mod syslog;
pub(crate) mod xmpp;

use crate::{
    OutboundCall,
    egress::{Egress, Gate, Stream},
    helper::{URL_BYTES, reaching_out},
    meter::Meter,
    shard::Shard,
};
use mlua::{Error, Result};
use reqwest::Url;
use rustls::ClientConfig;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What a script asks of a peer.
pub(crate) struct Errand {
    /// The helper's name, for errors.
    pub helper: &'static str,
    /// What is done, for the record: `PUBLISH`.
    pub method: &'static str,
    /// To whom. A password in it stays out of the record.
    pub url: Url,
    /// The port where the URL names none.
    pub port: u16,
    /// Whether it is the operator who chose it, so that the policy for scripts has no say.
    pub trusted: bool,
    /// What is sent, without the protocol's own.
    pub bytes: usize,
}

/// The way to the peer.
pub(crate) struct Line {
    pub gate: Gate,
    pub tls: Arc<ClientConfig>,
}

impl Line {
    /// Connects.
    pub async fn connect(&self) -> std::result::Result<Stream, String> {
        Stream::connect(&self.gate).await
    }

    /// Shakes hands for TLS.
    pub async fn secure(&self, stream: Stream) -> std::result::Result<Stream, String> {
        stream.secure(&self.gate, &self.tls).await
    }
}

/// Reads the URL of a peer. What is wrong never repeats it, for it may hold a password.
///
/// # Errors
/// What the URL must be instead.
pub(crate) fn url(helper: &str, text: &str, schemes: &[&str]) -> Result<Url> {
    if text.len() > URL_BYTES {
        return Err(Error::runtime(format!("{helper}: `url` must have at most {URL_BYTES} bytes")));
    }
    let url = Url::parse(text.trim()).ok().filter(|url| schemes.contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| {
        Error::runtime(format!("{helper}: `url` must begin with `{}://` and a host", schemes.join("://` or `")))
    })
}

/// The user and password in a URL.
pub(crate) fn credentials(url: &Url) -> Option<(String, String)> {
    let user = url.username();
    (!user.is_empty()).then(|| (decoded(user), decoded(url.password().unwrap_or_default())))
}

/// A part of a URL as it was meant.
pub(crate) fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// What a run is told that tries to send more than `egress.requests`.
fn too_many(egress: &Egress) -> String {
    format!("a run may send {} requests", egress.requests)
}

/// Whether a run may send one more.
///
/// # Errors
/// What it is told when it may not.
pub(crate) fn one_more(meter: &Meter, egress: &Egress) -> std::result::Result<(), String> {
    if meter.requests() < egress.requests as usize { Ok(()) } else { Err(too_many(egress)) }
}

/// What a run is told once such a refusal is on record: what it tries after that is not.
pub(crate) fn exhausted(meter: &Meter, egress: &Egress) -> Option<String> {
    (meter.requests() > egress.requests as usize).then(|| too_many(egress))
}

/// Does an errand within the run's limits and notes it in the run. A rehearsal answers `rehearsed` and does nothing.
///
/// # Errors
/// Whatever went wrong, in words, so that the run is tried again.
pub(crate) async fn run<T>(
    shard: &Shard,
    errand: Errand,
    rehearsed: T,
    work: impl AsyncFnOnce(Line) -> std::result::Result<T, String>,
) -> Result<T> {
    let (meter, _) = reaching_out(shard).await?;
    if let Some(reason) = exhausted(&meter, &shard.egress) {
        return Err(Error::runtime(format!("{}: {reason}", errand.helper)));
    }
    if let Some((_, password)) = credentials(&errand.url) {
        meter.keep_secret(&password);
        meter.keep_secret(errand.url.password().unwrap_or_default());
    }
    let mut shown = errand.url.clone();
    shown.set_query(None);
    // These fail only for URLs without a host, and this one has one.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    let egress = &shard.egress;
    let started = Instant::now();
    let ended = async {
        let host = errand.url.host_str().unwrap_or_default();
        let port = errand.url.port().unwrap_or(errand.port);
        let gate = match errand.trusted {
            true => egress.open_gate(host, port),
            false => egress.gate(host, port).map_err(|refused| refused.0)?,
        };
        one_more(&meter, egress)?;
        if meter.rehearses() {
            return Ok(rehearsed);
        }
        let line = Line { gate, tls: shard.tls()? };
        tokio::time::timeout(Duration::from_millis(egress.timeout_ms), work(line))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} ms", egress.timeout_ms)))
    }
    .await;
    let error = match &ended {
        Ok(_) if meter.rehearses() => Some("not sent, for this is a rehearsal".to_owned()),
        Ok(_) => None,
        Err(reason) => Some(meter.masked(reason.clone())),
    };
    meter.record(OutboundCall {
        method: errand.method.to_owned(),
        url: shown.to_string(),
        status: None,
        error,
        sent_bytes: errand.bytes as u64,
        received_bytes: 0,
        duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    });
    ended.map_err(|reason| Error::runtime(format!("{}: {reason}", errand.helper)))
}
