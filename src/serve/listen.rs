//! Accepting connections: limits, timeouts against slow clients, HTTP/1.1 and HTTP/2, an orderly end.

use crate::{
    api::{Peer, bucket_of},
    config,
};
use anyhow::{Context, anyhow};
use axum::{Router, body::Body, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use metrics::gauge;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;
use tower::Service;

/// A TLS handshake that takes longer is no client of ours.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after an error of accepting, such as too many open files.
const BREATH: Duration = Duration::from_millis(100);
/// Longest head of a request, bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// Streams of one HTTP/2 connection at the same time.
const STREAMS: u32 = 128;

/// A bound port.
pub struct Listener {
    listener: TcpListener,
    /// The address it is bound to.
    pub address: SocketAddr,
}

/// How many connections may be open, in all and from one address.
pub struct Gate {
    all: Arc<Semaphore>,
    each: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    header_timeout: Duration,
    stop_timeout: Duration,
}

impl Gate {
    /// Limits from the settings. One address may hold a quarter of all connections, so that none can take them all.
    pub fn new(limits: &config::Limits) -> Arc<Self> {
        let all = limits.connections as usize;
        Arc::new(Self {
            all: Arc::new(Semaphore::new(all)),
            each: (all / 4).max(1),
            by_address: Mutex::new(HashMap::new()),
            header_timeout: Duration::from_secs(limits.header_timeout_s.into()),
            stop_timeout: Duration::from_secs(limits.stop_timeout_s.into()),
        })
    }

    /// A place for a connection from `address`; none when that address holds its share.
    fn enter(self: &Arc<Self>, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let address = bucket_of(address);
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        gauge!("sutler_http_connections").increment(1);
        Some(Place { gate: self.clone(), address, _permit: permit })
    }
}

/// A connection's place; free again when dropped.
struct Place {
    gate: Arc<Gate>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        gauge!("sutler_http_connections").decrement(1);
        let mut counts = self.gate.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

impl Listener {
    /// Binds the port that `setting` names; none when it is empty.
    ///
    /// # Errors
    /// The port is in use, or may not be used; says which setting to change.
    pub async fn bind(setting: &str, text: &str) -> anyhow::Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        let wanted: SocketAddr = text.parse().with_context(|| format!("{setting} is `{text}`"))?;
        let listener = TcpListener::bind(wanted).await.map_err(|error| {
            let fix = match error.kind() {
                std::io::ErrorKind::AddrInUse => "another program uses the port; stop it, or set",
                std::io::ErrorKind::PermissionDenied => "ports below 1024 need root; run as root, or set",
                _ => "choose another address in",
            };
            anyhow!("cannot listen on {wanted}: {error}; {fix} {setting}")
        })?;
        let address = listener.local_addr().context("reading the bound address")?;
        Ok(Some(Self { listener, address }))
    }

    /// Serves until `stopping`, then lets what is under way finish for a while.
    pub async fn serve(
        self,
        tls: Option<TlsAcceptor>,
        router: Router,
        gate: Arc<Gate>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let graceful = GracefulShutdown::new();
        let protocols = protocols(&gate);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&gate) => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            let Some((stream, address, permit)) = accepted else {
                tokio::time::sleep(BREATH).await;
                continue;
            };
            // Closing at once is the only answer an unfair client gets; it costs us nothing.
            let Some(place) = gate.enter(address.ip(), permit) else { continue };
            let peer = Peer { address, tls: tls.is_some() };
            let (tls, router, protocols) = (tls.clone(), router.clone(), protocols.clone());
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _place = place;
                converse(stream, peer, tls, router, protocols, watcher).await;
            });
        }
        drop(self.listener);
        if tokio::time::timeout(gate.stop_timeout, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests were cut off");
        }
    }

    /// The next connection, once there is room for one. None: try again.
    async fn accept(&self, gate: &Gate) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = gate.all.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, address)) => Some((stream, address, permit)),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                None
            }
        }
    }
}

fn protocols(gate: &Gate) -> auto::Builder<TokioExecutor> {
    let mut protocols = auto::Builder::new(TokioExecutor::new());
    protocols
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(gate.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(gate.header_timeout)
        .keep_alive_timeout(gate.header_timeout);
    protocols
}

/// One connection, to its end.
async fn converse(
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    router: Router,
    protocols: auto::Builder<TokioExecutor>,
    watcher: Watcher,
) {
    // Small answers must not wait for the acknowledgement of those before.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        // Plain HTTP/2 is not offered: telling it apart would mean waiting, without a limit, for a first byte.
        return answer(stream, peer, router, protocols.http1_only(), watcher).await;
    };
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await else { return };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let protocols = if http2 { protocols.http2_only() } else { protocols.http1_only() };
    answer(stream, peer, router, protocols, watcher).await;
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    router: Router,
    protocols: auto::Builder<TokioExecutor>,
    watcher: Watcher,
) {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        // A router is always ready.
        router.clone().call(request.map(Body::new))
    });
    let connection = protocols.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(peer = %peer.address, error, "a connection ended");
    }
}
