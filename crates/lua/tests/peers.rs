//! The helpers for other protocols than HTTP, against real peers.

use crate::{
    real::{MailServer, Rabbit},
    support::{Fixture, Platform},
};
use reqwest::Method;
use serde_json::json;
use sutler_lua::{Egress, Exit, Params};

/// A policy under which loopback may be reached and the mail server is the relay.
pub fn mail_policy(server: &MailServer, credentials: &str) -> Egress {
    Egress {
        hosts: [(MailServer::NAME.to_owned(), "127.0.0.1".parse().unwrap())].into(),
        roots: vec![server.certificate.clone()],
        relay: Some(format!("smtp://{credentials}{}:{}", MailServer::NAME, server.port).parse().unwrap()),
        mail_from: "Sutler <sutler@provider.test>".to_owned(),
        ..Egress::default()
    }
}

fn on(egress: Egress) -> Fixture {
    Fixture::with(Platform::with(Vec::new()), 1, egress)
}

#[tokio::test]
async fn mail_goes_through_the_relay_inside_tls_and_signed_in() {
    let mut server = MailServer::start().await;
    let fixture = on(mail_policy(&server, "robot:p%C3%A4ss%20word@"));
    let body = r#"
        smtp.send{to = {"Ada <ada@example.org>", "bob@example.org"}, bcc = "carol@example.org",
            subject = "Grüße\r\nX-Injected: yes", body = "first\n.\nlast", html = "<p>hello</p>",
            attachments = {{name = "a.csv", type = "text/csv", body = "a;b"}}}
        new("FDLEmailHelper")("dora@example.org", "me@provider.test", "reply@provider.test", nil, nil, "Subject", "<html>x</html>")
        local list = new("List") list:add("finn@example.org")
        new("FDLEmailHelper"):sendEmail({ "dora@example.org", "emil@example.org" }, nil, nil, list, nil, "Listed", "<p>Dear all</p>", nil)
        assert(not pcall(new("FDLEmailHelper"), {}, nil, nil, nil, nil, "Nobody", "text"))
        return new("FDLEmailHelper"):sendEmail("dora@example.org", nil, nil, nil, nil, "Second", "<not a tag", nil)"#;
    let outcome = fixture.body(body, Params::default()).await;
    assert_eq!(outcome.result, "true", "{outcome:?}");
    let calls: Vec<_> = outcome.calls.iter().map(|c| (c.method.as_str(), c.url.as_str(), c.error.clone())).collect();
    let url = format!("smtp://mail.test:{}", server.port);
    assert_eq!(calls, vec![("SEND", url.as_str(), None); 4]);
    assert!(!format!("{outcome:?}").contains("ss word") && !format!("{outcome:?}").contains("ss%20word"));
    let mails = server.mails(4).await;
    let find =
        |words: &str| mails.iter().find(|mail| mail.contains(words)).unwrap_or_else(|| panic!("{words}: {mails:?}"));
    let first = find("a.csv");
    for words in ["From: Sutler <sutler@provider.test>", "Ada <ada@example.org>", "hello", "Content-Type: text/csv"] {
        assert!(first.contains(words), "{words}: {first}");
    }
    // The dot on a line of its own did not end the message, and the subject began no header.
    assert!(first.contains("first\n.\nlast"), "{first}");
    assert!(!first.lines().any(|line| line.starts_with("X-Injected") || line.starts_with("Bcc")), "{first}");
    let recipients = first.lines().find(|line| line.starts_with("X-RcptTo: ")).unwrap();
    assert_eq!(recipients, "X-RcptTo: ada@example.org, bob@example.org, carol@example.org");
    let html = find("reply@provider.test");
    assert!(html.contains("Content-Type: text/html") && html.contains("From: me@provider.test"), "{html}");
    let listed = find("Subject: Listed");
    assert!(listed.contains("Content-Type: text/html") && listed.contains("<p>Dear all</p>"), "{listed}");
    let recipients = listed.lines().find(|line| line.starts_with("X-RcptTo: ")).unwrap();
    assert_eq!(recipients, "X-RcptTo: dora@example.org, emil@example.org, finn@example.org");
    assert!(find("Subject: Second").contains("Content-Type: text/plain"));
}

/// The Message-ID of a mail.
fn id_of(mail: &str) -> &str {
    mail.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap_or_else(|| panic!("no Message-ID: {mail}"))
}

#[tokio::test]
async fn a_mail_of_a_repeated_run_has_the_same_message_id() {
    let mut server = MailServer::start().await;
    let fixture = on(mail_policy(&server, "robot:p%C3%A4ss%20word@"));
    let body = r#"
        smtp.send{to = "ada@example.org", subject = "first", body = "x"}
        new("FDLEmailHelper"):sendEmail("ada@example.org", nil, nil, nil, nil, "second", "x", nil)"#;
    // Each under the same run id, as the fixture's runs all are.
    for _ in 0..2 {
        let outcome = fixture.body(body, Params::default()).await;
        assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    }
    let mails = server.mails(4).await;
    let ids = |subject: &str| -> Vec<&str> {
        let subject = format!("Subject: {subject}");
        mails.iter().filter(|mail| mail.contains(&subject)).map(|mail| id_of(mail)).collect()
    };
    let (first, second) = (ids("first"), ids("second"));
    assert_eq!((first.len(), second.len()), (2, 2), "{mails:?}");
    assert!(first[0] == first[1] && second[0] == second[1] && first[0] != second[0], "{first:?} {second:?}");
    assert!(first[0].ends_with("@provider.test>"), "{first:?}");
}

#[tokio::test]
async fn what_a_mail_server_refuses_is_told_without_the_password() {
    let server = MailServer::start().await;
    let send = "smtp.send{to = 'ada@example.org', subject = 'x', body = 'y'}";
    for (credentials, words) in [("robot:wrong-pass@", "signing in: the server says 535"), ("", "530")] {
        let outcome = on(mail_policy(&server, credentials)).body(send, Params::default()).await;
        let Exit::Failed(error) = &outcome.exit else { panic!("{outcome:?}") };
        assert!(error.message.contains(words), "{error}");
        assert!(!format!("{outcome:?}").contains("wrong-pass"));
        assert!(outcome.calls[0].error.is_some());
    }
    let untrusted = Egress { roots: Vec::new(), ..mail_policy(&server, "") };
    let said = on(untrusted).eval(send).await;
    assert!(said.as_str().unwrap().contains("certificate"), "{said}");
    let fixture = on(Egress::default());
    let own = format!("smtp.send{{server = 'smtp://127.0.0.1:{}', to = 'ada@example.org'}}", server.port);
    for (call, words) in [
        (own.as_str(), "not a public one"),
        (send, "no mail relay set"),
        ("smtp.send{subject = 'x'}", "`to` is missing"),
        ("smtp.send{server = 'smtp://mail.test', to = 'nobody'}", "not a list of mail addresses"),
        ("smtp.send{server = 'http://mail.test', to = 'a@b.test'}", "must begin with `smtp://`"),
    ] {
        let said = fixture.eval(call).await;
        assert!(said.as_str().unwrap().contains(words), "{call}: {said}");
    }
}

#[tokio::test]
async fn a_message_is_published_and_confirmed_or_raises() {
    let rabbit = Rabbit::start().await;
    let fixture = Fixture::new();
    let url = format!("amqp://guest:guest@127.0.0.1:{}", rabbit.port);
    // Longer than a frame.
    let body = format!(
        "amqp.publish{{url = '{url}', queue = 'jobs', json = {{n = 1}}, message_id = 'm-1', headers = {{a = 'b'}}}}
        amqp.publish{{url = '{url}/%2F', routing_key = 'jobs', body = ('x'):rep(300000)}}"
    );
    let outcome = fixture.body(&body, Params::default()).await;
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    let messages = rabbit.messages("jobs").await;
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["payload"], "{\"n\":1}");
    let properties = &messages[0]["properties"];
    assert_eq!(properties["content_type"], "application/json");
    assert_eq!((&properties["message_id"], &properties["delivery_mode"]), (&json!("m-1"), &json!(2)));
    assert_eq!(properties["headers"], json!({"a": "b"}));
    assert_eq!(messages[1]["payload_bytes"], 300_000);
    let shown = &outcome.calls[0];
    assert_eq!((shown.method.as_str(), shown.url.as_str()), ("PUBLISH", url.replace("guest:guest@", "").as_str()));

    rabbit.ask(Method::PUT, "/exchanges/%2F/events", Some(r#"{"type": "topic"}"#)).await;
    let wrong = url.replace("guest:guest", "guest:wrong-pass");
    for (call, words) in [
        (format!("url = '{url}', exchange = 'events', routing_key = 'a', body = 'x'"), "reached no queue: 312"),
        (format!("url = '{url}', exchange = 'nowhere', body = 'x'"), "404 NOT_FOUND"),
        (format!("url = '{wrong}', queue = 'jobs', body = 'x'"), "403 ACCESS_REFUSED"),
        (format!("url = '{url}/none', queue = 'jobs', body = 'x'"), "opening the virtual host"),
        (format!("url = '{url}', queue = 'jobs'"), "one of `body` and `json`"),
        (format!("url = '{url}', queue = ('q'):rep(300), body = ''"), "longer than 255 bytes"),
        ("queue = 'jobs', body = ''".to_owned(), "must begin with `amqp://`"),
    ] {
        let outcome = fixture.body(&format!("amqp.publish{{{call}}}"), Params::default()).await;
        let Exit::Failed(error) = &outcome.exit else { panic!("{call}: {outcome:?}") };
        assert!(error.message.contains(words), "{call}: {error}");
        assert!(!format!("{outcome:?}").contains("wrong-pass"), "{call}");
    }
    let quiet = format!("amqp.publish{{url = '{url}', exchange = 'events', body = 'x', mandatory = false}} return 1");
    assert_eq!(fixture.eval(&quiet).await, json!(1));
    let rehearsal = fixture.rehearse(&format!("amqp.publish{{url = '{url}', queue = 'jobs', body = 'x'}}")).await;
    assert_eq!(rehearsal.exit, Exit::Success);
    assert_eq!(rehearsal.calls[0].error.as_deref(), Some("not sent, for this is a rehearsal"));
    assert!(rabbit.messages("jobs").await.is_empty());
    let refused = on(Egress::default()).eval(&format!("amqp.publish{{url = '{url}', queue = 'q', body = 'x'}}")).await;
    assert!(refused.as_str().unwrap().contains("not a public one"), "{refused}");
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_an_error_and_no_hang() {
    let server = crate::http::Server::start().await;
    let port = server.url.rsplit_once(':').unwrap().1;
    let fixture = on(Egress { allow_private: true, timeout_ms: 500, response_bytes: 10_000, ..Egress::default() });
    for call in [
        format!("amqp.publish{{url = 'amqp://127.0.0.1:{port}', queue = 'q', body = 'x'}}"),
        format!("smtp.send{{server = 'smtp://127.0.0.1:{port}', to = 'a@b.test'}}"),
        format!("amqp.publish{{url = 'amqps://127.0.0.1:{port}', queue = 'q', body = 'x'}}"),
    ] {
        let said = fixture.eval(&call).await;
        assert!(said.as_str().unwrap().starts_with("error: "), "{call}: {said}");
    }
}
