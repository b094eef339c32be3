//! The certificate: one's own, or one generated once and kept in the data folder.

use crate::config::Listen;
use anyhow::{Context, bail};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::TlsAcceptor;

/// What clients see.
pub struct Identity {
    /// Speaks TLS.
    pub acceptor: TlsAcceptor,
    /// SHA-256 of the certificate, as browsers show it.
    pub fingerprint: String,
}

/// The identity that the settings ask for.
///
/// # Errors
/// Files that cannot be read, or do not hold what they should.
pub fn identity(settings: &Listen, data: &Path) -> anyhow::Result<Identity> {
    let own = !settings.cert_file.as_os_str().is_empty();
    let (cert, key) = if own {
        (settings.cert_file.clone(), settings.key_file.clone())
    } else {
        generated(settings, &data.join("tls"))?
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&cert)
        .and_then(Iterator::collect)
        .with_context(|| format!("reading the certificate `{}`", cert.display()))?;
    let Some(first) = chain.first() else { bail!("`{}` holds no certificate", cert.display()) };
    let fingerprint = Sha256::digest(first).iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":");
    let private = PrivateKeyDer::from_pem_file(&key).with_context(|| format!("reading the key `{}`", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("using `{}` with `{}`", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Identity { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint })
}

/// The generated certificate and key; made when they are not there. They last: clients pin the fingerprint.
fn generated(settings: &Listen, folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if cert.exists() && key.exists() {
        return Ok((cert, key));
    }
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(settings.names.iter().cloned());
    names.extend(fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned()));
    let bound = settings.tls.parse::<std::net::SocketAddr>().ok().map(|a| a.ip());
    names.extend(bound.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    let mut params = CertificateParams::new(Vec::from_iter(names)).context("listen.names")?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Sutler");
    // It is trusted by its fingerprint alone, so an early end would only cut its clients off.
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    let pair = KeyPair::generate().context("making a key")?;
    let certificate = params.self_signed(&pair).context("making a certificate")?;
    fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    // The key first: a certificate without its key would be taken for a pair.
    write(&key, &pair.serialize_pem())?;
    write(&cert, &certificate.pem())?;
    Ok((cert, key))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
    open.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| format!("writing `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_generated_certificate_is_kept_and_its_key_is_private() {
        let data = tempfile::tempdir().unwrap();
        let settings = Listen { names: vec!["cloud.example.org".into()], ..Listen::default() };
        let first = identity(&settings, data.path()).unwrap().fingerprint;
        assert_eq!(identity(&settings, data.path()).unwrap().fingerprint, first);
        assert_eq!(first.len(), 32 * 3 - 1);
        let key = fs::metadata(data.path().join("tls/key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_certificate_that_is_none_is_told_with_its_file() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("mine.pem");
        fs::write(&file, "not PEM").unwrap();
        let settings = Listen { cert_file: file.clone(), key_file: file, ..Listen::default() };
        let error = format!("{:#}", identity(&settings, data.path()).err().unwrap());
        assert!(error.contains("mine.pem"), "{error}");
    }
}
