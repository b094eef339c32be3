//! The connection itself: TLS, HTTP/2, slow clients, headers.

use crate::support::{Program, program::DEADLINE};
use reqwest::Method;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
};

/// Accepts whatever certificate there is and keeps its fingerprint.
#[derive(Debug, Default)]
struct Witness(Mutex<String>);

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest: Vec<String> = Sha256::digest(certificate).iter().map(|b| format!("{b:02X}")).collect();
        *self.0.lock().unwrap() = digest.join(":");
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn https_speaks_http_2_and_1_under_the_certificate_it_announces() {
    let program = Program::start().await;
    program.client();
    for http2 in [true, false] {
        let witness = Arc::new(Witness::default());
        let mut tls =
            ClientConfig::builder().dangerous().with_custom_certificate_verifier(witness.clone()).with_no_client_auth();
        tls.alpn_protocols = if http2 { vec![b"h2".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
        let client = if http2 { client } else { client.http1_only() }.build().unwrap();
        let reply = client.get(format!("{}/healthz", program.secure)).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        assert!(reply.headers().contains_key("strict-transport-security"));
        assert_eq!(*witness.0.lock().unwrap(), program.fingerprint);
    }
}

#[tokio::test]
async fn every_answer_carries_its_request_id_and_the_security_headers() {
    let program = Program::start().await;
    let client = program.client();
    for path in ["/healthz", "/nope", "/servers", "/panic"] {
        let given = client.request(Method::GET, path).header("x-request-id", "my-request-42");
        let reply = client.send(given).await;
        assert_eq!(reply.header("x-request-id"), "my-request-42", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(reply.headers.get("access-control-allow-origin").is_none());
        let bad = client.request(Method::GET, path).header("x-request-id", "no; good");
        let made = client.send(bad).await.header("x-request-id").to_owned();
        assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{made}");
    }
}

/// Sends `text` and reads until the program closes the connection.
fn talk(program: &Program, text: &str) -> String {
    let address = program.base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the program closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_silent_clients_are_let_go() {
    let settings = [("SUTLER_LIMITS_HEADER_TIMEOUT_S", "1"), ("SUTLER_LIMITS_BODY_TIMEOUT_S", "1")];
    let program = Program::with(&settings).await;
    for text in ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let answer = talk(&program, text);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "), "{answer}");
    }
    let half =
        "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let answer = talk(&program, half);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"type\":\"timeout\""), "{answer}");
    program.client().get("/healthz").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_not_http_harms_nothing() {
    let program = Program::with(&[("SUTLER_LIMITS_HEADER_TIMEOUT_S", "1")]).await;
    let huge = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X-A: b\r\n".repeat(2000));
    for text in [
        "\u{16}\u{3}\u{1}",
        "SSH-2.0-x\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &huge,
        &many,
    ] {
        let address = program.base.trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // The program may close while we still write; that is an answer too.
        let _ = stream.write_all(text.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    program.client().get("/healthz").await.expect(200);
}
