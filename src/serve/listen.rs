//! Accepting connections: limits, timeouts against slow clients, HTTP/1.1 and HTTP/2, an orderly end.

use crate::{
    api::{Peer, bucket_of, told},
    config,
};
use anyhow::{Context, anyhow};
use axum::{Router, body::Body, extract::Request};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use metrics::gauge;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
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
        // Every connection holds a sender; the receiver ends with the last of them.
        let (open, mut all_closed) = mpsc::channel::<()>(1);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&gate) => accepted,
                () = told(&mut stopping) => break,
            };
            let Some((stream, address, permit)) = accepted else {
                tokio::time::sleep(BREATH).await;
                continue;
            };
            // Closing at once is the only answer an unfair client gets; it costs us nothing.
            let Some(place) = gate.enter(address.ip(), permit) else { continue };
            let peer = Peer { address, tls: tls.is_some() };
            let connection = Connection { peer, router: router.clone(), place, stopping: stopping.clone() };
            let (tls, open) = (tls.clone(), open.clone());
            tokio::spawn(async move {
                connection.converse(stream, tls).await;
                drop(open);
            });
        }
        drop((self.listener, open));
        if tokio::time::timeout(gate.stop_timeout, all_closed.recv()).await.is_err() {
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

/// One connection.
struct Connection {
    peer: Peer,
    router: Router,
    place: Place,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    /// Talks to the client until either side ends.
    async fn converse(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Small answers must not wait for the acknowledgement of those before.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            // Plain HTTP/2 is not offered: telling it apart would mean waiting, without a limit, for a first byte.
            return self.http1(stream).await;
        };
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await else { return };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream).await;
        } else {
            self.http1(stream).await;
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.place.gate.header_timeout)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), self.service())
            .with_upgrades();
        self.until_end(connection, http1::UpgradeableConnection::graceful_shutdown).await;
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let silence = self.place.gate.header_timeout;
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES as u32)
            .keep_alive_interval(silence)
            .keep_alive_timeout(silence)
            .serve_connection(TokioIo::new(stream), self.service());
        self.until_end(connection, http2::Connection::graceful_shutdown).await;
    }

    /// The router, with this connection's peer on each request.
    fn service(
        &self,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future = impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> + Send + 'static,
    > + Send
    + 'static {
        let (peer, router) = (self.peer, self.router.clone());
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            // A router is always ready.
            router.clone().call(request.map(Body::new))
        })
    }

    /// Drives the connection; told to stop, lets it finish what it has begun.
    async fn until_end<C: Future<Output = hyper::Result<()>>>(mut self, connection: C, finish: fn(Pin<&mut C>)) {
        let mut connection = pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = told(&mut self.stopping) => {
                finish(connection.as_mut());
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(peer = %self.peer.address, %error, "a connection ended");
        }
    }
}
