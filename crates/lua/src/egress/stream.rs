//! Connections for protocols other than HTTP: to checked addresses, with a limit on what is read.

use super::{Egress, Gate};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName},
};
use rustls_platform_verifier::Verifier;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A TCP connection, with or without TLS.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// A connection from which only so much can be read.
pub(crate) struct Stream {
    inner: Box<dyn Duplex>,
    left: usize,
    loopback: bool,
}

impl Stream {
    /// Connects to the first of the target's addresses that answers.
    ///
    /// # Errors
    /// Those of the policy and of the network, in words.
    pub async fn connect(gate: &Gate) -> Result<Self, String> {
        let mut failure = String::new();
        for address in gate.addresses().await.map_err(|e| e.to_string())? {
            match TcpStream::connect(address).await {
                Ok(socket) => {
                    // Small frames follow each other; a socket that cannot do this is only slower.
                    let _ = socket.set_nodelay(true);
                    let (left, loopback) = (gate.egress.response_bytes, address.ip().is_loopback());
                    return Ok(Self { inner: Box::new(socket), left, loopback });
                }
                Err(error) => failure = format!("connecting to {address}: {error}"),
            }
        }
        Err(failure)
    }

    /// The same connection inside TLS, the peer proven to be the target.
    ///
    /// # Errors
    /// A certificate that is not trusted, or a peer that does not speak TLS.
    pub async fn secure(self, gate: &Gate, tls: &Arc<ClientConfig>) -> Result<Self, String> {
        let name = ServerName::try_from(gate.host.clone()).map_err(|e| format!("`{}`: {e}", gate.host))?;
        let connector = tokio_rustls::TlsConnector::from(tls.clone());
        let (left, loopback) = (self.left, self.loopback);
        let inner = connector.connect(name, self.inner).await.map_err(|e| format!("TLS: {e}"))?;
        Ok(Self { inner: Box::new(inner), left, loopback })
    }

    /// Whether it does not leave this machine.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }
}

/// TLS that trusts what the system and the policy trust.
///
/// # Errors
/// A certificate that is none, in words.
pub(crate) fn tls(egress: &Egress) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots: Vec<CertificateDer<'static>> = egress.roots.clone();
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone()).map_err(|e| e.to_string())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        match self.left.checked_sub(buf.filled().len() - before) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::Error::other("the answer is longer than it may be"))),
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
