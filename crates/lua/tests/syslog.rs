//! Lines to a real log server.

use crate::{
    real::Rsyslog,
    support::{Fixture, Platform},
};
use serde_json::json;
use std::sync::Arc;
use sutler_lua::{Egress, Params};
use tokio::{io::AsyncReadExt, net::TcpListener};

fn on(egress: Egress) -> Fixture {
    Fixture::with(Platform::with(Vec::new()), 1, egress)
}

#[tokio::test]
async fn lines_arrive_over_udp_and_tcp_with_all_their_parts() {
    let mut server = Rsyslog::start().await;
    let fixture = on(Egress { exceptions: vec!["127.0.0.1".parse().unwrap()], ..Egress::default() });
    let body = format!(
        r#"
        syslog.openlog("legacy", syslog.LOG_PID)
        syslog.send{{ url = "syslog://127.0.0.1:{}", severity = "error", facility = "local3", app = "jobs", host = "cloud-1",
            id = "JOB", process = 7, time = 1700000000123, text = "first: Grüße", data = {{ ["job@32473"] = {{ id = "a]b", n = 5 }} }} }}
        syslog.send{{ url = "syslog+tcp://127.0.0.1:{}", severity = "LOG_INFO", time = 1700000000123, text = "second\nline" }}
        syslog.syslog(syslog.LOG_ERR, "still local")"#,
        server.udp, server.tcp
    );
    let outcome = fixture.body(&body, Params::default()).await;
    assert_eq!(outcome.calls.len(), 2, "{outcome:?}");
    assert!(outcome.calls.iter().all(|call| call.error.is_none()), "{outcome:?}");
    assert_eq!(outcome.log, "LOG_ERR legacy: still local\n");
    let lines = server.lines(2).await;
    let find =
        |words: &str| lines.iter().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {lines:?}"));
    let first = find("first");
    assert!(
        first.starts_with(r#"155|2023-11-14T22:13:20.123Z|cloud-1|jobs|7|JOB|[job@32473 id="a\]b" n="5"]|"#),
        "{first}"
    );
    assert!(first.ends_with("first: Grüße"), "{first}");
    let second = find("second");
    assert!(second.starts_with("14|2023-11-14T22:13:20.123Z|-|sutler|-|-|-|second"), "{second}");
}

#[tokio::test]
async fn a_line_inside_tls_is_counted_and_goes_only_to_who_it_is_for() {
    let made = rcgen::generate_simple_self_signed(["log.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let received = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut text = String::new();
            if stream.read_to_string(&mut text).await.is_ok() && !text.is_empty() {
                return text;
            }
        }
    });
    let hosts = [("log.test".to_owned(), "127.0.0.1".parse().unwrap())].into();
    let policy = Egress { hosts, exceptions: vec!["log.test".parse().unwrap()], ..Egress::default() };
    let send = format!("syslog.send{{ url = 'syslogs://log.test:{port}', time = 0, text = 'x' }}");
    let said = on(policy.clone()).eval(&send).await;
    assert!(said.as_str().unwrap().contains("certificate"), "{said}");
    let trusting = Egress { roots: vec![made.cert.der().clone()], ..policy };
    assert_eq!(on(trusting).eval(&send).await, json!(null));
    assert_eq!(received.await.unwrap(), "47 <14>1 1970-01-01T00:00:00.000Z - sutler - - - x");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_in_words() {
    let fixture = on(Egress::default());
    for (call, words) in [
        ("syslog.send{text = 'x'}", "`url` is missing"),
        ("syslog.send{url = 'http://h', text = 'x'}", "must begin with `syslog://`"),
        ("syslog.send{url = 'syslog://127.0.0.1', text = 'x'}", "not a public one"),
        ("syslog.send{url = 'syslog://log.test'}", "`text` is missing"),
        ("syslog.send{url = 'syslog://log.test', text = 'x', severity = 'loud'}", "`severity` is one of emerg, alert"),
        ("syslog.send{url = 'syslog://log.test', text = 'x', facility = 'moon'}", "`facility` is one of kern, user"),
        ("syslog.send{url = 'syslog://log.test', text = string.rep('x', 9000)}", "may take 8192"),
    ] {
        let said = fixture.eval(call).await;
        assert!(said.as_str().is_some_and(|said| said.contains(words)), "{call}: {said}");
    }
    let rehearsed = fixture.rehearse("new('syslog').send{url = 'syslog://9.9.9.9', text = 'x'}").await;
    assert!(rehearsed.calls[0].error.as_deref().unwrap().contains("rehearsal"), "{rehearsed:?}");
}
