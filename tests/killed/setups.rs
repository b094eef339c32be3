//! Killed while providers take in methods and what is paid with, forget it, or give payments up.

use super::{Acknowledged, Bank, Dice, Mood, ready, settled, world};
use crate::support::{Client, Program, World, eventually, world::Account};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::task::JoinSet;

/// A provider that asks the bank about everything but payments, which wait for their customer.
const SETUPS: &str = r#"
    REGISTER_PAYMENT_METHOD = "book", UPDATE_PAYMENT_METHOD = "book", REGISTER_PAYMENT_INSTANCE = "book",
    REMOVE_PAYMENT_INSTANCE = "book", CANCEL_TRANSACTION = "book", MAKE_PAYMENT = "wait""#;

/// Customers that set up, pay and give up.
const CUSTOMERS: usize = 8;

/// A program that is killed and started again, as its provider sees it.
struct Killed {
    program: Program,
    admin: Client,
    bank: Bank,
}

impl Killed {
    async fn again(mut self) -> Self {
        let token = self.admin.token.clone().unwrap();
        self.program = self.program.kill_and_restart().await;
        self.admin = self.program.client().with_token(&token);
        self
    }

    /// The transaction with which a method's provider is asked something that has no answer of its own.
    async fn under_way(&self, function: &str) -> String {
        eventually(&format!("{function} is under way"), async || {
            let all = self.admin.get("/transactions?state=not_started,in_progress").await.expect(200);
            let mine = all.items().iter().find(|transaction| transaction["function"] == function)?;
            Some(mine["id"].as_str().unwrap().to_owned())
        })
        .await
    }

    /// Kills the program twice while the bank is asked about a transaction, and has it answered then.
    async fn cut_off_twice(mut self, id: &str, function: &str) -> Self {
        let key = format!("{id}-0");
        let times = |bank: &Bank| bank.asked().get(&key).map_or(0, Vec::len);
        eventually("the bank is asked", async || (times(&self.bank) == 1).then_some(())).await;
        self = self.again().await;
        eventually("the bank is asked again", async || (times(&self.bank) == 2).then_some(())).await;
        self.bank.turn(Mood::Well);
        self = self.again().await;
        let done = settled(&self.admin, id).await;
        assert_eq!((&done["function"], &done["unclear"]), (&json!(function), &json!(false)), "{done}");
        let orders = &self.bank.asked()[&key];
        assert_eq!(orders.len(), 3, "asked at each start: {orders:?}");
        assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
        self.bank.turn(Mood::Silent);
        self
    }
}

/// A provider that sellers may use, and a customer with something to pay.
struct Setting {
    killed: Killed,
    script: Value,
    ada: Account,
    invoice: String,
}

impl Setting {
    async fn new(more: &[(&str, &str)]) -> Self {
        let (world, bank) = world(SETUPS, more).await;
        let script = world.admin.get("/triggers").await.items()[0]["id"].clone();
        world.running_server(&world.ada.client, "web-1").await;
        let invoice = crate::invoices::close(&world, &world.ada.id).await.id();
        let World { program, admin, ada, .. } = world;
        Self { killed: Killed { program, admin, bank }, script, ada, invoice }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_was_taking_in_or_giving_up_when_the_program_was_killed_is_done_once() {
    let Setting { mut killed, script, ada, invoice } = Setting::new(&[]).await;

    killed.bank.turn(Mood::Silent);
    let body = json!({ "name": "Bank", "script_id": script, "values": { "account": "first" } });
    let method = killed.admin.post_keyed("/payment-methods", "method", body.clone()).await.expect(201).id();
    let path = format!("/payment-methods/{method}");
    let id = killed.under_way("register_payment_method").await;
    killed = killed.cut_off_twice(&id, "register_payment_method").await;
    assert_eq!(killed.admin.get(&path).await.body["state"], "ready");
    assert_eq!(killed.admin.post_keyed("/payment-methods", "method", body).await.expect(201).id(), method);

    killed.admin.patch(&path, json!({ "values": { "account": "second" } })).await.expect(200);
    let id = killed.under_way("update_payment_method").await;
    assert_eq!(killed.admin.get(&path).await.body["values"]["account"], "first", "not before it is taken");
    killed = killed.cut_off_twice(&id, "update_payment_method").await;
    assert_eq!(killed.admin.get(&path).await.body["values"]["account"], "second");

    let body = json!({ "name": "Visa", "payment_method_id": method, "customer_id": ada.id, "values": {} });
    let made = killed.admin.post_keyed("/payment-instances", "card", body.clone()).await.expect(201);
    let (card, id) = (format!("/payment-instances/{}", made.id()), made.body["transaction"]["id"].as_str().unwrap());
    killed = killed.cut_off_twice(id, "register_payment_instance").await;
    assert_eq!(killed.admin.get(&card).await.body["state"], "ready");
    let again = killed.admin.post_keyed("/payment-instances", "card", body).await.expect(201);
    assert_eq!((again.id(), &again.body["transaction"]["id"]), (made.id(), &json!(id)));

    let path = format!("/invoices/{invoice}/pay");
    let paid = killed.admin.post(&path, json!({ "allow_interactive": true })).await.expect(202).id();
    waits(&killed.admin, &paid).await;
    let path = format!("/transactions/{paid}/cancel");
    let cancel = killed.admin.post_keyed(&path, "cancel", json!({})).await.expect(202).id();
    killed = killed.cut_off_twice(&cancel, "cancel_transaction").await;
    assert_eq!(killed.admin.get(&format!("/transactions/{paid}")).await.body["state"], "cancelled");
    assert_eq!(killed.admin.get(&format!("/invoices/{invoice}")).await.body["status"], "unpaid");
    assert_eq!(killed.admin.post_keyed(&path, "cancel", json!({})).await.expect(202).id(), cancel);

    let id = killed.admin.delete(&card).await.expect(202).id();
    killed = killed.cut_off_twice(&id, "remove_payment_instance").await;
    killed.admin.get(&card).await.expect(404);
    assert_eq!(killed.bank.asked().len(), 5, "one key for each: {:?}", killed.bank.asked());
}

async fn waits(admin: &Client, transaction: &str) {
    eventually("it waits for its customer", async || {
        let now = admin.get(&format!("/transactions/{transaction}")).await.expect(200).body;
        (now["state"] == "awaiting_input").then_some(())
    })
    .await;
}

/// A customer with an invoice.
#[derive(Clone)]
struct Debtor {
    number: usize,
    customer: String,
    invoice: String,
    script: Value,
    acknowledged: Acknowledged,
}

impl Debtor {
    /// Asks under a key of its own, unless that was acknowledged; nothing once the connection breaks.
    async fn ask(&self, client: &Client, key: &str, path: &str, body: Value) -> Option<String> {
        let key = format!("{key}-{}", self.number);
        if let Some(id) = self.acknowledged.lock().unwrap().get(&key) {
            return Some(id.clone());
        }
        let request = client.request(Method::POST, path).header("idempotency-key", &key).json(&body);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.ok()?;
        assert!(matches!(status, 201 | 202), "{path}: {status} {body}");
        let id = body["id"].as_str().expect("an id").to_owned();
        self.acknowledged.lock().unwrap().insert(key, id.clone());
        Some(id)
    }

    /// Waits for one of some states; nothing once the connection breaks.
    async fn wait(&self, client: &Client, path: String, states: &[&str]) -> Option<()> {
        loop {
            let now: Value = client.request(Method::GET, &path).send().await.ok()?.json().await.ok()?;
            if states.iter().any(|state| now["state"] == *state) {
                return Some(());
            }
            assert!(now["unclear"] != true && now["state"] != "failed", "{now}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sets a method and a card up, pays, and gives the payment up.
    async fn go_on(self, client: Client) -> Option<()> {
        let body = json!({ "name": format!("Bank {}", self.number), "script_id": self.script, "values": {} });
        let method = self.ask(&client, "method", "/payment-methods", body).await?;
        self.wait(&client, format!("/payment-methods/{method}"), &["ready"]).await?;
        let body = json!({ "name": "Visa", "payment_method_id": method, "customer_id": self.customer, "values": {} });
        let card = self.ask(&client, "card", "/payment-instances", body).await?;
        self.wait(&client, format!("/payment-instances/{card}"), &["ready"]).await?;
        let body = json!({ "allow_interactive": true });
        let paid = self.ask(&client, "pay", &format!("/invoices/{}/pay", self.invoice), body).await?;
        // Given up already where only the answer was cut off.
        self.wait(&client, format!("/transactions/{paid}"), &["awaiting_input", "cancelled"]).await?;
        let cancel = self.ask(&client, "cancel", &format!("/transactions/{paid}/cancel"), json!({})).await?;
        self.wait(&client, format!("/transactions/{cancel}"), &["success"]).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_methods_are_set_up_and_payments_given_up_it_does_each_once() {
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |t| u64::from(t.subsec_nanos())) | 1;
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    let (world, bank) = world(SETUPS, &[]).await;
    let script = world.admin.get("/triggers").await.items()[0]["id"].clone();
    let acknowledged = Acknowledged::default();
    let making = (0..CUSTOMERS).map(async |number| {
        let body = json!({ "name": format!("c{number}"), "plan_id": world.plan });
        let customer = world.admin.post("/customers", body).await.expect(201).id();
        let server = json!({ "name": "web-1", "cpu": 1, "memory_mib": 64, "disk_gib": 1, "image_id": world.image,
            "customer_id": customer });
        let job = world.admin.post("/servers", server).await.expect(202).id();
        world.admin.finished(&job).await;
        let invoice = crate::invoices::close_by(&world.admin, &customer).await.id();
        Debtor { number, customer, invoice, script: script.clone(), acknowledged: acknowledged.clone() }
    });
    let debtors = futures_util::future::join_all(making).await;
    let (token, mut program) = (world.admin.token.clone().unwrap(), world.program);
    let (mut kills, mut done) = (0, BTreeSet::new());
    while done.len() < CUSTOMERS {
        let client = Client::new(&program.base).with_token(&token);
        let mut at_work = JoinSet::new();
        for debtor in debtors.iter().filter(|debtor| !done.contains(&debtor.number)) {
            let (debtor, client) = (debtor.clone(), client.clone());
            at_work.spawn(async move { (debtor.number, debtor.go_on(client).await.is_some()) });
        }
        // Anywhere from the first request to well into what follows from it; later, so that a slow machine gets there too.
        tokio::time::sleep(Duration::from_micros(dice.below(60_000 + 5_000 * kills))).await;
        program = program.kill_and_restart().await;
        kills += 1;
        while let Some(ended) = at_work.join_next().await {
            let (number, ended) = ended.expect("it was told something sensible");
            if ended {
                done.insert(number);
            }
        }
    }

    let admin = Client::new(&program.base).with_token(&token);
    let acknowledged = acknowledged.lock().unwrap().clone();
    let of = |key: &str, debtor: &Debtor| acknowledged[&format!("{key}-{}", debtor.number)].clone();
    let keys = bank.asked();
    for debtor in &debtors {
        let all = admin.get(&format!("/transactions?customer_id={}", debtor.customer)).await.expect(200);
        let states: BTreeMap<&str, &str> =
            all.items().iter().map(|t| (t["function"].as_str().unwrap(), t["state"].as_str().unwrap())).collect();
        let expected = [
            ("cancel_transaction", "success"),
            ("make_payment", "cancelled"),
            ("register_payment_instance", "success"),
        ];
        assert_eq!((all.items().len(), states), (3, expected.into()), "{}", all.text);
        assert!(all.items().iter().all(|t| t["unclear"] == false), "{}", all.text);
        let (paid, cancel) = (of("pay", debtor), of("cancel", debtor));
        let cancelled = settled(&admin, &cancel).await;
        assert_eq!(cancelled["linked_id"], json!(paid));
        assert!(keys[&format!("{cancel}-0")].iter().all(|order| order["of"] == json!(paid)), "{keys:?}");
        let cards = admin.get(&format!("/payment-instances?customer_id={}", debtor.customer)).await.expect(200);
        assert_eq!(cards.items().len(), 1, "{}", cards.text);
        assert_eq!(
            (&cards.items()[0]["id"], &cards.items()[0]["state"]),
            (&json!(of("card", debtor)), &json!("ready"))
        );
        let name = format!("/payment-methods?name=Bank%20{}", debtor.number);
        let methods = admin.get(&name).await.expect(200);
        assert_eq!(methods.items().len(), 1, "{}", methods.text);
        assert_eq!(
            (&methods.items()[0]["id"], &methods.items()[0]["state"]),
            (&json!(of("method", debtor)), &json!("ready"))
        );
        assert_eq!(admin.get(&format!("/invoices/{}", debtor.invoice)).await.body["status"], "unpaid");
    }
    assert_eq!(keys.len(), 3 * CUSTOMERS, "one key for each method, card and cancellation: {keys:?}");
    assert!(keys.values().all(|orders| orders.iter().all(|order| *order == orders[0])), "{keys:?}");
    let under_way = admin.get("/transactions?state=not_started,in_progress,awaiting_input").await.expect(200);
    assert!(under_way.items().is_empty(), "{}", under_way.text);
    let repeated: usize = keys.values().map(|orders| orders.len() - 1).sum();
    eprintln!(
        "{CUSTOMERS} customers set up, paid and gave up over {kills} kills; the bank was asked {repeated} times again"
    );
}

/// A transaction that nobody knows the end of.
async fn unclear(admin: &Client, id: &str) {
    eventually("it is unclear", async || {
        (admin.get(&format!("/transactions/{id}")).await.expect(200).body["unclear"] == true).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bank_never_answered_for_is_settled_by_people_also_after_a_kill() {
    let Setting { mut killed, script, ada, invoice } = Setting::new(&[("SUTLER_LUA_TRIES_MAX", "2")]).await;

    // Cut off amid the first call; from then on the bank breaks.
    killed.bank.turn(Mood::Silent);
    let body = json!({ "name": "Bank", "script_id": script, "values": {} });
    let method = killed.admin.post("/payment-methods", body).await.expect(201).id();
    let id = killed.under_way("register_payment_method").await;
    eventually("the bank is asked", async || (!killed.bank.asked().is_empty()).then_some(())).await;
    killed.bank.turn(Mood::Broken);
    killed = killed.again().await;
    unclear(&killed.admin, &id).await;
    let asked = killed.bank.asked();
    killed = killed.again().await;
    unclear(&killed.admin, &id).await;
    killed.bank.turn(Mood::Well);
    let path = format!("/payment-methods/{method}");
    assert_eq!(killed.admin.get(&path).await.body["state"], "registering");
    killed.admin.delete(&path).await.problem(409, "state");
    let without = killed.admin.delete(&format!("/triggers/{}", script.as_str().unwrap())).await;
    assert!(without.problem(409, "state").body["detail"].as_str().unwrap().contains("1 payment methods"));
    killed.admin.post(&format!("/transactions/{id}/resume"), json!({})).await.expect(202);
    settled(&killed.admin, &id).await;
    assert_eq!(killed.admin.get(&path).await.body["state"], "ready");
    let orders = killed.bank.asked();
    assert_eq!(orders.len(), 1, "under the same key: {orders:?}");
    let (before, after) = (asked[&format!("{id}-0")].len(), orders[&format!("{id}-0")].len());
    assert_eq!(after, before + 1, "nobody asked on its own again");

    // One whose registration stays unclear is given up.
    killed.bank.turn(Mood::Broken);
    let body = json!({ "name": "Visa", "payment_method_id": method, "customer_id": ada.id, "values": {} });
    let made = killed.admin.post("/payment-instances", body.clone()).await.expect(201);
    let (card, id) = (format!("/payment-instances/{}", made.id()), made.body["transaction"]["id"].as_str().unwrap());
    unclear(&killed.admin, id).await;
    // Giving up is unclear as well until the bank answers.
    let cancel = killed.admin.post(&format!("/transactions/{id}/cancel"), json!({})).await.expect(202).id();
    unclear(&killed.admin, &cancel).await;
    killed = killed.again().await;
    killed.bank.turn(Mood::Well);
    killed.admin.post(&format!("/transactions/{cancel}/resume"), json!({})).await.expect(202);
    settled(&killed.admin, &cancel).await;
    assert_eq!(killed.admin.get(&format!("/transactions/{id}")).await.body["state"], "cancelled");
    assert_eq!(killed.admin.get(&card).await.body["state"], "failed");
    killed.admin.delete(&card).await.expect(204);

    // A payment is paid by another card once its end is known.
    ready(
        &killed.admin,
        &format!("/payment-instances/{}", killed.admin.post("/payment-instances", body).await.expect(201).id()),
    )
    .await;
    let pay = format!("/invoices/{invoice}/pay");
    let paid = killed.admin.post(&pay, json!({ "allow_interactive": true })).await.expect(202).id();
    waits(&killed.admin, &paid).await;
    killed.bank.turn(Mood::Broken);
    let cancel = killed.admin.post(&format!("/transactions/{paid}/cancel"), json!({})).await.expect(202).id();
    unclear(&killed.admin, &cancel).await;
    killed.bank.turn(Mood::Well);
    killed = killed.again().await;
    killed.admin.post(&format!("/transactions/{cancel}/resume"), json!({})).await.expect(202);
    settled(&killed.admin, &cancel).await;
    assert_eq!(killed.admin.get(&format!("/transactions/{paid}")).await.body["state"], "cancelled");
    killed.admin.post(&pay, json!({ "allow_interactive": true })).await.expect(202);
}
