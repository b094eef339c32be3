//! Scripts about customers, their people and their sign-ins.

use super::{super::*, Stage};
use crate::{BillingEntityPatch, UserPatch};
use serde_json::json;
use sutler_drivers::simulated::{Fault, FaultError};
use sutler_model::{BillingEntity, Cause, Contact, CustomerStatus, Timestamp};

/// Whom to call and where they live.
fn contact() -> Contact {
    Contact {
        address: ["1 Main Street", "", "London", "", "E1 6AN", "GB"].map(str::to_owned).to_vec(),
        mobile_number: "+44 7700 900123".into(),
        evening_number: "+44 20 7946 0000".into(),
        ..Contact::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_and_users_are_kept_in_the_crm() {
    let stage = Stage::answering(|asked| match asked.line.as_str() {
        "POST /accounts" => (201, r#"{"id": 4711}"#.into()),
        _ => (200, String::new()),
    })
    .await;
    stage.seller_keys(&[("CRM_URL", &stage.url), ("CRM_USER", "cloud"), ("CRM_TOKEN", "t0ken")]).await;
    stage.load("crm", include_str!("crm_sync.lua")).await;
    let (customer, _) = stage.bench.stranger().await;
    stage.logs("crm_customer_trigger", 1).await;
    let asked = stage.asked().remove(0);
    assert_eq!(asked.header("authorization"), "Basic Y2xvdWQ6dDBrZW4=");
    let account = asked.json();
    assert_eq!((&account["name"], &account["status"]), (&json!("Stranger"), &json!("ACTIVE")));
    assert_eq!((&account["postpaid"], &account["contacts"]), (&json!(true), &json!([])));
    assert_eq!(account["external_id"], json!(customer.to_string()));
    let key = stage.customer(customer).await.keys.pop().expect("the account's id");
    assert_eq!((key.name.as_str(), key.value.as_str()), ("CRM_ID", "4711"));

    stage.bench.user_of(customer, "ada").await;
    stage.logs("crm_user_trigger", 1).await;
    let contact = stage.asked().pop().unwrap();
    assert_eq!(contact.line, "POST /contacts");
    assert_eq!((&contact.json()["account"], &contact.json()["email"]), (&json!("4711"), &json!("ada@example.org")));

    let system = &stage.bench.system;
    let job = system.delete_customer(&stage.bench.caller, customer, true, None, None, None).await.unwrap();
    stage.bench.ended(job.id).await;
    stage.logs("crm_delete_trigger", 1).await;
    assert_eq!(stage.asked().pop().unwrap().line, format!("DELETE /accounts/{customer}"));
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_began_a_failed_job_gets_a_text_message() {
    let stage = Stage::answering(|_| (201, String::new())).await;
    stage
        .seller_keys(&[
            ("SMS_GATEWAY", &format!("{}/sms", stage.url)),
            ("SMS_SENDER", "Cloud & Co"),
            ("SMS_USER", "u"),
            ("SMS_PASSWORD", ""),
        ])
        .await;
    let user = stage.bench.user("ada").await;
    let patch = UserPatch { contact: Some(contact().into()), ..UserPatch::default() };
    stage.bench.system.update_user(&stage.bench.caller, user.id, None, patch).await.unwrap();
    stage.load("sms", include_str!("sms_gateway.lua")).await;
    let error = Some(FaultError::Permanent);
    stage.bench.world.fault(Fault { call: "start".into(), times: 1, error, ..Fault::default() });
    let job = stage.bench.create("web", true).await;
    let job = stage.bench.ended(job.id).await;
    assert!(job.error.is_some(), "{job:?}");
    stage.logs("sms_job_failed_trigger", 1).await;
    let asked = stage.asked().remove(0);
    assert_eq!((asked.line.as_str(), asked.header("authorization")), ("POST /sms", "Basic dTo="));
    let mut fields: Vec<&str> = asked.body.split('&').collect();
    fields.sort_unstable();
    assert!(fields[0].starts_with("Body=Job+CREATE_SERVER+on+web+failed%3A+"), "{fields:?}");
    assert_eq!(fields[1..], ["From=Cloud+%26+Co", "To=%2B44+7700+900123"]);
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trials_end_with_stopped_servers_and_a_disabled_customer() {
    let stage = Stage::open().await;
    let script = stage.load("trials", include_str!("trial_expiry.lua")).await;
    stage.bench.user("ada").await;
    stage.server("web", true).await;
    stage.server("idle", false).await;
    let (other, _) = stage.bench.stranger().await;
    stage.keys_of(other, &[("TRIAL_UNTIL", "soon")]).await;
    stage.customer_keys(&[("TRIAL_UNTIL", "28/02/2015"), ("OTHER", "x")]).await;
    // The last day of the trial still counts.
    let at = |text: &str| Timestamp(sutler_lua::date_ms(text).unwrap());
    let log = stage.run(&script, at("2015-02-28T23:59:59Z")).await;
    assert_eq!(log, "bad date on Stranger: soon\nended: 0 ()\n");
    assert_eq!(stage.customer(stage.bench.customer).await.status, CustomerStatus::Active);
    let log = stage.run(&script, at("2015-03-01T00:00:00Z")).await;
    assert_eq!(log, "bad date on Stranger: soon\nended: 1 (Customer)\n");
    let customer = stage.customer(stage.bench.customer).await;
    assert_eq!(customer.status, CustomerStatus::Suspended);
    assert_eq!(customer.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["OTHER"]);
    let server = stage.bench.server("web").await.unwrap();
    assert_eq!(server.state, sutler_model::ServerState::Stopped);
    let stopped = stage.bench.jobs().await;
    assert_eq!(stopped.iter().filter(|job| job.item_id == server.id.0).count(), 2, "made and stopped");
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_fails_to_sign_in_too_often_is_locked_and_the_directory_is_asked() {
    let stage = Stage::answering(|asked| match asked.line.as_str() {
        "GET /people?mail=ada%40example.org" => (200, r#"{"accountStatus": "active"}"#.into()),
        "GET /people?mail=bob%40example.org" => (200, r#"{"accountStatus": "left"}"#.into()),
        "GET /people?mail=odd%40example.org" => (200, "<html>".into()),
        "GET /people?mail=sick%40example.org" => (503, String::new()),
        _ => (404, String::new()),
    })
    .await;
    stage.load("guard", include_str!("login_guard.lua")).await;
    stage.customer_keys(&[("DIRECTORY_URL", &format!("{}/people", stage.url))]).await;
    let system = &stage.bench.system;
    let request = |user: &User| Cause::Request { request_id: "r".into(), user_id: Some(user.id) };
    let mut users = Vec::new();
    for (name, admitted) in [("ada", true), ("bob", false), ("odd", false), ("sick", true), ("gone", false)] {
        let user = stage.bench.user(name).await;
        let answer = system.before_sign_in(&user, request(&user)).await;
        match answer {
            Ok(()) => assert!(admitted, "{name}"),
            Err(Error::Refused { reason, .. }) => {
                assert!(!admitted && reason == "The account is not active in the directory", "{name}: {reason}");
            }
            Err(other) => panic!("{name}: {other}"),
        }
        users.push(user);
    }
    let locked = async |user: &User| system.store().get::<User>(user.id).await.unwrap().unwrap().locked;
    let bob = &users[1];
    for failures in 1..=2 {
        system.sign_in_failed(bob, request(bob));
        stage.logs("login_failed_trigger", failures).await;
    }
    // A good one in between begins the count anew.
    system.open_session(bob, "hash".into(), 1_000, request(bob)).await.unwrap().expect("signed in");
    stage.logs("login_ok_trigger", 1).await;
    for failures in 3..=5 {
        assert!(!locked(bob).await);
        system.sign_in_failed(bob, request(bob));
        stage.logs("login_failed_trigger", failures).await;
    }
    assert!(locked(bob).await && !locked(&users[0]).await);
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_signed_up_twice_are_marked() {
    let stage = Stage::open().await;
    let script = stage.load("duplicates", include_str!("duplicates.lua")).await;
    let plan = all::<Plan>(&stage.bench.system).await.remove(0);
    let mut made = Vec::new();
    for name in ["Acme Ltd", "Beta GmbH", "ACME  Limited", "acme, inc.", "Gamma"] {
        let new = crate::testing::new_customer(name, &plan);
        made.push(stage.bench.system.create_customer(&stage.bench.caller, new).await.unwrap());
    }
    let log = stage.run(&script, stage.bench.system.store().now()).await;
    assert_eq!(log, "ACME  Limited is Acme Ltd\nacme, inc. is Acme Ltd\n");
    for (number, marked) in [(0, false), (1, false), (2, true), (3, true), (4, false)] {
        let keys = stage.customer(made[number].id).await.keys;
        assert_eq!(keys.iter().any(|key| key.name == "DUPLICATE_OF" && key.value == made[0].id.to_string()), marked);
    }
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_is_watched_to_its_end() {
    let stage = Stage::open().await;
    stage.load("watcher", include_str!("job_watcher.lua")).await;
    stage.server("one", false).await;
    stage.server("two", true).await;
    let job =
        stage.bench.system.delete_customer(&stage.bench.caller, stage.bench.customer, true, None, None, None).await;
    stage.bench.ended(job.unwrap().id).await;
    assert_eq!(stage.logs("watch_trigger", 1).await, ["Customer SUCCESSFUL, servers: 2 SUCCESSFUL\n"]);
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_users_are_welcomed_in_the_name_of_their_seller() {
    let (relay, mut mails) = super::super::mail::relay().await;
    let egress = sutler_lua::Egress { relay: Some(relay.parse().unwrap()), ..sutler_lua::Egress::default() };
    let stage = Stage::with(|_| (204, String::new()), Settings { egress, ..Settings::default() }).await;
    stage.seller_keys(&[("MAIL_FROM", "Cloud <hello@seller.test>"), ("MAIL_SIGNATURE", "Your cloud team")]).await;
    let contact = sutler_model::ContactPatch {
        control_panel_url: Some("https://cp.seller.test".into()),
        ..sutler_model::ContactPatch::default()
    };
    let patch = crate::BillingEntityPatch { contact: Some(contact), ..crate::BillingEntityPatch::default() };
    let seller = stage.bench.caller.billing_entity_id;
    stage.bench.system.update_billing_entity(&stage.bench.caller, seller, None, patch).await.unwrap();
    stage.load("welcome", include_str!("welcome_mail.lua")).await;
    stage.bench.user("ada").await;
    stage.logs("welcome_trigger", 1).await;
    let (to, text) = mails.recv().await.expect("a mail");
    assert_eq!(to, ["ada@example.org"]);
    let text = text.replace("=\n", "").replace("=3D", "=");
    for line in [
        "Subject: Welcome to Provider",
        "Dear ada Lovelace,",
        "welcome to Provider. Your user name is ada@example.org.",
        "https://cp.seller.test/#/login?user=ada@example.org",
        "Your cloud team",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sellers_own_customer_is_who_its_people_are_and_where_it_is_written_to() {
    let (relay, mut mails) = super::super::mail::relay().await;
    let egress = sutler_lua::Egress { relay: Some(relay.parse().unwrap()), ..Default::default() };
    let stage = Stage::with(|_| (204, String::new()), Settings { egress, ..Settings::default() }).await;
    let (bench, system, caller) = (&stage.bench, &stage.bench.system, &stage.bench.caller);
    let plan = all::<Plan>(system).await.remove(0);
    let north =
        crate::NewBillingEntity { name: "North".into(), parent_id: plan.billing_entity_id, currency: plan.currency };
    let north = system.create_billing_entity(caller, north).await.unwrap();
    let patch = BillingEntityPatch { contact: Some(contact().into()), ..BillingEntityPatch::default() };
    system.update_billing_entity(caller, north.id, None, patch).await.unwrap();
    let new = NewUser {
        email: "nina@north.test".into(),
        first_name: "Nina".into(),
        last_name: "North".into(),
        billing_entity_id: north.id,
        customer_id: None,
        role: Role::ResellerAdmin,
        password_hash: "none".into(),
        contact: Default::default(),
    };
    let nina = system.create_user(caller, new).await.unwrap();
    stage.server("web", false).await;
    let script = stage.load("desk", include_str!("seller_desk.lua")).await;
    let run = system.run_script(caller, script.id, Some("desk_report".into()), None).await.unwrap();
    bench
        .until(async || {
            system.store().get::<ScriptRun>(run.id).await.unwrap().is_some_and(|run| run.finished_at.is_some())
        })
        .await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let (to, text) = mails.recv().await.expect("a mail");
        let line =
            |begin: &str| text.lines().find(|line| line.starts_with(begin)).unwrap_or_default().trim().to_owned();
        told.push((to[0].clone(), line("Subject: "), line("Dear ")));
    }
    told.sort();
    let mail =
        |to: &str, subject: &str, dear: &str| (to.to_owned(), format!("Subject: {subject}"), format!("Dear {dear}"));
    assert_eq!(
        told,
        [
            mail("admin@example.org", "Provider: 1 customers", "Provider of , there are 1 servers."),
            mail("nina@north.test", "North: 0 customers", "North of London, there are 0 servers."),
        ]
    );
    // What a script keeps on it is kept on the seller.
    let north: BillingEntity = system.store().get(north.id).await.unwrap().unwrap();
    assert_eq!(north.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["DESK_REPORTED"]);

    let request = Cause::Request { request_id: "r-1".into(), user_id: Some(nina.id) };
    let staff = Caller {
        user_id: Some(nina.id),
        scope: Scope::Entity(north.id),
        role: Role::ResellerAdmin,
        billing_entity_id: north.id,
        cause: request.clone(),
        ..caller.clone()
    };
    system.before_sign_in(&nina, request).await.expect("the first of its people is let in");
    let call = crate::ApiCall {
        operation: "createCustomer",
        method: "POST",
        path: "/api/v1/customers",
        changes: true,
        refusable: true,
    };
    system.begin_call(&staff, call).await.unwrap().expect("somebody wants to know").ended(201);
    let logs = stage.logs("desk_calls", 1).await;
    assert_eq!(logs, ["createCustomer by nina@north.test for North (ADMIN) at North\n"]);
    bench.stop().await;
}
