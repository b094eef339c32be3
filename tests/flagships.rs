//! The scripts of the library as they are shipped, end to end: the program's own work sets them off, and the real peers on
//! the other side tell what came. Of services that run nowhere but at their owners', a stand-in takes the requests, and they
//! are held against the published descriptions.

#[path = "../crates/lua/tests/described.rs"]
mod described;
#[allow(dead_code, unused_imports, reason = "the tests of the helpers use more of it")]
#[path = "../crates/lua/tests/real/mod.rs"]
mod peers;

use crate::support::{World, eventually};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use peers::{MailServer, MariaDb, Prosody, Rabbit};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A world whose scripts reach loopback, where a peer with a certificate of its own is found by its name.
async fn world(peer: Option<(&str, &[u8])>, more: &[(&str, &str)]) -> World {
    let mut settings = vec![("SUTLER_EGRESS_EXCEPTIONS", r#"["127.0.0.0/8"]"#.to_owned())];
    settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let folder = tempfile::tempdir().unwrap();
    if let Some((name, certificate)) = peer {
        let file = folder.path().join("ca.pem");
        let text = STANDARD.encode(certificate);
        std::fs::write(&file, format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")).unwrap();
        settings.push(("SUTLER_EGRESS_HOSTS", format!(r#"["{name}=127.0.0.1"]"#)));
        settings.push(("SUTLER_EGRESS_CA_FILES", format!(r#"["{}"]"#, file.display())));
    }
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    World::with(&settings).await
}

/// Loads a script of the library with settings of its own: each text must be in it, and is replaced.
async fn load(world: &World, name: &str, settings: &[(&str, &str)]) -> String {
    let file = format!("{}/scripts/{name}/trigger.lua", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(file).unwrap();
    let source = settings.iter().fold(source, |source, (from, to)| {
        assert!(source.contains(from), "{name} has no `{from}`");
        source.replace(from, to)
    });
    world.admin.post("/triggers", json!({ "name": name, "source": source })).await.expect(201).id()
}

/// The runs of a script's function that ended well, once there are as many. None may have failed.
async fn runs(world: &World, script: &str, function: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{function} has run {count} times"), async || {
        let all = world.admin.get(&format!("/triggers/{script}/runs")).await.expect(200);
        let mine: Vec<_> = all.items().iter().filter(|run| run["function"] == function).cloned().collect();
        assert!(mine.iter().all(|run| run["attempts"].as_u64() <= Some(1)), "{mine:?}");
        let ended = mine.iter().filter(|run| run["state"] == "succeeded").count();
        (ended >= count).then_some(mine)
    })
    .await
}

/// A server of Ada's that does not start, and the job that failed.
async fn failed_start(world: &World) -> (String, Value) {
    let ada = &world.ada.client;
    let mut body = world.server("web-1");
    body["start"] = json!(false);
    let made = ada.finished(&ada.post("/servers", body).await.expect(202).id()).await;
    let server = made["item_id"].as_str().unwrap().to_owned();
    let fault = json!({ "call": "start", "times": 1, "error": "permanent" });
    world.admin.post("/simulation/faults", fault).await.expect(204);
    let job = ada.post(&format!("/servers/{server}/actions"), json!({ "action": "start" })).await.expect(202);
    let failed = ada.finished(&job.id()).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    (server, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_that_was_closed_is_a_row_in_mariadb() {
    let database = MariaDb::start(true).await;
    let certificate = database.certificate.clone().unwrap();
    let world = world(Some((MariaDb::NAME, &certificate)), &[]).await;
    let url = database.url();
    let settings = [("mysql://sutler:change-me@db.example.com:3306/billing", url.as_str())];
    let script = load(&world, "invoices-to-mariadb", &settings).await;
    runs(&world, &script, "init", 1).await;
    // So much that a millisecond of use comes to more than the smallest coin.
    let prices = json!({ "cpu_hour": "3600000.123456789", "memory_gib_hour": "7200000" });
    world.admin.patch(&format!("/plans/{}", world.plan), prices).await.expect(200);
    world.running_server(&world.ada.client, "web-1").await;
    let invoice = crate::invoices::close(&world, &world.ada.id).await;
    let other = crate::invoices::close(&world, &world.bob.id).await;
    runs(&world, &script, "invoice_to_mariadb", 2).await;

    let shown = |invoice: &Value, name: &str| invoice[name].as_str().unwrap().to_owned();
    // Exact decimals, as long as their columns.
    let exact = |text: &Value| {
        let (whole, part) = text.as_str().unwrap().split_once('.').unwrap_or((text.as_str().unwrap(), ""));
        format!("{whole}.{part:0<9}")
    };
    let lines = invoice.body["lines"].as_array().unwrap();
    assert!(lines.len() >= 3 && exact(&invoice.body["total"]) != "0.000000000", "{}", invoice.text);
    let mut expected = Vec::new();
    for (invoice, customer, name) in [(&invoice.body, &world.ada.id, "ada"), (&other.body, &world.bob.id, "bob")] {
        expected.push(
            [
                shown(invoice, "id"),
                invoice["number"].to_string(),
                customer.clone(),
                name.to_owned(),
                shown(invoice, "issued_at")[..19].replace('T', " "),
                shown(invoice, "currency"),
                exact(&invoice["total"]),
                invoice["lines"].as_array().unwrap().len().to_string(),
                lines_of(invoice).iter().map(&exact).collect::<Vec<_>>().join(","),
            ]
            .to_vec(),
        );
    }
    let query = "SELECT id, number, customer, customer_name, issued_at, currency, total, COUNT(line), \
        COALESCE(GROUP_CONCAT(amount ORDER BY line), '') \
        FROM billing.invoices LEFT JOIN billing.invoice_lines ON invoice = id GROUP BY id ORDER BY number";
    assert_eq!(database.rows(query), expected);
}

fn lines_of(invoice: &Value) -> Vec<Value> {
    invoice["lines"].as_array().unwrap().iter().map(|line| line["amount"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_is_a_message_in_rabbitmq_in_the_order_of_its_states() {
    let rabbit = Rabbit::start().await;
    let world = world(None, &[]).await;
    let url = format!("amqp://guest:guest@127.0.0.1:{}/%2F", rabbit.port);
    let settings = [("amqp://guest:guest@broker.example.com:5672/%2F", url.as_str())];
    let script = load(&world, "jobs-to-rabbitmq", &settings).await;
    let (server, failed) = failed_start(&world).await;
    // Each of the two jobs was accepted, began and ended.
    runs(&world, &script, "job_to_rabbitmq", 6).await;
    let messages = rabbit.messages("sutler.jobs").await;
    let sent: Vec<Value> =
        messages.iter().map(|m| serde_json::from_str(m["payload"].as_str().unwrap()).unwrap()).collect();
    let told = |kind: &str| -> Vec<&str> {
        sent.iter().filter(|m| m["type"] == kind).map(|m| m["status"].as_str().unwrap()).collect()
    };
    assert_eq!(told("CREATE_SERVER"), ["NOT_STARTED", "IN_PROGRESS", "SUCCESSFUL"], "{sent:?}");
    assert_eq!(told("START_SERVER"), ["NOT_STARTED", "IN_PROGRESS", "FAILED"], "{sent:?}");
    let last = sent.iter().position(|m| m["status"] == "FAILED").unwrap();
    assert_eq!(sent[last]["item"], json!({ "id": server, "name": "web-1" }));
    assert_eq!(sent[last]["customer"], json!({ "id": world.ada.id, "name": "ada" }));
    let id = format!("{}.FAILED", failed["id"].as_str().unwrap());
    assert_eq!(messages[last]["properties"]["message_id"], id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_failed_is_a_message_over_xmpp() {
    let mut chat = Prosody::start("").await;
    let world = world(Some((Prosody::NAME, &chat.certificate.clone())), &[]).await;
    let url = chat.url();
    let settings =
        [("xmpp://sutler:change-me@chat.example.com", url.as_str()), ("operators@chat.example.com", "ada@chat.test")];
    let script = load(&world, "jobs-to-xmpp", &settings).await;
    let (_, failed) = failed_start(&world).await;
    runs(&world, &script, "job_to_xmpp", 1).await;
    let waiting = chat.waiting().await;
    let id = format!("{}.FAILED", failed["id"].as_str().unwrap());
    for words in ["START_SERVER of web-1: failed", "Customer: ada", &id] {
        assert!(waiting.contains(words), "{words}: {waiting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_failed_is_a_mail() {
    let mut server = MailServer::start().await;
    let relay = format!("smtp://robot:p%C3%A4ss%20word@{}:{}", MailServer::NAME, server.port);
    let more = [("SUTLER_EGRESS_MAIL_RELAY", relay.as_str()), ("SUTLER_EGRESS_MAIL_FROM", "sutler@provider.test")];
    let world = world(Some((MailServer::NAME, &server.certificate.clone())), &more).await;
    let script = load(&world, "failed-logins-by-email", &[("security@example.com", "ops@provider.test")]).await;
    let body = json!({ "email": "ada@example.org", "password": "not the password" });
    world.program.client().post("/sessions", body).await.problem(401, "unauthenticated");
    runs(&world, &script, "failed_login_by_email", 1).await;
    let mail = server.mails(1).await.remove(0);
    let subject = format!("Failed sign-in: ada@example.org/{}", world.ada.id);
    let unfolded = mail.replace("\r\n ", " ").replace("\n ", " ");
    for words in [subject.as_str(), "X-RcptTo: ops@provider.test", "From: sutler@provider.test", "Customer: ada"] {
        assert!(unfolded.contains(words), "{words}: {mail}");
    }
}

/// A request that a stand-in took.
#[derive(Clone, Debug)]
struct Taken {
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Taken {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Stands in for services on the web: takes every request and answers as they would where it went well.
#[derive(Clone, Default)]
struct Web(Arc<Mutex<Vec<Taken>>>);

impl Web {
    async fn open() -> (String, Self) {
        let web = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(Self::take).with_state(web.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (base, web)
    }

    async fn take(State(web): State<Self>, uri: Uri, headers: HeaderMap, body: String) -> (StatusCode, Json<Value>) {
        let path = uri.path().to_owned();
        let answer = match path.as_str() {
            "/api/v2/tickets.json" => (StatusCode::CREATED, json!({ "ticket": { "id": 42 } })),
            "/v1/customers" => (StatusCode::OK, json!({ "id": "cus_1", "object": "customer" })),
            "/v1/payment_intents" => (StatusCode::OK, json!({ "id": "pi_1", "status": "succeeded" })),
            "/v1/refunds" => (StatusCode::OK, json!({ "id": "re_1", "status": "succeeded" })),
            _ => (StatusCode::CREATED, json!({ "sid": "SM1" })),
        };
        web.0.lock().unwrap().push(Taken { path, headers, body });
        (answer.0, Json(answer.1))
    }

    fn taken(&self, path: &str) -> Vec<Taken> {
        self.0.lock().unwrap().iter().filter(|taken| taken.path == path).cloned().collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_failed_is_a_ticket_a_text_message_and_a_signed_web_hook() {
    let (base, web) = Web::open().await;
    let world = world(None, &[]).await;
    let keys = json!({ "keys": [{ "name": "support_level", "value": "Gold" }] });
    world.admin.patch(&format!("/customers/{}", world.ada.id), keys).await.expect(200);
    let zendesk = load(&world, "failed-job-to-zendesk", &[("https://example.zendesk.com", &base)]).await;
    // The calling hours are put away, so that the test does not depend on the time of day.
    let hours = ("CALL_FROM_HOUR, CALL_UNTIL_HOUR = 19, 7", "CALL_FROM_HOUR, CALL_UNTIL_HOUR = 25, 0");
    let phone = load(&world, "failures-to-phone", &[("https://api.twilio.com", &base), hours]).await;
    let url = format!("{base}/hook");
    let hook = load(&world, "web-hook", &[("https://hooks.example.com/sutler", &url)]).await;
    let (server, failed) = failed_start(&world).await;
    let job = failed["id"].as_str().unwrap();
    runs(&world, &zendesk, "failed_job_to_zendesk", 1).await;
    runs(&world, &phone, "failure_to_phone", 1).await;
    // The server that was made, and the start that failed.
    runs(&world, &hook, "job_to_web_hook", 2).await;

    let tickets = web.taken("/api/v2/tickets.json");
    let [ticket] = &tickets[..] else { panic!("{tickets:?}") };
    assert_eq!(ticket.header("idempotency-key"), job);
    let sent = ticket.json();
    assert_eq!(sent["ticket"]["tags"], json!(["failed_job", "level_gold"]));
    assert_eq!(sent["ticket"]["subject"], "START_SERVER of web-1 failed");
    assert_eq!(sent["ticket"]["external_id"], job);
    assert!(sent["ticket"]["comment"]["body"].as_str().unwrap().starts_with("Customer: ada\nItem: web-1"), "{sent}");

    let path = "/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json";
    let messages = web.taken(path);
    let [message] = &messages[..] else { panic!("{messages:?}") };
    let form = described::form(&message.body);
    described::assert_twilio(path, &form);
    let text = &form.iter().find(|(name, _)| name == "Body").unwrap().1;
    assert!(text.starts_with("START_SERVER of web-1 failed for ada: "), "{text}");

    let hooks = web.taken("/hook");
    let told = hooks.iter().find(|hook| hook.header("webhook-id") == format!("{job}.FAILED"));
    let told = told.unwrap_or_else(|| panic!("{hooks:?}"));
    let sent = told.json();
    assert_eq!((&sent["type"], &sent["data"]["item"]["id"]), (&json!("job.failed"), &json!(server)));
    assert_eq!(sent["customer"], json!({ "id": world.ada.id, "name": "ada" }));
    let signed = format!("{}.{}.{}", told.header("webhook-id"), told.header("webhook-timestamp"), told.body);
    let signature = STANDARD.decode(told.header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"change-me");
    ring::hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serious_error_is_a_call_at_night_and_a_text_message_in_the_day() {
    // All hours are hours of calls and the night shift's, or none is, so that it does not matter when the test runs.
    let night = [("CALL_UNTIL_HOUR = 19, 7", "CALL_UNTIL_HOUR = 0, 0"), ("from_hour = 19", "from_hour = 0")];
    let day = [("CALL_UNTIL_HOUR = 19, 7", "CALL_UNTIL_HOUR = 24, 0"), ("from_hour = 7", "from_hour = 0")];
    let nobody_else = ("from_hour = 19", "from_hour = 24");
    for (hours, used, unused, phone) in [
        (&night[..], "Calls", "Messages", "+441632960002"),
        (&[day[0], day[1], nobody_else][..], "Messages", "Calls", "+441632960001"),
    ] {
        let (base, web) = Web::open().await;
        let world = world(None, &[]).await;
        let settings: Vec<_> = hours.iter().copied().chain([("https://api.twilio.com", base.as_str())]).collect();
        let script = load(&world, "failures-to-phone", &settings).await;
        // The storage is full, which the program finds while it makes the server's disk.
        let fault = json!({ "call": "ensure_disk", "times": 1, "error": "no_space" });
        world.admin.post("/simulation/faults", fault).await.expect(204);
        let ada = &world.ada.client;
        let failed = ada.finished(&ada.post("/servers", world.server("web-1")).await.expect(202).id()).await;
        assert_eq!((&failed["state"], &failed["error"]["code"]), (&json!("failed"), &json!("no_space")), "{failed}");
        runs(&world, &script, "failure_to_phone", 1).await;

        let path = |what: &str| format!("/2010-04-01/Accounts/AC00000000000000000000000000000000/{what}.json");
        let sent = web.taken(&path(used));
        let ([sent], []) = (&sent[..], &web.taken(&path(unused))[..]) else { panic!("{sent:?}") };
        let form = described::form(&sent.body);
        described::assert_twilio(&path(used), &form);
        let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(field("To"), Some(phone));
        let text = field("Twiml").or(field("Body")).expect("a text");
        assert!(text.contains("CREATE_SERVER of web-1 failed for ada: "), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_is_paid_and_given_back_as_stripe_describes_it() {
    let (base, web) = Web::open().await;
    let world = world(None, &[]).await;
    let prices = json!({ "cpu_hour": "3600000", "memory_gib_hour": "3600000" });
    world.admin.patch(&format!("/plans/{}", world.plan), prices).await.expect(200);
    let script = load(&world, "payments-by-stripe", &[("https://api.stripe.com", &base)]).await;
    let body = json!({ "name": "Stripe", "script_id": script, "values": { "secret_key": "sk_live_unguessable" } });
    let method = world.admin.post("/payment-methods", body).await.expect(201).id();
    let ada = &world.ada.client;
    let ready = async |path: String| {
        eventually("it is ready", async || (ada.get(&path).await.body["state"] == "ready").then_some(())).await;
    };
    ready(format!("/payment-methods/{method}")).await;
    let body = json!({ "name": "Visa", "payment_method_id": method, "values": { "payment_method": "pm_1" } });
    let card = ada.post("/payment-instances", body).await.expect(201).id();
    ready(format!("/payment-instances/{card}")).await;
    world.running_server(ada, "web-1").await;
    let invoice = crate::invoices::close(&world, &world.ada.id).await;
    let ended = async |id: &str| {
        eventually("the transaction ends", async || {
            let now = world.admin.get(&format!("/transactions/{id}")).await.expect(200).body;
            (!matches!(now["state"].as_str(), Some("not_started" | "in_progress"))).then_some(now)
        })
        .await
    };
    let paid = ended(&ada.post(&format!("/invoices/{}/pay", invoice.id()), json!({})).await.expect(202).id()).await;
    assert_eq!((&paid["state"], &paid["provider_reference"]), (&json!("success"), &json!("pi_1")), "{paid}");
    let paid = paid["id"].as_str().unwrap();
    let refund = world.admin.post(&format!("/transactions/{paid}/refund"), json!({})).await.expect(202);
    assert_eq!(ended(&refund.id()).await["state"], "success");

    for (path, key) in [
        ("/v1/customers", None),
        ("/v1/payment_methods/pm_1/attach", None),
        ("/v1/payment_intents", Some(format!("{paid}-0/v1/payment_intents"))),
        ("/v1/refunds", Some(format!("{}-0/v1/refunds", refund.id()))),
    ] {
        // The key is tried out by a look at the payments there are.
        let posted: Vec<_> = web.taken(path).into_iter().filter(|taken| !taken.body.is_empty()).collect();
        let [taken] = &posted[..] else { panic!("{path}: {posted:?}") };
        described::assert_stripe(path, &described::form(&taken.body));
        assert_eq!(taken.header("authorization"), "Bearer sk_live_unguessable");
        assert!(key.is_none_or(|key| taken.header("idempotency-key") == key), "{taken:?}");
    }
    let form = described::form(&web.taken("/v1/payment_intents").pop().unwrap().body);
    let field = |name: &str| form.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!((field("customer"), field("metadata[transaction]")), ("cus_1".to_owned(), paid.to_owned()));
}
