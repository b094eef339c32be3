//! Jobs carried out by others below them.

use super::*;
use sutler_drivers::simulated::{Fault, FaultError};
use sutler_model::{CustomerStatus, JobState, Noun};
use sutler_store::Field;

async fn deleted(bench: &Bench, cascade: bool) -> Result<Job, Error> {
    bench.system.delete_customer(&bench.caller, bench.customer, cascade, None, None, None).await
}

async fn status(bench: &Bench) -> CustomerStatus {
    bench.system.store().get::<Customer>(bench.customer).await.expect("read").expect("kept").status
}

const WAIT: &str = r#"
    local job = p.input
    if job:getJobType():name() ~= "DELETE_RESOURCE" then
        print(job:getJobType():name(), job:getItemName(), job:getParentJobUUID())
        return { exitState = "CONTINUE" }
    end
    local ended = userAPI:waitForJob(job:getResourceUUID(), false)
    local filter = new("SearchFilter")
    filter:addCondition(new("Utils"):createFilterCondition("parentjobuuid", "IS_EQUAL_TO", job:getResourceUUID()))
    local children = adminAPI:listResources(filter, nil, new("ResourceType", "JOB"))
    local done = 0
    for i = 0, children:getList():size() - 1 do
        local child = children:getList():get(i)
        if child:getStatus():name() == "SUCCESSFUL" then done = done + 1 end
    end
    print(job:getItemType():name(), job:getStatus():name(), ended:getStatus():name(), done, job:getParentJobUUID())
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_waits_for_a_parent_lets_its_children_go_on() {
    let bench = Bench::start().await;
    for name in ["one", "two", "three"] {
        bench.built(name, true).await;
    }
    bench.script("wait", Scope::Provider, block("POST_JOB_STATE_CHANGE", r#""IN_PROGRESS""#, WAIT)).await;
    let parent = deleted(&bench, true).await.expect("accepted");
    assert_eq!((parent.item_noun, parent.parent_id), (Noun::Customer, None));
    let ended = bench.ended(parent.id).await;
    assert_eq!(ended.state, JobState::Successful, "{:?}", ended.error);
    assert_eq!((status(&bench).await, bench.world.guests().len()), (CustomerStatus::Closed, 0));
    let children = bench.jobs().await.into_iter().filter(|job| job.parent_id == Some(parent.id)).count();
    assert_eq!(children, 3);
    let runs = bench.runs_until(|runs| states(runs) == [RunState::Succeeded; 4]).await;
    let mut logs: Vec<&str> = runs.iter().map(|run| run.log.trim()).collect();
    logs.sort_unstable();
    let child = |name: &str| format!("DELETE_SERVER\t{name}\t{}", parent.id);
    let expected = ["CUSTOMER\tIN_PROGRESS\tSUCCESSFUL\t3\tnil".to_owned(), child("one"), child("three"), child("two")];
    assert_eq!(logs, expected);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_cascade_a_customer_with_servers_stays_and_an_empty_one_goes() {
    let bench = Bench::start().await;
    let server = bench.built("web", true).await;
    let error = deleted(&bench, false).await.expect_err("it has a server");
    assert!(error.to_string().contains("still has 1 servers"), "{error}");
    let job = bench.act(server, crate::ServerAction::Delete, "gone").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let refuse = r#"do return { exitState = "FAILURE", reason = "a good customer" } end"#;
    let script = bench.script("keep", Scope::Provider, block("PRE_DELETE", r#""CUSTOMER""#, refuse)).await;
    assert!(matches!(deleted(&bench, true).await, Err(Error::Refused { .. })));
    bench.system.delete_script(&bench.caller, script.id, None).await.expect("gone");
    let job = deleted(&bench, false).await.expect("accepted");
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    assert_eq!(status(&bench).await, CustomerStatus::Closed);
    assert!(matches!(deleted(&bench, true).await, Err(Error::State { .. })), "it is closed already");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_fails_is_its_parents_failure_and_asking_again_deletes_the_rest() {
    let bench = Bench::start().await;
    bench.built("web", true).await;
    let error = Some(FaultError::Permanent);
    bench.world.fault(Fault { call: "undefine".into(), times: 1, error, ..Fault::default() });
    let job = deleted(&bench, true).await.expect("accepted");
    let ended = bench.ended(job.id).await;
    let error = ended.error.expect("a reason");
    assert_eq!((ended.state, error.code.as_str()), (JobState::Failed, "servers_left"));
    assert!(error.message.contains("`web`"), "{}", error.message);
    assert_eq!(status(&bench).await, CustomerStatus::Active);
    let job = deleted(&bench, true).await.expect("accepted");
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    assert_eq!(status(&bench).await, CustomerStatus::Closed);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_goes_on_after_a_restart_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start_with(folder.path(), settings()).await;
    for name in ["one", "two"] {
        bench.built(name, true).await;
    }
    let job = deleted(&bench, true).await.expect("accepted");
    bench.stop().await;
    drop(bench);
    let bench = Bench::start_with(folder.path(), settings()).await;
    let ended = bench.ended(job.id).await;
    assert_eq!(ended.state, JobState::Successful, "{:?}", ended.error);
    assert_eq!(status(&bench).await, CustomerStatus::Closed);
    let deletions = bench.jobs().await.iter().filter(|job| job.input.kind() == "delete_server").count();
    assert_eq!(deletions, 2);
    assert!(bench.system.store().index().ids(Noun::Job, Field::Pending, b"1").is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_is_called_off_or_refused_leaves_the_customer() {
    let bench = Bench::start().await;
    bench.built("web", true).await;
    let refuse = r#"if p.input:getItemType():name() == "CUSTOMER" then
        return { exitState = "FAILURE", reason = "not yet" } end"#;
    let refuse = block("PRE_JOB_STATE_CHANGE", r#""IN_PROGRESS""#, refuse);
    let script = bench.script("held", Scope::Provider, refuse).await;
    let job = deleted(&bench, true).await.expect("accepted");
    let ended = bench.ended(job.id).await;
    assert_eq!((ended.state, ended.error.map(|e| e.code)), (JobState::Failed, Some("refused".to_owned())));
    assert!(bench.server("web").await.is_some());
    bench.system.delete_script(&bench.caller, script.id, None).await.expect("gone");

    // What was begun below it goes on.
    bench.world.fault(Fault { call: "undefine".into(), times: 1, delay_ms: 500, ..Fault::default() });
    let job = deleted(&bench, true).await.expect("accepted");
    bench.until(async || bench.jobs().await.iter().any(|child| child.parent_id == Some(job.id))).await;
    bench.system.cancel_job(&bench.caller, job.id).await.expect("called off");
    assert_eq!(bench.ended(job.id).await.state, JobState::Cancelled);
    bench.until(async || bench.server("web").await.is_none()).await;
    assert_eq!(status(&bench).await, CustomerStatus::Active);
    bench.stop().await;
}
