//! Messages through a real XMPP server.

use crate::{
    real::Prosody,
    support::{Fixture, Platform},
};
use sutler_lua::{Egress, Exit, Params};

/// A policy under which the server is found by its name.
pub fn policy(server: &Prosody) -> Egress {
    Egress {
        hosts: [(Prosody::NAME.to_owned(), "127.0.0.1".parse().unwrap())].into(),
        exceptions: vec![Prosody::NAME.parse().unwrap()],
        roots: vec![server.certificate.clone()],
        ..Egress::default()
    }
}

fn on(egress: Egress) -> Fixture {
    Fixture::with(Platform::with(Vec::new()), 1, egress)
}

async fn arrives(extra: &str) {
    let mut server = Prosody::start(extra).await;
    let fixture = on(policy(&server));
    let body = format!(
        "return xmpp.send{{ url = '{}', to = 'ada@chat.test', id = 'run-1', subject = 'Job', body = 'a < b & Grüße' }}",
        server.url()
    );
    let outcome = fixture.body(&body, Params::default()).await;
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    let waiting = server.waiting().await;
    // The server writes its files in escapes of its own.
    for words in [r"a < b & Gr\195\188\195\159e", "run-1", "robot@chat.test/", "Job"] {
        assert!(waiting.contains(words), "{words}: {waiting}");
    }
    assert_eq!(outcome.calls[0].url, format!("xmpp://chat.test:{}", server.port));
    assert!(!format!("{outcome:?}").contains("ss word") && !format!("{outcome:?}").contains("ss%20word"));
}

#[tokio::test]
async fn a_message_arrives_inside_tls_signed_in_by_scram() {
    arrives("disable_sasl_mechanisms = { \"PLAIN\" }").await;
}

#[tokio::test]
async fn a_message_arrives_where_only_plain_is_offered() {
    arrives("disable_sasl_mechanisms = { \"SCRAM-SHA-1\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1-PLUS\", \"SCRAM-SHA-256-PLUS\" }").await;
}

#[tokio::test]
async fn what_the_server_refuses_is_told_without_the_password() {
    let server = Prosody::start("").await;
    let fixture = on(policy(&server));
    let url = server.url();
    for (call, words) in [
        ("xmpp.send{url = URL, to = 'nobody@chat.test', body = 'x'}", "service-unavailable"),
        (
            "xmpp.send{url = 'xmpp://robot:wrong-pass@chat.test:PORT', to = 'ada@chat.test', body = 'x'}",
            "signing in: the server says not-authorized",
        ),
        ("xmpp.send{url = 'xmpp://chat.test:PORT', to = 'ada@chat.test', body = 'x'}", "no user and password"),
        ("xmpp.send{url = URL, domain = 'other.test', to = 'ada@chat.test', body = 'x'}", "host-unknown"),
        ("xmpp.send{url = URL, to = 'ada@chat.test'}", "`body` is missing"),
        ("xmpp.send{url = URL, to = 'ada@chat.test', body = '\\0'}", "U+0000"),
        ("xmpp.send{url = URL, to = 'ada@chat.test', body = string.rep('x', 70000)}", "may take 65536"),
        ("xmpp.send{url = 'xmpp://127.0.0.1:PORT', to = 'a', body = 'x'}", "not a public one"),
        ("xmpp.send{url = 'http://chat.test', to = 'a', body = 'x'}", "must begin with `xmpp://`"),
    ] {
        let call = call.replace("URL", &format!("'{url}'")).replace("PORT", &server.port.to_string());
        let said = fixture.eval(&call).await;
        assert!(
            said.as_str().is_some_and(|said| said.contains(words) && !said.contains("wrong-pass")),
            "{call}: {said}"
        );
    }
    let untrusted = Egress { roots: Vec::new(), ..policy(&server) };
    let said = on(untrusted).eval(&format!("xmpp.send{{url = '{url}', to = 'ada@chat.test', body = 'x'}}")).await;
    assert!(said.as_str().unwrap().contains("certificate"), "{said}");
}
