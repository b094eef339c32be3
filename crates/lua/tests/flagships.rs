//! Library scripts end to end, as the peer on the other side gets what they send.

use crate::{
    databases,
    described::{assert_stripe, assert_twilio, form},
    http::Server,
    library::script_with,
    peers::mail_policy,
    real::{MailServer, MariaDb, Prosody, Rabbit},
    support::{Fixture, Platform, about, block},
    xmpp,
};
use serde_json::{Value, json};
use sutler_lua::{Bean, Exit, Input, Member, Outcome, Params};

/// A failed job of a customer.
pub fn failed_job(kind: &str, code: &str) -> Params {
    let job = Bean::new("Job")
        .with("resourceUUID", "job-1")
        .with("jobType", kind)
        .with("status", "FAILED")
        .with("itemName", "web-1")
        .with("itemUUID", "6b1f")
        .with("customerName", "Ada & Co")
        .with("errorCode", code)
        .with("info", "no node has room");
    let level =
        json!([{"@bean": "ResourceKey", "name": "support_level", "value": "Gold", "type": "BILLING_ENTITY_KEY"}]);
    let customer = Bean::new("Customer").with("resourceUUID", "c-1").with("resourceName", "Ada & Co");
    let customer = Some(customer.with("resourceKey", level));
    Params { customer, timestamp_ms: 1_700_000_000_123, ..about(job, "FAILED") }
}

/// Runs a function of a library script with settings of its own.
pub async fn run(script: &str, settings: &[(&str, &str)], function: &str, params: Params) -> Outcome {
    Fixture::new().run(&block(&script_with(script, settings)), function, params).await
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let wanted = format!("{name}: ");
    let found = request.lines().find_map(|line| line.strip_prefix(wanted.as_str()));
    found.unwrap_or_else(|| panic!("no {name} in {request}"))
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_failed_job_is_a_ticket_at_zendesk_with_the_customers_level() {
    let zendesk = Server::start().await;
    let settings = [("https://example.zendesk.com", zendesk.url.as_str()), ("change-me", "the-token")];
    let params = failed_job("START_SERVER", "NO_CAPACITY");
    let outcome = run("failed-job-to-zendesk", &settings, "failed_job_to_zendesk", params).await;
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    assert!(outcome.log.contains("\"ticket\":42"), "{}", outcome.log);
    let request = zendesk.requests().remove(0);
    assert!(request.starts_with("POST /api/v2/tickets.json HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "authorization"), "Basic cm9ib3RAZXhhbXBsZS5jb20vdG9rZW46dGhlLXRva2Vu");
    assert_eq!(header(&request, "content-type"), "application/json");
    assert_eq!(header(&request, "idempotency-key"), "job-1");
    let sent: Value = serde_json::from_str(body(&request)).unwrap();
    assert_eq!(sent["ticket"]["tags"], json!(["failed_job", "level_gold"]));
    assert_eq!(sent["ticket"]["priority"], "urgent");
    assert!(!format!("{outcome:?}").contains("the-token"));
}

#[tokio::test]
async fn messages_and_calls_are_as_twilio_describes_them() {
    // The calling hours are put around the clock or away, so that the test does not depend on the time of day.
    for (hours, what, names) in [
        ("CALL_FROM_HOUR, CALL_UNTIL_HOUR = 0, 24", "Calls", ["From", "To", "Twiml"]),
        ("CALL_FROM_HOUR, CALL_UNTIL_HOUR = 25, 0", "Messages", ["Body", "From", "To"]),
    ] {
        let twilio = Server::start().await;
        let settings = [
            ("https://api.twilio.com", twilio.url.as_str()),
            ("CALL_FROM_HOUR, CALL_UNTIL_HOUR = 19, 7", hours),
            ("change-me", "the-token"),
        ];
        let params = failed_job("CREATE_SERVER", "NO_CAPACITY");
        let outcome = run("failures-to-phone", &settings, "failure_to_phone", params).await;
        assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
        let request = twilio.requests().remove(0);
        assert_eq!(header(&request, "content-type"), "application/x-www-form-urlencoded");
        assert!(header(&request, "authorization").starts_with("Basic "));
        let path = request.split(' ').nth(1).unwrap();
        assert!(path.contains(what), "{path}");
        let form = form(body(&request));
        assert_eq!(form.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        assert_twilio(path, &form);
        assert!(!format!("{outcome:?}").contains("the-token"));
    }
}

#[tokio::test]
async fn a_web_hook_is_signed_so_that_its_receiver_can_tell() {
    let receiver = Server::start().await;
    let url = format!("{}/hook", receiver.url);
    let settings = [("https://hooks.example.com/sutler", url.as_str()), ("change-me", "shared secret")];
    let outcome = run("web-hook", &settings, "job_to_web_hook", failed_job("START_SERVER", "NO_CAPACITY")).await;
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    let request = receiver.requests().remove(0);
    let signed =
        format!("{}.{}.{}", header(&request, "webhook-id"), header(&request, "webhook-timestamp"), body(&request));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"shared secret");
    let signature = header(&request, "webhook-signature").strip_prefix("v1,").unwrap();
    let signature = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, signature).unwrap();
    ring::hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    let sent: Value = serde_json::from_str(body(&request)).unwrap();
    assert_eq!((&sent["type"], &sent["data"]["error"]), (&json!("job.failed"), &json!("NO_CAPACITY")));
    let missing = format!("{}/missing", receiver.url);
    let settings = [("https://hooks.example.com/sutler", missing.as_str())];
    let outcome = run("web-hook", &settings, "job_to_web_hook", failed_job("START_SERVER", "NO_CAPACITY")).await;
    assert!(matches!(&outcome.exit, Exit::Failed(error) if error.message.contains("answered 404")), "{outcome:?}");
}

#[tokio::test]
async fn every_job_is_a_message_in_rabbitmq() {
    let rabbit = Rabbit::start().await;
    let url = format!("amqp://guest:guest@127.0.0.1:{}/%2F", rabbit.port);
    let settings = [("amqp://guest:guest@broker.example.com:5672/%2F", url.as_str())];
    let outcome =
        run("jobs-to-rabbitmq", &settings, "job_to_rabbitmq", failed_job("START_SERVER", "NO_CAPACITY")).await;
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    let messages = rabbit.messages("sutler.jobs").await;
    let [message] = &messages[..] else { panic!("{messages:?}") };
    let sent: Value = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
    assert_eq!((&sent["status"], &sent["item"]["name"]), (&json!("FAILED"), &json!("web-1")));
    assert_eq!(message["properties"]["message_id"], "job-1.FAILED");
}

#[tokio::test]
async fn a_failed_login_is_a_mail() {
    let mut server = MailServer::start().await;
    let policy = mail_policy(&server, "robot:p%C3%A4ss%20word@");
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, policy);
    let source = script_with("failed-logins-by-email", &[]);
    let params = Params {
        input: Input::Text("mallory@example.org".to_owned()),
        option: "FAILURE".to_owned(),
        timestamp_ms: 1_700_000_000_123,
        ..Params::default()
    };
    let outcome = fixture.run(&block(&source), "failed_login_by_email", params).await;
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    let mail = server.mails(1).await.remove(0);
    assert!(mail.contains("Subject: Failed sign-in: mallory@example.org"), "{mail}");
    assert!(mail.contains("2023-11-14 22:13:20 UTC"), "{mail}");
}

#[tokio::test]
async fn an_invoice_is_a_row_in_mariadb_once_and_to_the_last_digit() {
    let server = MariaDb::start(true).await;
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, databases::policy(&server));
    let url = server.url();
    let settings = [("mysql://sutler:change-me@db.example.com:3306/billing", url.as_str())];
    let script = block(&script_with("invoices-to-mariadb", &settings));
    assert_eq!(fixture.run(&script, "init", Params::default()).await.exit, Exit::Success);
    let invoice = Bean::new("Invoice")
        .with("resourceUUID", "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee")
        .with("invoiceNo", 17)
        .with("customerUUID", "c-1")
        .with("invoiceDate", 1_700_000_000)
        .with("currency", "EUR")
        .with("exactTotal", "123456789012345678.123456789")
        .with("invoiceItems", json!([{"description": "web-1, CPU", "exactUnitPrice": "0.011", "exactAmount": "7.92"}]));
    let customer = Some(Bean::new("Customer").with("resourceName", "Ada; DROP TABLE invoices"));
    for _ in 0..2 {
        let params = Params { customer: customer.clone(), ..about(invoice.clone(), "INVOICE") };
        let outcome = fixture.run(&script, "invoice_to_mariadb", params).await;
        assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    }
    let stored = fixture
        .eval(&format!(
            "local url = '{url}'
            return {{ mysql.query{{ url = url, sql = 'SELECT * FROM invoices' }}, mysql.query{{ url = url, sql = 'SELECT * FROM invoice_lines' }} }}"
        ))
        .await;
    let id = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";
    let expected = json!([
        [{
            "id": id, "number": 17, "customer": "c-1", "customer_name": "Ada; DROP TABLE invoices",
            "issued_at": "2023-11-14 22:13:20", "currency": "EUR", "total": "123456789012345678.123456789",
        }],
        [{"invoice": id, "line": 1, "description": "web-1, CPU", "unit_price": "0.011000000", "amount": "7.920000000"}],
    ]);
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn a_failed_job_is_a_message_over_xmpp() {
    let mut server = Prosody::start("").await;
    let fixture = Fixture::with(Platform::with(Vec::new()), 1, xmpp::policy(&server));
    let url = server.url();
    let settings =
        [("xmpp://sutler:change-me@chat.example.com", url.as_str()), ("operators@chat.example.com", "ada@chat.test")];
    let script = block(&script_with("jobs-to-xmpp", &settings));
    let outcome = fixture.run(&script, "job_to_xmpp", failed_job("START_SERVER", "NO_CAPACITY")).await;
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    let waiting = server.waiting().await;
    for words in ["START_SERVER of web-1: failed", "Error: NO_CAPACITY", "Customer: Ada & Co", "job-1.FAILED"] {
        assert!(waiting.contains(words), "{words}: {waiting}");
    }
}

#[tokio::test]
async fn payments_and_refunds_are_as_stripe_describes_them() {
    let stripe = Server::start().await;
    let settings = [("https://api.stripe.com", stripe.url.as_str())];
    let transaction =
        Bean::new("Transaction").with("resourceUUID", "t-1").with("state", "INPROGRESS").with("allowInteractive", true);
    let linked = json!({"@bean": "Transaction", "resourceUUID": "t-0", "providerReference": "pi_1"});
    let texts =
        |pairs: &[(&str, &str)]| Member::Texts(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    let key = [("secret_key".to_owned(), "sk_live_the_secret".to_owned())].into();
    let params = Params {
        resource: Some(transaction),
        customer: Some(Bean::new("Customer").with("resourceUUID", "c-1").with("resourceName", "Ada & Co")),
        more: vec![
            ("transaction", Member::Resource),
            ("invoice", Member::Value(json!({"@bean": "Invoice", "invoiceNo": 7}))),
            ("linkedTransaction", Member::Value(linked)),
            ("methodValues", Member::Secrets(key, vec!["secret_key".to_owned()])),
            ("instanceValues", texts(&[("payment_method", "pm_1"), ("customer", "cus_1")])),
            ("parameters", texts(&[])),
            ("idempotencyKey", Member::Value("t-1-0".into())),
            ("returnURL", Member::Value("https://shop.example/back".into())),
            ("amount", Member::Value("12.30".into())),
            ("amountMinor", Member::Value(1230.into())),
            ("currency", Member::Value("EUR".into())),
            ("resumed", Member::Value(false.into())),
        ],
        ..Params::default()
    };
    for (function, path) in [
        ("pay", "/v1/payment_intents"),
        ("refund", "/v1/refunds"),
        ("cancel", "/v1/payment_intents/pi_1/cancel"),
        ("attach", "/v1/customers"),
    ] {
        let before = stripe.requests().len();
        let outcome = run("payments-by-stripe", &settings, function, params.clone()).await;
        assert!(!format!("{outcome:?}").contains("sk_live_the_secret"), "{outcome:?}");
        let request = stripe.requests().remove(before);
        assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{function}: {outcome:?} {request}");
        assert_eq!(header(&request, "authorization"), "Bearer sk_live_the_secret");
        assert_eq!(header(&request, "idempotency-key"), format!("t-1-0{path}"));
        let form = form(body(&request));
        assert_stripe(path, &form);
    }
}
