//! Jobs that are about to go into a new state.

use super::*;
use crate::ActionAsked;
use sutler_model::{JobState, ServerState};

const TELL: &str = r#"
    print(p.triggerOption, p.input:getStatus():name(), p.input:getItemName(), p.customer:getResourceUUID())
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_state_of_a_job_is_told_before_and_its_end_is_not_refused() {
    let bench = Bench::start().await;
    let body = format!(
        r#"{TELL} if p.triggerOption == "SUCCESSFUL" then return {{ exitState = "FAILURE", reason = "too late" }} end"#
    );
    bench.script("tell", Scope::Customer(bench.customer), block("PRE_JOB_STATE_CHANGE", r#""ANY""#, &body)).await;
    let job = bench.create("web", true).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    let runs = bench.runs_until(|runs| runs.len() == 3).await;
    let told: Vec<(String, RunState)> = runs.iter().map(|run| (run.log.trim().to_owned(), run.state)).collect();
    let line = |word: &str| format!("{word}\t{word}\tweb\t{}", bench.customer);
    assert_eq!(
        told,
        [
            (line("NOT_STARTED"), RunState::Succeeded),
            (line("IN_PROGRESS"), RunState::Succeeded),
            (line("SUCCESSFUL"), RunState::Refused)
        ]
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_refused_at_acceptance_is_none() {
    let bench = Bench::start().await;
    let server = bench.built("web", true).await;
    let body = r#"if p.input:getJobType():name() ~= "REBOOT_SERVER" then
        return { exitState = "FAILURE", reason = "only reboots" } end"#;
    bench.script("no", Scope::Provider, block("PRE_JOB_STATE_CHANGE", r#""NOT_STARTED""#, body)).await;
    let jobs = bench.jobs().await.len();
    let new = bench.new_server("other", true);
    let error = bench.system.create_server(&bench.caller, bench.customer, new, None).await.expect_err("refused");
    assert!(matches!(&error, Error::Refused { reason, .. } if reason == "only reboots"), "{error:?}");
    let stop = crate::ServerAction::Stop { force: true };
    let error =
        bench.system.act_on_server(&bench.caller, server, stop, ActionAsked::default()).await.expect_err("refused");
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!((bench.jobs().await.len(), bench.server("other").await), (jobs, None));
    let found = bench.server("web").await.expect("there");
    assert_eq!((found.state, found.job_id), (ServerState::Running, None));
    let job = bench.act(server, crate::ServerAction::Reboot { force: true }, "r").await;
    assert_eq!(bench.ended(job.id).await.state, JobState::Successful);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_refused_at_its_start_fails_with_the_reason_and_leaves_nothing() {
    let bench = Bench::start().await;
    let body = r#"if p.input:getItemName() == "bad" then return { exitState = "DENY", reason = "bad name" } end"#;
    bench.script("no", Scope::Provider, block("PRE_JOB_STATE_CHANGE", r#""IN_PROGRESS""#, body)).await;
    let job = bench.create("bad", true).await;
    let ended = bench.ended(job.id).await;
    let error = ended.error.expect("a reason");
    assert_eq!((ended.state, error.code.as_str()), (JobState::Failed, "refused"));
    assert!(error.message.contains("`no`") && error.message.contains("bad name"), "{}", error.message);
    assert!(bench.world.guests().is_empty() && bench.world.disks().is_empty());
    assert_eq!(bench.server("bad").await.expect("kept").state, ServerState::Error);
    bench.built("good", true).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_waits_for_the_run_is_not_waited_for_and_a_broken_script_stops_it() {
    let bench = Bench::start().await;
    let body = "adminAPI:waitForJob(p.input:getResourceUUID(), true)";
    let script = bench.script("wait", Scope::Provider, block("PRE_JOB_STATE_CHANGE", r#""IN_PROGRESS""#, body)).await;
    let begun = std::time::Instant::now();
    let job = bench.create("web", true).await;
    let ended = bench.ended(job.id).await;
    assert_eq!(ended.state, JobState::Failed);
    assert!(begun.elapsed().as_millis() < u128::from(settings().pre_deadline_ms), "it errors at once");
    let runs = bench.runs_until(|runs| runs.len() == 1).await;
    assert!(runs[0].result.contains("goes on only when this run has ended"), "{}", runs[0].result);
    // Unless it is set to let the event pass.
    let open = ScriptPatch { fail_open: Some(true), ..ScriptPatch::default() };
    bench.system.update_script(&bench.caller, script.id, None, open).await.expect("changed");
    bench.built("other", true).await;
    bench.stop().await;
}
