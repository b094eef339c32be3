//! Which certificate of a server is trusted: one signed by a known authority, or exactly the one pinned at sign-in.

use super::error::{Error, chain};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

/// What makes a server's certificate good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// An authority the operating system knows.
    System,
    /// An authority in this PEM file.
    CaFile(PathBuf),
    /// Being exactly this one, whatever name and dates it bears.
    Pinned(Fingerprint),
}

/// SHA-256 of a certificate's DER. Text: as the server prints it at start, so that people can compare by eye.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;
    /// Takes hex with or without `sha256:`, in either case, with or without the colons that openssl prints.
    fn from_str(text: &str) -> Result<Self, String> {
        let small = text.to_ascii_lowercase();
        let hex: String = small.strip_prefix("sha256:").unwrap_or(&small).chars().filter(|c| *c != ':').collect();
        let mut bytes = [0; 32];
        let digits = hex.as_bytes();
        let wrong = || "must be the SHA-256 of a certificate, 64 hex digits".to_owned();
        if digits.len() != 64 {
            return Err(wrong());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).ok_or_else(wrong);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).unwrap_or_default();
        }
        Ok(Self(bytes))
    }
}

/// Where a handshake leaves the fingerprint it saw.
type Seen = Arc<Mutex<Option<Fingerprint>>>;

/// TLS settings under which only trusted servers are spoken to.
///
/// # Errors
/// [`Error::Usage`] for a file without certificates.
pub fn config(trust: &Trust) -> Result<ClientConfig, Error> {
    let setup = |e: rustls::Error| Error::because("setting up TLS", &e);
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(setup)?;
    let config = match trust {
        Trust::System => builder.with_platform_verifier().map_err(setup)?.with_no_client_auth(),
        Trust::CaFile(path) => {
            let mut roots = RootCertStore::empty();
            let wrong =
                |e: &dyn fmt::Display| Error::Usage(format!("reading certificates from `{}`: {e}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))? {
                roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"there is none in it"));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::Pinned(fingerprint) => {
            let exact = Exact { wanted: Some(*fingerprint), seen: Seen::default() };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(exact)).with_no_client_auth()
        }
    };
    Ok(config)
}

/// The fingerprint of the certificate that `host:port` shows. Nothing is sent beyond the handshake.
///
/// # Errors
/// [`Error::Unreachable`].
pub async fn fingerprint_of(host: &str, port: u16) -> Result<Fingerprint, Error> {
    let seen = Seen::default();
    let look = Exact { wanted: None, seen: seen.clone() };
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::because("setting up TLS", &e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(look))
        .with_no_client_auth();
    let failed =
        |e: &(dyn std::error::Error + 'static)| Error::Unreachable(format!("cannot reach {host}:{port}: {}", chain(e)));
    let stream = tokio::net::TcpStream::connect((host, port)).await.map_err(|e| failed(&e))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| failed(&e))?;
    let shaken = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let found = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    match (found, shaken) {
        (Some(found), _) => Ok(found),
        (None, Err(error)) => Err(failed(&error)),
        (None, Ok(_)) => Err(Error::Unreachable(format!("{host}:{port} showed no certificate"))),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Accepts one certificate, or (to look at it) any; the handshake still proves that the server holds its key.
#[derive(Debug)]
struct Exact {
    wanted: Option<Fingerprint>,
    seen: Seen,
}

impl ServerCertVerifier for Exact {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of(certificate);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        match self.wanted {
            Some(wanted) if wanted != found => Err(rustls::Error::General(format!(
                "the server's certificate is {found}, not the pinned {wanted}; if its operator renewed it, run `sutler \
                 login` again, otherwise someone may be listening in"
            ))),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_tools_print_them() {
        let plain = "0123456789abcdef".repeat(4);
        let with_colons: Vec<String> =
            plain.to_uppercase().as_bytes().chunks(2).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        let read: Fingerprint = plain.parse().unwrap();
        assert_eq!(read.to_string(), with_colons.join(":"));
        assert_eq!(read.to_string().parse(), Ok(read));
        assert_eq!(format!("sha256:{plain}").parse(), Ok(read));
        for bad in ["", "sha256:", "sha1:00", &"é".repeat(32), &"g".repeat(64)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
