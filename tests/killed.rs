//! Killed while money moves and customers go: nothing is lost, paid twice or left behind.

mod bank;
mod calls;
mod deferred;
mod providers;
mod setups;

use crate::{
    crash::{Dice, no_job_is_unfinished, records_and_guests_agree},
    support::{Client, World, eventually},
};
use bank::{Bank, Mood};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinSet;

/// Customers that pay and are deleted, at least one kill for each.
const CUSTOMERS: usize = 24;
/// Servers of each.
const SERVERS: usize = 2;

/// A world with prices, where Lua may speak with the bank and asks it for some of the functions of a payment provider.
async fn world(functions: &str, more: &[(&str, &str)]) -> (World, Bank) {
    let bank = Bank::open().await;
    let base = bank.base();
    let settings = [
        ("SUTLER_EGRESS_EXCEPTIONS", r#"["127.0.0.0/8"]"#),
        ("SUTLER_LIMITS_REQUESTS_PER_SECOND", "100000"),
        ("SUTLER_LIMITS_REQUEST_BURST", "100000"),
        ("SUTLER_COMPUTE_POLL_MS", "200"),
    ];
    let world = World::with(&[&settings, more].concat()).await;
    let prices = json!({ "cpu_hour": "3600000", "memory_gib_hour": "3600000" });
    world.admin.patch(&format!("/plans/{}", world.plan), prices).await.expect(200);
    let source = format!(
        r#"
function register() return {{ "bank" }} end
function bank(p)
  return {{
    ref = "bank", name = "Bank", description = "Asks a bank", api = "PAYMENT_PROVIDER", version = 1,
    pmConfigurableList = {{ {{ key = "account" }} }}, pmiConfigurableList = {{}},
    paymentFunctions = {{ {functions} }},
  }}
end
function book(p)
  local answer = http.post("{base}", {{
    headers = {{ ["Idempotency-Key"] = p.idempotencyKey }},
    json = {{
      amount = p.amount, what = p.paymentFunction, invoice = p.invoice and p.invoice:getResourceUUID(),
      of = p.linkedTransaction and p.linkedTransaction:getResourceUUID(), account = p.methodValues.account,
    }},
  }})
  if not answer.ok then error("the bank answered " .. answer.status) end
end
function wait(p) return {{ state = "AWAITINGINTERACTIVEINPUT" }} end
"#
    );
    world.admin.post("/triggers", json!({ "name": "bank", "source": source })).await.expect(201);
    (world, bank)
}

/// What a provider must be able to do for payments alone.
const PAYMENTS: &str = r#"MAKE_PAYMENT = "book", REFUND_TRANSACTION = "book""#;

async fn method(world: &World) -> String {
    let script = world.admin.get("/triggers").await.items()[0]["id"].clone();
    let body = json!({ "name": "Bank", "script_id": script, "values": {} });
    let id = world.admin.post("/payment-methods", body).await.expect(201).id();
    ready(&world.admin, &format!("/payment-methods/{id}")).await;
    id
}

async fn card(admin: &Client, method: &str, customer: &str) {
    let body = json!({ "name": "Visa", "payment_method_id": method, "customer_id": customer, "values": {} });
    let id = admin.post("/payment-instances", body).await.expect(201).id();
    ready(admin, &format!("/payment-instances/{id}")).await;
}

async fn ready(client: &Client, path: &str) {
    eventually("it is ready", async || {
        let state = client.get(path).await.expect(200).body["state"].clone();
        (state != "registering").then(|| assert_eq!(state, "ready"))
    })
    .await;
}

/// A transaction once it has come to rest, told by its only run.
async fn settled(admin: &Client, id: &str) -> Value {
    let path = format!("/transactions/{id}");
    let now = eventually("the transaction ends", async || {
        let now = admin.get(&path).await.expect(200).body;
        (!matches!(now["state"].as_str(), Some("not_started" | "in_progress"))).then_some(now)
    })
    .await;
    assert_eq!(now["state"], "success", "{now}");
    let runs = now["run_ids"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{now}");
    let run = admin.get(&format!("/runs/{}", runs[0].as_str().unwrap())).await.expect(200);
    assert_eq!(run.body["state"], "succeeded", "{}", run.text);
    now
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_was_doing_when_the_program_was_killed_is_done_once() {
    let (world, bank) = world(PAYMENTS, &[]).await;
    let (token, ada) = (world.admin.token.clone().unwrap(), world.ada.id.clone());
    card(&world.admin, &method(&world).await, &ada).await;
    world.running_server(&world.ada.client, "web-1").await;
    let invoice = crate::invoices::close(&world, &ada).await;
    let due = invoice.body["due"].clone();
    let (mut admin, mut program) = (world.admin, world.program);
    let mut paid = String::new();
    for turn in ["pay", "refund"] {
        let path = match turn {
            "pay" => format!("/invoices/{}/pay", invoice.id()),
            _ => format!("/transactions/{paid}/refund"),
        };
        let known = bank.asked().len();
        bank.turn(Mood::Silent);
        let asked = admin.post_keyed(&path, turn, json!({})).await.expect(202).id();
        eventually("the bank is asked", async || (bank.asked().len() > known).then_some(())).await;
        program = program.kill_and_restart().await;
        // Asked again and as silent as before: cut off a second time.
        eventually("the bank is asked again", async || bank.asked().values().any(|o| o.len() == 2).then_some(())).await;
        bank.turn(Mood::Well);
        program = program.kill_and_restart().await;
        admin = program.client().with_token(&token);
        let done = settled(&admin, &asked).await;
        assert_eq!(done["amount"], due);
        let orders = bank.asked();
        assert_eq!(orders.len(), known + 1, "one key for each transaction: {orders:?}");
        let mine = &orders[&format!("{asked}-0")];
        assert_eq!(mine.len(), 3, "asked at each start: {mine:?}");
        assert!(mine.iter().all(|order| *order == mine[0]), "{mine:?}");
        assert_eq!(admin.post_keyed(&path, turn, json!({})).await.expect(202).id(), asked);
        let status = if turn == "pay" { "paid" } else { "unpaid" };
        assert_eq!(admin.get(&format!("/invoices/{}", invoice.id())).await.body["status"], status);
        bank.forget_repeats();
        paid = asked;
    }
    let all = admin.get(&format!("/transactions?invoice_id={}", invoice.id())).await.expect(200);
    assert_eq!(all.items().len(), 2, "{}", all.text);
}

/// A customer with servers, something to pay with and an invoice to pay.
#[derive(Clone)]
struct Debtor {
    customer: String,
    servers: BTreeSet<String>,
    invoice: String,
    due: Value,
}

async fn debtor(world: &World, method: &str, n: usize) -> Debtor {
    let admin = &world.admin;
    let body = json!({ "name": format!("c{n}"), "plan_id": world.plan });
    let customer = admin.post("/customers", body).await.expect(201).id();
    let mut servers = BTreeSet::new();
    for k in 0..SERVERS {
        let body = json!({ "name": format!("web-{k}"), "cpu": 1, "memory_mib": 64, "disk_gib": 1, "image_id": world.image,
            "customer_id": customer });
        let job = admin.post("/servers", body).await.expect(202);
        let done = admin.finished(&job.id()).await;
        assert_eq!(done["state"], "successful", "{done}");
        servers.insert(done["item_id"].as_str().unwrap().to_owned());
    }
    card(admin, method, &customer).await;
    let invoice = crate::invoices::close_by(admin, &customer).await;
    Debtor { customer, servers, invoice: invoice.id(), due: invoice.body["due"].clone() }
}

/// What was acknowledged: a key, and the job or transaction it made.
type Acknowledged = Arc<Mutex<BTreeMap<String, String>>>;

/// Asks under a key until the connection breaks or it is acknowledged.
async fn ask(client: Client, method: Method, path: String, key: String, acknowledged: Acknowledged) {
    let mut request = client.request(method.clone(), &path).header("idempotency-key", &key);
    if method == Method::POST {
        request = request.json(&json!({}));
    }
    let Ok(answer) = request.send().await else { return };
    let status = answer.status().as_u16();
    let Ok(body) = answer.json::<Value>().await else { return };
    // Also where the first was cut off after it had made its transaction.
    assert_eq!(status, 202, "{path}: {body}");
    let id = body["id"].as_str().expect("an id").to_owned();
    acknowledged.lock().unwrap().insert(key, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_customers_pay_and_are_deleted_it_pays_and_deletes_each_once() {
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |t| u64::from(t.subsec_nanos())) | 1;
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    let (world, bank) = world(PAYMENTS, &[]).await;
    let method = method(&world).await;
    let making = (0..CUSTOMERS).map(|n| debtor(&world, &method, n));
    let debtors = futures_util::future::join_all(making).await;
    let (token, mut program) = (world.admin.token.clone().unwrap(), world.program);
    let acknowledged = Acknowledged::default();
    let (mut kills, mut begun) = (0, 0);
    while acknowledged.lock().unwrap().len() < 2 * CUSTOMERS {
        let admin = Client::new(&program.base).with_token(&token);
        begun = (begun + 1).min(CUSTOMERS);
        let mut callers = JoinSet::new();
        for debtor in &debtors[..begun] {
            let orders = [
                (Method::POST, format!("/invoices/{}/pay", debtor.invoice), format!("pay-{}", debtor.invoice)),
                (
                    Method::DELETE,
                    format!("/customers/{}?cascade=true", debtor.customer),
                    format!("delete-{}", debtor.customer),
                ),
            ];
            for (method, path, key) in orders {
                if !acknowledged.lock().unwrap().contains_key(&key) {
                    callers.spawn(ask(admin.clone(), method, path, key, acknowledged.clone()));
                }
            }
        }
        // Anywhere from the first request to well into the jobs' steps.
        tokio::time::sleep(Duration::from_micros(dice.below(60_000))).await;
        program = program.kill_and_restart().await;
        kills += 1;
        while let Some(ended) = callers.join_next().await {
            ended.expect("the caller was told something sensible");
        }
    }

    let admin = Client::new(&program.base).with_token(&token);
    let acknowledged = acknowledged.lock().unwrap().clone();
    for debtor in &debtors {
        deleted_once(&admin, debtor, &acknowledged[&format!("delete-{}", debtor.customer)]).await;
        let told = &acknowledged[&format!("pay-{}", debtor.invoice)];
        paid_once(&admin, debtor, told, &bank.asked()).await;
    }
    assert_eq!(bank.asked().len(), CUSTOMERS, "nothing was asked for but the payments");
    no_job_is_unfinished(&admin).await;
    let repeated: usize = bank.asked().values().map(|orders| orders.len() - 1).sum();
    records_and_guests_agree(program, &admin).await;
    eprintln!("{CUSTOMERS} customers paid and went over {kills} kills; the bank was asked {repeated} times again");
}

async fn deleted_once(admin: &Client, debtor: &Debtor, job: &str) {
    let done = admin.finished(job).await;
    assert_eq!((&done["state"], &done["kind"]), (&json!("successful"), &json!("delete_customer")), "{done}");
    let all = admin.get(&format!("/jobs?customer_id={}&limit=200", debtor.customer)).await.expect(200);
    let of = |kind: &str| -> Vec<&Value> { all.items().iter().filter(|job| job["kind"] == kind).collect() };
    assert_eq!(of("delete_customer").len(), 1, "{}", all.text);
    let children = of("delete_server");
    let items: BTreeSet<_> = children.iter().map(|child| child["item_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((children.len(), &items), (SERVERS, &debtor.servers), "each server by one job: {}", all.text);
    for child in children {
        assert_eq!((&child["parent_id"], &child["state"]), (&json!(job), &json!("successful")), "{child}");
    }
    assert_eq!(admin.get(&format!("/customers/{}", debtor.customer)).await.expect(200).body["status"], "closed");
    assert!(admin.get(&format!("/servers?customer_id={}", debtor.customer)).await.items().is_empty());
}

async fn paid_once(admin: &Client, debtor: &Debtor, told: &str, bank: &BTreeMap<String, Vec<Value>>) {
    let all = admin.get(&format!("/transactions?invoice_id={}", debtor.invoice)).await.expect(200);
    assert_eq!(all.items().len(), 1, "{}", all.text);
    let id = all.items()[0]["id"].as_str().unwrap();
    assert_eq!(told, id);
    let paid = settled(admin, id).await;
    assert_eq!(paid["amount"], debtor.due);
    let invoice = admin.get(&format!("/invoices/{}", debtor.invoice)).await.expect(200);
    assert_eq!((&invoice.body["status"], &invoice.body["transaction_id"]), (&json!("paid"), &json!(id)));
    let orders: Vec<_> = bank.iter().filter(|(_, orders)| orders[0]["invoice"] == debtor.invoice.as_str()).collect();
    assert_eq!(orders.len(), 1, "the bank saw one key: {orders:?}");
    assert_eq!(*orders[0].0, format!("{id}-0"));
    assert!(orders[0].1.iter().all(|order| *order == orders[0].1[0]), "{orders:?}");
}
