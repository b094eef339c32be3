//! Payment providers: what they are asked, what becomes of their answers, and that nothing is paid twice.

use super::*;
use crate::{Interaction, NewPaymentInstance, NewPaymentMethod, Payment, PaymentInstancePatch, PaymentMethodPatch};
use std::collections::BTreeMap;
use sutler_lua::Egress;
use sutler_model::{
    BillingEntityId, Invoice, InvoiceId, Nanos, PaymentFunction, PaymentInstance, PaymentMethod, PaymentSetup,
    Timestamp, Transaction, TransactionState as State,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A provider with all of its functions; `pay` is the body of the one that takes payments.
fn provider(pay: &str) -> String {
    format!(
        r#"
        function register() return {{ "provider" }} end
        function provider(p)
            return {{
                ref = "cards", name = "Cards", description = "Takes cards", api = "PAYMENT_PROVIDER", version = 1,
                pmConfigurableList = {{
                    {{ key = "account", required = true }},
                    {{ key = "secret", required = true, validator = {{ validatorType = "PASSWORD" }} }},
                }},
                pmiConfigurableList = {{
                    {{ key = "card", required = true, validator = {{ validatorType = "PASSWORD" }} }},
                    {{ key = "holder" }},
                    {{ key = "customer", readOnly = true }},
                }},
                paymentFunctions = {{
                    REGISTER_PAYMENT_METHOD = "take_method", UPDATE_PAYMENT_METHOD = "take_method",
                    REGISTER_PAYMENT_INSTANCE = "take_card", REMOVE_PAYMENT_INSTANCE = "forget_card",
                    MAKE_PAYMENT = "pay", REFUND_TRANSACTION = "refund", REFUND_PAYMENT = "refund_part",
                    CANCEL_TRANSACTION = "cancel", SELF_TEST = "probe", UNDEF = "other",
                }},
            }}
        end
        function take_method(p)
            if p.methodValues.account == "bad" then
                return {{ returnCode = "FAILED", errorCode = "401", errorString = "no such account" }}
            end
            print(p.paymentFunction .. " " .. p.paymentMethod:getResourceName() .. " " .. p.methodValues.secret)
        end
        function take_card(p)
            if p.instanceValues.card == "expired" then return {{ returnCode = "FAILED", errorString = "expired" }} end
            return {{ returnCode = "SUCCESSFUL", values = {{ customer = "cus_1", unknown = "x" }} }}
        end
        function forget_card(p)
            if p.instanceValues.holder == "stuck" then return {{ state = "FAILURE", errorReason = "in use" }} end
        end
        function pay(p) {pay} end
        function refund(p)
            print("all " .. p.amount .. " of " .. p.linkedTransaction:getProviderReference())
            if p.amount == "0.66" then return {{ state = "FAILURE" }} end
        end
        function refund_part(p) print("part " .. p.amountMinor .. " " .. p.currency) end
        function cancel(p) p.transaction:setProviderReference("gone-" .. p.linkedTransaction:getResourceUUID()) end
        function probe(p) return {{ returnCode = "SUCCESSFUL" }} end
        function other(p) end
        "#
    )
}

pub(super) const PAID: &str = r#"
    p.transaction:setProviderReference("pay-" .. p.amount .. "-" .. p.invoice:getInvoiceNo())
    assert(p.resource == p.transaction and not p.resumed)
    print(p.instanceValues.customer, p.amountMinor, p.currency, p.idempotencyKey)
"#;

pub(super) struct Till {
    pub(super) bench: Bench,
    seller: BillingEntityId,
    pub(super) method: PaymentMethod,
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Till {
    pub(super) async fn open(pay: &str) -> Self {
        Self::with(Bench::start().await, pay).await
    }

    pub(super) async fn with(bench: Bench, pay: &str) -> Self {
        let script = bench.script("cards", Scope::Provider, provider(pay)).await;
        let seller = bench.caller.billing_entity_id;
        let new = NewPaymentMethod {
            id: None,
            name: "Cards".into(),
            billing_entity_id: seller,
            script_id: script.id,
            provider: None,
            values: values(&[("account", "acc"), ("secret", "very-secret-word")]),
        };
        let method = bench.system.create_payment_method(&bench.caller, new).await.expect("the method");
        assert_eq!(method.state, PaymentSetup::Registering);
        let till = Self { bench, seller, method };
        till.settled(till.method.id.0).await;
        till
    }

    /// The last transaction about a record, once it has come to rest.
    pub(super) async fn settled(&self, about: uuid::Uuid) -> Transaction {
        let mut last = None;
        self.bench
            .until(async || {
                let all = all::<Transaction>(&self.bench.system).await;
                last = all.into_iter().rfind(|t| {
                    t.id.0 == about
                        || t.payment_method_id.0 == about
                        || t.payment_instance_id.is_some_and(|id| id.0 == about)
                });
                last.as_ref().is_some_and(|t| t.state == State::AwaitingInput || t.unclear || t.state.is_final())
            })
            .await;
        last.expect("a transaction")
    }

    pub(super) async fn card(&self, name: &str, filled: &[(&str, &str)]) -> (PaymentInstance, Transaction) {
        let new = NewPaymentInstance {
            id: None,
            name: name.into(),
            customer_id: self.bench.customer,
            payment_method_id: self.method.id,
            values: values(filled),
            is_default: false,
            interaction: Interaction::default(),
        };
        let (instance, asked) =
            self.bench.system.create_payment_instance(&self.bench.caller, new).await.expect("the card");
        let ended = self.settled(asked.id.0).await;
        (self.bench.system.store().get(instance.id).await.unwrap().unwrap(), ended)
    }

    /// An invoice of an amount, as if a period had been closed.
    pub(super) async fn invoice(&self, number: u64, total: &str) -> InvoiceId {
        self.bench.invoice(self.bench.customer, number, total, Timestamp(1)).await
    }

    pub(super) async fn pay(&self, invoice: InvoiceId) -> Result<Transaction, Error> {
        self.bench.system.pay_invoice(&self.bench.caller, invoice, Payment::default()).await
    }

    pub(super) async fn paid(&self, invoice: InvoiceId) -> Transaction {
        let asked = self.pay(invoice).await.expect("accepted");
        self.settled(asked.id.0).await
    }

    /// What scripts see of an invoice.
    async fn seen(&self, invoice: InvoiceId) -> (String, bool) {
        let read = self.bench.system.store().read(move |snapshot| {
            let invoice = snapshot.get::<Invoice>(invoice)?.expect("the invoice");
            super::super::beans::Beans::new(snapshot, Scope::Provider, 0).bean(invoice)
        });
        let bean = read.await.unwrap();
        (bean.text("status").unwrap(), bean.properties.get("paidDate").is_some())
    }

    async fn run_of(&self, transaction: &Transaction) -> ScriptRun {
        let id = *transaction.run_ids.last().expect("a run");
        self.bench.system.store().get::<ScriptRun>(id).await.unwrap().expect("the run is recorded")
    }
}

pub(super) const CARD: &[(&str, &str)] = &[("card", "4242424242424242"), ("holder", "Ada")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_is_paid_once_and_what_is_secret_stays_so() {
    let till = Till::open(PAID).await;
    let (card, registered) = till.card("Visa", CARD).await;
    assert_eq!((registered.state, registered.function), (State::Success, PaymentFunction::RegisterPaymentInstance));
    assert_eq!((card.state, card.is_default), (PaymentSetup::Ready, true), "the first that works is used");
    assert_eq!(card.values["customer"], "cus_1", "the provider keeps its own name for it");
    assert!(!card.values.contains_key("unknown"), "only what the form has");
    assert_eq!(card.shown, values(&[("holder", "Ada"), ("customer", "cus_1")]));
    let invoice = till.invoice(7, "12.30").await;
    assert_eq!(till.seen(invoice).await, ("UNPAID".into(), false));
    let paid = till.paid(invoice).await;
    assert_eq!((paid.state, paid.outcome), (State::Success, Some(State::Success)), "{paid:?}");
    assert_eq!((paid.amount, paid.payment_instance_id), ("12.30".parse().unwrap(), Some(card.id)));
    assert_eq!(paid.told.provider_reference.as_deref(), Some("pay-12.30-7"));
    assert_eq!(till.seen(invoice).await, ("PAID".into(), true));
    let run = till.run_of(&paid).await;
    assert_eq!(
        (run.option.as_str(), run.log.trim()),
        ("MAKE_PAYMENT", format!("cus_1\t1230\tEUR\t{}-0", paid.id).as_str())
    );
    let again = till.pay(invoice).await;
    assert!(matches!(&again, Err(Error::State { detail, .. }) if detail.contains(&paid.id.to_string())), "{again:?}");
    let secret =
        all::<ScriptRun>(&till.bench.system).await.into_iter().find(|run| run.option == "REGISTER_PAYMENT_METHOD");
    assert_eq!(secret.expect("the run").log.trim(), "REGISTER_PAYMENT_METHOD Cards ***");
    let nothing = till.invoice(8, "0").await;
    assert!(matches!(till.pay(nothing).await, Err(Error::State { .. })));
    assert_eq!(till.seen(nothing).await, ("PAID".into(), false));
    let other = till.invoice(9, "1").await;
    let known = Payment { id: Some(paid.id), ..Payment::default() };
    let same = till.bench.system.pay_invoice(&till.bench.caller, other, known).await.expect("the same");
    assert_eq!(same.id, paid.id, "a repeated request gets what it got");
    till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_pay_an_invoice_at_once_one_does() {
    let till = Till::open("print('once')").await;
    till.card("Visa", CARD).await;
    let invoice = till.invoice(1, "5").await;
    let tries = (0..8).map(|_| till.pay(invoice));
    let answers = futures_util::future::join_all(tries).await;
    let taken: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(taken.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(Error::State { .. }))), "{answers:?}");
    assert_eq!(till.settled(taken[0].id.0).await.state, State::Success);
    let runs = all::<ScriptRun>(&till.bench.system).await;
    assert_eq!(runs.iter().filter(|run| run.option == "MAKE_PAYMENT").count(), 1);
    till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_payment_leaves_the_invoice_to_be_paid() {
    let refuse = "if p.invoice:getInvoiceNo() == 1 then return { returnCode = 'FAILED', errorCode = 51, errorString = 'no funds' } end";
    let till = Till::open(refuse).await;
    till.card("Visa", CARD).await;
    let invoice = till.invoice(1, "5").await;
    let refused = till.paid(invoice).await;
    assert_eq!((refused.state, refused.outcome), (State::Failure, Some(State::Failure)));
    assert_eq!(
        (refused.told.error_code.as_deref(), refused.told.error_reason.as_deref()),
        (Some("51"), Some("no funds"))
    );
    assert_eq!(till.seen(invoice).await.0, "UNPAID");
    assert_ne!(till.paid(invoice).await.id, refused.id, "another try is another transaction");
    till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paid_is_given_back_and_never_more() {
    let till = Till::open(PAID).await;
    till.card("Visa", CARD).await;
    let invoice = till.invoice(3, "1.00").await;
    let paid = till.paid(invoice).await;
    let (system, caller) = (&till.bench.system, &till.bench.caller);
    let refund = async |sum: Option<&str>| system.refund(caller, paid.id, sum.map(|s| s.parse().unwrap()), None).await;
    for wrong in ["1.01", "0", "-1", "0.001"] {
        let answer = refund(Some(wrong)).await;
        assert!(
            matches!(&answer, Err(Error::Invalid(problems)) if problems[0].field == "amount"),
            "{wrong} {answer:?}"
        );
    }
    let part = till.settled(refund(Some("0.34")).await.expect("accepted").id.0).await;
    assert_eq!(
        (part.state, part.function, part.linked_id),
        (State::Success, PaymentFunction::RefundPayment, Some(paid.id))
    );
    assert_eq!(till.run_of(&part).await.log.trim(), "part 34 EUR");
    assert_eq!(till.seen(invoice).await.0, "PAID", "part of it is still there");
    // The provider refuses this one, so what was set aside for it can be given back otherwise.
    let failed = till.settled(refund(None).await.expect("accepted").id.0).await;
    assert_eq!((failed.state, till.run_of(&failed).await.log.trim()), (State::Failure, "all 0.66 of pay-1.00-3"));
    let both = tokio::join!(refund(Some("0.40")), refund(Some("0.40")));
    let taken: Vec<_> = [&both.0, &both.1].into_iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(taken.len(), 1, "{both:?}");
    till.settled(taken[0].id.0).await;
    let rest = till.settled(refund(None).await.expect("accepted").id.0).await;
    assert_eq!((rest.amount, rest.state), ("0.26".parse::<Nanos>().unwrap(), State::Success));
    assert!(matches!(refund(None).await, Err(Error::State { .. })), "all of it is back");
    let now: Transaction = system.store().get(paid.id).await.unwrap().unwrap();
    assert_eq!((now.refunded, now.refundable()), (paid.amount, Nanos::ZERO));
    assert_eq!(till.seen(invoice).await, ("UNPAID".into(), false));
    assert_eq!(till.paid(invoice).await.state, State::Success, "and it can be paid again");
    till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_asks_its_customer_goes_on_when_the_customer_is_back() {
    let pay = r#"
        if p.resumed then
            if p.parameters.code ~= "1234" then return { returnCode = "FAILED", errorString = "wrong code" } end
            return { returnCode = "SUCCESSFUL" }
        end
        p.transaction:setState(new("TransactionState", "AWAITINGINTERACTIVEINPUT"))
        p.transaction:setInteractiveURL("https://bank.example/3ds")
        p.transaction:setRedirectMethod(new("RedirectMethod", "POST"))
        p.transaction:getRedirectData():put("back", p.returnURL or "nowhere")
        p.transaction:setProviderReference(p.idempotencyKey)
    "#;
    let till = Till::open(pay).await;
    till.card("Visa", CARD).await;
    let (system, caller) = (&till.bench.system, &till.bench.caller);
    let invoice = till.invoice(1, "5").await;
    let alone = till.paid(invoice).await;
    assert_eq!(alone.state, State::Failure, "nobody is there to be asked");
    let how = || Payment {
        interaction: Interaction { allowed: true, return_url: Some("https://shop.example/back".into()) },
        ..Payment::default()
    };
    let waits = till.settled(system.pay_invoice(caller, invoice, how()).await.expect("accepted").id.0).await;
    assert_eq!(waits.state, State::AwaitingInput);
    assert_eq!(waits.told.interactive_url.as_deref(), Some("https://bank.example/3ds"));
    assert_eq!(waits.told.redirect_data["back"], "https://shop.example/back");
    assert!(matches!(till.pay(invoice).await, Err(Error::State { .. })), "it is being paid");
    let resumed = system.resume_transaction(caller, waits.id, values(&[("code", "1234")])).await.expect("resumed");
    assert!(!resumed.parameters.is_empty());
    till.bench.until(async || till.seen(invoice).await.0 == "PAID").await;
    let done = till.settled(waits.id.0).await;
    assert!(done.parameters.is_empty(), "what is over needs no secrets");
    assert_eq!(done.run_ids.len(), 2);
    // Another is given up.
    let invoice = till.invoice(2, "5").await;
    let waits = till.settled(system.pay_invoice(caller, invoice, how()).await.expect("accepted").id.0).await;
    let cancel = till.settled(system.cancel_transaction(caller, waits.id, None).await.expect("accepted").id.0).await;
    assert_eq!((cancel.state, cancel.function), (State::Success, PaymentFunction::CancelTransaction));
    assert_eq!(cancel.told.provider_reference, Some(format!("gone-{}", waits.id)));
    let gone: Transaction = system.store().get(waits.id).await.unwrap().unwrap();
    assert_eq!((gone.state, gone.outcome), (State::Cancelled, Some(State::Cancelled)));
    assert!(matches!(system.resume_transaction(caller, waits.id, BTreeMap::new()).await, Err(Error::State { .. })));
    till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_and_cards_are_registered_changed_tested_and_removed() {
    let till = Till::open(PAID).await;
    let (system, caller) = (&till.bench.system, &till.bench.caller);
    let read = async || system.store().get::<PaymentMethod>(till.method.id).await.unwrap().unwrap();
    assert_eq!(read().await.shown, values(&[("account", "acc")]), "secrets are not shown");
    let probe = system.test_payment_method(caller, till.method.id, None).await.expect("accepted");
    assert_eq!(till.settled(probe.id.0).await.state, State::Success);
    let patch = |account: &str| PaymentMethodPatch { values: Some(values(&[("account", account)])), name: None };
    system.update_payment_method(caller, till.method.id, None, patch("bad")).await.expect("accepted");
    let refused = till.settled(till.method.id.0).await;
    assert_eq!((refused.state, refused.told.error_code.as_deref()), (State::Failure, Some("401")));
    assert_eq!(read().await.values["account"], "acc", "a refused change changes nothing");
    system.update_payment_method(caller, till.method.id, None, patch("new")).await.expect("accepted");
    assert_eq!(till.settled(till.method.id.0).await.state, State::Success);
    let method = read().await;
    assert_eq!((method.values["account"].as_str(), method.values["secret"].as_str()), ("new", "very-secret-word"));
    let (expired, _) = till.card("Old", &[("card", "expired")]).await;
    assert_eq!((expired.state, expired.reason.as_deref()), (PaymentSetup::Failed, Some("expired")));
    assert!(system.remove_payment_instance(caller, expired.id, None, None).await.expect("gone").is_none());
    let (first, _) = till.card("Visa", CARD).await;
    let (second, _) = till.card("Master", &[("card", "5555"), ("holder", "stuck")]).await;
    assert!(first.is_default && !second.is_default);
    let patch = PaymentInstancePatch { name: Some("New".into()), is_default: Some(true) };
    system.update_payment_instance(caller, second.id, None, patch).await.expect("changed");
    let defaults: Vec<_> =
        all::<PaymentInstance>(system).await.into_iter().filter(|i| i.is_default).map(|i| i.name).collect();
    assert_eq!(defaults, ["New"]);
    let busy = system.delete_payment_method(caller, till.method.id, None).await;
    assert!(matches!(busy, Err(Error::State { .. })), "{busy:?}");
    let removal = system.remove_payment_instance(caller, first.id, None, None).await.expect("accepted").expect("asked");
    assert_eq!(till.settled(removal.id.0).await.state, State::Success);
    assert!(system.store().get::<PaymentInstance>(first.id).await.unwrap().is_none());
    let removal =
        system.remove_payment_instance(caller, second.id, None, None).await.expect("accepted").expect("asked");
    assert_eq!(till.settled(removal.id.0).await.state, State::Failure);
    let kept: PaymentInstance = system.store().get(second.id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.reason.as_deref()), (PaymentSetup::Ready, Some("in use")));
    till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reaches_another_customers_cards_and_money() {
    let till = Till::open(PAID).await;
    let (card, _) = till.card("Visa", CARD).await;
    let invoice = till.invoice(1, "5").await;
    let paid = till.paid(invoice).await;
    let (theirs, stranger) = till.bench.stranger().await;
    let system = &till.bench.system;
    let missing = |error: &Error| matches!(error, Error::NotFound { .. });
    assert!(missing(&system.pay_invoice(&stranger, invoice, Payment::default()).await.unwrap_err()));
    assert!(missing(&system.remove_payment_instance(&stranger, card.id, None, None).await.unwrap_err()));
    assert!(missing(&system.remove_payment_instance(&stranger, card.id, None, Some(paid.id)).await.unwrap_err()));
    assert!(missing(&system.cancel_transaction(&stranger, paid.id, None).await.unwrap_err()));
    assert!(missing(&system.resume_transaction(&stranger, paid.id, BTreeMap::new()).await.unwrap_err()));
    assert!(matches!(system.refund(&stranger, paid.id, None, None).await, Err(Error::Forbidden(_))));
    assert!(matches!(system.test_payment_method(&stranger, till.method.id, None).await, Err(Error::Forbidden(_))));
    // Not even a seller pays one customer's invoice with another's card.
    let new = NewPaymentInstance {
        id: None,
        name: "Theirs".into(),
        customer_id: theirs,
        payment_method_id: till.method.id,
        values: values(CARD),
        is_default: true,
        interaction: Interaction::default(),
    };
    let (foreign, asked) = system.create_payment_instance(&stranger, new).await.expect("their own");
    till.settled(asked.id.0).await;
    let other = till.invoice(2, "5").await;
    let how = Payment { payment_instance_id: Some(foreign.id), ..Payment::default() };
    let refused = system.pay_invoice(&till.bench.caller, other, how).await;
    assert!(matches!(&refused, Err(Error::Invalid(p)) if p[0].field == "payment_instance_id"), "{refused:?}");
    till.bench.stop().await;
}

/// A payment that is asked for over HTTP, under the key that providers are given.
fn over_http(url: &str) -> String {
    format!(
        r#"
        local answer = http.post("{url}", {{ headers = {{ ["Idempotency-Key"] = p.idempotencyKey }}, body = p.amount }})
        if answer.status == 402 then return {{ returnCode = "FAILED", errorCode = answer.status, errorString = answer.body }} end
        if not answer.ok then error("the provider answered " .. answer.status) end
        p.transaction:setProviderReference(answer.body)
        "#
    )
}

/// Reads a request and tells its key.
async fn heard(peer: &mut mpsc::UnboundedReceiver<(String, TcpStream)>) -> (String, TcpStream) {
    let (request, socket) = peer.recv().await.expect("a request");
    let key = request.lines().find_map(|line| line.to_lowercase().strip_prefix("idempotency-key: ").map(str::to_owned));
    (key.expect("a key"), socket)
}

async fn says(mut socket: TcpStream, status: &str, body: &str) {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    socket.write_all(answer.as_bytes()).await.expect("the answer goes out");
}

async fn peer() -> (String, mpsc::UnboundedReceiver<(String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/charges", listener.local_addr().unwrap());
    let (to, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (mut request, mut piece) = (String::new(), [0; 4096]);
            while !request.contains("\r\n\r\n") {
                match socket.read(&mut piece).await {
                    Ok(n) if n > 0 => request.push_str(&String::from_utf8_lossy(&piece[..n])),
                    _ => break,
                }
            }
            let _ = to.send((request, socket));
        }
    });
    (url, asked)
}

fn reaching(tries: u32) -> Settings {
    let egress = Egress { exceptions: vec!["127.0.0.0/8".parse().unwrap()], ..Egress::default() };
    Settings { node_poll_ms: 50, retry_base_ms: 1, run_tries_max: tries, egress, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_a_crash_cut_off_is_taken_up_under_the_same_run_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let (url, mut asked) = peer().await;
    let till = Till::with(Bench::start_with(folder.path(), reaching(3)).await, &over_http(&url)).await;
    till.card("Visa", CARD).await;
    let invoice = till.invoice(1, "5").await;
    let before = till.pay(invoice).await.expect("accepted");
    let (key, _held) = heard(&mut asked).await;
    let begun: Transaction = till.bench.system.store().get(before.id).await.unwrap().unwrap();
    assert_eq!((begun.state, begun.run_ids.len()), (State::InProgress, 1), "it was recorded before anything went out");
    till.bench.stop().await;
    let Till { method, seller, bench } = till;
    drop(bench);
    let bench = Bench::start_with(folder.path(), reaching(3)).await;
    let till = Till { method, seller, bench };
    let (again, socket) = heard(&mut asked).await;
    assert_eq!((again.as_str(), key.as_str()), (format!("{}-0", before.id).as_str(), again.as_str()));
    assert!(matches!(till.pay(invoice).await, Err(Error::State { .. })), "it is still being paid");
    says(socket, "200 OK", "ch_1").await;
    let done = till.settled(before.id.0).await;
    assert_eq!((done.state, done.run_ids), (State::Success, begun.run_ids), "{:?}", done.told);
    let run = till.run_of(&till.settled(before.id.0).await).await;
    assert_eq!((run.state, run.attempts), (RunState::Succeeded, 2));
    assert_eq!(
        all::<Transaction>(&till.bench.system)
            .await
            .iter()
            .filter(|t| t.function == PaymentFunction::MakePayment)
            .count(),
        1
    );
    till.bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_never_answers_leaves_the_payment_open_until_somebody_finds_out() {
    let folder = tempfile::tempdir().unwrap();
    let (url, mut asked) = peer().await;
    let till = Till::with(Bench::start_with(folder.path(), reaching(3)).await, &over_http(&url)).await;
    till.card("Visa", CARD).await;
    let (system, caller) = (till.bench.system.clone(), till.bench.caller.clone());
    let invoice = till.invoice(1, "5").await;
    let payment = till.pay(invoice).await.expect("accepted");
    let mut keys = HashSet::new();
    for _ in 0..3 {
        let (key, socket) = heard(&mut asked).await;
        keys.insert(key);
        says(socket, "500 Oops", "").await;
    }
    let left = till.settled(payment.id.0).await;
    assert_eq!((left.state, left.unclear, keys.len()), (State::InProgress, true, 1), "asked three times under one key");
    assert!(left.told.error_reason.as_deref().is_some_and(|r| r.contains("answered 500")), "{:?}", left.told);
    let refused = till.pay(invoice).await;
    assert!(matches!(&refused, Err(Error::State { detail, .. }) if detail.contains("not known")), "{refused:?}");
    // A customer cannot give it up and pay anew, for it may have been charged.
    let plan = all::<Plan>(&system).await.remove(0);
    let own = caller_of(&plan, till.bench.customer);
    assert!(matches!(system.cancel_transaction(&own, payment.id, None).await, Err(Error::Forbidden(_))));
    system.resume_transaction(&own, payment.id, BTreeMap::new()).await.expect("asked again");
    let (key, socket) = heard(&mut asked).await;
    assert!(keys.contains(&key), "the same question");
    says(socket, "402 Payment Required", "no funds").await;
    let refused = till.settled(payment.id.0).await;
    assert_eq!((refused.state, refused.told.error_reason.as_deref()), (State::Failure, Some("no funds")));
    // Another is given up by the seller.
    let payment = till.pay(invoice).await.expect("accepted");
    for _ in 0..3 {
        let (_, socket) = heard(&mut asked).await;
        drop(socket);
    }
    assert!(till.settled(payment.id.0).await.unclear);
    let cancel = system.cancel_transaction(&caller, payment.id, None).await.expect("accepted");
    assert_eq!(till.settled(cancel.id.0).await.state, State::Success);
    assert_eq!(till.settled(payment.id.0).await.state, State::Cancelled);
    let last = till.pay(invoice).await.expect("it can be paid again");
    let (_, socket) = heard(&mut asked).await;
    says(socket, "200 OK", "ch_2").await;
    assert_eq!(till.settled(last.id.0).await.state, State::Success);
    till.bench.stop().await;
}

fn caller_of(plan: &Plan, customer: CustomerId) -> Caller {
    caller(plan, Role::CustomerAdmin, Scope::Customer(customer), Some(customer))
}
