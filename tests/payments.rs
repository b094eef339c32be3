//! How invoices are paid, over HTTP.

use crate::support::{Client, Reply, World, eventually};
use serde_json::{Value, json};

/// A provider that takes every card but those called `empty`, and asks `careful` ones for a code.
pub const PROVIDER: &str = r#"
function register() return { "cards" } end
function cards(p)
  return {
    ref = "cards", name = "Cards", description = "Takes cards", api = "PAYMENT_PROVIDER", version = 1,
    pmConfigurableList = { { key = "secret", required = true, validator = { validatorType = "PASSWORD" } } },
    pmiConfigurableList = { { key = "card", required = true }, { key = "pin", validator = { validatorType = "PASSWORD" } } },
    paymentFunctions = { MAKE_PAYMENT = "pay", REFUND_PAYMENT = "refund", SELF_TEST = "probe", CANCEL_TRANSACTION = "cancel" },
  }
end
function pay(p)
  if p.instanceValues.card == "empty" then return { returnCode = "FAILED", errorCode = "51", errorString = "no funds" } end
  if p.instanceValues.card == "careful" and p.parameters.code ~= "1234" then
    return { state = "AWAITINGINTERACTIVEINPUT", interactiveURL = "https://bank.example/3ds?back=" .. p.returnURL }
  end
  p.transaction:setProviderReference("ch_" .. p.amountMinor)
end
function refund(p) end
function probe(p) end
function cancel(p) end
"#;

async fn script(world: &World) -> String {
    let scripts = world.admin.get("/triggers").await.expect(200);
    if let Some(known) = scripts.items().iter().find(|script| script["name"] == "cards") {
        return known["id"].as_str().expect("an id").to_owned();
    }
    world.admin.post("/triggers", json!({ "name": "cards", "source": PROVIDER })).await.expect(201).id()
}

/// A method that is ready to be used; of the provider unless another seller is named.
pub async fn method(world: &World, seller: Option<&str>) -> String {
    let mut body =
        json!({ "name": "Cards", "script_id": script(world).await, "values": { "secret": "sk_live_unguessable" } });
    if let Some(seller) = seller {
        body["billing_entity_id"] = json!(seller);
    }
    let id = world.admin.post("/payment-methods", body).await.expect(201).id();
    ready(&world.admin, &format!("/payment-methods/{id}")).await;
    id
}

async fn ready(client: &Client, path: &str) {
    eventually("it is ready", async || {
        let state = client.get(path).await.expect(200).body["state"].clone();
        (state != "registering").then(|| assert_eq!(state, "ready"))
    })
    .await;
}

/// Something Ada pays with by a method, and the transaction that registered it.
pub async fn card(world: &World, method: &str) -> (String, String) {
    named_card(world, method, "Visa", "4242").await
}

async fn named_card(world: &World, method: &str, name: &str, number: &str) -> (String, String) {
    let body = json!({ "name": name, "payment_method_id": method, "values": { "card": number, "pin": "987654321" } });
    let reply = world.ada.client.post("/payment-instances", body).await.expect(201);
    assert!(!reply.text.contains("987654321"), "{}", reply.text);
    ready(&world.ada.client, &format!("/payment-instances/{}", reply.id())).await;
    (reply.id(), reply.body["transaction"]["id"].as_str().expect("an id").to_owned())
}

/// An invoice of Ada's that is worth paying.
async fn invoice(world: &World) -> Reply {
    world.running_server(&world.ada.client, &format!("web-{}", uuid::Uuid::now_v7().simple())).await;
    crate::invoices::close(world, &world.ada.id).await
}

async fn rich_world() -> World {
    let world = World::new().await;
    let prices = json!({ "cpu_hour": "3600000", "memory_gib_hour": "3600000" });
    world.admin.patch(&format!("/plans/{}", world.plan), prices).await.expect(200);
    world
}

/// A transaction once it has come to rest.
async fn settled(client: &Client, reply: &Reply) -> Value {
    let path = format!("/transactions/{}", reply.id());
    assert_eq!(reply.header("location"), format!("/api/v1{path}"));
    eventually("the transaction ends", async || {
        let now = client.get(&path).await.expect(200).body;
        (!matches!(now["state"].as_str(), Some("not_started" | "in_progress"))).then_some(now)
    })
    .await
}

#[tokio::test]
async fn an_invoice_is_paid_with_the_card_that_its_customer_uses() {
    let world = rich_world().await;
    let ada = &world.ada.client;
    let method = method(&world, None).await;
    let seen = ada.get(&format!("/payment-methods/{method}")).await.expect(200);
    assert_eq!(seen.body["instance_values"][0]["key"], "card", "a customer sees what it must fill in");
    assert!(seen.body["values"].is_null() && seen.body["script_id"].is_null(), "{}", seen.text);
    let (card, _) = card(&world, &method).await;
    assert_eq!(ada.get(&format!("/payment-instances/{card}")).await.body["values"], json!({ "card": "4242" }));
    let invoice = invoice(&world).await;
    assert_eq!((&invoice.body["status"], &invoice.body["tax"]), (&json!("unpaid"), &json!(null)));
    let path = format!("/invoices/{}", invoice.id());
    let key = json!({});
    let request =
        || ada.request(reqwest::Method::POST, &format!("{path}/pay")).header("idempotency-key", "k1").json(&key);
    let asked = ada.send(request()).await.expect(202);
    assert_eq!(ada.send(request()).await.expect(202).id(), asked.id(), "a repeated request pays once");
    let paid = settled(ada, &asked).await;
    assert_eq!((&paid["state"], &paid["amount"]), (&json!("success"), &invoice.body["due"]), "{paid}");
    assert!(paid["run_ids"].is_null(), "its runs are its seller's");
    let now = ada.get(&path).await.expect(200);
    assert_eq!((&now.body["status"], &now.body["transaction_id"]), (&json!("paid"), &paid["id"]));
    assert_eq!(now.body["paid_at"], paid["ended_at"]);
    assert_eq!(ada.get("/invoices").await.items()[0]["status"], "paid");
    let again = ada.post(&format!("{path}/pay"), json!({})).await.expect(409);
    assert!(again.text.contains(paid["id"].as_str().unwrap()), "{}", again.text);
    // Only its seller gives it back.
    let refund = format!("/transactions/{}/refund", asked.id());
    ada.post(&refund, json!({})).await.problem(403, "forbidden");
    let too_much = world.admin.post(&refund, json!({ "amount": "999999999" })).await;
    assert_eq!(too_much.problem(422, "invalid").fields(), ["amount"]);
    let back = settled(&world.admin, &world.admin.post(&refund, json!({})).await.expect(202)).await;
    assert_eq!(
        (&back["state"], &back["amount"], &back["linked_id"]),
        (&json!("success"), &paid["amount"], &paid["id"])
    );
    assert_eq!(ada.get(&path).await.body["status"], "unpaid");
}

#[tokio::test]
async fn a_payment_that_asks_its_customer_comes_back_with_parameters() {
    let world = rich_world().await;
    let ada = &world.ada.client;
    let method = method(&world, None).await;
    let (careful, _) = named_card(&world, &method, "Careful", "careful").await;
    let (empty, _) = named_card(&world, &method, "Empty", "empty").await;
    let pay = format!("/invoices/{}/pay", invoice(&world).await.id());
    let failed = settled(ada, &ada.post(&pay, json!({ "payment_instance_id": empty })).await.expect(202)).await;
    assert_eq!(
        (&failed["state"], &failed["error_code"], &failed["error_reason"]),
        (&json!("failure"), &json!("51"), &json!("no funds"))
    );
    let wrong = ada.post(&pay, json!({ "return_url": "javascript:alert(1)" })).await;
    assert_eq!(wrong.problem(422, "invalid").fields(), ["return_url"]);
    let body =
        json!({ "payment_instance_id": careful, "allow_interactive": true, "return_url": "https://shop.example/" });
    let asked = ada.post(&pay, body).await.expect(202);
    let waits = settled(ada, &asked).await;
    assert_eq!(waits["interactive_url"], "https://bank.example/3ds?back=https://shop.example/");
    let resume = format!("/transactions/{}/resume", asked.id());
    let resumed = ada.post(&resume, json!({ "parameters": { "code": "1234" } })).await.expect(202);
    assert!(!resumed.text.contains("1234"), "{}", resumed.text);
    assert_eq!(settled(ada, &resumed).await["state"], "success");
    ada.post(&resume, json!({})).await.expect(409);
    let list = ada.get("/transactions?state=success,failure").await.expect(200);
    assert_eq!(list.items().len(), 4, "two cards, a refusal and a payment: {}", list.text);
    let busy = world.admin.delete(&format!("/payment-methods/{method}")).await;
    busy.expect(409);
    ada.delete(&format!("/payment-instances/{empty}")).await.expect(202);
    eventually("it is gone", async || {
        (ada.get(&format!("/payment-instances/{empty}")).await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn lists_show_no_secrets_and_providers_tell_what_they_can() {
    let world = World::new().await;
    let method = method(&world, None).await;
    card(&world, &method).await;
    for client in [&world.admin, &world.ada.client] {
        for path in ["/payment-methods", "/payment-instances", "/transactions"] {
            let list = client.get(path).await.expect(200);
            assert!(!list.items().is_empty());
            for secret in ["sk_live_unguessable", "987654321"] {
                assert!(!list.text.contains(secret), "{path}");
            }
        }
    }
    let providers = world.admin.get("/payment-providers").await.expect(200);
    assert_eq!(
        providers.items()[0]["functions"],
        json!(["CANCEL_TRANSACTION", "MAKE_PAYMENT", "REFUND_PAYMENT", "SELF_TEST"])
    );
    world.ada.client.get("/payment-providers").await.problem(403, "forbidden");
    let probe = world.admin.post(&format!("/payment-methods/{method}/test"), json!({})).await.expect(202);
    assert_eq!(settled(&world.admin, &probe).await["state"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_paid_with_is_set_up_from_the_command_line() {
    let made = crate::cli::Installation::with_customer().await;
    let provider = made.home.path().join("provider.lua");
    std::fs::write(&provider, PROVIDER).unwrap();
    made.ok(&["trigger", "load", provider.to_str().unwrap(), "--name", "cards"]);
    assert!(made.ok(&["payment-method", "providers"]).contains("Takes cards"));
    let secret = made.home.path().join("secret");
    std::fs::write(&secret, "sk_live_unguessable\n").unwrap();
    let secret = format!("secret=@{}", secret.to_str().unwrap());
    let method = made.json(&["payment-method", "create", "Cards", "--trigger", "cards", "--value", &secret]);
    assert_eq!(method["state"], "ready", "its provider was waited for");
    assert_eq!(made.json(&["payment-method", "test", "Cards"])["state"], "success");
    made.ok(&[
        "payment-instance",
        "create",
        "Visa",
        "--customer",
        "Ada",
        "--method",
        "Cards",
        "--value",
        "card=careful",
    ]);
    let nothing = made.say(&["transaction", "cancel", "0198c5e8-a4d2-7c3e-9f0b-6a1d2c3e4f50"]);
    assert_eq!(nothing.code, 3, "{}", nothing.err);
    let list = made.ok(&["transaction", "list", "--customer", "Ada"]);
    assert!(list.contains("register_payment_instance"), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_is_paid_once_from_the_command_line() {
    let it = crate::cli::Installation::with_customer().await;
    it.ok(&["plan", "update", "Standard", "--cpu-hour", "3600000"]);
    let provider = it.home.path().join("provider.lua");
    std::fs::write(&provider, PROVIDER).unwrap();
    it.ok(&["trigger", "load", provider.to_str().unwrap(), "--name", "cards"]);
    it.ok(&["payment-method", "create", "Cards", "--trigger", "cards", "--value", "secret=sk_live_unguessable"]);
    let made = ["payment-instance", "create"];
    for (name, card) in [("Visa", "card=4242"), ("Empty", "card=empty")] {
        it.ok(&[&made[..], &[name, "--customer", "Ada", "--method", "Cards", "--value", card]].concat());
        assert_eq!(it.json(&["payment-instance", "show", name])["state"], "ready");
    }
    assert_eq!(it.create_server("web-1", &[]).code, 0);
    let to = it.json(&["invoice", "preview", "Ada"])["to"].as_str().unwrap().to_owned();
    let closed = eventually("the period may be closed", async || {
        let said = it.say(&["invoice", "close", "Ada", "--to", &to, "-o", "json"]);
        (said.code == 0).then(|| serde_json::from_str::<Value>(&said.out).unwrap())
    })
    .await;
    let id = closed["id"].as_str().unwrap();
    let refused = it.say(&["invoice", "pay", id, "--with", "Empty"]);
    assert!(refused.code != 0 && refused.err.contains("no funds"), "{} {}", refused.code, refused.err);
    let pay = ["invoice", "pay", id, "--idempotency-key", "march"];
    let paid = it.json(&pay);
    assert_eq!((&paid["state"], &paid["amount"]), (&json!("success"), &closed["due"]), "{paid}");
    assert_eq!(it.json(&["invoice", "show", id])["status"], "paid");
    assert_eq!(it.json(&pay)["id"], paid["id"], "the same key pays once");
    let again = it.say(&["invoice", "pay", id]);
    assert!(again.code != 0 && again.err.contains(paid["id"].as_str().unwrap()), "{}", again.err);
}

/// A provider that takes accounts but those called `closed`, asks somebody to come by for `careful` cards, and raises for what it
/// does not know.
const BANK: &str = r#"
function register() return { "bank" } end
function bank(p)
  return {
    ref = "bank", name = "Bank", description = "Books", api = "PAYMENT_PROVIDER", version = 1,
    pmConfigurableList = { { key = "account", required = true } }, pmiConfigurableList = { { key = "card", required = true } },
    paymentFunctions = { MAKE_PAYMENT = "none", REGISTER_PAYMENT_METHOD = "take", UPDATE_PAYMENT_METHOD = "take",
      REGISTER_PAYMENT_INSTANCE = "meet" },
  }
end
function none(p) end
function take(p)
  if p.methodValues.account == "closed" then return { returnCode = "FAILED", errorString = "no such account" } end
end
function meet(p)
  if not p.resumed then return { state = "AWAITINGINTERACTIVEINPUT", interactiveURL = "https://bank.example/meet" } end
end
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changes_how_they_are_paid_is_told_what_its_provider_says() {
    let it = crate::cli::Installation::with_customer().await;
    let provider = it.home.path().join("bank.lua");
    std::fs::write(&provider, BANK).unwrap();
    it.ok(&["trigger", "load", provider.to_str().unwrap(), "--name", "bank"]);
    let made = it.json(&["payment-method", "create", "Bank", "--trigger", "bank", "--value", "account=one"]);
    assert_eq!((&made["state"], &made["values"]["account"]), (&json!("ready"), &json!("one")));
    let changed = it.json(&["payment-method", "update", "Bank", "--value", "account=two"]);
    assert_eq!(changed["values"]["account"], "two", "its provider was waited for");
    let refused = it.say(&["payment-method", "update", "Bank", "--value", "account=closed"]);
    assert_ne!(refused.code, 0, "{}", refused.out);
    for part in ["`Bank` keeps its old values", "no such account"] {
        assert!(refused.err.contains(part), "{part} is missing in: {}", refused.err);
    }
    assert_eq!(it.json(&["payment-method", "show", "Bank"])["values"]["account"], "two");
    let renamed = it.json(&["payment-method", "update", "Bank", "--new-name", "Till"]);
    assert_eq!(renamed["name"], "Till", "nobody is asked about a name");

    let card = ["payment-instance", "create", "Visa", "--customer", "Ada", "--method", "Till", "--value", "card=1"];
    let met = it.say(&[&card[..], &["--interactive", "-o", "json"]].concat());
    assert_eq!(met.code, 0, "{}", met.err);
    let transaction: Value = serde_json::from_str(&met.out).unwrap();
    let resume = ["transaction", "resume", transaction["id"].as_str().unwrap()];
    assert_eq!(transaction["state"], "awaiting_input");
    for part in ["https://bank.example/meet", &format!("sutler {}", resume.join(" "))] {
        assert!(met.err.contains(part), "{part} is missing in: {}", met.err);
    }
    assert_eq!(it.json(&resume)["state"], "success");
    assert_eq!(it.json(&["payment-instance", "show", "Visa"])["state"], "ready");
}
