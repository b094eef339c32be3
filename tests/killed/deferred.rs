//! Killed between what an operation for a later time does and the end of its job.

use super::{Mood, PAYMENTS, world};
use crate::support::{World, eventually};
use serde_json::{Value, json};

/// Asks for a new name in a moment, and has the bank told before the end of the job.
const SCRIPT: &str = r#"
function register() return { "ask", "tell" } end
function ask(p)
  if p == nil then return { ref = "ask", api = "TRIGGER", triggerType = "POST_CREATE", triggerOptions = { "USER" } } end
  local customer = adminAPI:getResource(p.input:getCustomerUUID(), false)
  customer:setResourceName("Renamed")
  adminAPI:modifyCustomer(customer, p.timeStamp + 500)
  return { exitState = "SUCCESS" }
end
function tell(p)
  if p == nil then
    return { ref = "tell", api = "TRIGGER", triggerType = "PRE_JOB_STATE_CHANGE", triggerOptions = { "SUCCESSFUL" } }
  end
  if p.input:getJobType():name() == "MODIFY_CUSTOMER" then
    http.post("BANK", { headers = { ["Idempotency-Key"] = p.input:getResourceUUID() }, json = {} })
  end
  return { exitState = "CONTINUE" }
end
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_asked_for_later_does_not_undo_what_was_changed_before_its_job_ended() {
    let (world, bank) = world(PAYMENTS, &[("SUTLER_LUA_PRE_DEADLINE_MS", "60000")]).await;
    let source = SCRIPT.replace("BANK", bank.base());
    world.admin.post("/triggers", json!({ "name": "ask", "source": source })).await.expect(201);
    let path = format!("/customers/{}", world.ada.id);
    bank.turn(Mood::Silent);
    world.user(&world.ada.id, "carol", "customer_member").await;
    let job = eventually("the bank is told", async || bank.asked().into_keys().next()).await;
    let World { program, admin, .. } = world;
    let under_way = admin.get(&format!("/jobs/{job}")).await.expect(200).body;
    assert_eq!((&under_way["state"], &under_way["item_name"]), (&json!("in_progress"), &json!("ada")));
    assert_eq!(admin.get(&path).await.expect(200).body["name"], "Renamed");
    admin.patch(&path, json!({ "name": "Since" })).await.expect(200);

    let program = program.kill_and_restart().await;
    eventually("the bank is told again", async || (bank.asked()[&job].len() == 2).then_some(())).await;
    bank.turn(Mood::Well);
    let program = program.kill_and_restart().await;
    let admin = program.client().with_token(&admin.token.unwrap());
    let done = admin.finished(&job).await;
    assert_eq!((&done["state"], &done["error"]), (&json!("successful"), &Value::Null), "{done}");
    assert_eq!(admin.get(&path).await.expect(200).body["name"], "Since");
}
