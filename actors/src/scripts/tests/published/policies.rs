//! Scripts that hold customers to what was agreed.

use super::{
    super::{mail::relay, *},
    Stage,
    stage::resource_keys,
};
use crate::{ActionAsked, CustomerPatch, ServerAction, ServerPatch};
use sutler_lua::Egress;
use sutler_model::{Quota, ServerId, ServerState, Timestamp};

fn at(text: &str) -> Timestamp {
    Timestamp(sutler_lua::date_ms(text).unwrap())
}

/// A stage with a relay for mail.
async fn mailing() -> (Stage, tokio::sync::mpsc::UnboundedReceiver<(Vec<String>, String)>) {
    let (url, mails) = relay().await;
    let egress = Egress {
        relay: Some(url.parse().unwrap()),
        exceptions: vec!["127.0.0.0/8".parse().unwrap()],
        ..Egress::default()
    };
    (Stage::with(|_| (204, String::new()), Settings { egress, ..Settings::default() }).await, mails)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_owes_starts_nothing_large() {
    let stage = Stage::open().await;
    let bench = &stage.bench;
    stage.load("unpaid", include_str!("unpaid_limits.lua")).await;
    stage.seller_keys(&[("UNPAID_MAX_DISK", "20"), ("UNPAID_MAX_RAM", "1024")]).await;
    let ask = async |name: &str, memory_mib: u64, disk_gib: u64| {
        let new = sutler_model::NewServer { memory_mib, disk_gib, ..bench.new_server(name, false) };
        bench.system.create_server(&bench.caller, bench.customer, new, None).await
    };
    ask("before", 4096, 50).await.expect("nothing is owed yet");
    bench.invoice(bench.customer, 7, "5", at("2015-01-01")).await;
    bench.invoice(bench.customer, 8, "5", bench.system.core().now()).await;
    ask("small", 1024, 20).await.expect("small enough");
    for (memory, disk, told) in [
        (2048, 20, "Please pay invoice 7 first: until then servers have at most 2 cores and 1024 MB of memory"),
        (1024, 50, "Please pay first: until then disks have at most 20 GB"),
    ] {
        match ask("large", memory, disk).await {
            Err(Error::Refused { reason, .. }) => assert_eq!(reason, told),
            other => panic!("not refused: {other:?}"),
        }
    }
    assert!(bench.server("large").await.is_none());
    let (other, _) = bench.stranger().await;
    let new = sutler_model::NewServer { memory_mib: 4096, ..bench.new_server("others", false) };
    bench.system.create_server(&bench.caller, other, new, None).await.expect("it owes nothing");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_off_outside_office_hours() {
    let stage = Stage::open().await;
    let bench = &stage.bench;
    let script = stage.load("hours", include_str!("office_hours.lua")).await;
    bench.user("ada").await;
    let (server, other) = (stage.server("web", true).await, stage.server("other", true).await);
    let keys = Some(resource_keys(&[("office-hours", "1")]));
    let patch = ServerPatch { keys, ..ServerPatch::default() };
    bench.system.update_server(&bench.caller, server.id, None, patch).await.unwrap();
    let states = async || {
        let of = async |id: ServerId| bench.system.store().get::<Server>(id).await.unwrap().unwrap().state;
        (of(server.id).await, of(other.id).await)
    };
    let (on, off) = ((ServerState::Running, ServerState::Running), (ServerState::Stopped, ServerState::Running));
    // A Monday, Tuesday, Friday and Saturday; it is an hour later where the server is used.
    for (time, told, left) in [
        ("2015-03-02T17:00:00Z", "stopped 0, started 0, failed 0\n", on),
        ("2015-03-02T18:00:00Z", "stopped 1, started 0, failed 0\n", off),
        ("2015-03-03T05:00:00Z", "stopped 0, started 0, failed 0\n", off),
        ("2015-03-03T06:00:00Z", "stopped 0, started 1, failed 0\n", on),
        ("2015-03-06T12:00:00Z", "stopped 0, started 0, failed 0\n", on),
        ("2015-03-07T12:00:00Z", "stopped 1, started 0, failed 0\n", off),
    ] {
        assert_eq!(stage.run(&script, at(time)).await, told, "{time}");
        assert_eq!(states().await, left, "{time}");
    }
    // What its owner stopped stays so.
    let start = bench.act(server.id, ServerAction::Start, "start").await;
    bench.ended(start.id).await;
    assert_eq!(stage.run(&script, at("2015-03-09T12:00:00Z")).await, "stopped 0, started 0, failed 0\n");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_nearly_reached_is_told_once() {
    let (stage, mut mails) = mailing().await;
    let bench = &stage.bench;
    stage.load("quota", include_str!("quota_warning.lua")).await;
    bench.user("ada").await;
    let quota = Quota { servers: 5, cpus: 100, memory_mib: 1 << 20, disk_gib: 1 << 10 };
    let patch = CustomerPatch { quota: Some(quota), ..CustomerPatch::default() };
    bench.system.update_customer(&bench.caller, bench.customer, None, patch).await.unwrap();
    let mut servers = Vec::new();
    let count = async |count: usize| {
        bench
            .runs_until(|runs| {
                let own = runs.iter().filter(|run| run.function == "quota_warning_create");
                own.filter(|run| run.finished_at.is_some()).count() == count
            })
            .await;
        let logs = stage.logs("quota_warning_create", 0).await;
        logs.iter().filter_map(|log| log.lines().next().map(str::to_owned)).collect::<Vec<_>>()
    };
    let mut logs = Vec::new();
    for (made, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        servers.push(stage.server(name, false).await.id);
        logs = count(made + 1).await;
    }
    assert_eq!(logs, ["MAX_SERVERS: 4 of 5"]);
    let (to, mail) = mails.recv().await.unwrap();
    assert_eq!(to, ["ada@example.org"]);
    for words in ["Subject: You are close to your limits", "Dear ada,", "MAX_SERVERS: 4 of 5"] {
        assert!(mail.contains(words), "{words}: {mail}");
    }
    // With room again, the next time is told again.
    for id in servers.split_off(3) {
        let job = bench.system.act_on_server(&bench.caller, id, ServerAction::Delete, ActionAsked::default()).await;
        bench.ended(job.unwrap().id).await;
    }
    bench.until(async || stage.customer(bench.customer).await.keys.is_empty()).await;
    stage.server("f", false).await;
    assert_eq!(count(6).await, ["MAX_SERVERS: 4 of 5", "MAX_SERVERS: 4 of 5"]);
    mails.recv().await.unwrap();
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_is_mailed_with_a_link_to_the_control_panel_and_noted_on_its_customer() {
    let (stage, mut mails) = mailing().await;
    let bench = &stage.bench;
    let panel = Some("https://panel.example/".to_owned());
    let patch = crate::BillingEntityPatch {
        contact: Some(sutler_model::ContactPatch { control_panel_url: panel, ..Default::default() }),
        ..Default::default()
    };
    bench.system.update_billing_entity(&bench.caller, bench.caller.billing_entity_id, None, patch).await.unwrap();
    stage.load("mail", include_str!("invoice_mail.lua")).await;
    bench.user("ada").await;
    stage.server("web", true).await;
    let end = bench.system.core().now();
    bench.until(async || bench.system.core().now() > end.plus_ms(6_000)).await;
    let invoice = bench.system.close_invoice(&bench.caller, bench.customer, end).await.unwrap();
    let items = invoice.lines.len();
    assert!(items > 0);
    let told = format!("invoice 1 mailed to 1, {items} items\n");
    let logs = stage.logs("invoice_mail_trigger", 1).await;
    assert!(logs.len() == 1 && logs[0].starts_with(&told), "{logs:?}");
    let (to, mail) = mails.recv().await.unwrap();
    assert_eq!(to, ["ada@example.org"]);
    let text = mail.replace("=\n", "").replace("=3D", "=");
    let link = "<a href=\"https://panel.example/\">Look at it in your control panel</a>";
    for words in ["Subject: Invoice 1", "Content-Type: text/html", "Your invoice 1 of ", " EUR.</p>", link] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let keys = stage.customer(bench.customer).await.keys;
    assert_eq!((keys[0].name.as_str(), keys[0].value.as_str()), ("LAST_INVOICE", "1"));
    bench.stop().await;
}
