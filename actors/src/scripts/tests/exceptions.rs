//! What goes wrong inside, and what is billed.

use super::{crashes::Boom, *};
use crate::{
    TestRequest, Verdict,
    customer::CustomerActor,
    registry::{Ctx, Handles},
};
use sutler_drivers::simulated::{Fault, FaultError};
use sutler_model::{JobState, Noun};

impl Handles<Boom> for CustomerActor {
    async fn handle(&mut self, _: Boom, _: &Ctx<Self>) {
        panic!("boom");
    }
}

const TELL: &str = r#"print(p.triggerOption, p.input:getErrorType() .. "/" .. p.input:getErrorCode(), p.input:getItemType(), p.input:getItemUUID(),
    p.input:getMessage())"#;

fn logs(runs: &[ScriptRun]) -> Vec<Vec<&str>> {
    let done = runs.iter().filter(|run| run.state == RunState::Succeeded);
    done.map(|run| run.log.trim().split('\t').collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_needs_an_operator_is_an_exception_whose_facts_are_for_sellers() {
    let bench = Bench::start().await;
    bench.script("all", Scope::Provider, block("POST_EXCEPTION", r#""JOB""#, TELL)).await;
    bench.script("own", Scope::Customer(bench.customer), block("POST_EXCEPTION", r#""ANY""#, TELL)).await;
    let (stranger, _) = bench.stranger().await;
    bench.script("other", Scope::Customer(stranger), block("POST_EXCEPTION", r#""ANY""#, TELL)).await;
    // Neither done nor undone.
    for call in ["start", "undefine"] {
        let error = Some(FaultError::Permanent);
        bench.world.fault(Fault { call: call.into(), times: 1, error, ..Fault::default() });
    }
    let job = bench.create("web", true).await;
    assert_eq!(bench.ended(job.id).await.state, JobState::NeedsOperator);
    let runs = bench.runs_until(|runs| logs(runs).len() == 2).await;
    assert_eq!(runs.len(), 2);
    let item = job.item_id.to_string();
    for run in &runs {
        let told: Vec<&str> = run.log.trim().split('\t').collect();
        assert_eq!(told[..4], ["JOB", "Internal/FAILED", "SERVER", &item]);
        assert_eq!(told[4].contains("stuck at step"), run.owner == Scope::Provider, "{}", told[4]);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_in_quarantine_and_a_broken_request_are_told_to_the_provider_alone() {
    let bench = Bench::start().await;
    let before = *bench.system.store().watch().borrow();
    bench.system.request_broke("GET", "/api/v1/me", "r-0");
    assert_eq!(*bench.system.store().watch().borrow(), before, "nobody listens");
    let all = bench.script("all", Scope::Provider, block("POST_EXCEPTION", r#""ANY""#, TELL)).await;
    bench.script("own", Scope::Customer(bench.customer), block("POST_EXCEPTION", r#""ANY""#, TELL)).await;
    while bench.system.inner.customers.quarantined().is_empty() {
        let _ = bench.system.inner.customers.ask(bench.customer.into(), Boom).await;
    }
    let runs = bench.runs_until(|runs| logs(runs).len() == 1).await;
    let customer = bench.customer.to_string();
    let told = logs(&runs).remove(0);
    assert_eq!(told[..4], ["ACTOR", "Internal/QUARANTINE", "CUSTOMER", &customer]);
    assert!(told[4].contains("boom"), "{told:?}");
    bench.system.request_broke("GET", "/api/v1/me", "r-1");
    let runs = bench.runs_until(|runs| logs(runs).len() == 2).await;
    let expected = "GET /api/v1/me was answered with an internal error; the log tells why";
    assert!(logs(&runs).iter().any(|told| told[0] == "API" && told.last() == Some(&expected)), "{runs:#?}");
    assert!(runs.iter().all(|run| run.script_id == all.id));
    // Neither is kept as a record.
    assert!(bench.system.store().index().all(Noun::Notice).is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_is_a_billing_run_and_a_collection() {
    let bench = Bench::start().await;
    let tell =
        "print(p.triggerOption, p.input:getInvoiceNo(), p.input:getCustomerUUID(), p.customer:getResourceUUID())";
    let mut scripts = Vec::new();
    for trigger in ["POST_BILLING", "POST_COLLECTION", "POST_CREATE"] {
        let options = if trigger == "POST_CREATE" { r#""INVOICE""# } else { r#""ANY""# };
        scripts.push(bench.script(trigger, Scope::Provider, block(trigger, options, tell)).await);
    }
    bench.built("web", true).await;
    let end = bench.system.core().now();
    bench.until(async || bench.system.core().now() > end.plus_ms(6_000)).await;
    bench.system.close_invoice(&bench.caller, bench.customer, end).await.expect("closed");
    let runs = bench.runs_until(|runs| logs(runs).len() == 3).await;
    let customer = bench.customer.to_string();
    for run in &runs {
        let option = if run.script_id == scripts[2].id { "INVOICE" } else { "ANY" };
        assert_eq!(run.log.trim().split('\t').collect::<Vec<_>>(), [option, "1", &customer, &customer]);
    }
    // What was raised can be tried again without effects.
    for script in scripts {
        let rehearsed = bench.system.test_script(&bench.caller, script.id, TestRequest::default()).await.expect("run");
        assert_eq!(rehearsed.verdict, Verdict::Succeeded, "{rehearsed:?}");
    }
    bench.stop().await;
}
