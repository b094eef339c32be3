//! Killed while a provider of a script works for somebody: it goes on as the same run, and does nothing twice.

use super::{Bank, Mood};
use crate::support::{Client, Program, World, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// A provider of vaults, and of actions on customers. Each function counts itself on the customer, whose count it reads first, and
/// then asks the bank under its run.
const SOURCE: &str = r##"
function register() return { "vaults", "ticks" } end
local function work(what)
  local count = 0
  for _, key in ipairs(adminAPI:getResource("WHOM", true):getResourceKey()) do
    if key:getName() == what then count = tonumber(key:getValue()) end
  end
  local key = new("ResourceKey")
  key:setName(what)
  key:setType(new("ResourceKeyType", "USER_KEY"))
  key:setValue(tostring(count + 1))
  adminAPI:addKey("WHOM", key)
  local answer = http.post("BANK", { headers = { ["Idempotency-Key"] = event.run }, json = { what = what } })
  if not answer.ok then error("the bank answered " .. answer.status) end
end
-- An action that needs no resource, and nobody waits for.
local function static(key)
  return { key = key, returnType = "STRING", executionFunction = "still", synchronous = false, invocationType = "STATIC",
    parameters = { { key = "pin", validator = { validatorType = "PASSWORD" } } } }
end
function still(p)
  if p.parameters.pin ~= "s3cret" then error("it came without its pin") end
  if p.resource or p.customer or p.resourceValues then error("it came with a resource") end
  work(p.actionKey)
  return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = "done" }
end
function vaults(p)
  return {
    ref = "vaults", name = "Vaults", api = "PLUGGABLE_PROVIDER", version = 1, providerType = "VAULT",
    createFunction = { executionFunction = "create" }, modifyFunction = { executionFunction = "modify" },
    deleteFunction = { executionFunction = "delete" },
    productComponentTypes = { { name = "Vault", referenceField = "VAULT",
      configurableList = { { key = "size", required = true } } } },
    actionFunctions = { { key = "open", returnType = "STRING", executionFunction = "open" }, static("stock") },
  }
end
local yes = { returnCode = "SUCCESSFUL", returnType = "BOOLEAN", returnContent = "true" }
function create(p) work("create") return yes end
function modify(p) work("modify") return yes end
function delete(p) work("delete") return yes end
function open(p)
  work("open")
  return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = "open at " .. p.resourceValues.size }
end
function ticks(p)
  local function action(key, waits)
    return { key = key, returnType = "STRING", executionFunction = "tick_" .. key, synchronous = waits,
      parameters = { { key = "pin", validator = { validatorType = "PASSWORD" } } } }
  end
  return {
    ref = "ticks", name = "Ticks", description = "", api = "CONFIG_PROVIDER", version = 1, providerType = "TICKS",
    resourceConfigs = { { associatedResourceType = "CUSTOMER", useWithBilling = false, productComponentTypes = { {
      resourceName = "Ticks", referenceField = "TICKS", configurableList = {},
      actionFunctions = { action("now", true), action("alone", false), static("idle") } } } } },
  }
end
function tick_now(p)
  work("now")
  return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = "pin " .. p.parameters.pin }
end
function tick_alone(p)
  if p.parameters.pin ~= "s3cret" then error("it came without its pin") end
  work("alone")
  return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = "done" }
end
"##;

/// A program that is killed while the bank is asked, again and again.
struct Killed {
    program: Program,
    admin: Client,
    bank: Bank,
    customer: String,
}

impl Killed {
    async fn new() -> Self {
        let bank = Bank::open().await;
        let settings = [
            ("SUTLER_EGRESS_EXCEPTIONS", r#"["127.0.0.0/8"]"#),
            ("SUTLER_LUA_POST_DEADLINE_MS", "60000"),
            ("SUTLER_LIMITS_REQUESTS_PER_SECOND", "100000"),
            ("SUTLER_LIMITS_REQUEST_BURST", "100000"),
        ];
        let World { program, admin, ada, .. } = World::with(&settings).await;
        let source = SOURCE.replace("BANK", bank.base()).replace("WHOM", &ada.id);
        admin.post("/triggers", json!({ "name": "provider", "source": source })).await.expect(201);
        Self { program, admin, bank, customer: ada.id }
    }

    fn request(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        self.admin.request(method, path).json(body)
    }

    /// The one key under which the bank was asked about something, and how often.
    fn asked(&self, what: &str) -> Option<(String, usize)> {
        let asked = self.bank.asked();
        let mut of_it = asked.iter().filter(|(_, orders)| orders[0]["what"] == what);
        let found = of_it.next().map(|(key, orders)| (key.clone(), orders.len()));
        assert_eq!(of_it.next(), None, "{what} was asked for under another key too: {asked:?}");
        found
    }

    async fn again(mut self) -> Self {
        let token = self.admin.token.clone().unwrap();
        self.program = self.program.kill_and_restart().await;
        self.admin = self.program.client().with_token(&token);
        self
    }

    /// Sends a request, and kills the program as soon as the bank has been asked once more.
    async fn cut_off(self, what: &str, request: RequestBuilder) -> Self {
        let before = self.asked(what).map_or(0, |(_, times)| times);
        let sent = tokio::spawn(request.send());
        self.is_asked(what, before + 1).await;
        let after = self.again().await;
        assert!(sent.await.unwrap().is_err(), "it was not answered");
        after
    }

    async fn is_asked(&self, what: &str, times: usize) {
        eventually(&format!("the bank is asked about {what}"), async || {
            self.asked(what).is_some_and(|(_, asked)| asked >= times).then_some(())
        })
        .await;
    }

    /// How often a function counted itself.
    async fn counted(&self, what: &str) -> Value {
        let customer = self.admin.get(&format!("/customers/{}", self.customer)).await.expect(200).body;
        let keys = customer["keys"].as_array().unwrap();
        keys.iter().find(|key| key["name"] == what).map_or(Value::Null, |key| key["value"].clone())
    }

    /// It was done once, by the run that asked the bank.
    async fn done_once(&self, what: &str) {
        assert_eq!(self.counted(what).await, "1", "{what}");
        let (run, _) = self.asked(what).expect("the bank was asked");
        let run = self.admin.get(&format!("/runs/{run}")).await.expect(200);
        assert_eq!(run.body["state"], "succeeded", "{what}: {}", run.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_asked_for_again_under_its_key_after_a_kill_goes_on_as_the_same_run() {
    let mut killed = Killed::new().await;
    let path = format!("/resources/{}/providers/TICKS/actions/now", killed.customer);
    let body = json!({ "parameters": { "pin": "s3cret" } });
    killed.bank.turn(Mood::Silent);
    for _ in 0..2 {
        let request = killed.request(Method::POST, &path, &body).header("idempotency-key", "tick");
        killed = killed.cut_off("now", request).await;
    }
    killed.bank.turn(Mood::Well);
    let done = killed.admin.post_keyed(&path, "tick", body.clone()).await.expect(200);
    assert_eq!(done.body["content"], "pin s3cret", "{}", done.text);
    let again = killed.admin.post_keyed(&path, "tick", body.clone()).await.expect(200);
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&done.body, "true"));
    killed.done_once("now").await;
    assert_eq!(killed.asked("now").map(|(_, times)| times), Some(3));
    assert_eq!(killed.asked("now").map(|(run, _)| json!(run)), Some(done.body["run_id"].clone()));

    // Another key is another request.
    killed.bank.forget_repeats();
    let other = killed.admin.post_keyed(&path, "tock", body).await.expect(200);
    assert_ne!(other.body["run_id"], done.body["run_id"]);
    assert_eq!(killed.counted("now").await, "2");
}

/// Has an action done that nobody waits for, and kills the program again and again meanwhile.
async fn goes_on_after_kills(mut killed: Killed, path: &str, what: &str) -> Killed {
    let body = json!({ "parameters": { "pin": "s3cret" } });
    killed.bank.turn(Mood::Silent);
    let accepted = killed.admin.post_keyed(path, what, body.clone()).await.expect(200);
    for times in 1..=2 {
        killed.is_asked(what, times).await;
        killed = killed.again().await;
    }
    killed.is_asked(what, 3).await;
    killed.bank.turn(Mood::Well);
    let killed = killed.again().await;
    let run = accepted.body["run_id"].as_str().unwrap();
    let run = eventually("the run ends", async || {
        let run = killed.admin.get(&format!("/runs/{run}")).await.expect(200);
        (run.body["state"] != "running").then_some(run)
    })
    .await;
    assert_eq!((&run.body["state"], &run.body["attempts"]), (&json!("succeeded"), &json!(4)), "{}", run.text);
    assert!(!run.text.contains("s3cret"));
    killed.done_once(what).await;
    assert_eq!(killed.admin.post_keyed(path, what, body).await.expect(200).body, accepted.body);
    killed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_nobody_waits_for_goes_on_after_a_kill() {
    let killed = Killed::new().await;
    let path = format!("/resources/{}/providers/TICKS/actions/alone", killed.customer);
    goes_on_after_kills(killed, &path, "alone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_action_that_nobody_waits_for_goes_on_after_a_kill() {
    let killed = goes_on_after_kills(Killed::new().await, "/providers/TICKS/actions/idle", "idle").await;
    goes_on_after_kills(killed, "/providers/VAULT/actions/stock", "stock").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pluggable_resources_provider_did_when_the_program_was_killed_is_done_once() {
    let mut killed = Killed::new().await;
    let new = json!({ "name": "vault", "provider_type": "VAULT", "customer_id": killed.customer,
        "values": { "size": "small" } });
    killed.bank.turn(Mood::Silent);
    let create = killed.request(Method::POST, "/pluggable-resources", &new).header("idempotency-key", "vault");
    killed = killed.cut_off("create", create).await;
    killed.is_asked("create", 2).await;
    killed.bank.turn(Mood::Well);
    killed = killed.again().await;
    let rests = async |killed: &Killed| {
        eventually("it rests", async || {
            let all = killed.admin.get("/pluggable-resources").await.expect(200);
            all.items().iter().all(|one| one["state"] == "active").then(|| all.items().to_vec())
        })
        .await
    };
    let [made] = &rests(&killed).await[..] else { panic!("one") };
    let path = format!("/pluggable-resources/{}", made["id"].as_str().unwrap());
    let again = killed.admin.post_keyed("/pluggable-resources", "vault", new).await.expect(201);
    assert_eq!(&again.body["id"], &made["id"]);
    killed.done_once("create").await;

    killed.bank.turn(Mood::Silent);
    let change = killed.request(Method::PATCH, &path, &json!({ "values": { "size": "large" } }));
    killed = killed.cut_off("modify", change).await;
    killed.bank.turn(Mood::Well);
    killed = killed.again().await;
    let [left] = &rests(&killed).await[..] else { panic!("one") };
    assert_eq!(left["id"], made["id"]);
    let changed = killed.admin.get(&path).await.expect(200).body;
    assert_eq!(changed["values"]["size"], "large", "{changed}");
    killed.done_once("modify").await;

    killed.bank.turn(Mood::Silent);
    let open = format!("{path}/actions/open");
    let request = killed.request(Method::POST, &open, &json!({})).header("idempotency-key", "open");
    killed = killed.cut_off("open", request).await;
    killed.bank.turn(Mood::Well);
    let opened = killed.admin.post_keyed(&open, "open", json!({})).await.expect(200);
    assert_eq!(opened.body["content"], "open at large", "{}", opened.text);
    killed.done_once("open").await;

    killed.bank.turn(Mood::Silent);
    let delete = killed.admin.request(Method::DELETE, &path);
    killed = killed.cut_off("delete", delete).await;
    killed.bank.turn(Mood::Well);
    killed = killed.again().await;
    assert_eq!(rests(&killed).await, Vec::<Value>::new());
    killed.done_once("delete").await;
}
