//! Scripts that measure, charge and take payments.

use super::{super::*, Stage};
use crate::{Interaction, NewPaymentInstance, NewPaymentMethod, Payment, PlanPatch};
use serde_json::json;
use std::collections::BTreeMap;
use sutler_model::{
    Invoice, Nanos, PaymentInstance, PlanCharge, RedirectMethod, Timestamp, Transaction, TransactionState as State,
};

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_is_measured_outside_and_charged_by_tiers_bundles_and_days() {
    // 30 GB out.
    let figures = json!({"out": 32_212_254_720_u64, "in": 1_048_576}).to_string();
    let settings = Settings { measure_every_ms: 1_000, ..Settings::default() };
    let stage = Stage::with(move |_| (200, figures.clone()), settings).await;
    let bench = &stage.bench;
    stage.seller_keys(&[("COLLECTOR_URL", &stage.url)]).await;
    let script = stage.load("prices", include_str!("price_lists.lua")).await;
    let plan = all::<Plan>(&bench.system).await.remove(0);
    let charge = |component: &str, resource_type: &str, function: &str, values: &[(&str, &str)]| PlanCharge {
        component: component.into(),
        resource_type: resource_type.into(),
        script_id: Some(script.id),
        function: Some(function.into()),
        values: texts(values),
    };
    let charges = vec![
        charge("TRAFFIC_METER", "SERVER", "tiered_billing", &[("tiers", "10=0.2 25=0.1 *=0.05")]),
        charge("BUNDLE_SIZE", "SERVER", "bundle_billing", &[("included", "512"), ("price", "3")]),
        charge("SUPPORT_LEVEL", "CUSTOMER", "monthly_fee", &[("fee", "0")]),
    ];
    let patch = PlanPatch { charges: Some(charges), unit_price: Some("2".parse().unwrap()), ..PlanPatch::default() };
    bench.system.update_plan(&bench.caller, plan.id, None, patch).await.unwrap();
    let server = stage.server("web", false).await;
    let measured =
        async || bench.system.measurements(server.id.0, Timestamp(0), Timestamp(i64::MAX), 10).await.unwrap().items;
    bench.until(async || !measured().await.is_empty()).await;
    let found = &measured().await[0].values;
    assert_eq!(
        (found["traffic_out"].value, found["traffic_in"].value),
        (Nanos(30_720 * 1_000_000_000), Nanos(1_000_000_000))
    );
    let preview = bench.system.preview_invoice(&bench.caller, bench.customer, None, None).await.unwrap();
    let mut told: Vec<_> = preview
        .charges
        .iter()
        .map(|c| (c.description.as_str(), c.units.map(|u| u.to_string()), c.amount.to_string()))
        .collect();
    told.sort();
    let units = |text: &str| Some(text.to_owned());
    // 10 × 0.2, 15 × 0.1 and 5 × 0.05 units of 2 EUR; half a GB beyond the bundle at 3 units a GB.
    assert_eq!(
        told,
        [
            ("10 GB at 0.2", units("2"), "4".to_owned()),
            ("15 GB at 0.1", units("1.5"), "3".to_owned()),
            ("5 GB at 0.05", units("0.25"), "0.5".to_owned()),
            ("512 MB beyond the bundle of 512", units("1.5"), "3".to_owned()),
            ("No charge", units("0"), "0".to_owned()),
        ]
    );
    bench.stop().await;
}

/// A way to pay by a script, set up with values.
struct Desk {
    stage: Stage,
    instance: PaymentInstance,
}

impl Desk {
    async fn settled(stage: &Stage, holds: impl Fn(&Transaction) -> bool) -> Transaction {
        let mut last = None;
        stage
            .bench
            .until(async || {
                last = all::<Transaction>(&stage.bench.system).await.into_iter().rfind(|t| holds(t));
                last.as_ref().is_some_and(|t| t.state == State::AwaitingInput || t.unclear || t.state.is_final())
            })
            .await;
        last.expect("a transaction")
    }

    async fn open(stage: Stage, source: &str, method: &[(&str, &str)], instance: &[(&str, &str)]) -> Self {
        let script = stage.load("pay", source).await;
        let (system, caller) = (stage.bench.system.clone(), stage.bench.caller.clone());
        let new = NewPaymentMethod {
            id: None,
            name: "Pay".into(),
            billing_entity_id: caller.billing_entity_id,
            script_id: script.id,
            provider: None,
            values: texts(method),
        };
        let method = system.create_payment_method(&caller, new).await.expect("the method");
        let set_up = Self::settled(&stage, |t| t.payment_method_id == method.id).await;
        assert_eq!(set_up.state, State::Success, "{set_up:?}");
        let new = NewPaymentInstance {
            id: None,
            name: "Mine".into(),
            customer_id: stage.bench.customer,
            payment_method_id: method.id,
            values: texts(instance),
            is_default: true,
            interaction: how(),
        };
        let (instance, _) = system.create_payment_instance(&caller, new).await.expect("the instance");
        // It is paid with once it is taken; one that asks its customer waits.
        Self::settled(&stage, |t| t.payment_instance_id == Some(instance.id)).await;
        Self { stage, instance }
    }

    async fn last(&self, id: sutler_model::TransactionId) -> Transaction {
        Self::settled(&self.stage, |t| t.id == id).await
    }

    async fn invoice(&self, number: u64, total: &str) -> Invoice {
        self.stage.bench.invoice(self.stage.bench.customer, number, total, Timestamp(1)).await;
        let all = all::<Invoice>(&self.stage.bench.system).await;
        all.into_iter().find(|invoice| invoice.number == Some(number)).expect("the invoice")
    }

    async fn pay(&self, number: u64, total: &str) -> Transaction {
        let invoice = self.invoice(number, total).await;
        let payment = Payment { interaction: how(), ..Payment::default() };
        let (system, caller) = (&self.stage.bench.system, &self.stage.bench.caller);
        let asked = system.pay_invoice(caller, invoice.id, payment).await.expect("accepted");
        self.last(asked.id).await
    }
}

fn how() -> Interaction {
    Interaction { allowed: true, return_url: Some("https://shop.example/back".into()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_approves_payments_on_the_services_pages_and_is_charged_later() {
    let stage = Stage::answering(|asked| match asked.line.as_str() {
        "POST /token" if asked.header("authorization") == "Basic Y2xvdWQ6czNjcmV0" => (200, r#"{"token": "t"}"#.into()),
        "POST /agreements" => (201, r#"{"id": "A-1", "approve": "https://paylater.example/approve?a=1"}"#.into()),
        "POST /charges" if asked.body.contains("\"13.37\"") => {
            (402, r#"{"code": "NSF", "message": "not enough money"}"#.into())
        }
        "POST /charges" => (201, r#"{"id": "C-1"}"#.into()),
        "POST /charges/C-1/refunds" => (201, r#"{"id": "R-1"}"#.into()),
        _ => (401, "{}".into()),
    })
    .await;
    let endpoint = stage.url.clone();
    let method = [("ENDPOINT", endpoint.as_str()), ("CLIENT", "cloud"), ("SECRET", "s3cret")];
    let desk = Desk::open(stage, include_str!("redirect_payments.lua"), &method, &[("EMAIL", "ada@example.org")]).await;
    let (system, caller) = (&desk.stage.bench.system, &desk.stage.bench.caller);
    let agreed = Desk::settled(&desk.stage, |t| t.payment_instance_id == Some(desk.instance.id)).await;
    assert_eq!(agreed.state, State::AwaitingInput, "{agreed:?}");
    assert_eq!(agreed.told.redirect_url.as_deref(), Some("https://paylater.example/approve?a=1"));
    assert_eq!(agreed.told.redirect_method, Some(RedirectMethod::Get));
    let back = texts(&[("approved", "1"), ("agreement", "AGR-9")]);
    system.resume_transaction(caller, agreed.id, back).await.expect("resumed");
    desk.stage
        .bench
        .until(async || {
            system.store().get::<Transaction>(agreed.id).await.unwrap().is_some_and(|t| t.state == State::Success)
        })
        .await;
    let kept: PaymentInstance = system.store().get(desk.instance.id).await.unwrap().unwrap();
    assert_eq!(kept.values["AGREEMENT"], "AGR-9");

    let paid = desk.pay(7, "10.50").await;
    assert_eq!((paid.state, paid.told.provider_reference.as_deref()), (State::Success, Some("C-1")), "{paid:?}");
    let charge = desk.stage.asked().pop().unwrap();
    assert_eq!(
        charge.json(),
        json!({"agreement": "AGR-9", "amount": "10.50", "currency": "EUR", "reference": "Invoice 7, 10.5 EUR"})
    );
    let refused = desk.pay(8, "13.37").await;
    assert_eq!(refused.state, State::Failure);
    assert_eq!(
        (refused.told.error_code.as_deref(), refused.told.error_reason.as_deref()),
        (Some("NSF"), Some("not enough money"))
    );
    let refund = system.refund(caller, paid.id, Some("0.25".parse().unwrap()), None).await.expect("accepted");
    assert_eq!(desk.last(refund.id).await.state, State::Success);
    assert_eq!(desk.stage.asked().pop().unwrap().json(), json!({"amount": "0.25"}));
    desk.stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_is_charged_over_the_acquirers_form() {
    let method = [("merchant", "m-1"), ("url", "https://acquirer.example/form")];
    let desk = Desk::open(Stage::open().await, include_str!("form_payments.lua"), &method, &[]).await;
    let (system, caller) = (&desk.stage.bench.system, &desk.stage.bench.caller);
    let waits = desk.pay(1, "1234.5").await;
    assert_eq!(
        (waits.state, waits.told.redirect_method),
        (State::AwaitingInput, Some(RedirectMethod::Post)),
        "{waits:?}"
    );
    let fields = &waits.told.redirect_data;
    assert_eq!((fields["amount"].as_str(), fields["currency"].as_str()), ("123450", "EUR"));
    assert_eq!(fields["return"], "https://shop.example/back");
    let back = texts(&[("result", "OK"), ("order", &waits.id.to_string()), ("auth", "4711")]);
    system.resume_transaction(caller, waits.id, back).await.expect("resumed");
    let over = async |id| {
        system.store().get::<Transaction>(id).await.unwrap().is_some_and(|t: Transaction| t.state.is_final())
    };
    desk.stage.bench.until(async || over(waits.id).await).await;
    let paid = desk.last(waits.id).await;
    assert_eq!((paid.state, paid.told.provider_reference.as_deref()), (State::Success, Some("4711")));
    let refund = system.refund(caller, paid.id, None, None).await.expect("accepted");
    assert_eq!(desk.last(refund.id).await.told.provider_reference.as_deref(), Some("R-4711"));
    let waits = desk.pay(2, "1").await;
    system.resume_transaction(caller, waits.id, texts(&[("result", "05")])).await.expect("resumed");
    desk.stage.bench.until(async || over(waits.id).await).await;
    let refused = desk.last(waits.id).await;
    assert_eq!(refused.told.error_reason.as_deref(), Some("The card was refused (05)"));
    desk.stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoices_are_handed_to_the_bookkeeping_as_xml() {
    let stage =
        Stage::answering(|_| (200, "<?xml version=\"1.0\"?><Receipt><Voucher>V-77</Voucher></Receipt>".into())).await;
    stage.seller_keys(&[("BOOKKEEPING_URL", &format!("{}/book", stage.url))]).await;
    stage.load("xml", include_str!("invoice_xml.lua")).await;
    let at = Timestamp(sutler_lua::date_ms("2015-04-30T22:00:00Z").unwrap());
    stage.bench.invoice(stage.bench.customer, 12, "1234.565", at).await;
    let log = stage.logs("invoice_xml_trigger", 1).await.remove(0);
    assert_eq!(log, "items add up to 0 rather than 1234.565\nbooked as V-77\n");
    let asked = stage.asked().remove(0);
    assert_eq!((asked.line.as_str(), asked.header("x-invoice")), ("POST /book", "12"));
    for part in [
        "<Invoice number=\"12\">",
        "<Date>2015-04-30</Date>",
        "<Customer>Customer</Customer>",
        "<Net>1234.57</Net>",
        "<Currency>EUR</Currency>",
    ] {
        assert!(asked.body.contains(part), "{part}: {}", asked.body);
    }
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_falls_below_their_warning_level_is_told_when_it_happens() {
    let stage = Stage::answering(|_| (200, String::new())).await;
    let bench = &stage.bench;
    let source = include_str!("balance_sms.lua").replace("https://sms.example.net", &stage.url);
    stage.load("balance", &source).await;
    let ada = bench.user("ada").await;
    let contact = sutler_model::Contact { mobile_number: "+44 1".into(), ..Default::default() };
    let patch = crate::UserPatch { contact: Some(contact.into()), ..crate::UserPatch::default() };
    bench.system.update_user(&bench.caller, ada.id, None, patch).await.unwrap();
    let level = crate::CustomerPatch { warning_level: Some(Some("-0.25".parse().unwrap())), ..Default::default() };
    bench.system.update_customer(&bench.caller, bench.customer, None, level).await.unwrap();
    let at = |text: &str| Timestamp(sutler_lua::date_ms(text).unwrap());
    // The first leaves enough, the second is below, the third was below before.
    for (number, total, day) in [(1, "0.1", "2015-02-01"), (2, "0.2", "2015-02-02"), (3, "0.5", "2015-02-03")] {
        stage.bench.invoice(bench.customer, number, total, at(day)).await;
        bench
            .until(async || {
                let runs = bench.runs().await;
                runs.iter().filter(|r| r.function == "balance_sms" && r.finished_at.is_some()).count() as u64 == number
            })
            .await;
    }
    let logs = stage.logs("balance_sms", 1).await;
    assert_eq!(logs, ["1 sent on 2015-02-02 for NONCARRYOVER -0.2\n"]);
    let told: Vec<String> = stage.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(told, ["to=+44 1&text=Balance of Customer is -0.3"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_come_with_a_file_of_all_invoices() {
    let (relay, mut mails) = super::super::mail::relay().await;
    let egress = sutler_lua::Egress { relay: Some(relay.parse().unwrap()), ..Default::default() };
    let stage = Stage::with(|_| (204, String::new()), Settings { egress, ..Settings::default() }).await;
    let script = stage.load("statements", include_str!("statements.lua")).await;
    stage.bench.user("ada").await;
    let at = |text: &str| Timestamp(sutler_lua::date_ms(text).unwrap());
    stage.bench.invoice(stage.bench.customer, 7, "100.5", at("2015-02-03")).await;
    stage.bench.invoice(stage.bench.customer, 6, "50", at("2015-01-03")).await;
    stage.run(&script, at("2015-03-01")).await;
    let (to, text) = mails.recv().await.expect("a mail");
    assert_eq!(to, ["ada@example.org"]);
    let text = text.replace('\r', "");
    assert!(text.contains("You owe 150.50"), "{text}");
    for words in [
        "Content-Disposition: attachment; filename=\"statement.csv\"",
        "Content-Type: text/csv; charset=utf-8",
        "number;date;total;status\n6;2015-01-03;50.00;UNPAID\n7;2015-02-03;100.50;UNPAID\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    stage.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_debit_is_under_way_until_the_banks_list_says_more() {
    let stage = Stage::open().await;
    let (method, instance) = ([("creditor", "DE98ZZZ")], [("iban", "DE89370400440532013000")]);
    let desk = Desk::open(stage, include_str!("direct_debit.lua"), &method, &instance).await;
    let stage = &desk.stage;
    stage.load("accounts", include_str!("sub_accounts.lua")).await;
    let script = all::<Script>(&stage.bench.system).await.into_iter().find(|script| script.name == "pay").unwrap();
    let (first, second) = (desk.pay(1, "10").await, desk.pay(2, "20").await);
    // Nothing is paid by being under way.
    for under_way in [&first, &second] {
        assert_eq!((under_way.state, under_way.outcome, under_way.word()), (State::AwaitingInput, None, "INPROGRESS"));
    }
    let listed = async |keys: &[(&str, &str)]| {
        stage.seller_keys(keys).await;
        let run = stage.bench.system.run_script(&stage.bench.caller, script.id, None, None).await.unwrap();
        let mut log = String::new();
        stage
            .bench
            .until(async || {
                let run: ScriptRun = stage.bench.system.store().get(run.id).await.unwrap().unwrap();
                log.clone_from(&run.log);
                run.finished_at.is_some()
            })
            .await;
        let mut lines: Vec<String> = log.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(listed(&[]).await, ["DD-1 10 WAITING INPROGRESS", "DD-2 20 WAITING INPROGRESS"]);
    let told = listed(&[("DD-1", "paid"), ("DD-2", "returned")]).await;
    assert_eq!(told, ["DD-1 10 SUCCESSFUL SUCCESS", "DD-2 20 FAILED FAILURE"]);
    assert!(listed(&[]).await.is_empty());
    assert_eq!((desk.last(first.id).await.state, desk.last(second.id).await.state), (State::Success, State::Failure));
    // A payment is a job in the language, and a failed one comes to who watches those.
    let log = stage.logs("storage_desk", 1).await;
    assert_eq!(log, ["MAKE_PAYMENT\tFAILED\tINVOICE 2\tMD06\treturned by the bank\tCustomer\n"]);
    stage.bench.stop().await;
}
