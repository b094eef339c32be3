//! Killed between what a run's calls changed and the end of the run: the run begins again and changes nothing twice.

use super::{Mood, PAYMENTS, card, method, settled, world};
use crate::support::{World, eventually};
use serde_json::{Value, json};

/// Changes one thing after the other. After each it is held up at the bank, which answers once it is asked again. What it
/// counts it reads first, so that a second try would count itself.
const SCRIPT: &str = r#"
function register() return { "work" } end
function work(p)
  if p == nil then return { ref = "work", api = "TRIGGER", triggerType = "POST_CREATE", triggerOptions = { "USER" } } end
  if p.input:getEmail() ~= "carol@example.org" then return { exitState = "CONTINUE" } end
  local function hold(step)
    local key = "hold-" .. step
    local answer = http.post("BANK", { headers = { ["Idempotency-Key"] = key }, json = { attempt = event.attempt } })
    if not answer.ok then error("the bank answered " .. answer.status) end
  end
  local function count(name)
    for _, key in ipairs(adminAPI:getResource("CUSTOMER", true):getResourceKey()) do
      if key:getName() == name then return tonumber(key:getValue()) end
    end
    return 0
  end
  local function key(name)
    local key = new("ResourceKey")
    key:setName(name)
    key:setType(new("ResourceKeyType", "USER_KEY"))
    key:setValue(tostring(count(name) + 1))
    return key
  end

  local customer = adminAPI:getResource("CUSTOMER", true)
  local counted = key("MODIFIED")
  local known = false
  for _, key in ipairs(customer:getResourceKey()) do
    if key:getName() == "MODIFIED" then key:setValue(counted:getValue()) known = true end
  end
  if not known then customer:getResourceKey():add(counted) end
  print(adminAPI:modifyCustomer(customer, nil):getItemName())
  hold("modify")

  print(adminAPI:addKey("CUSTOMER", key("ADDED")):getResourceName())
  hold("add")

  local metadata = adminAPI:getResource("CUSTOMER", true):getResourceMetadata()
  local text = metadata and metadata:getPublicMetadata() or ""
  metadata = new("ResourceMetadata")
  metadata:setPublicMetadata("<n>" .. (tonumber(text:match("%d+")) or 0) + 1 .. "</n>")
  print(adminAPI:updateMetadata("CUSTOMER", metadata))
  hold("metadata")

  print(adminAPI:lockUser("USER"))
  hold("lock")

  print(adminAPI:waitForJob(adminAPI:changeServerStatus("SERVER", "STOPPED", true, nil, nil):getResourceUUID(), true)
    :getStatus():name())
  hold("stop")

  print(adminAPI:payInvoice("INVOICE", nil, false, nil, nil):getJobType():name())
  hold("pay")

  print(adminAPI:deleteResource("GONE", false, nil):getItemUUID())
  hold("delete")
  return { exitState = "SUCCESS" }
end
"#;

const STEPS: [&str; 7] = ["modify", "add", "metadata", "lock", "stop", "pay", "delete"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_changed_before_a_kill_it_does_not_change_again() {
    let (world, bank) = world(PAYMENTS, &[("SUTLER_LUA_POST_DEADLINE_MS", "60000")]).await;
    card(&world.admin, &method(&world).await, &world.ada.id).await;
    let server = world.running_server(&world.ada.client, "web-1").await;
    let invoice = crate::invoices::close(&world, &world.ada.id).await.id();
    let (gone, _) = world.user(&world.ada.id, "gone", "customer_member").await;
    let source = [
        ("BANK", bank.base()),
        ("CUSTOMER", &world.ada.id),
        ("USER\")", &format!("{}\")", world.ada.user)),
        ("SERVER", &server),
        ("INVOICE", &invoice),
        ("GONE", &gone),
    ]
    .into_iter()
    .fold(SCRIPT.to_owned(), |source, (word, id)| source.replace(&format!("\"{word}"), &format!("\"{id}")));
    let script = world.admin.post("/triggers", json!({ "name": "work", "source": source })).await.expect(201).id();
    bank.turn(Mood::Hesitant);
    world.user(&world.ada.id, "carol", "customer_member").await;

    let World { mut program, mut admin, ada, .. } = world;
    let token = admin.token.clone().unwrap();
    for step in STEPS {
        let key = format!("hold-{step}");
        eventually(&format!("the run waits after {step}"), async || bank.asked().get(&key).map(drop)).await;
        // What others make of it meanwhile stays so.
        match step {
            "lock" => drop(admin.patch(&format!("/users/{}", ada.user), json!({ "locked": false })).await.expect(200)),
            "stop" => {
                let job = admin
                    .post(&format!("/servers/{server}/actions"), json!({ "action": "start" }))
                    .await
                    .expect(202)
                    .id();
                assert_eq!(admin.finished(&job).await["state"], "successful");
            }
            "pay" => {
                let of = format!("/transactions?invoice_id={invoice}");
                let paid = admin.get(&of).await.items()[0]["id"].as_str().unwrap().to_owned();
                settled(&admin, &paid).await;
                let refund = admin.post(&format!("/transactions/{paid}/refund"), json!({})).await.expect(202).id();
                settled(&admin, &refund).await;
            }
            _ => {}
        }
        program = program.kill_and_restart().await;
        admin = program.client().with_token(&token);
    }
    let run = eventually("the run ends well", async || {
        let runs = admin.get(&format!("/triggers/{script}/runs?state=succeeded")).await.expect(200);
        runs.items().first().map(|run| run["id"].as_str().unwrap().to_owned())
    })
    .await;
    let run = admin.get(&format!("/runs/{run}")).await.expect(200).body;

    let customer = admin.get(&format!("/customers/{}", ada.id)).await.expect(200).body;
    let value = |name: &str| {
        let keys = customer["keys"].as_array().unwrap();
        keys.iter().find(|key| key["name"] == name).map_or(Value::Null, |key| key["value"].clone())
    };
    let metadata = admin.get(&format!("/customers/{}/metadata", ada.id)).await.expect(200).body;
    let jobs = admin.get(&format!("/jobs?item_id={server}")).await.expect(200);
    let stops = jobs.items().iter().filter(|job| job["kind"] == "stop_server").count();
    let transactions = admin.get(&format!("/transactions?invoice_id={invoice}")).await.expect(200);
    let found = json!({
        "modified": value("MODIFIED"),
        "added": value("ADDED"),
        "metadata": metadata["public"],
        "locked": admin.get(&format!("/users/{}", ada.user)).await.expect(200).body["locked"],
        "server": admin.get(&format!("/servers/{server}")).await.expect(200).body["state"],
        "stops": stops,
        "transactions": transactions.items().len(),
        "log": run["log"].as_str().unwrap().lines().take(7).collect::<Vec<_>>(),
        "asked": STEPS.map(|step| bank.asked()[&format!("hold-{step}")].len()),
    });
    let expected = json!({
        "modified": "1",
        "added": "1",
        "metadata": "<n>1</n>",
        "locked": false,
        "server": "running",
        "stops": 1,
        "transactions": 2,
        "log": ["ada", "ada", "true", "true", "SUCCESSFUL", "MAKE_PAYMENT", gone],
        // By the run that the kill cut off, and then by each that came after.
        "asked": [8, 7, 6, 5, 4, 3, 2],
    });
    assert_eq!(found, expected);
    admin.get(&format!("/users/{gone}")).await.expect(404);
}
